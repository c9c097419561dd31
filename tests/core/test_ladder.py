from collections import Counter

from pool.core.ladder import MOST_CORRECTIONS, Ladder
from pool.core.ready import ReadySet


def ready_of(*slots):
    ready = ReadySet()
    for slot in slots:
        ready.add(slot)
    return ready


def ladder_of(count, catch_up=False):
    ladder = Ladder(catch_up)
    for slot in range(count):
        ladder.add(slot, 0.0)
    return ladder


def up(slot, height):
    return height + 1.0


def look(ladder, ready, view="", tried=()):
    return ladder.lowest(view, ready, tried, up)


def test_the_lowest_goes_first_and_then_stands_higher():
    ladder, ready = ladder_of(3), ready_of(0, 1, 2)
    assert [look(ladder, ready) for _ in range(6)] == [0, 1, 2, 0, 1, 2]
    assert ladder.heights == {0: 2.0, 1: 2.0, 2: 2.0}


def test_a_tried_slot_is_passed_over_and_keeps_its_place():
    ladder, ready = ladder_of(3), ready_of(0, 1, 2)
    assert look(ladder, ready, tried={0, 1}) == 2
    assert look(ladder, ready) == 0


def test_where_all_were_tried_there_is_none():
    ladder, ready = ladder_of(2), ready_of(0, 1)
    assert look(ladder, ready, tried={0, 1}) is None
    assert look(ladder, ready) == 0


def test_a_slot_that_is_not_ready_is_left_out_until_it_is_returned():
    ladder, ready = ladder_of(2), ready_of(0, 1)
    ready.discard(0)
    assert [look(ladder, ready) for _ in range(3)] == [1, 1, 1]
    ready.add(0)
    ladder.returned(0, "")
    assert [look(ladder, ready) for _ in range(3)] == [0, 0, 0]


def test_with_catch_up_a_rest_is_not_paid_back_in_a_burst():
    ladder, ready = ladder_of(2, catch_up=True), ready_of(0, 1)
    look(ladder, ready)
    ready.discard(0)
    for _ in range(100):
        look(ladder, ready)
    ready.add(0)
    ladder.returned(0, "")
    served = Counter(look(ladder, ready) for _ in range(100))
    assert abs(served[0] - served[1]) <= 2


def test_with_catch_up_a_newcomer_begins_where_the_others_stand():
    ladder, ready = ladder_of(2, catch_up=True), ready_of(0, 1)
    for _ in range(200):
        look(ladder, ready)
    ladder.add(2, 0.0)
    ready.add(2)
    served = Counter(look(ladder, ready) for _ in range(30))
    assert served[2] <= 11


def test_views_share_the_heights():
    ladder, ready, other = ladder_of(2), ready_of(0, 1), ready_of(0, 1)
    look(ladder, ready, "a")
    assert look(ladder, other, "b") == 1
    assert look(ladder, ready, "a") == 0


def test_a_view_made_later_knows_what_another_one_dropped():
    ladder, ready = ladder_of(3), ready_of(0, 1, 2)
    ready.discard(0)
    look(ladder, ready, "a")
    assert look(ladder, ready_of(0, 2), "b") == 0


def test_a_removed_slot_is_never_found_again():
    ladder, ready = ladder_of(2), ready_of(0, 1)
    look(ladder, ready)
    ladder.remove(1)
    ready.discard(1)
    ladder.returned(1, "")
    assert [look(ladder, ready) for _ in range(3)] == [0, 0, 0]


def test_a_view_that_was_forgotten_begins_anew():
    ladder, ready = ladder_of(2), ready_of(0, 1)
    ready.discard(0)
    look(ladder, ready, "a")
    ladder.forget("a")
    ready.add(0)
    assert look(ladder, ready, "a") == 0


def test_after_a_burst_elsewhere_one_look_corrects_a_bounded_number():
    count = 4 * MOST_CORRECTIONS
    ladder, ready = ladder_of(count), ready_of(*range(count))
    look(ladder, ready, "b")
    for _ in range(count):
        look(ladder, ready, "a")
    # Off by a step at first, and right again once the looks have gone on correcting.
    found = [look(ladder, ready, "b") for _ in range(count)]
    assert len(set(found)) > count * 0.6
    assert max(ladder.heights.values()) <= 4.0

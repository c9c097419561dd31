"""Storms: many keys failing alike are spared; many bad keys are not."""

from pool.core.keys import FOREVER
from pool.core.outcomes import KEY, KEY_MODEL, OTHER_KEY, SAME_KEY, Outcome
from pool.core.storms import Failure, Storm

NOW = 1_000.0
SUSPECTED = Outcome("suspected", OTHER_KEY, KEY, NOW + 60, blamed=True, storm="403")
DEAD = Outcome("dead", OTHER_KEY, KEY, FOREVER, blamed=True, storm="401")
DOWN = Outcome("overloaded", SAME_KEY, KEY_MODEL, NOW + 1, transient=True, storm="5xx")
SPENT = Outcome("quota_day", OTHER_KEY, KEY_MODEL, NOW + 9_000, blamed=True)


def fails(storm, keys, outcome=SUSPECTED, at=NOW, total=50, failing=True):
    """Keys fail one after another; the last ruling, and the keys that were ready then."""
    ruling = None
    for n, key_id in enumerate(keys):
        ruling = storm.failed(Failure(key_id, "m", outcome, at), total - n, failing)
    return ruling


def test_a_fifth_of_the_keys_alike_is_a_storm_and_the_others_penalties_are_taken_back():
    storm = Storm()
    assert fails(storm, range(1, 10)).blame
    assert storm.kind == ""
    ruling = storm.failed(Failure(10, "m", SUSPECTED, NOW), 41, True)
    assert (ruling.blame, [failure.key_id for failure in ruling.undo]) == (False, list(range(1, 10)))
    assert (storm.kind, storm.keys, storm.open) == ("403", 10, True)


def test_the_same_key_again_is_not_another_key():
    storm = Storm()
    assert fails(storm, [1, 2, 3, 4] * 20, total=200).blame
    assert storm.kind == ""


def test_failures_of_different_kinds_do_not_add_up():
    storm = Storm()
    fails(storm, range(1, 10))
    fails(storm, range(11, 20), DEAD)
    fails(storm, range(21, 30), DOWN, total=100)
    assert storm.kind == ""


def test_failures_more_than_ten_seconds_apart_do_not_add_up():
    storm = Storm()
    for key_id in range(1, 40):
        storm.failed(Failure(key_id, "m", SUSPECTED, NOW + key_id * 2), 46, True)
    assert storm.kind == ""


def test_an_upstream_that_mostly_answers_has_no_storm():
    storm = Storm()
    assert fails(storm, range(1, 50), failing=False).blame
    assert storm.kind == ""


def test_a_success_takes_its_key_out_of_the_count():
    storm = Storm()
    fails(storm, range(1, 10))
    for key_id in range(1, 9):
        storm.succeeded(key_id, NOW)
    assert fails(storm, [10], total=49).blame
    assert storm.kind == ""


def test_decoded_quotas_are_never_a_storm():
    storm = Storm()
    assert fails(storm, range(1, 50), SPENT).blame


def test_of_fewer_than_five_keys_all_must_fail():
    storm = Storm()
    assert fails(storm, [1, 2], total=3).blame
    assert not fails(storm, [3], total=1).blame
    assert storm.kind == "403"


def test_a_single_key_is_believed():
    assert fails(Storm(), [1] * 20, total=1).blame


def test_few_keys_that_are_said_to_be_invalid_are_believed():
    assert fails(Storm(), [1, 2, 3, 4], DEAD, total=4).blame
    assert not fails(Storm(), range(1, 11), DEAD, total=50).blame


def test_few_keys_that_are_slowed_down_are_believed():
    slow = Outcome("quota_minute", OTHER_KEY, KEY_MODEL, NOW + 60, blamed=True, storm="429")
    assert fails(Storm(), [1, 2, 3, 4], slow, total=4).blame
    assert not fails(Storm(), range(1, 6), slow, total=5).blame


def test_outages_that_bench_nobody_count_the_keys_that_are_still_ready():
    storm = Storm()
    for key_id in range(1, 4):
        storm.failed(Failure(key_id, "m", DOWN, NOW), 3, True)
    assert storm.kind == "5xx"


def test_one_probe_at_a_time_goes_through():
    storm = Storm()
    assert storm.may_pass(NOW)
    fails(storm, range(1, 11))
    assert not storm.may_pass(NOW + 0.9)
    assert storm.may_pass(NOW + 1)
    assert not storm.may_pass(NOW + 5)
    storm.failed(Failure(1, "m", SUSPECTED, NOW + 5), 50, True)
    assert not storm.may_pass(NOW + 5.9)
    assert storm.may_pass(NOW + 6)
    storm.gave_up(NOW + 6.1)
    assert storm.may_pass(NOW + 6.1)


def test_a_probe_that_failed_is_followed_by_the_next_one_a_second_later():
    storm = Storm()
    fails(storm, range(1, 11))
    assert storm.may_pass(NOW + 1)
    storm.failed(Failure(1, "m", SUSPECTED, NOW + 1.1), 50, True)
    storm.gave_up(NOW + 1.2)
    assert not storm.may_pass(NOW + 2)
    assert storm.may_pass(NOW + 2.1)


def test_a_lost_probe_does_not_close_the_door_for_good():
    storm = Storm()
    fails(storm, range(1, 11))
    assert storm.may_pass(NOW + 1)
    assert storm.may_pass(NOW + 16)


def test_one_success_ends_an_outage():
    storm = Storm()
    fails(storm, range(1, 11), DOWN)
    storm.succeeded(40, NOW + 3)
    assert storm.may_pass(NOW + 3)
    assert [(past.kind, past.since, past.until, past.keys) for past in storm.past] == [("5xx", NOW, NOW + 3, 10)]


def test_a_key_that_was_refused_and_is_not_any_more_ends_a_storm_with_nobody_to_blame():
    storm = Storm()
    fails(storm, range(1, 11))
    assert not fails(storm, range(11, 20), at=NOW + 1).blame
    storm.succeeded(3, NOW + 2)
    assert (storm.kind, storm.keys) == ("", 0)
    assert storm.past[0].keys == 19


def test_another_keys_success_opens_the_door_and_leaves_it_to_the_refused_ones_to_say():
    storm = Storm()
    fails(storm, range(1, 11))
    storm.succeeded(50, NOW + 1)
    assert storm.may_pass(NOW + 1)
    assert not storm.open
    assert storm.kind == "403"
    ruling = storm.failed(Failure(4, "m", SUSPECTED, NOW + 2), 40, True)
    assert ruling.blame
    assert {failure.key_id for failure in ruling.redo} == set(range(1, 11)) - {4}
    assert (storm.kind, list(storm.past)) == ("", [])


def test_asking_whether_a_probe_may_pass_sends_none():
    storm = Storm()
    assert storm.would_pass(NOW)
    fails(storm, range(1, 11))
    assert not storm.would_pass(NOW + 0.5)
    for _ in range(3):
        assert storm.would_pass(NOW + 1)
    assert storm.may_pass(NOW + 1)
    assert not storm.would_pass(NOW + 1)


def test_held_back_penalties_are_dropped_where_nobody_asks_those_keys_again():
    storm = Storm()
    fails(storm, range(1, 11))
    storm.succeeded(50, NOW + 1)
    ruling = storm.failed(Failure(4, "m", replace_kind(SUSPECTED, "401"), NOW + 62), 40, True)
    assert (ruling.blame, ruling.redo, storm.kind) == (True, (), "")


def replace_kind(outcome, kind):
    return Outcome(outcome.kind, outcome.next, outcome.scope, outcome.until, outcome.blamed, storm=kind)

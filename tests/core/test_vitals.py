import pytest

from pool.core.vitals import HALF_LIFE_S, LEAST, MOST_KEYS, MOST_KINDS, MOST_RATIO, Vitals

NOW = 1_000.0


def after(results, key_id=1, latency_s=1.0, apart_s=0.0):
    """What is known once attempts ended like this, one after another, the last of them at NOW."""
    vitals = Vitals()
    for n, ok in enumerate(results):
        vitals.began(key_id)
        vitals.ended(key_id, ok, latency_s if ok else None, NOW - (len(results) - 1 - n) * apart_s)
    return vitals


def test_an_unknown_key_deserves_its_whole_turn():
    assert Vitals().weight(1, NOW) == 1.0


def test_a_key_that_does_well_deserves_no_more():
    assert after([True] * 100).weight(1, NOW) == pytest.approx(1.0)


def test_in_flight_counts_what_began_and_has_not_ended():
    vitals = Vitals()
    for key_id in (1, 1, 1, 2):
        vitals.began(key_id)
    vitals.ended(1, True, 1.0, NOW)
    vitals.ended(1, None, None, NOW)
    assert (vitals.in_flight(1), vitals.in_flight(2), vitals.in_flight(3)) == (1, 1, 0)


def test_more_ends_than_beginnings_are_no_negative_load():
    vitals = after([True])
    vitals.ended(1, True, 1.0, NOW)
    vitals.began(1)
    assert vitals.in_flight(1) == 1


def test_an_attempt_that_taught_nothing_leaves_no_trace():
    vitals = after([None] * 50)
    assert vitals.weight(1, NOW) == 1.0
    assert vitals._flying == vitals._records == {}


def test_one_failure_is_noticed_and_is_not_yet_a_character():
    assert LEAST * 4 < after([False]).weight(1, NOW) < 0.7


def test_more_failures_weigh_more():
    weights = [after([n >= failures for n in range(20)]).weight(1, NOW) for failures in (0, 2, 5, 10, 20)]
    assert weights == sorted(weights, reverse=True)
    assert len(set(weights)) == 5


def test_the_worst_key_keeps_a_small_share():
    assert after([False] * 1_000).weight(1, NOW) == LEAST


def test_without_news_a_bad_key_goes_back_to_an_unknown_one():
    vitals = after([False] * 10)
    weights = [vitals.weight(1, NOW + n * HALF_LIFE_S) for n in range(12)]
    assert weights == sorted(weights)
    assert weights[1] < 0.2
    assert weights[5] > 0.7
    assert weights[11] > 0.99


def test_to_ask_changes_nothing():
    vitals = after([False] * 3)
    vitals.weight(1, NOW + 1e6)
    assert vitals.weight(1, NOW) == after([False] * 3).weight(1, NOW)


def test_a_busy_key_that_healed_is_believed_after_some_dozens_of_successes():
    vitals = after([False] * 5_000)
    for _ in range(150):
        vitals.ended(1, True, 1.0, NOW)
    assert vitals.weight(1, NOW) > 0.9


def test_a_slow_key_deserves_less_than_one_that_is_as_quick_as_usual():
    vitals = Vitals()
    for _ in range(30):
        for key_id, latency_s in ((1, 5.0), (2, 1.0), (3, 1.0), (4, 1.1)):
            vitals.ended(key_id, True, latency_s, NOW)
    assert vitals.weight(1, NOW) < 0.4
    assert vitals.weight(2, NOW) == vitals.weight(4, NOW) == 1.0


def test_a_quick_failure_is_no_sign_of_speed():
    slow, failing = Vitals(), Vitals()
    for vitals in (slow, failing):
        for n in range(40):
            vitals.ended(n % 2, True, 4.0 if n % 2 else 1.0, NOW)
    failing.ended(1, False, 0.001, NOW)
    assert failing.weight(1, NOW) < slow.weight(1, NOW)


def test_a_key_asked_for_a_slow_model_is_not_a_slow_key():
    vitals = Vitals()
    for _ in range(30):
        vitals.ended(1, True, 60.0, NOW, "thinking")
        vitals.ended(2, True, 0.5, NOW, "flash")
    assert vitals.weight(1, NOW) == vitals.weight(2, NOW) == 1.0


def test_where_all_become_slow_none_is():
    vitals = Vitals()
    for latency_s in (1.0, 8.0):
        for n in range(200):
            vitals.ended(n % 4, True, latency_s, NOW + n)
    assert all(vitals.weight(key_id, NOW + 200) == 1.0 for key_id in range(4))


def test_one_answer_that_took_an_hour_does_not_ruin_a_key():
    vitals = after([True] * 20)
    vitals.ended(1, True, 3600.0, NOW)
    alone = vitals.weight(1, NOW)
    assert alone > 1 / (1 + MOST_RATIO / 20) ** 2


def test_answers_without_a_time_count_as_successes_only():
    vitals = after([False, False])
    for _ in range(30):
        vitals.ended(1, True, None, NOW)
    assert vitals.weight(1, NOW) > 0.85


@pytest.mark.parametrize("step_s", [-1e9, -1.0, 1e9])
def test_a_clock_that_jumps_breaks_nothing(step_s):
    vitals = after([False] * 5)
    assert LEAST <= vitals.weight(1, NOW + step_s) <= 1.0
    vitals.ended(1, True, 0.0, NOW + step_s)
    assert LEAST <= vitals.weight(1, NOW + step_s) <= 1.0


def test_what_is_remembered_is_bounded_and_the_latest_stays():
    vitals = Vitals()
    for key_id in range(3 * MOST_KEYS):
        vitals.ended(key_id, False, None, NOW, f"model-{key_id}")
    assert len(vitals._records) + len(vitals._older) <= MOST_KEYS
    assert vitals.weight(3 * MOST_KEYS - MOST_KEYS // 2 + 1, NOW) < 1.0
    for n in range(3 * MOST_KINDS):
        vitals.ended(1, True, 1.0, NOW, f"model-{n}")
    assert len(vitals._usual) <= MOST_KINDS


def test_what_was_learnt_of_a_key_is_kept_as_long_as_it_is_used():
    vitals = after([False] * 30, key_id=0)
    for key_id in range(1, 4 * MOST_KEYS):
        vitals.ended(key_id, True, 1.0, NOW)
        if key_id % (MOST_KEYS // 2) == 0:
            vitals.ended(0, False, None, NOW)
    vitals.ended(0, True, 1.0, NOW)
    assert vitals.weight(0, NOW) < 0.1


def test_a_key_in_use_is_not_forgotten_for_the_many_that_come_and_go():
    vitals = Vitals()
    for key_id in range(2, 4 * MOST_KEYS):
        if key_id % 1_000 == 0:
            for _ in range(5):
                vitals.ended(1, False, None, NOW)
        vitals.ended(key_id, True, 1.0, NOW)
    assert vitals.weight(1, NOW) == LEAST

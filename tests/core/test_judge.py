from dataclasses import replace

import orjson
import pytest

from pool.core import judge as judge_module
from pool.core.catalogue import Catalogue, Pool
from pool.core.faults import CannotConnect
from pool.core.judge import Judge, Thresholds
from pool.core.keys import FOREVER, Key
from pool.core.outcomes import KEY, KEY_MODEL, OTHER_KEY, Outcome, failed, overloaded
from pool.core.providers import PROVIDERS
from pool.core.quota import Quota
from pool.core.rotation import Member

NOW = 1_000.0
LIMITS = Thresholds(errors=5, window_s=3600.0)
DEATH = Outcome("dead", OTHER_KEY, KEY, FOREVER, blamed=True, reason="API key not valid.")
REFUSAL = Outcome("suspected", OTHER_KEY, KEY, NOW + 60, blamed=True, reason="no reason given")
MINUTE = Outcome("quota_minute", OTHER_KEY, KEY_MODEL, NOW + 60, blamed=True, reason="slow down")


class Court:
    """A judge over keys 1, 2, … of one pool, with what it announced and wrote."""

    def __init__(self, keys=3):
        self.catalogue = Catalogue()
        self.catalogue.providers = dict(PROVIDERS)
        self.words, self.lines = [], []
        for key_id in range(1, keys + 1):
            self.catalogue.put_key(Key(key_id, "gemini", "", b""), NOW)
            self.seat(key_id, 1)
        self.catalogue.keep_pools([Pool(1, "p1", "one"), Pool(2, "p2", "two")])
        self.judge = Judge(self.catalogue, self.announce, lambda line: self.lines.append(orjson.loads(line)))

    def seat(self, key_id, pool_id):
        self.catalogue.put_member(pool_id, Member(key_id), NOW)

    def announce(self, word):
        self.words.append(word)
        self.catalogue.hear(word)

    def key(self, key_id):
        return self.catalogue.keys[key_id]

    def fails(self, key_id, outcome, now=NOW, model="m", limits=LIMITS):
        rotation = self.catalogue.rotations[1]["gemini"]
        self.judge.failed(self.key(key_id), model, outcome, now, rotation, limits)

    def succeeds(self, key_id, model="m", now=NOW):
        self.judge.succeeded(self.key(key_id), model, now)

    def rests(self, key_id, model="m"):
        return {name: bench.reason for name, bench in self.catalogue.benches(key_id).items() if name in ("", model)}


@pytest.fixture
def court():
    return Court()


def test_a_refusal_for_good_buries_the_key_everywhere_and_says_why(court):
    court.seat(1, 2)
    court.fails(1, DEATH)
    assert court.key(1).dead == "API key not valid."
    assert [rotation.choose("lru", "m", NOW, {2, 3}) for rotation in court.catalogue.rotations_of(1)] == [None, None]
    assert court.lines == [["dead", 1, "API key not valid.", NOW]]
    assert [(word.reason, word.until, word.model) for word in court.words] == [("dead", FOREVER, "")]


def test_a_dead_key_dies_once(court):
    court.fails(1, DEATH)
    court.fails(1, DEATH, NOW + 1)
    assert len(court.lines) == len(court.words) == 1


def test_a_death_without_words_has_a_reason_all_the_same(court):
    court.fails(1, replace(DEATH, reason=""))
    assert court.key(1).dead


def test_a_quota_rests_the_key_for_that_model(court):
    court.fails(1, MINUTE)
    assert court.rests(1) == {"m": "quota_minute"}
    assert court.rests(1, "other") == {}
    assert court.lines == [["bench", 1, "m", "quota_minute", NOW + 60, "slow down", NOW, None]]


def test_spent_credit_rests_the_key_for_every_model(court):
    court.fails(1, Outcome("insufficient_quota", OTHER_KEY, KEY, NOW + 86_400, blamed=True))
    assert court.rests(1) == {"": "insufficient_quota"}


def test_an_unreachable_upstream_is_held_against_no_key(court):
    for _ in range(20):
        court.fails(1, failed(CannotConnect("refused")))
    assert (court.words, court.lines) == ([], [])


def test_a_suspicion_rests_the_key_for_a_minute(court):
    court.fails(1, REFUSAL)
    assert court.rests(1) == {"": "suspected"}
    assert court.key(1).dead is None


def test_a_second_refusal_within_a_minute_confirms_nothing(court):
    court.fails(1, REFUSAL)
    court.fails(1, REFUSAL, NOW + 59.9)
    assert court.key(1).dead is None


def test_a_second_refusal_after_a_minute_is_the_end(court):
    court.fails(1, REFUSAL)
    court.fails(1, REFUSAL, NOW + 60)
    assert court.key(1).dead == "no reason given"


def test_a_success_between_two_refusals_clears_the_suspicion(court):
    court.fails(1, REFUSAL)
    court.succeeds(1)
    court.fails(1, REFUSAL, NOW + 120)
    assert court.key(1).dead is None


def test_a_suspicion_against_one_key_confirms_none_against_another(court):
    court.fails(1, REFUSAL)
    court.fails(2, REFUSAL, NOW + 120)
    assert court.key(2).dead is None


def test_a_key_buried_on_suspicion_is_not_cooled_down_besides(court):
    for n in range(5):
        court.fails(1, REFUSAL, NOW + 15 * n)
    assert court.key(1).dead
    assert [line[0] for line in court.lines] == ["bench"] * 4 + ["dead"]


def blame(court, times, start=NOW, key_id=1, limits=LIMITS):
    for n in range(times):
        court.fails(key_id, replace(MINUTE, until=start + n + 0.5), start + n, limits=limits)


def test_too_many_errors_in_a_row_cool_the_whole_key_down(court):
    blame(court, 4)
    assert "" not in court.rests(1)
    blame(court, 1, NOW + 4)
    bench = court.catalogue.benches(1)[""]
    assert (bench.reason, bench.until) == ("errors", NOW + 4 + 3600)
    assert court.lines[-1] == ["bench", 1, "", "errors", NOW + 3604, "5 errors without a success", NOW + 4, None]


def test_a_success_between_begins_the_count_anew(court):
    blame(court, 4)
    court.succeeds(1)
    blame(court, 4, NOW + 10)
    assert "" not in court.rests(1)


def test_errors_longer_ago_than_the_window_do_not_count(court):
    blame(court, 4)
    blame(court, 1, NOW + 3601)
    assert "" not in court.rests(1)
    blame(court, 4, NOW + 3602.5)
    assert court.rests(1)[""] == "errors"


def test_what_blames_nobody_does_not_count(court):
    for n in range(10):
        court.fails(1, overloaded("503", NOW + n), NOW + n)
    assert "" not in court.rests(1)


def test_a_threshold_changed_meanwhile_is_the_one_that_counts(court):
    blame(court, 4)
    higher = Thresholds(errors=8, window_s=3600.0)
    blame(court, 3, NOW + 10, limits=higher)
    assert "" not in court.rests(1)
    blame(court, 1, NOW + 20, limits=higher)
    assert court.rests(1)[""] == "errors"


def test_after_such_a_rest_one_failed_probe_is_enough(court):
    blame(court, 5)
    court.catalogue.release(1)
    blame(court, 1, NOW + 4000)
    assert court.catalogue.benches(1)[""].until == NOW + 4000 + 3600


def test_after_such_a_rest_a_good_probe_makes_it_whole(court):
    blame(court, 5)
    court.catalogue.release(1)
    court.succeeds(1)
    blame(court, 4, NOW + 4000)
    assert "" not in court.rests(1)


def test_overloads_rest_the_key_for_the_model_twice_as_long_each_time(court):
    rests, now = [], NOW
    for _ in range(9):
        court.fails(1, overloaded("503", now), now)
        rests.append(court.words[-1].until - now if court.words else 0)
        now += 100
    assert rests == [0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert {word.model for word in court.words} == {"m"}
    assert court.lines == []


def test_a_success_ends_the_doubling(court):
    for _ in range(4):
        court.fails(1, overloaded("503", NOW), NOW)
    court.succeeds(1)
    for n in range(2):
        court.fails(1, overloaded("503", NOW + 50 + n), NOW + 50 + n)
    assert court.words[-1].until == NOW + 52


def test_a_success_with_another_model_does_not(court):
    court.fails(1, overloaded("503", NOW), NOW)
    court.succeeds(1, "other")
    court.fails(1, overloaded("503", NOW + 50), NOW + 50)
    assert court.words[-1].until == NOW + 51


def test_the_last_usable_key_of_a_model_is_never_set_aside_for_an_overload(court):
    for key_id in (1, 1, 2, 2, 3, 3):
        court.judge.answered(court.key(1), NOW)
        court.fails(key_id, overloaded("503", NOW), NOW)
    assert [word.key_id for word in court.words] == [1, 2]
    assert court.catalogue.rotations[1]["gemini"].choose("lru", "m", NOW) == 3


def test_nor_is_the_last_one_of_another_pool(court):
    court.seat(1, 2)
    for _ in range(3):
        court.fails(1, overloaded("503", NOW), NOW)
    assert court.words == []


def test_a_lasting_overload_of_the_only_key_goes_on_for_ever():
    court = Court(keys=1)
    for n in range(1_100):
        court.fails(1, overloaded("503", NOW + n), NOW + n)
    assert court.words == []


def test_the_counts_of_overloads_are_bounded_however_many_models_callers_name(court, monkeypatch):
    monkeypatch.setattr(judge_module, "MOST_OVERLOADED", 10)
    for n in range(50):
        court.fails(1, overloaded("503", NOW), NOW, model=f"model-{n}")
    assert len(court.judge._overloads) == 10


# -- storms ---------------------------------------------------------------------------------------------------

FORBIDDEN = replace(REFUSAL, storm="403")
INVALID = replace(DEATH, storm="401")
DOWN = overloaded("503", NOW)


def known(court):
    """What is known against each key, deaths too."""
    return {
        key_id: court.key(key_id).dead or court.rests(key_id)
        for key_id in court.catalogue.keys
        if court.key(key_id).dead or court.rests(key_id)
    }


@pytest.mark.parametrize("outcome", [FORBIDDEN, INVALID, DOWN], ids=["403", "401", "5xx"])
def test_in_a_storm_no_key_is_left_blamed(outcome):
    court = Court(keys=20)
    for key_id in range(1, 21):
        court.fails(key_id, outcome, NOW + key_id / 10)
    assert court.judge.outages.of("gemini").storm.keys >= 5
    assert known(court) == {}
    court.succeeds(3, now=NOW + 5)
    for key_id in range(1, 21):
        court.fails(key_id, replace(FORBIDDEN, until=NOW + 4000, storm=""), NOW + 1000 + key_id)
    assert all(court.key(key_id).dead is None for key_id in range(1, 21))


def test_what_a_storm_takes_back_is_written_down(court):
    court = Court(keys=6)
    court.fails(1, MINUTE)
    for key_id in range(1, 6):
        court.fails(key_id, INVALID, NOW + key_id / 10)
    releases = [line[1] for line in court.lines if line[0] == "release"]
    assert releases == [1, 2, 3, 4]
    again = [line for line in court.lines if line[0] == "bench" and line[1] == 1]
    assert len(again) == 2
    assert known(court) == {1: {"m": "quota_minute"}}


def test_many_bad_keys_are_blamed_once_a_good_one_has_served_and_a_bad_one_was_asked_again():
    court = Court(keys=50)
    for key_id in range(1, 50):
        court.fails(key_id, INVALID, NOW + key_id / 100)
    court.succeeds(50, now=NOW + 1)
    court.fails(7, INVALID, NOW + 2)
    assert set(known(court)) == set(range(1, 50))


# -- projects and quotas --------------------------------------------------------------------------------------

DAY_QUOTA = Quota("day", "requests", 20, "free", "m", True, "GenerateRequestsPerDayPerProjectPerModel-FreeTier")
SPENT_DAY = Outcome(
    "quota_day", OTHER_KEY, KEY_MODEL, NOW + 9000, blamed=True, quota=DAY_QUOTA, limits=(DAY_QUOTA,),
    project="projects/1",
)  # fmt: skip


def test_a_projects_quota_rests_all_of_its_keys_for_that_model(court):
    for key_id in (1, 2):
        court.catalogue.put_in_project(court.key(key_id), "projects/1")
    court.fails(1, SPENT_DAY)
    assert [court.rests(key_id) for key_id in (1, 2, 3)] == [{"m": "quota_day"}] * 2 + [{}]
    assert court.rests(2, "other") == {}


def test_a_project_named_in_an_error_is_learned_and_written_down(court):
    court.fails(1, SPENT_DAY)
    court.fails(2, SPENT_DAY, NOW + 1)
    assert court.catalogue.project_of(court.key(1)) == {1, 2}
    assert [line for line in court.lines if line[0] == "project"] == [
        ["project", 1, "projects/1", NOW], ["project", 2, "projects/1", NOW + 1],
    ]  # fmt: skip


def test_a_typed_project_stays(court):
    court.catalogue.put_in_project(court.key(1), "mine")
    court.fails(1, SPENT_DAY)
    assert court.key(1).project == "mine"


def test_a_limit_is_written_down_once_and_again_when_it_changes(court):
    for n in range(3):
        court.fails(1, SPENT_DAY, NOW + n)
    higher = replace(DAY_QUOTA, limit=50)
    court.fails(1, replace(SPENT_DAY, limits=(higher,)), NOW + 9)
    assert [line[6] for line in court.lines if line[0] == "limit"] == [20, 50]


def test_models_a_key_may_not_use_come_back_spread_over_a_day():
    court = Court(keys=30)
    out = Outcome("not_entitled", OTHER_KEY, KEY_MODEL, NOW + 7 * 86_400)
    for key_id in range(1, 31):
        court.fails(key_id, out)
    until = [court.catalogue.benches(key_id)["m"].until - NOW - 7 * 86_400 for key_id in range(1, 31)]
    assert len(set(until)) == 30
    assert all(0 <= moment < 86_400 for moment in until)


# -- half-open ------------------------------------------------------------------------------------------------


def test_a_key_back_from_too_many_errors_is_tried_by_one_request_at_a_time(court):
    blame(court, 5)
    court.catalogue.release(1)
    assert court.judge.on_probation(court.key(1), NOW + 4000)
    assert court.rests(1) == {"": "probing"}
    court.judge.probed(court.key(1))
    assert court.rests(1) == {}
    court.succeeds(1, now=NOW + 4001)
    assert not court.judge.on_probation(court.key(1), NOW + 4001)


def test_what_was_wrongly_put_down_is_taken_back_and_nothing_else(court):
    court.fails(1, MINUTE)
    court.fails(1, MINUTE, model="other")
    court.judge.pardon(court.key(1), "m", MINUTE, NOW + 1)
    assert court.rests(1) == {}
    assert court.rests(1, "other") == {"other": "quota_minute"}

import pytest

from pool.core.exhaustion import census, no_keys, nothing_left
from pool.core.keys import FOREVER
from pool.core.rotation import Member, Rotation

NOW = 1_000.0


def rotation_of(*benches):
    """A rotation with a key for each (reason, until, model)."""
    rotation = Rotation([Member(n) for n in range(len(benches))])
    for n, (reason, until, model) in enumerate(benches):
        rotation.bench(n, reason, until, model)
    return rotation


def fault_of(*rotations):
    return nothing_left(rotations, "m", NOW)


def test_all_cooling_is_a_429_until_the_earliest_recovers():
    fault = fault_of(rotation_of(("quota_minute", NOW + 42, "m"), ("errors", NOW + 90, "")))
    assert (fault.status, fault.code, fault.retry_after_s) == (429, "all_keys_cooling", 42)
    assert fault.details == {"keys": {"cooling": 2}}
    assert "42 s" in fault.message


def test_the_earliest_of_several_providers_counts():
    fault = fault_of(rotation_of(("quota_minute", NOW + 42, "m")), rotation_of(("overloaded", NOW + 7, "m")))
    assert fault.retry_after_s == 7
    assert fault.details == {"keys": {"cooling": 2}}


def test_the_wait_is_never_less_than_a_second():
    assert fault_of(rotation_of(("overloaded", NOW + 0.01, "m"))).retry_after_s == 1


def test_a_limited_key_comes_back_too():
    fault = fault_of(rotation_of(("limited", NOW + 600, ""), ("dead", FOREVER, "")))
    assert (fault.status, fault.retry_after_s) == (429, 600)
    assert fault.details == {"keys": {"limited": 1, "dead": 1}}


def test_a_limit_for_ever_is_asked_again_in_a_minute():
    assert fault_of(rotation_of(("limited", FOREVER, ""))).retry_after_s == 60


def test_a_word_for_each_state_and_cooling_for_every_other():
    rotation = rotation_of(
        ("quota_day", NOW + 9, "m"), ("insufficient_quota", NOW + 9, ""), ("suspected", NOW + 9, ""),
        ("limited", NOW + 9, ""), ("not_entitled", NOW + 9, "m"), ("disabled", FOREVER, ""), ("dead", FOREVER, ""),
    )  # fmt: skip
    assert census([rotation], "m", NOW) == {
        "cooling": 3, "limited": 1, "not_entitled": 1, "disabled": 1, "dead": 1,
    }  # fmt: skip


def test_exceptions_of_another_model_do_not_count():
    assert census([rotation_of(("quota_day", NOW + 9, "other"))], "m", NOW) == {}


def test_where_no_key_is_entitled_the_model_does_not_exist():
    fault = fault_of(rotation_of(("not_entitled", NOW + 9, "m"), ("dead", FOREVER, "")))
    assert (fault.status, fault.code, fault.param, fault.retryable) == (404, "model_not_found", "model", False)
    assert fault.details == {"keys": {"not_entitled": 1, "dead": 1}}


@pytest.mark.parametrize("reason", ["dead", "disabled"])
def test_where_none_is_left_it_is_a_503(reason):
    fault = fault_of(rotation_of((reason, FOREVER, ""), (reason, FOREVER, "")))
    assert (fault.status, fault.code, fault.retryable) == (503, "no_available_keys", False)
    assert fault.details == {"keys": {reason: 2}}


def test_a_dead_key_that_was_cooling_down_is_dead():
    rotation = rotation_of(("quota_day", NOW + 9, "m"))
    rotation.bench(0, "dead", FOREVER)
    assert (fault_of(rotation).status, fault_of(rotation).details) == (503, {"keys": {"dead": 1}})


def test_a_pool_without_keys_is_a_503():
    assert fault_of(Rotation()).status == 503
    assert no_keys({}).code == "no_available_keys"

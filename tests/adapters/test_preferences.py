import pytest

from pool.adapters.preferences import Preferences
from pool.settings import BadSetting, Settings, check


def opened(database):
    preferences = Preferences(database, Settings, check)
    preferences.load()
    return preferences


@pytest.fixture
def preferences(database):
    return opened(database)


def test_before_any_change_the_defaults_are_in_force(database):
    assert Preferences(database, Settings, check).current.max_attempts == 50


def test_a_change_is_in_force_at_once_and_after_a_restart(database, preferences):
    preferences.change({"max_attempts": "7", "load_balance_strategy": "leastUsed", "allow_byok": "on"})
    for current in (preferences.current, opened(database).current):
        assert (current.max_attempts, current.rotation_strategy, current.allow_byok) == (7, "least_used", True)


def test_none_brings_the_default_back(database, preferences):
    preferences.change({"max_attempts": 7, "cooldown_hours": 1})
    preferences.change({"max_retries": None})
    assert (preferences.current.max_attempts, preferences.current.cooldown_hours) == (50, 1.0)
    assert opened(database).current.max_attempts == 50


def test_a_change_is_all_or_nothing(database, preferences):
    with pytest.raises(BadSetting, match="heartbeat_s"):
        preferences.change({"max_attempts": 7, "heartbeat_s": "often"})
    assert preferences.current.max_attempts == 50
    assert opened(database).current.max_attempts == 50


def test_false_and_zero_are_values_and_not_defaults(database, preferences):
    preferences.change({"retry_unsure": False, "heartbeat_s": 0})
    assert (preferences.current.retry_unsure, opened(database).current.heartbeat_s) == (False, 0.0)


def test_an_empty_change_changes_nothing(preferences):
    preferences.change({"max_attempts": 7})
    preferences.change({})
    assert preferences.current.max_attempts == 7


def test_listeners_hear_the_value_now_in_force(preferences):
    heard = []
    preferences.on_change(heard.append)
    preferences.change({"max_attempts": 7})
    assert [settings.max_attempts for settings in heard] == [7]


def test_a_reader_keeps_the_value_it_took(preferences):
    taken = preferences.current
    preferences.change({"max_attempts": 7})
    assert (taken.max_attempts, preferences.current.max_attempts) == (50, 7)

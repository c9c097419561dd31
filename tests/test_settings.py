import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.settings import BY_NAME, SETTINGS, BadSetting, Settings, check, coerce

NAMES = """
    rotation_strategy max_attempts max_errors_threshold error_reset_interval cooldown_hours quota_reset retry_unsure
    max_queue_s request_deadline_s connect_timeout_s first_byte_timeout_s idle_timeout_s heartbeat_s stream_mode
    safety_preset unknown_model_policy default_model_name allow_anonymous allow_byok public_stats model_cache_ttl_s
    enable_usage_tracking usage_retention_days thinking_enabled thinking_budget include_thoughts rate_limit_requests
    rate_limit_window graceful_timeout_s log_level
""".split()


@pytest.mark.parametrize("name", NAMES)
def test_every_promised_setting_exists_and_is_in_force_by_its_default(name):
    assert getattr(Settings(), name) == BY_NAME[name].default


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_setting_explains_itself_and_its_default_fits(setting):
    assert setting.help.endswith(".")
    assert re.fullmatch(r"[a-z_]+", setting.name)
    assert coerce(setting.name, setting.default) == setting.default
    assert type(coerce(setting.name, setting.default)) is type(setting.default)


def test_no_two_settings_share_a_name():
    names = [name for setting in SETTINGS for name in (setting.name, *setting.aliases)]
    assert len(names) == len(set(names))


def test_a_stored_value_is_in_force_under_its_own_name():
    settings = Settings({"max_attempts": "7", "request_timeout": 30, "of an older version": 1})
    assert (settings.max_attempts, settings.idle_timeout_s) == (7, 30.0)


def test_a_name_that_is_no_setting_is_an_error():
    with pytest.raises(AttributeError):
        Settings().max_atempts  # noqa: B018


@pytest.mark.parametrize(
    ("name", "value", "typed"),
    [
        ("max_attempts", "50", 50),
        ("max_attempts", 50.0, 50),
        ("cooldown_hours", "0.5", 0.5),
        ("cooldown_hours", 3, 3.0),
        ("retry_unsure", "on", True),
        ("retry_unsure", "", False),
        ("retry_unsure", "FALSE", False),
        ("retry_unsure", 1, True),
        ("default_model_name", " gpt-5 ", "gpt-5"),
        ("rotation_strategy", "leastUsed", "least_used"),
        ("load_balance_strategy", "roundRobin", "round_robin"),
        ("quota_reset", "07:00 UTC", "07:00 UTC"),
        ("thinking_budget", -1, -1),
    ],
)
def test_a_value_is_read_as_the_settings_own_type(name, value, typed):
    found = coerce(name, value)
    assert (found, type(found)) == (typed, type(typed))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("no_such_setting", 1), ("max_attempts", 0), ("max_attempts", 1001), ("max_attempts", "many"),
        ("max_attempts", 1.5), ("max_attempts", True), ("max_attempts", None), ("max_attempts", [1]),
        ("max_attempts", "inf"), ("max_attempts", "nan"), ("request_deadline_s", "nan"), ("request_deadline_s", 1e400),
        ("request_deadline_s", False), ("retry_unsure", "perhaps"), ("retry_unsure", 2), ("log_level", "loud"),
        ("rotation_strategy", "best"), ("default_model_name", ["gpt-5"]), ("default_model_name", None),
        ("quota_reset", "midnight"), ("quota_reset", "25:00 UTC"), ("quota_reset", "07:60 UTC"), ("quota_reset", ""),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(name, value):
    with pytest.raises(BadSetting, match=f"^{name}: "):
        coerce(name, value)


@given(st.sampled_from(sorted(BY_NAME)), st.none() | st.booleans() | st.integers() | st.floats() | st.text())
def test_any_value_is_typed_or_refused(name, value):
    try:
        typed = coerce(name, value)
    except BadSetting:
        return
    assert type(typed) is type(BY_NAME[name].default)
    assert coerce(name, typed) == typed


def test_a_change_has_the_canonical_name_and_none_brings_the_default_back():
    assert check("max_retries", "3") == ("max_attempts", 3)
    assert check("max_retries", None) == ("max_attempts", 50)
    with pytest.raises(BadSetting):
        check("no_such_setting", None)


def test_no_module_reads_a_setting_that_does_not_exist():
    pool = Path(__file__).parents[1] / "pool"
    source = "".join(path.read_text() for path in pool.rglob("*.py"))
    read = set(re.findall(r"\bself\.settings\.([a-z_]+)|\bsettings\(\)\.([a-z_]+)", source))
    assert len(read) > 5
    assert {"".join(name) for name in read} <= {setting.name for setting in SETTINGS}

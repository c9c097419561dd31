"""The settings page: every setting, changed at once, and back again."""

import re

import pytest

from pool.settings import SETTINGS
from pool.web.admin.setting_words import GROUPS
from tests.web.visitor import Page, Visitor, rows_of

OPPOSITE = {True: "", False: "on"}


def in_force(house, name):
    return getattr(house.keypool.preferences.current, name)


def field(answer, name):
    """The text of one setting."""
    found = re.search(rf'<div id="setting-{name}-field".*?(?=<div id="setting-|</section>)', answer.text, re.S)
    return found[0]


def test_every_setting_is_in_one_group_and_on_the_page(house):
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(setting.name for setting in SETTINGS)
    page = Visitor(house).get("/settings")
    for setting in SETTINGS:
        shown = field(page, setting.name)
        assert f'name="{setting.name}"' in shown
        assert Page(shown).text.count("Default: ") == 1
        assert ("needs a restart" in shown) == setting.boot
    assert 'min="1" max="1000" step="1"' in field(page, "max_attempts")
    assert 'min="0.01" max="720" step="any"' in field(page, "cooldown_hours")
    assert 'type="checkbox"' in field(page, "retry_unsure")
    assert field(page, "rotation_strategy").count("<option") == 6
    assert "aria-invalid" not in page.text


def test_saving_without_a_change_changes_nothing(house):
    visitor = Visitor(house)
    answer = visitor.press(visitor.see("/settings"), "Save")
    assert "Nothing was changed." in answer.text
    assert rows_of(house, "settings") == []
    assert visitor.audit() == []


def test_a_change_is_in_force_at_once_told_as_old_and_new_and_in_the_trail(house):
    visitor = Visitor(house)
    answer = visitor.press(
        visitor.see("/settings"), "Save", max_attempts="7", allow_anonymous="on", rotation_strategy="random"
    )
    assert (in_force(house, "max_attempts"), in_force(house, "allow_anonymous")) == (7, True)
    said = Page(answer.text).text
    assert "Keys a request may try: 50 keys → 7 keys" in said
    assert "Calls without a client key: off → on" in said
    assert "Policy: Round robin → Random" in said
    assert "changed" in field(answer, "max_attempts")
    assert ">changed<" not in field(answer, "heartbeat_s")
    (entry,) = rows_of(house, "audit")
    assert (entry["action"], entry["object"]) == ("settings.change", "settings")
    assert '"max_attempts":50' in entry["before"]
    assert '"max_attempts":7' in entry["after"]
    assert house.chat().status_code == 503


def test_htmx_gets_the_one_field_that_went_back(house):
    house.set(max_attempts=7)
    answer = Visitor(house).post("/settings", {"HX-Request": "true"}, default="max_attempts")
    assert answer.status_code == 200
    assert answer.text.lstrip().startswith('<div id="setting-max_attempts-field"')
    assert 'value="50"' in answer.text


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("max_attempts", "0", "A whole number from 1 to 1,000."),
        ("max_attempts", "many", "A whole number from 1 to 1,000."),
        ("max_attempts", "1.5", "A whole number from 1 to 1,000."),
        ("rate_limit_requests", "1e9", "A whole number from 0 to 1,000,000."),
        ("cooldown_hours", "", "A number from 0.01 to 720."),
        ("quota_reset", "25:00 UTC", "Write pacific, or an hour like 07:00 UTC."),
        ("log_level", "loud", "Choose one of these."),
        ("max_attempts", '"><script>alert(1)</script>', "A whole number from 1 to 1,000."),
    ],
)
def test_what_cannot_be_meant_is_said_beside_its_field_and_nothing_is_saved(house, name, value, said):
    visitor = Visitor(house)
    answer = visitor.press(visitor.see("/settings"), "Save", **{"heartbeat_s": "9", name: value})
    assert answer.status_code == 422
    shown = field(answer, name)
    assert said in shown
    assert "data-wrong" in shown
    assert 'value="9"' in field(answer, "heartbeat_s")
    assert "<script>alert" not in answer.text
    if "<" not in value and name != "log_level":
        assert f'value="{value}"' in shown
    assert rows_of(house, "settings") == []
    saved = visitor.press(Page(answer.text), "Save", **{name: str(next(s.default for s in SETTINGS if s.name == name))})
    assert in_force(house, "heartbeat_s") == 9.0
    assert saved.status_code == 200


def test_what_another_tab_changed_meanwhile_stays_or_is_asked_about(house):
    visitor = Visitor(house)
    page = visitor.see("/settings")
    house.set(max_attempts=20, heartbeat_s=5)
    visitor.press(page, "Save", idle_timeout_s="90")
    assert (in_force(house, "max_attempts"), in_force(house, "idle_timeout_s")) == (20, 90.0)
    answer = visitor.press(page, "Save", max_attempts="30")
    assert answer.status_code == 422
    assert "Somebody else made it 20 keys meanwhile." in answer.text
    assert in_force(house, "max_attempts") == 20
    visitor.press(Page(answer.text), "Save")
    assert in_force(house, "max_attempts") == 30


def test_a_boot_setting_says_when_it_counts(house):
    visitor = Visitor(house)
    answer = visitor.press(visitor.see("/settings"), "Save", graceful_timeout_s="60")
    assert "Stopping: 120 seconds → 60 seconds · from the next start on" in Page(answer.text).text


def test_many_changes_at_once_are_counted(house):
    numbers = {s.name: str(int(s.default) + 1) for s in SETTINGS if type(s.default) in (int, float)}
    visitor = Visitor(house)
    answer = visitor.press(visitor.see("/settings"), "Save", **numbers)
    assert f"Saved: {len(numbers)} settings." in answer.text
    assert in_force(house, "max_attempts") == 51


def test_names_that_are_no_settings_are_left_alone(house):
    visitor = Visitor(house)
    assert visitor.post("/settings", default="password").status_code == 404
    assert visitor.post("/settings/undo?password=x").status_code == 303
    assert visitor.post("/settings/undo?max_attempts=none").status_code == 400
    assert visitor.post("/settings", max_attempts="3").status_code == 303
    assert rows_of(house, "settings") == []
    assert visitor.post("/settings", {"Origin": "https://evil.example"}, max_attempts="3").status_code == 403


def test_it_is_in_chinese_too(house):
    answer = Visitor(house).get("/settings", headers={"Accept-Language": "zh-CN"})
    assert "每个请求可尝试的密钥" in answer.text
    assert "一个请求最多尝试多少个密钥。" in answer.text

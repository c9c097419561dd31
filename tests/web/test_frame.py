"""Where somebody without script finds himself: beside what was changed, on the same page, and within its frame."""

import time

import pytest

from pool.core.state import Word
from tests.house import GEMINI_KEYS
from tests.web.visitor import Page, Visitor


def rest(house, key_id):
    house.keypool.state.announce(Word(key_id, "quota_day", time.time() + 3_600, ""))


DEEDS = [
    ("disable", {"for": "hour"}, "is disabled until 20"),
    ("disable", {"for": ""}, "is disabled until somebody enables it."),
    ("enable", {}, "is enabled."),
    ("revive", {}, "is used again at once."),
    ("test", {}, ": alive, "),
]


@pytest.mark.parametrize(("deed", "form", "said"), DEEDS)
def test_what_became_of_a_key_is_said_and_the_way_back_leads_to_its_row(house, deed, form, said):
    _, key_id = house.add_keys(*GEMINI_KEYS[:2])
    visitor = Visitor(house)
    for back, row in (("/keys?state=healthy&size=25", f"key-{key_id}"), ("/stat?show=used", f"stat-{key_id}")):
        answer = visitor.post(f"/keys/{key_id}/{deed}", back=back, **form)
        assert (answer.status_code, answer.location) == (303, f"{back}#{row}")
        page = visitor.see(back)
        assert f"{GEMINI_KEYS[1][:8]}...{GEMINI_KEYS[1][-4:]} {said}".replace(" :", ":") in page.text
        assert row in visitor.see(back.split("?")[0]).by_id
    fragment = visitor.post(f"/keys/{key_id}/{deed}", {"HX-Request": "true"}, back="/keys", **form)
    assert fragment.text.strip().startswith(f'<tr id="key-{key_id}">')
    assert visitor.see("/dashboard").by_id["flash"].text == "", "htmx shows the row: nothing is left to be said"


def test_a_language_chosen_on_the_answer_to_a_form_leads_back_to_its_page(house):
    (key_id,) = house.add_keys(GEMINI_KEYS[0])
    house.keypool.inventory.create_pool("research")
    visitor = Visitor(house)
    for path, form, page in (
        ("/pools/new", {"name": ""}, "/pools/new"),
        ("/pools/2", {"name": ""}, "/pools/2"),
        ("/pools/2/reveal", {}, "/pools/2"),
        ("/pools/2/delete", {"name": "other"}, "/pools/2/delete"),
        ("/clients", {"name": ""}, "/clients"),
        ("/settings", {"max_attempts": "many", "was-max_attempts": "1"}, "/settings"),
        ("/account/password", {"new": "short"}, "/account"),
        ("/keys/import", {"text": ""}, "/keys/import"),
        ("/keys/selected/copy", {"key": str(key_id), "back": "/keys?state=healthy"}, "/keys?state=healthy"),
        ("/keys/selected/copy", {"key": str(key_id)}, "/keys"),
        ("/keys/selected/delete", {"key": str(key_id), "back": "//evil.example"}, "/keys"),
    ):
        answer = visitor.post(path, **form)
        assert answer.text.startswith("<!doctype html>"), path
        chosen = visitor.press(Page(answer.text), "简体中文")
        assert chosen.request.full_path.rstrip("?") == page, path
        assert 'lang="zh-CN"' in chosen.text


def test_so_does_one_chosen_at_the_door(house):
    stranger = Visitor(house, signed_in=False)
    page = Page(stranger.post("/login", password="wrong").text)
    assert stranger.press(page, "简体中文").request.path == "/login"


def test_a_page_that_is_not_there_keeps_the_frame_of_who_is_signed_in(house):
    visitor, stranger = Visitor(house), Visitor(house, signed_in=False)
    for path in ("/nowhere", "/pools/99", "/keys/99/delete", "/stat/passwords.csv"):
        answer = visitor.get(path)
        assert answer.status_code == 404
        page = Page(answer.text)
        assert page.link("Keys") == "/keys", path
        assert page.form_of("Sign out"), path
        assert "There is nothing at this address." in page.text
    page = Page(stranger.get("/nowhere").text)
    assert "/keys" not in [href for _, href in page.links]
    assert [form.action for form in page.forms] == ["/theme", "/language"]


def test_a_refused_change_keeps_the_frame(house):
    answer = Visitor(house).post("/pools/1/disable", {"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert Page(answer.text).link("Pools") == "/pools"
    assert Visitor(house).get("/pools/1/disable").status_code == 405


def test_a_form_that_is_too_long_is_told_so_in_the_frame(house):
    answer = Visitor(house).post("/clients", name="n" * 1_100_000)
    assert answer.status_code == 413
    page = Page(answer.text)
    assert "That is more than one request may carry." in page.text
    assert page.link("Keys") == "/keys"

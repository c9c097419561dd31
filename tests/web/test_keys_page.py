"""The keys page: what it shows, of which keys, and to whom."""

import time

from sqlalchemy import text

from pool.core.state import Word
from tests.house import GEMINI_KEYS, OPENAI_KEYS
from tests.upstream import gemini_error
from tests.web.visitor import Page, Visitor

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}'
HTMX = {"HX-Request": "true"}


def cool_down(house, key_id, model="gemini-2.5-pro", reason="quota_day", for_s=3600):
    """Set a key aside as an outcome would: in memory at once, in the database a moment later."""
    until = time.time() + for_s
    house.keypool.state.announce(Word(key_id, reason, until, model))
    house.keypool.database.write(
        lambda session: session.execute(
            text(
                "INSERT INTO key_health (key_id, model, state, reason, since, until, streak, upstream_text)"
                " VALUES (:id, :model, 'cooling', :reason, 0, :until, 0, '')"
            ),
            {"id": key_id, "model": model, "reason": reason, "until": until},
        )
        and None
    )


def cool_down_quietly(house, key_id):
    """In memory alone."""
    house.keypool.state.announce(Word(key_id, "quota_day", time.time() + 3600, "gemini-2.5-pro"))


def bury(house, key_id, why="API key not valid."):
    house.keypool.database.write(
        lambda session: session.execute(
            text("UPDATE keys SET dead_at = 1, dead_reason = :why, revision = 999 WHERE id = :id"),
            {"id": key_id, "why": why},
        )
        and None
    )


def hint(secret):
    return f"{secret[:8]}...{secret[-4:]}"


def keys_of(page):
    """The masked keys on a page; a row says its key twice, once for those who cannot see its icons."""
    return list(dict.fromkeys(word for word in page.text.split() if "..." in word))


def test_keys_are_listed_with_their_state_in_words(house):
    healthy, cooling, disabled, dead = house.add_keys(*GEMINI_KEYS[:4])
    cool_down(house, cooling)
    house.keypool.inventory.set_disabled([disabled], time.time() + 7200 + 30)
    bury(house, dead)
    said = Visitor(house).see("/keys").text
    assert "Cooling for 59 min day quota · gemini-2.5-pro" in said
    assert "Disabled for 2 h" in said
    assert "Dead API key not valid." in said
    assert "All 4 Healthy 1 Cooling 1 Limited 0 Disabled 1 Dead 1 Untested" in said
    assert healthy


def test_a_chip_shows_its_keys_and_no_others(house):
    ids = house.add_keys(*GEMINI_KEYS[:4])
    cool_down(house, ids[1])
    house.keypool.inventory.set_disabled([ids[2]], time.time() + 100)
    bury(house, ids[3])
    visitor = Visitor(house)
    page = visitor.see("/keys")
    for place, chip in enumerate(("Healthy", "Cooling", "Disabled", "Dead")):
        shown = visitor.see(page.link(chip + " 1"))
        assert f'id="key-{ids[place]}"' in visitor.get(page.link(chip + " 1")).text
        assert shown.text.count("default") == 1, chip


def test_the_row_says_what_was_used_today_and_how_much_of_the_limit_that_is(house):
    free, capped = house.add_keys(*GEMINI_KEYS[:2])
    house.keypool.inventory.set_limits([capped], max_requests=1_000, max_requests_window="day")
    for _ in range(4):
        assert house.chat().status_code == 200
    house.records()
    html = Visitor(house).get("/keys").text
    rows = {key_id: html.partition(f'<tr id="key-{key_id}">')[2].partition("</tr>")[0] for key_id in (free, capped)}
    assert 'data-label="Today">2<' in rows[free]
    assert 'data-label="Today">2<span class="detail"><progress max="1000" value="2"' in rows[capped]
    assert "2 / 1,000" in rows[capped]
    assert "Attempts a day" in rows[capped]


def test_the_row_shows_the_limit_its_key_is_nearest_to_and_its_page_all_of_them(house):
    (key_id,) = house.add_keys(GEMINI_KEYS[0])
    by_model = {"gemini-2.5-flash": {"rpm": 50, "rpd": 4}, "*": {"rpd": 30}}
    house.keypool.inventory.set_limits([key_id], max_requests=100, limits=by_model)
    house.chat("gemini-2.5-flash")
    house.chat("gemini-2.5-flash")
    house.chat("gemini-2.5-pro")
    house.records()
    visitor = Visitor(house)
    assert "3 2 / 4 gemini-2.5-flash · Requests a day" in visitor.see("/keys").text
    page = visitor.see(f"/keys/{key_id}").text
    assert "Attempts in all 3 100" in page
    assert "gemini-2.5-flash · Requests a minute 2 50" in page
    assert "gemini-2.5-pro · Requests a day 1 30" in page


def test_a_heading_sorts_by_its_column_and_back(house):
    house.add_keys(*GEMINI_KEYS[:3])
    visitor = Visitor(house)
    page = visitor.see("/keys?size=25&tag=")
    (link,) = (each.get("href") for each in page.all("a") if "sort=-requests" in each.get("href"))
    sorted_ = visitor.get(link)
    assert sorted_.request.full_path == "/keys?sort=-requests&size=25"
    assert 'aria-sort="descending"' in sorted_.text
    links = [each.get("href") for each in Page(sorted_.text).all("a") if each.get("title") == "Sort by: Most requests"]
    assert links == ["/keys?size=25"]


def test_keys_of_a_project_are_found_and_so_many_a_page_as_is_said(house):
    house.add_keys(*GEMINI_KEYS[:3], project="ours")
    house.add_keys(*GEMINI_KEYS[3:5])
    visitor = Visitor(house)
    answer = visitor.press(visitor.see("/keys"), "Search", project="ours", size="25")
    assert answer.text.count('<tr id="key-') == 3
    assert "size=25" in answer.request.full_path
    (away,) = (each for each in Page(answer.text).all("a") if each.get("aria-label").startswith("Leave out"))
    assert visitor.get(away.get("href")).text.count('<tr id="key-') == 5


def test_no_page_of_keys_is_longer_than_it_may_be(house):
    secrets = (f"AIzaSyLong{n:04d}" + "l" * 25 for n in range(510))
    for key_id in house.add_keys(*secrets, name="n" * 40, note="a note " * 280, project="p" * 20, tags=("t" * 20,)):
        cool_down_quietly(house, key_id)
    house.keypool.database.write(
        lambda session: session.execute(
            text("UPDATE keys SET last_error_at = 1, last_error = :said"), {"said": "503 It said: " + "no " * 300}
        )
        and None
    )
    visitor = Visitor(house)
    pages = {size: visitor.get(f"/keys?size={size}") for size in (25, 50, 100, 250, 500)}
    assert {size: page.text.count('<tr id="key-') for size, page in pages.items()} == {size: size for size in pages}
    assert {size: len(page.data) for size, page in pages.items() if len(page.data) > 200_000} == {}


def test_a_row_of_a_long_page_leads_to_all_that_is_known_of_its_key(house):
    (key_id,) = house.add_keys(GEMINI_KEYS[0], name="n" * 40, note=HOSTILE)
    cool_down(house, key_id)
    visitor = Visitor(house)
    brief = visitor.see("/keys?size=100")
    assert "Cooling for 59 min ⁨default⁩" in brief.text
    assert "n" * 22 not in brief.text
    page = visitor.see(brief.link(hint(GEMINI_KEYS[0])))
    assert "gemini-2.5-pro 0 0 $0 Cooling for 59 min Day quota" in page.text
    assert HOSTILE in page.text
    again = Page(visitor.press(page, "Use again at once").text)
    assert again.all("h1")[0].text == hint(GEMINI_KEYS[0])
    assert "is used again at once." in again.text
    assert "Cooling" not in again.text
    gone = visitor.press(Page(visitor.press(again, "Delete AIza").text), "Delete")
    assert (gone.status_code, gone.request.path) == (200, "/keys")
    assert visitor.get(f"/keys/{key_id}").status_code == 404


def test_search_finds_the_end_of_a_key_and_its_words_and_takes_percent_signs_as_they_are(house):
    house.add_keys(GEMINI_KEYS[0], name="laptop of Ann")
    other = "AIzaSy" + "z" * 29 + "Q7k2"
    house.add_keys(other, note="100% mine")
    visitor = Visitor(house)
    page = visitor.see("/keys")
    for asked, secret in (("Q7k2", 1), ("of Ann", 0), ("100%", 1), ("AIzaSyGe", 0)):
        answer = visitor.press(page, "Search", q=asked)
        assert keys_of(Page(answer.text)) == [hint((GEMINI_KEYS[0], other)[secret])], asked
    assert "No key matches." in visitor.press(page, "Search", q="1%m").text


def test_project_tags_and_the_weight_in_each_pool_are_shown_and_found(house):
    pool_id, _ = house.keypool.inventory.create_pool("research")
    house.add_keys(GEMINI_KEYS[0], project="lab-7", tags=("paid", "欧洲"), weight=5)
    house.add_keys(GEMINI_KEYS[0], pool_id=pool_id, weight=0)
    house.add_keys(GEMINI_KEYS[1])
    visitor = Visitor(house)
    page = visitor.see("/keys")
    assert "project lab-7 paid 欧洲 Healthy default weight 5 research standby" in page.text
    assert "gemini Healthy default" in page.text
    for asked in ("lab-7", "paid", "欧洲"):
        found = Page(visitor.press(page, "Search", q=asked).text)
        assert [node.get("id") for node in found.all("tr") if node.get("id")] == ["key-1"], asked


def test_a_long_project_or_tag_is_words_too(house):
    house.add_keys(GEMINI_KEYS[0], project=HOSTILE, tags=(HOSTILE,))
    html = Visitor(house).get("/keys").text
    assert "<script>alert" not in html
    assert Page(html).text.count(HOSTILE) == 2


def test_what_callers_got_wrong_is_no_failure_of_the_key(house):
    house.add_keys(GEMINI_KEYS[0])
    house.chat()
    house.upstream.for_key(GEMINI_KEYS[0], gemini_error(400, message="Invalid value at temperature."))
    house.chat()
    house.records()
    assert "2 100 % ok" in Visitor(house).see("/keys").text


def test_paging_goes_on_after_the_last_key_shown(house):
    house.add_keys(*(f"AIzaSy{n:04d}" + "p" * 29 for n in range(60)))
    visitor = Visitor(house)
    first = visitor.see("/keys?size=25")
    second = visitor.see(first.link("Next page"))
    third = visitor.see(second.link("Next page"))
    assert "size=25" in first.link("Next page")
    assert not any(said == "Next page" for said, _ in third.links)
    assert third.link("First page") == "/keys?size=25"
    counts = [visitor.get(path).text.count('<tr id="key-') for path in ("/keys?size=25", first.link("Next page"))]
    assert counts == [25, 25]


def test_htmx_gets_the_row_and_nothing_around_it(house):
    (key_id,) = house.add_keys(GEMINI_KEYS[0])
    visitor = Visitor(house)
    answer = visitor.post(f"/keys/{key_id}/disable", HTMX, **{"for": "hour"})
    assert answer.status_code == 200
    assert answer.text.strip().startswith(f'<tr id="key-{key_id}">')
    assert answer.text.strip().endswith("</tr>")
    assert "HX-Request" in answer.headers["Vary"]
    table = visitor.get("/keys", headers=HTMX)
    assert table.text.strip().startswith('<section id="keys"')
    assert "HX-Request" in table.headers["Vary"]
    assert 'hx-swap-oob="true"' in table.text
    back_button = visitor.get("/keys", headers={**HTMX, "HX-History-Restore-Request": "true"})
    assert back_button.text.startswith("<!doctype html>")


def test_a_get_changes_nothing(house):
    (key_id,) = house.add_keys(GEMINI_KEYS[0])
    visitor = Visitor(house)
    for verb in ("disable", "enable", "revive", "restore"):
        assert visitor.get(f"/keys/{key_id}/{verb}").status_code == 405
    assert visitor.get(f"/keys/{key_id}/delete").status_code == 200
    assert house.keypool.catalogue.keys[key_id].available(time.time())
    assert visitor.audit() == []


def test_a_key_that_is_not_there_is_a_404(house):
    visitor = Visitor(house)
    assert visitor.post("/keys/999/disable").status_code == 404
    assert visitor.get("/keys/999/delete").status_code == 404


def test_hostile_words_are_shown_as_words_and_no_key_is_shown_whole(house):
    (key_id, _) = house.add_keys(GEMINI_KEYS[0], OPENAI_KEYS[0], name=HOSTILE, note=HOSTILE, email=HOSTILE)
    bury(house, key_id, HOSTILE)
    house.keypool.database.write(
        lambda session: session.execute(text("UPDATE keys SET last_error = :why"), {"why": HOSTILE}) and None
    )
    visitor = Visitor(house)
    for path in ("/keys", f"/keys/{key_id}/delete", "/keys?q=%22%3E%3Cscript%3Ealert(1)", "/dashboard", "/pools/1"):
        html = visitor.get(path).text
        assert "<script>alert" not in html, path
        assert "<img src=x" not in html, path
        for secret in (*GEMINI_KEYS[:1], *OPENAI_KEYS[:1], house.auth_key):
            assert secret not in html, path
    assert HOSTILE in visitor.see("/keys").text
    assert hint(GEMINI_KEYS[0]) in visitor.see("/keys").text


def test_a_way_back_that_leads_elsewhere_leads_to_the_keys(house):
    (key_id,) = house.add_keys(GEMINI_KEYS[0])
    answer = Visitor(house).post(f"/keys/{key_id}/disable", back="//evil.example")
    assert answer.location == f"/keys#key-{key_id}"

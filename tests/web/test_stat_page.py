"""Statistics: figures that are true, exhausted models with the upstream's reason, files for spreadsheets."""

import csv
import io
import re
import time

import pytest

from pool.web.sheets import safe
from tests.house import GEMINI_KEYS, OPENAI_KEYS
from tests.upstream import gemini_error
from tests.web.visitor import Page, Visitor, rows_of

PRO, FLASH = "gemini-2.5-pro", "gemini-2.5-flash"
DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
HOSTILE = "<script>alert(1)</script>=cmd|' /C calc'!A0"


def spent(message="You exceeded your current quota."):
    return gemini_error(429, retry_delay="5s", quota_id=DAY, message=message)


def no_more_pro(house, message="You exceeded your current quota."):
    """The first key's day is over for one model."""
    house.upstream.script(
        lambda request: spent(message) if request.key == GEMINI_KEYS[0] and PRO in request.path else None
    )


def row(answer, key_id):
    """The text of one key's row."""
    found = re.search(rf'<tr id="stat-{key_id}">.*?</tr>', answer.text, re.S)
    return Page(found[0]).text if found else ""


def sheet(visitor, table, query=""):
    answer = visitor.get(f"/stat/{table}.csv{query}")
    assert answer.status_code == 200
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_what_was_asked_is_what_is_shown(house):
    first, second = house.add_keys(*GEMINI_KEYS[:2])
    for _ in range(4):
        house.chat(FLASH)
    house.chat(PRO)
    house.generate(FLASH)
    house.records()
    answer = Visitor(house).get("/stat")
    assert f"{FLASH} 2 {PRO} 1" in row(answer, first)
    assert f"{FLASH} 3" in row(answer, second)
    said = Page(answer.text).text
    assert f"{FLASH} 5 0 100 %" in said
    assert "Chat /v1/chat/completions 5 0 100 %" in said
    assert "Gemini, whole answers :generateContent 1 0 100 %" in said


def test_a_spent_model_is_struck_with_its_time_and_the_upstreams_reason_even_without_any_use(house):
    _first, second = house.add_keys(*GEMINI_KEYS[:2])
    no_more_pro(house, HOSTILE)
    for _ in range(3):
        assert house.chat(PRO).status_code == 200
    house.records()
    answer = Visitor(house).get("/stat")
    badge = re.search(r"<details[^>]*data-spent.*?</details>", answer.text, re.S)[0]
    assert f"<s><bdi>{PRO}</bdi></s> <b>0</b>" in badge
    said = Page(badge).text
    assert re.search(r"for \d+ (h|min|s|days)", said)
    assert re.search(r"Day quota · until \d{4}-\d\d-\d\d 0[78]:00 UTC", said)
    assert "Quota: 15 requests a day, free tier" in said
    assert HOSTILE in said
    assert "<script>alert" not in answer.text
    assert "<s>" not in row(answer, second)


def test_keys_that_are_dead_or_disabled_say_so_for_every_model(house):
    dead, off = house.add_keys(*GEMINI_KEYS[:2])
    house.upstream.for_key(GEMINI_KEYS[0], gemini_error(400, reason="API_KEY_INVALID", message="API key not valid."))
    for _ in range(2):
        house.chat(FLASH)
    house.keypool.inventory.set_disabled([off], time.time() + 7200)
    house.records()
    answer = Visitor(house).get("/stat")
    assert "every model Dead Refused for good" in row(answer, dead)
    assert "API key not valid." in row(answer, dead)
    assert "every model for 1 h Disabled by a person" in row(answer, off)
    assert f"{FLASH} 2 for 1 h" in row(answer, off)


def test_errors_are_told_by_code_for_clients_and_for_upstreams(house):
    house.add_keys(GEMINI_KEYS[0])
    no_more_pro(house)
    for _ in range(2):
        assert house.chat(PRO).status_code == 429
    house.records()
    visitor = Visitor(house)
    said = visitor.see("/stat").text
    assert "429 every key was cooling down all_keys_cooling 2" in said
    assert "429 day quota quota_day 1" in said
    assert "Chat /v1/chat/completions 2 2 0.0 %" in said
    assert sheet(visitor, "errors") == [{"status": "429", "code": "all_keys_cooling", "times": "2"}]
    assert sheet(visitor, "upstream-errors") == [{"status": "429", "code": "quota_day", "times": "1"}]


@pytest.mark.parametrize(
    ("hours_ago", "windows"),
    [(0.1, "1h 24h 7d 30d 90d"), (20, "24h 7d 30d 90d"), (100, "7d 30d 90d"), (2_000, "90d"), (2_400, "")],
)
def test_a_window_holds_what_happened_in_it(house, hours_ago, windows):
    house.add_keys(GEMINI_KEYS[0])
    now = house.keypool.relay.clock()
    house.keypool.relay.clock = lambda: now - hours_ago * 3600
    house.chat(FLASH)
    house.records()
    visitor = Visitor(house)
    assert [name for name in ("1h", "24h", "7d", "30d", "90d")
            if sheet(visitor, "models", f"?window={name}")] == windows.split()  # fmt: skip
    for name in ("1h", "90d"):
        assert (f"{FLASH} 1" in row(visitor.get(f"/stat?window={name}"), 1)) == (name in windows)


def test_the_way_to_the_next_reset_is_told_without_script(house):
    visitor = Visitor(house)
    answer = visitor.get("/stat")
    told = Page(answer.text).by_id["reset"].text
    assert re.search(r"Daily quotas return in \d+:\d\d:\d\d at 0[78]:00 UTC ?, midnight Pacific", told)
    assert re.search(r'datetime="\d{4}-\d\d-\d\dT0[78]:00:00\+00:00" data-countdown', answer.text)
    house.set(quota_reset="06:30 UTC")
    said = visitor.see("/stat").text
    assert "at 06:30 UTC Quota day" in said
    assert re.search(r"since \d{4}-\d\d-\d\d 06:00 UTC", said)


def test_keys_page_by_fifty_and_filter_by_pool_model_and_state(house):
    ids = house.add_keys(*(f"AIzaSyMany{n:04d}" + "m" * 25 for n in range(60)))
    other, _token = house.keypool.inventory.create_pool("other")
    house.add_keys(GEMINI_KEYS[0], pool_id=other)
    house.chat(FLASH)
    house.chat(PRO)
    house.records()
    visitor = Visitor(house)
    first = visitor.see("/stat")
    assert len(re.findall(r'<tr id="stat-', visitor.get("/stat").text)) == 50
    second = visitor.get(first.link("Next page"))
    assert len(re.findall(r'<tr id="stat-', second.text)) == 11
    assert shown(visitor, f"pool={other}") == [61]
    assert shown(visitor, "show=used") == ids[:2]
    assert shown(visitor, f"model={PRO}") == ids[1:2]
    assert shown(visitor, f"pool={other}&show=used") == []
    assert PRO not in row(visitor.get(f"/stat?model={FLASH}"), ids[0])
    page = visitor.see(f"/stat?model={FLASH}")
    assert f"window=24h&model={FLASH}" in page.link("24 hours")


def shown(visitor, query):
    return [int(found) for found in re.findall(r'<tr id="stat-(\d+)">', visitor.get(f"/stat?{query}").text)]


def test_strange_arguments_are_taken_for_none(house):
    visitor = Visitor(house)
    for query in ("?window=2h&pool=x&show=nothing&after=y", "?model=" + "m" * 500, "?after=-5", "?pool=77"):
        assert visitor.get("/stat" + query).status_code == 200


def test_the_file_of_keys_has_every_key_and_no_secret(house):
    house.add_keys(*GEMINI_KEYS[:2], OPENAI_KEYS[0])
    no_more_pro(house)
    for _ in range(2):
        house.chat(PRO)
    house.records()
    visitor = Visitor(house)
    rows = sheet(visitor, "keys", "?window=24h")
    assert [(each["provider"], each["model"], each["answered"], each["state"]) for each in rows] == [
        ("gemini", PRO, "0", "cooling"), ("gemini", PRO, "2", ""), ("openai", "", "0", ""),
    ]  # fmt: skip
    assert rows[0]["reason"] == "quota_day"
    assert rows[0]["until"].endswith(":00:00+00:00")
    assert rows[0]["upstream said"] == "You exceeded your current quota."
    answer = visitor.get("/stat/keys.csv?window=24h")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="keypool-keys-24h.csv"'
    assert answer.mimetype == "text/csv"
    everything = answer.text + visitor.get("/stat").text
    assert not any(secret in everything for secret in (*GEMINI_KEYS, *OPENAI_KEYS))
    assert visitor.get("/stat/passwords.csv").status_code == 404


def test_no_cell_is_taken_for_a_formula(house):
    house.add_keys(GEMINI_KEYS[0])
    for model in ('=HYPERLINK("http://evil.example")', "@SUM(1)", "+1", "-2+3"):
        house.chat(model)
    house.records()
    names = {each["model"] for each in sheet(Visitor(house), "models")}
    assert names
    assert all(name.startswith("'") for name in names)


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\t=1", "\r=1", " =1", "＝1"])
def test_a_cell_that_begins_like_a_formula_is_quoted(text):
    assert safe(text) == "'" + text


@pytest.mark.parametrize("value", ["", "gpt-4o", 12, -3, 0.5, "a=b"])
def test_any_other_cell_stays_as_it_is(value):
    assert safe(value) == value
    assert safe(None) == ""


def test_strangers_see_statistics_only_where_the_setting_says_so(house):
    house.add_keys(*GEMINI_KEYS[:2])
    house.keypool.inventory.create_pool("secret project")
    no_more_pro(house, "the upstream's own words")
    house.chat(PRO)
    house.records()
    stranger = Visitor(house, signed_in=False)
    for path in ("/stat", "/stat/keys.csv", "/model_usage"):
        answer = stranger.get(path)
        assert (answer.status_code, answer.location.split("?")[0]) == (302, "/login")
    house.set(public_stats=True)
    answer = stranger.get("/stat")
    assert answer.status_code == 200
    page = Page(answer.text)
    assert f"{PRO} 0" in row(answer, 1)
    assert "Day quota" in row(answer, 1)
    assert [form.action for form in page.forms] == ["/theme", "/language", "/stat"]
    for hidden in ("secret project", "default", "the upstream's own words", "Sign out"):
        assert hidden not in page.text
    assert shown(stranger, "pool=2") == [1, 2]
    assert set(sheet(stranger, "keys")[0]) == {"key", "provider", "model", "answered", "failed", "state", "reason",
                                              "until"}  # fmt: skip
    assert stranger.get("/keys").status_code == 302


def test_the_predecessors_address_leads_here(house):
    assert Visitor(house).get("/model_usage", headers={"Accept": "text/html"}).location == "/stat"


def test_htmx_gets_the_figures_alone(house):
    answer = Visitor(house).get("/stat", headers={"HX-Request": "true"})
    assert answer.text.lstrip().startswith('<div id="figures"')
    assert "HX-Request" in answer.headers["Vary"]


def test_looking_changes_nothing(house):
    Visitor(house).see("/stat")
    assert rows_of(house, "audit") == []


def test_a_row_has_room_for_a_few_models_only(house):
    house.add_keys(GEMINI_KEYS[0])
    for n in range(15):
        house.chat(f"gemini-{n}")
    house.records()
    assert "and 3 more models" in row(Visitor(house).get("/stat"), 1)


def test_times_tokens_pools_and_user_keys_are_told_and_filed(house):
    house.add_keys(GEMINI_KEYS[0])
    client_id, token = house.keypool.inventory.create_client("<i>Ann</i>", house.default_pool_id)
    house.chat(FLASH)
    house.client.post(
        "/v1/chat/completions",
        json={"model": FLASH, "messages": [{"role": "user", "content": "Hi"}]},
        headers={"Authorization": f"Bearer {token}"},
    )
    records = house.records()
    visitor = Visitor(house)
    answer = visitor.get("/stat")
    assert "<i>Ann" not in answer.text
    said = Page(answer.text).text
    assert "the pools' own auth keys 1 100 % ≤ 100 ms p95 ≤ 100 ms" in said
    assert "<i>Ann</i> 1 100 % ≤ 100 ms" in said
    (model,) = sheet(visitor, "models")
    assert int(model["tokens in"]) == sum(row["tokens_in"] for row in records)
    assert int(model["tokens out"]) == sum(row["tokens_out"] for row in records)
    assert (model["p50 ms"], model["p95 ms"]) == ("100", "100")
    first_ms = sum(row["ttfb_ms"] for row in records) / len(records)
    assert model["first byte ms"] == str(round(first_ms))
    assert f"2 0 100 % {first_ms:.0f} ms on average ≤ 100 ms" in said
    assert [(each["id"], each["client"], each["requests"]) for each in sheet(visitor, "clients")] == [
        ("0", "", "1"), (str(client_id), "<i>Ann</i>", "1"),
    ]  # fmt: skip
    assert [(each["pool"], each["requests"], each["ok"]) for each in sheet(visitor, "pools")] == [("default", "2", "2")]


def test_who_is_served_is_for_the_admin_alone(house):
    house.set(public_stats=True)
    stranger = Visitor(house, signed_in=False)
    for table in ("pools", "clients"):
        assert stranger.get(f"/stat/{table}.csv").status_code == 404
    assert 'id="clients-heading"' not in stranger.get("/stat").text

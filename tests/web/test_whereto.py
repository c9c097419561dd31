"""Where would a request go: asked on a pool's page, in its address, by somebody without script."""

import time
from urllib.parse import parse_qs, urlsplit

from pool.core.keys import FOREVER
from pool.core.outcomes import Outcome
from pool.core.rotation import POLICIES
from pool.core.storms import Failure
from tests.house import GEMINI_KEYS, OPENAI_KEYS
from tests.web.test_keys_page import HTMX
from tests.web.visitor import Page, Visitor, rows_of

FLASH = "gemini-2.5-flash"


def find_out(house, model=FLASH, pool_id=1, **filled):
    """The page that answers, and the answer alone."""
    visitor = Visitor(house)
    answer = visitor.press(visitor.see(f"/pools/{pool_id}"), "Find out", model=model, **filled)
    page = Page(answer.text)
    return answer, page, page.by_id["where"].text


def rows(page):
    """The cells of the table, row by row."""
    within = page.by_id["where"]
    return [
        [cell.text for cell in row.walk() if cell.tag in ("th", "td")] for row in within.walk() if row.tag == "tr"
    ][1:]


def test_the_answer_is_an_address_that_can_be_bookmarked(house):
    house.add_keys(*GEMINI_KEYS[:2])
    answer, page, said = find_out(house, strategy="lru")
    assert answer.status_code == 200
    assert answer.request.path == "/pools/1"
    assert parse_qs(urlsplit(answer.request.url).query) == {"model": [FLASH], "strategy": ["lru"]}
    again = Visitor(house).see(answer.request.full_path)
    assert again.by_id["where"].text == said
    assert page.by_id["where-model"].value == FLASH
    assert ("lru", True) in page.by_id["where-strategy"].options()


def test_it_names_the_key_that_serves_the_next_request(house):
    house.add_keys(*GEMINI_KEYS[:3])
    for _ in range(4):
        _, _, said = find_out(house)
        house.chat()
        key = house.keypool.catalogue.keys[house.records()[-1]["key_id"]]
        assert f"It would go to gemini as {FLASH}, with the key {key.hint}." in said
        assert "Round robin — one after the other, as in the settings" in said


def test_it_tells_why_the_others_are_set_aside(house):
    ids, now = house.add_keys(*GEMINI_KEYS[:5]), time.time()
    house.add_keys(OPENAI_KEYS[0])
    for key_id in ids[:2]:
        house.keypool.catalogue.bench(key_id, "quota_day", now + 3600, FLASH)
    house.keypool.inventory.set_disabled([ids[2]], FOREVER)
    _, page, _ = find_out(house)
    ((provider, key, ready, aside, rest),) = rows(page)
    hint = house.keypool.catalogue.keys[ids[3]].hint
    assert (provider, key, ready) == ("gemini", f"{hint} tier 0, weight 1", "2")
    assert rest.startswith("for ")
    assert aside == "1 · disabled by a person2 · day quota"


def test_it_tells_what_a_client_would_be_told(house):
    (key_id,) = house.add_keys(GEMINI_KEYS[0])
    house.keypool.catalogue.bench(key_id, "quota_minute", time.time() + 42, FLASH)
    _, page, said = find_out(house)
    assert "429 A client would be told: Every key of this pool is cooling down" in said
    assert "all_keys_cooling · to come again in 42 s" in said
    assert rows(page)[0][4].startswith("for 4")


def test_a_model_the_pool_does_not_allow_is_refused_as_a_client_would_be(house):
    house.add_keys(GEMINI_KEYS[0])
    house.keypool.inventory.update_pool(1, allowed_models=["gpt-*"])
    _, page, said = find_out(house)
    assert "403 A client would be told: The model 'gemini-2.5-flash' is not among those this pool may use." in said
    assert rows(page) == []


def test_the_fallback_pool_is_in_the_table_where_it_is_asked(house):
    spare, _ = house.keypool.inventory.create_pool("spare")
    house.keypool.inventory.update_pool(1, fallback_pool_id=spare)
    (first,) = house.add_keys(GEMINI_KEYS[0])
    house.add_keys(GEMINI_KEYS[1], pool_id=spare)
    assert len(rows(find_out(house)[1])) == 1
    house.keypool.catalogue.bench(first, "quota_day", time.time() + 60, FLASH)
    _, page, said = find_out(house)
    assert "with the key AIzaSyGe...xxxx" in said
    assert [row[0] for row in rows(page)] == ["gemini", "gemini Fallback pool: spare"]
    assert [row[1][0] for row in rows(page)] == ["–", "A"]


def test_a_storm_is_told_beside_its_provider(house):
    ids, now = house.add_keys(*GEMINI_KEYS[:6]), time.time()
    storm = house.keypool.relay.judge.outages.of("gemini").storm
    for key_id in ids:
        storm.failed(Failure(key_id, FLASH, Outcome("suspected", storm="403"), now), 6, True)
    _, page, said = find_out(house)
    assert "upstream_unavailable" in said
    assert "fails every key alike (403)" in rows(page)[0][0]


def test_a_strategy_nobody_knows_is_said_beside_its_field(house):
    house.add_keys(GEMINI_KEYS[0])
    answer = Visitor(house).get(f"/pools/1?model={FLASH}&strategy=best")
    assert answer.status_code == 422
    assert "There is no such policy." in Page(answer.text).by_id["where"].text
    assert "It would go" not in answer.text


def test_every_strategy_can_be_asked_for(house):
    house.add_keys(GEMINI_KEYS[0])
    page = Visitor(house).see("/pools/1")
    assert [value for value, _ in page.by_id["where-strategy"].options()] == ["", *POLICIES]
    for policy in POLICIES:
        assert "It would go to gemini" in find_out(house, strategy=policy)[2]


def test_without_a_question_there_is_no_answer_on_any_answer_of_the_page(house):
    visitor = Visitor(house)
    for answer in (visitor.get("/pools/1"), visitor.post("/pools/1", name=""), visitor.post("/pools/1/reveal")):
        assert "Where would a request go?" in answer.text
        assert "A client would be told" not in answer.text


def test_htmx_gets_the_answer_alone(house):
    house.add_keys(GEMINI_KEYS[0])
    fragment = Visitor(house).get(f"/pools/1?model={FLASH}", headers=HTMX)
    assert fragment.text.strip().startswith('<div id="where"')
    assert "<html" not in fragment.text
    assert "It would go to gemini" in fragment.text


def test_nothing_is_called_and_nothing_changes(house):
    house.add_keys(*GEMINI_KEYS[:2])
    before = rows_of(house, "keys")
    find_out(house)
    assert house.upstream.requests == []
    assert rows_of(house, "audit") == []
    assert rows_of(house, "keys") == before
    assert house.records() == []


def test_a_hostile_model_is_a_name(house):
    house.add_keys(GEMINI_KEYS[0])
    answer, _, said = find_out(house, model="<script>alert(1)</script>{{ 7*7 }}")
    assert "<script>alert" not in answer.text
    assert "<script>alert(1)</script>{{ 7*7 }}" in said


def test_it_speaks_chinese(house):
    house.add_keys(GEMINI_KEYS[0])
    answer = Visitor(house).get(f"/pools/1?model={FLASH}", headers={"Accept-Language": "zh-CN"})
    assert "请求将以 gemini-2.5-flash 发往 gemini" in answer.text

"""The playground: a question goes the way of every request, its answer and how it came about come back."""

import orjson

from tests.house import GEMINI_KEYS
from tests.upstream import answer, gemini_error, gemini_stream, gemini_text, in_turn, sse, stall
from tests.web.visitor import Page, Visitor, rows_of

ODD = '<b>bold</b> "\'& \u202e🙂'
MODEL = "gemini-2.5-flash"


def ask(visitor, text="Hello", model=MODEL, **more):
    return visitor.press(visitor.see("/playground"), "Send", model=model, text=text, **more)


def told(response):
    """How an answer came about, as somebody reads it."""
    return " ".join(" ".join(Page(response.text).by_id["told"].words()).split())


def events(response):
    """(name, data) of each event of a stream."""
    found = []
    for block in response.text.replace("\r", "").split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.strip().split("\n") if ": " in line and line[0] != ":")
        if "data" in lines:
            found.append((lines.get("event", ""), lines["data"]))
    return found


def stream(visitor, **form):
    return visitor.post("/playground/stream", pool=visitor.house.default_pool_id, **form)


def test_a_plain_answer_comes_with_its_key_attempts_times_and_tokens(house):
    house.add_keys(GEMINI_KEYS[0])
    visitor = Visitor(house)
    house.upstream.for_key(GEMINI_KEYS[0], answer(200, gemini_text(ODD)))
    response = ask(visitor, ODD)
    assert response.status_code == 200
    page = Page(response.text)
    assert [node.text for node in page.nodes if "data-speech" in node.attrs] == [" ".join(ODD.split())]
    assert "<b>bold" not in response.text
    said = told(response)
    assert "Status 200" in said
    assert f"Key {GEMINI_KEYS[0][:8]}" in said
    assert "Tokens in 7" in said
    assert "round robin" in said
    for secret in (GEMINI_KEYS[0], house.auth_key):
        assert secret not in response.text
    (record,) = house.records()
    assert (record["pool_id"], record["model_asked"], record["status"]) == (house.default_pool_id, MODEL, 200)
    assert record["request_id"] in said
    assert "bold" not in str(rows_of(house, "requests") + rows_of(house, "audit"))


def test_every_attempt_is_told_and_why_it_failed(house):
    house.add_keys(*GEMINI_KEYS[:2])
    refused = gemini_error(429, message="<i>quota</i> exceeded")
    house.upstream.for_path("generateContent", in_turn(refused, answer(200, gemini_text())))
    page = Page(ask(Visitor(house)).text)
    rows = [node for node in page.by_id["told"].walk() if node.tag == "tr"][1:]
    assert len(rows) == 2
    assert "429" in rows[0].text
    assert "<i>quota</i>" in rows[0].text
    assert "answered" in rows[1].text


def test_a_refusal_is_told_in_the_words_a_client_would_read(house):
    visitor = Visitor(house)
    said = told(ask(visitor))
    assert "503" in said
    assert "key" in said
    house.keypool.inventory.update_pool(house.default_pool_id, enabled=False)
    assert "403" in told(ask(visitor))


def test_limits_of_the_pool_hold_here_too(house):
    house.add_keys(GEMINI_KEYS[0])
    house.keypool.inventory.update_pool(house.default_pool_id, limits={"rpd_limit": 1})
    visitor = Visitor(house)
    assert "Status 200" in told(ask(visitor))
    assert "429" in told(ask(visitor))


def test_a_question_that_lacks_something_comes_back_as_it_was_typed(house):
    visitor = Visitor(house)
    response = visitor.post("/playground", pool="999", model="", text=ODD)
    assert response.status_code == 422
    page = Page(response.text)
    assert page.by_id["field-pool-error"].text == "Choose a pool."
    assert page.by_id["field-model-error"].text == "Name a model."
    assert " ".join(ODD.split()) in page.by_id["field-text"].text
    assert visitor.post("/playground", pool="1", model=MODEL, text=" \n").status_code == 422
    assert visitor.post("/playground", pool="1", model=MODEL, text="x" * 100_001).status_code == 422
    assert house.upstream.requests == []


def test_a_stream_ends_with_how_it_came_about(house):
    house.add_keys(GEMINI_KEYS[0])
    house.upstream.for_key(GEMINI_KEYS[0], sse(gemini_stream(["Hel", ODD])))
    response = stream(Visitor(house), model=MODEL, text="Hello")
    assert response.mimetype == "text/event-stream"
    found = events(response)
    said = [orjson.loads(data) for name, data in found if not name and data != "[DONE]"]
    text = "".join(each["choices"][0]["delta"].get("content") or "" for each in said if each.get("choices"))
    assert text == "Hel" + ODD
    assert found[-1][0] == "told"
    last = Page(orjson.loads(found[-1][1])["html"]).text
    assert "Status 200" in last
    assert GEMINI_KEYS[0][:8] in last
    for secret in (GEMINI_KEYS[0], house.auth_key):
        assert secret not in response.text
    assert len(house.records()) == 1


def test_a_stream_that_never_begins_tells_why(house):
    ((name, data),) = events(stream(Visitor(house), model=MODEL, text="Hello"))
    assert name == "told"
    assert "503" in Page(orjson.loads(data)["html"]).text
    response = stream(Visitor(house), model="", text="")
    assert response.status_code == 422
    assert "Name a model." in response.text


def test_the_page_lists_the_pools_models_and_keeps_its_choice_in_the_address(house):
    house.add_keys(GEMINI_KEYS[0])
    lab, _ = house.keypool.inventory.create_pool('lab "<i>"')
    visitor = Visitor(house)
    visitor.see("/playground")
    page = visitor.see(f"/playground?pool={lab}&model=gemini-2.5-pro")
    assert page.by_id["field-model"].get("value") == "gemini-2.5-pro"
    chosen = [node.text for node in page.all("option") if "selected" in node.attrs]
    assert chosen == ['lab "<i>"']
    assert page.by_id["field-model"].get("list") == "models"
    assert visitor.see("/playground?pool=999").by_id["models"] is not None


def test_the_page_does_not_wait_for_an_upstream_that_is_silent(house):
    house.add_keys(GEMINI_KEYS[0])
    house.upstream.for_key(GEMINI_KEYS[0], stall(2))
    assert Visitor(house).see("/playground").by_id["models"].text == ""

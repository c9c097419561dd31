"""OpenAI's other routes: passed through to a provider that has them, with whoever made an object remembered."""

from __future__ import annotations

import orjson
import pytest
from werkzeug.test import Client

from tests.house import GEMINI_KEYS, OPENAI_KEYS, House
from tests.upstream import answer, close_before_head, cut_after, openai_error, pieces, sse, stall, stall_after
from tests.upstream_objects import ObjectStore
from tests.web.person import FORM, Person, form


@pytest.fixture
def store(house: House) -> ObjectStore:
    house.add_keys(*OPENAI_KEYS[:3])
    store = ObjectStore()
    house.upstream.script(store)
    return store


@pytest.fixture
def ann(house: House) -> Person:
    return Person(house, "ann")


@pytest.fixture
def bob(house: House) -> Person:
    return Person(house, "bob")


def test_inference_routes_go_to_the_openai_provider_and_fail_over(house: House) -> None:
    house.add_keys(*OPENAI_KEYS[:2], GEMINI_KEYS[0])
    house.upstream.for_key(OPENAI_KEYS[0], openai_error(401, "invalid_api_key"))
    house.upstream.for_path("/moderations", answer(200, {"id": "modr-1", "results": []}))
    for prefix in ("/v1", "/v1beta/openai"):
        response = house.post(f"{prefix}/moderations?a=b&key=x", {"model": "omni-moderation-latest", "input": "hi"})
        assert response.status_code == 200
        assert response.json == {"id": "modr-1", "results": []}
    sent = house.upstream.requests
    assert [request.path for request in sent] == ["/v1/moderations?a=b"] * 3
    assert [request.key for request in sent] == [OPENAI_KEYS[0], OPENAI_KEYS[1], OPENAI_KEYS[1]]
    record = house.records()[0]
    assert (record["operation"], record["model_used"], record["status"]) == (
        "moderations",
        "omni-moderation-latest",
        200,
    )


def test_aliases_and_a_providers_name_before_a_model_are_known_on_passed_routes_too(house: House) -> None:
    house.add_keys(OPENAI_KEYS[0], GEMINI_KEYS[0])
    house.keypool.inventory.update_pool(house.default_pool_id, aliases={"say": "tts-1"})
    house.upstream.for_path("/audio", answer(200, b"ID3", {"Content-Type": "audio/mpeg"}))
    for model in ("say", "openai/tts-1", "tts-1"):
        house.post("/v1/audio/speech", {"model": model, "input": "hello", "voice": "alloy"})
        house.client.post(
            "/v1/audio/transcriptions", data=form(file=b"RIFF", model=model, language="en"), content_type=FORM,
            headers=house.headers(),
        )  # fmt: skip
    assert [r.json["model"] for r in house.upstream.requests[::2]] == ["tts-1"] * 3
    for request in house.upstream.requests[1::2]:
        assert request.body == form(file=b"RIFF", model="tts-1", language="en")
        assert int(request.headers["content-length"]) == len(request.body)
        assert request.headers["content-type"] == FORM


def test_a_pool_without_an_openai_provider_says_404(house: House) -> None:
    house.add_keys(GEMINI_KEYS[0])
    paths = ("moderations", "rerank", "files", "files/file-1", "organization/usage", "audio/transcriptions")
    for path in paths:
        response = house.post(f"/v1/{path}", {"model": "rerank-1", "input": "x"})
        assert response.status_code == 404
        assert set(response.json["error"]) == {"message", "type", "param", "code"}
    assert house.upstream.requests == []


def test_a_binary_answer_streams_through_with_nothing_but_safe_headers(house: House) -> None:
    house.add_keys(OPENAI_KEYS[0])
    headers = {
        "Content-Type": "audio/mpeg", "Set-Cookie": "a=b", "X-Request-Id": "req_up", "Server": "up",
        "Access-Control-Allow-Origin": "https://evil.example", "Content-Security-Policy": "script-src *",
    }  # fmt: skip
    house.upstream.script(pieces([b"ID3", b"\x00" * 1000, b"end"], headers=headers))
    response = house.post("/v1/audio/speech", {"model": "tts-1", "input": "hello"})
    assert response.data == b"ID3" + b"\x00" * 1000 + b"end"
    assert response.headers["Content-Type"] == "audio/mpeg"
    assert response.headers["X-Request-Id"] == "req_up"
    assert "Set-Cookie" not in response.headers
    assert "Server" not in response.headers
    assert response.headers.getlist("Access-Control-Allow-Origin") == ["*"]
    assert response.headers.getlist("Content-Security-Policy") == ["sandbox; default-src 'none'"]
    assert "Content-Disposition" not in response.headers


@pytest.mark.parametrize("kind", ["text/html", "text/plain", "application/x-sh", "application/octet-stream"])
def test_what_a_browser_might_run_goes_out_as_an_attachment(house: House, kind: str, store: ObjectStore) -> None:
    person = Person(house, "carol")
    name = person.upload()
    house.upstream.script(answer(200, b"<script>alert(1)</script>", {"Content-Type": kind}))
    response = person.ask("GET", f"/v1/files/{name}/content")
    assert response.data == b"<script>alert(1)</script>"
    assert response.headers["Content-Disposition"] == "attachment"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Content-Length"] == "25"


def test_a_binary_answer_that_breaks_is_cut_and_never_ends_cleanly(house: House) -> None:
    house.add_keys(OPENAI_KEYS[0])
    whole = pieces([b"a" * 1000, b"b" * 1000, b"c"], headers={"Content-Type": "audio/mpeg"})
    house.upstream.script(cut_after(whole, events=2))
    with pytest.raises(BaseException) as caught:
        _ = house.post("/v1/audio/speech", {"model": "tts-1", "input": "hello"}).data
    assert type(caught.value).__name__ == "CutShort"
    assert house.records()[0]["outcome"] == "broken"


def test_nothing_of_the_client_goes_up_but_what_is_allowed(house: House) -> None:
    house.add_keys(OPENAI_KEYS[0])
    house.upstream.script(answer(200, {"id": "r"}))
    own = {
        "Cookie": "session=abc", "X-Forwarded-For": "203.0.113.9", "OpenAI-Organization": "org", "Referer": "https://x",
        "OpenAI-Beta": "assistants=v2", "Idempotency-Key": "i-1", "Accept": "application/json", "If-None-Match": "e",
    }  # fmt: skip
    house.post("/v1/responses", {"model": "gpt-4o", "input": "hi"}, headers=house.headers(**own))
    sent = house.upstream.requests[0].headers
    assert sent["openai-beta"] == "assistants=v2"
    assert sent["idempotency-key"] == "i-1"
    assert not {"cookie", "x-forwarded-for", "openai-organization", "referer", "if-none-match"} & set(sent)
    assert sent["authorization"] == f"Bearer {OPENAI_KEYS[0]}"
    assert sent["user-agent"].startswith("keypool/")
    assert list(sent).count("accept") == 1
    assert sent["accept"] == "application/json"


# -- objects ----------------------------------------------------------------------------------------------------


def test_an_object_goes_back_to_the_key_that_made_it_and_to_nobody_else(
    store: ObjectStore, ann: Person, bob: Person
) -> None:
    names = [ann.upload() for _ in range(3)]
    for name in names:
        assert ann.ask("GET", f"/v1/files/{name}").json["id"] == name
        assert ann.ask("GET", f"/v1/files/{name}/content").data.startswith(b"line one")
    for path in (f"/v1/files/{names[0]}", f"/v1/files/{names[0]}/content", "/v1/files/file-unknown", "/v1/batches/b"):
        for method in ("GET", "DELETE"):
            calls = len(store.made), len(bob.house.upstream.requests)
            response = bob.ask(method, path)
            assert response.status_code == 404
            assert response.json["error"]["type"] == "invalid_request_error"
            assert (len(store.made), len(bob.house.upstream.requests)) == calls
    # The pool's own auth key is somebody else, too.
    assert bob.house.client.get(f"/v1/files/{names[0]}", headers=bob.house.headers()).status_code == 404


def test_uploads_of_one_client_stick_to_one_key(store: ObjectStore, ann: Person, bob: Person) -> None:
    of_ann = {store.made[f"files/{ann.upload()}"] for _ in range(4)}
    of_bob = {store.made[f"files/{bob.upload()}"] for _ in range(4)}
    assert len(of_ann) == len(of_bob) == 1
    assert of_ann != of_bob


def test_a_request_goes_to_the_key_of_the_objects_in_its_body(store: ObjectStore, ann: Person, bob: Person) -> None:
    bob.upload()  # so that the turn is another key's
    name = ann.upload()
    for _ in range(3):
        batch = ann.ask("POST", "/v1/batches", {"input_file_id": name, "endpoint": "/v1/chat/completions"}).json
        assert store.made[f"batches/{batch['id']}"] == store.made[f"files/{name}"]
    output = ann.ask("GET", f"/v1/batches/{batch['id']}").json["output_file_id"]
    assert ann.ask("GET", f"/v1/files/{output}/content").status_code == 200
    response = bob.ask("POST", "/v1/batches", {"input_file_id": name, "endpoint": "/v1/chat/completions"})
    assert response.status_code == 404
    assert response.json["error"]["param"] == "input_file_id"
    response = ann.ask("POST", "/v1/batches", {"input_file_id": "file-nobodys", "endpoint": "/x"})
    assert response.status_code == 404


@pytest.mark.parametrize("stream", [False, True])
def test_a_conversation_of_responses_stays_with_its_key(
    store: ObjectStore, ann: Person, bob: Person, stream: bool
) -> None:
    previous = None
    for _ in range(4):
        body = {"model": "gpt-4o", "input": "hi", "previous_response_id": previous, "stream": stream}
        response = ann.ask("POST", "/v1/responses", body)
        assert response.status_code == 200, response.data
        if stream:
            assert response.data.count(b"data: ") == 4
            assert response.headers["Content-Type"].startswith("text/event-stream")
            previous = orjson.loads(response.data.partition(b"data: ")[2].partition(b"\n")[0])["response"]["id"]
        else:
            previous = response.json["id"]
    assert len(set(store.made.values())) == 1
    response = bob.ask("POST", "/v1/responses", {"model": "gpt-4o", "input": "hi", "previous_response_id": previous})
    assert response.status_code == 404
    assert response.json["error"]["code"] == "previous_response_not_found"
    assert ann.house.records()[0]["tokens_out"] == 2


def test_objects_of_two_keys_in_one_request_are_told_apart_precisely(
    store: ObjectStore, ann: Person, house: House
) -> None:
    first = ann.upload()
    key = ann.key_of(store.made, f"files/{first}")
    house.keypool.inventory.set_disabled([key.id], float("inf"))
    second = ann.upload()
    house.keypool.inventory.set_disabled([key.id], None)
    before = len(house.upstream.requests)
    response = ann.ask("POST", "/v1/vector_stores", {"file_ids": [first, second]})
    assert response.status_code == 400
    assert response.json["error"]["code"] == "objects_of_two_keys"
    assert first in response.json["error"]["message"]
    assert second in response.json["error"]["message"]
    assert len(house.upstream.requests) == before


def test_what_looks_like_an_id_in_the_callers_own_words_is_none(store: ObjectStore, ann: Person) -> None:
    body = {
        "model": "gpt-4o", "metadata": {"file_id": "file-x"}, "input": "about file_id file-x",
        "tools": [{"type": "function", "name": "f", "parameters": {"default": {"file_id": "file-x"}}}],
    }  # fmt: skip
    assert ann.ask("POST", "/v1/responses", body).status_code == 200


def test_lists_hold_the_callers_own_objects_from_all_its_keys(
    store: ObjectStore, ann: Person, bob: Person, house: House
) -> None:
    mine = [ann.upload() for _ in range(2)]
    key = ann.key_of(store.made, f"files/{mine[0]}")
    store.made["files/file-foreign"] = key.secret  # of somebody who used the key without us
    house.keypool.inventory.set_disabled([key.id], float("inf"))
    mine += [ann.upload() for _ in range(2)]
    house.keypool.inventory.set_disabled([key.id], None)
    theirs = bob.upload()
    seen: list[str] = []
    page = ann.ask("GET", "/v1/files?limit=1&purpose=batch").json
    for _ in range(9):
        seen += [row["id"] for row in page["data"]]
        if not page["has_more"]:
            break
        page = ann.ask("GET", f"/v1/files?limit=1&after={page['last_id']}").json
    assert sorted(seen) == sorted(mine)
    assert [row["id"] for row in bob.ask("GET", "/v1/files").json["data"]] == [theirs]
    assert ann.ask("GET", "/v1/batches").json == {
        "object": "list", "data": [], "has_more": False, "first_id": None, "last_id": None,
    }  # fmt: skip


def test_a_deleted_object_is_forgotten(store: ObjectStore, ann: Person) -> None:
    name = ann.upload()
    assert ann.ask("DELETE", f"/v1/files/{name}").json["deleted"] is True
    before = len(ann.house.upstream.requests)
    assert ann.ask("GET", f"/v1/files/{name}").status_code == 404
    assert len(ann.house.upstream.requests) == before


def test_a_pinned_key_that_cannot_serve_is_named_and_no_other_is_asked(
    store: ObjectStore, ann: Person, house: House
) -> None:
    inventory = house.keypool.inventory
    name = ann.upload()
    key = ann.key_of(store.made, f"files/{name}")
    before = len(house.upstream.requests)
    inventory.set_disabled([key.id], float("inf"))
    response = ann.ask("GET", f"/v1/files/{name}")
    assert (response.status_code, response.json["error"]["code"]) == (503, "key_disabled")
    inventory.set_disabled([key.id], None)
    assert ann.ask("GET", f"/v1/files/{name}").status_code == 200
    house.upstream.script(openai_error(401, "invalid_api_key", "Incorrect API key provided."))
    for _ in range(2):
        response = ann.ask("GET", f"/v1/files/{name}")
        assert (response.status_code, response.json["error"]["code"]) == (503, "key_dead")
        assert name in response.json["error"]["message"]
    assert len(house.upstream.requests) == before + 2
    inventory.bin_keys([key.id])
    response = ann.ask("GET", f"/v1/files/{name}")
    assert (response.status_code, response.json["error"]["code"]) == (404, "key_gone")


@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [
        (
            openai_error(429, "rate_limit_exceeded", "Slow down.", headers={"Retry-After": "7"}),
            429,
            "rate_limit_exceeded",
        ),
        (openai_error(403, None, "No."), 503, "key_refused"),
        (openai_error(404, None, "No such file."), 404, None),
    ],
    ids=["quota", "suspected", "deleted"],
)
def test_a_pinned_key_that_refuses_is_asked_once(
    store: ObjectStore, ann: Person, house: House, refusal, status: int, code: str | None
) -> None:
    name = ann.upload()
    house.upstream.script(refusal)
    before = len(house.upstream.requests)
    response = ann.ask("GET", f"/v1/files/{name}")
    assert (response.status_code, response.json["error"]["code"]) == (status, code)
    assert len(house.upstream.requests) == before + 1
    if status != 404:
        assert int(response.headers["Retry-After"]) >= 1
    # A quota of files rests nobody for chats.
    house.upstream.script(None)
    if status == 429:
        asked = [ann.ask("POST", "/v1/chat/completions", {"model": "gpt-4o", "messages": []}) for _ in range(3)]
        assert {response.status_code for response in asked} == {200}
        assert len({request.key for request in house.upstream.requests[-3:]}) == 3


def test_who_made_what_survives_a_restart(store: ObjectStore, ann: Person, instance_template, tmp_path) -> None:
    from tests.house import open_house

    name = ann.upload()
    ann.house.keypool.stop()
    with open_house(instance_template, tmp_path / "instance") as again:
        again.upstream.script(store)
        ann.house = again
        assert ann.ask("GET", f"/v1/files/{name}").json["id"] == name
        assert store.made[f"files/{ann.upload()}"] == store.made[f"files/{name}"]


# -- what may be asked ------------------------------------------------------------------------------------------


def test_everything_else_needs_the_permission_raw(house: House) -> None:
    house.add_keys(OPENAI_KEYS[0])
    house.upstream.script(answer(200, {"ok": True}))
    plain, raw = Person(house, "plain"), Person(house, "raw", permissions=["raw"])
    cases = (("GET", "/v1/organization/usage"), ("POST", "/v1/invented"), ("DELETE", "/v1/models/ft:gpt-4o:me::1"))
    for method, path in cases:
        for response in (plain.ask(method, path), house.client.open(path, method=method, headers=house.headers())):
            assert response.status_code == 403
            assert response.json["error"]["code"] == "permission_required"
        assert raw.ask(method, path).json == {"ok": True}
    assert len(house.upstream.requests) == len(cases)


@pytest.mark.parametrize(
    "path", ["/v1/files/../organization/usage", "/v1/files/./x", "/v1//organization", "/v1/files/x/../../organization"]
)
def test_no_path_leads_out_of_where_it_seems_to_lead(store: ObjectStore, ann: Person, path: str) -> None:
    before = len(ann.house.upstream.requests)
    assert ann.ask("GET", path).status_code in (403, 404)
    assert len(ann.house.upstream.requests) == before


@pytest.mark.parametrize("fields", [{"allowed_models": ["gpt-4o*"]}, {"budget_usd_day": 5.0}])
def test_a_limited_key_is_refused_where_no_model_can_be_read(store: ObjectStore, house: House, fields: dict) -> None:
    person = Person(house, "limited", **fields)
    house.upstream.for_path("/audio", answer(200, {"text": "hello"}))
    house.upstream.script(None)
    for path, body in (("/v1/moderations", {"input": "x"}), ("/v1/batches", {"endpoint": "/v1/chat/completions"})):
        response = person.ask("POST", path, body)
        assert response.status_code == 403
        assert response.json["error"]["code"] == "model_unreadable"
    assert house.upstream.requests == []
    data = form(file=b"RIFF", model="gpt-4o-transcribe")
    assert person.ask("POST", "/v1/audio/transcriptions", data=data, content_type=FORM).status_code == 200
    if "allowed_models" in fields:
        data = form(file=b"RIFF", model="whisper-1")
        response = person.ask("POST", "/v1/audio/transcriptions", data=data, content_type=FORM)
        assert (response.status_code, response.json["error"]["code"]) == (403, "model_not_allowed")
    house.upstream.script(store)
    assert person.upload()


def test_anonymous_callers_may_ask_models_and_hold_nothing(house: House, store: ObjectStore) -> None:
    house.set(allow_anonymous=True)
    stranger = Client(house.app)
    data = orjson.dumps({"model": "gpt-4o", "input": "hi"})
    response = stranger.post("/v1/responses", data=data, content_type="application/json")
    assert response.status_code == 200
    assert stranger.get(f"/v1/responses/{response.json['id']}").status_code == 401
    assert stranger.post("/v1/files", data=form(file=b"x"), content_type=FORM).status_code == 401
    assert house.client.get(f"/v1/responses/{response.json['id']}", headers=house.headers()).status_code == 404


def test_a_callers_own_key_goes_where_it_likes(house: House, store: ObjectStore) -> None:
    house.set(allow_byok=True)
    headers = {"Authorization": "Bearer sk-proj-my-own-key"}
    made = house.client.post("/v1/files", data=form(file=b"x"), content_type=FORM, headers=headers).json
    assert house.client.get(f"/v1/files/{made['id']}", headers=headers).json["id"] == made["id"]
    assert len(house.client.get("/v1/files", headers=headers).json["data"]) == 1
    assert store.made == {f"files/{made['id']}": "sk-proj-my-own-key"}
    assert not house.keypool.affinity


# -- retries ----------------------------------------------------------------------------------------------------


def test_what_makes_something_is_not_sent_again_where_it_may_have_arrived(house: House) -> None:
    house.add_keys(*OPENAI_KEYS[:3])
    person = Person(house, "ann")
    for trouble in (close_before_head(), openai_error(500, None, "Oops.")):
        house.upstream.requests.clear()
        house.upstream.script(trouble)
        assert person.ask("POST", "/v1/batches", {"endpoint": "/x"}).status_code in (500, 502)
        assert len(house.upstream.requests) == 1
    house.upstream.requests.clear()
    house.upstream.script(None)
    house.upstream.for_key(OPENAI_KEYS[0], openai_error(429, "insufficient_quota"))
    house.upstream.for_path("/batches", answer(200, {"id": "batch_1", "object": "batch"}))
    for _ in range(3):
        assert person.ask("POST", "/v1/batches", {"endpoint": "/x"}).status_code == 200


def test_a_large_form_is_sent_again_whole_to_the_next_key(house: House) -> None:
    house.add_keys(*OPENAI_KEYS[:3])
    house.keypool.inventory.update_pool(house.default_pool_id, aliases={"w": "whisper-1"})
    for key in OPENAI_KEYS[:2]:
        house.upstream.for_key(key, openai_error(401, "invalid_api_key"))
    house.upstream.for_path("/audio", answer(200, {"text": "hello", "usage": {"input_tokens": 9, "output_tokens": 3}}))
    large = bytes(range(256)) * 20_000
    data = form(file=large, model="w", language="en")
    response = house.client.post("/v1/audio/transcriptions", data=data, content_type=FORM, headers=house.headers())
    assert response.json["text"] == "hello"
    assert [len(house.upstream.requests_of(key)) for key in OPENAI_KEYS[:3]] == [1, 1, 1]
    expected = form(file=large, model="whisper-1", language="en")
    for request in house.upstream.requests:
        assert request.body == expected
    record = house.records()[0]
    assert (record["model_asked"], record["tokens_in"], record["attempts"]) == ("w", 9, 3)


def test_too_large_a_form_is_413_and_uses_no_key(house: House) -> None:
    house.add_keys(OPENAI_KEYS[0])
    house.set(max_body_mb=1)
    data = form(file=b"x" * 1_100_000, model="whisper-1")
    response = house.client.post("/v1/audio/transcriptions", data=data, content_type=FORM, headers=house.headers())
    assert response.status_code == 413
    assert house.upstream.requests == []


@pytest.mark.parametrize(
    "data",
    [
        form(model="gpt-4o-transcribe", file=b"x") + b"",
        form(model="a")[:-20],
        form(model="a").replace(b"--x-y-z--\r\n", b"") + form(model="b"),
        b"--x-y-z\r\nContent-Disposition: form-data; name=\"model\"; name*=utf-8''x\r\n\r\na\r\n--x-y-z--\r\n",
        b"no form at all",
    ],
    ids=["good", "cut", "two models", "two names", "no form"],
)
def test_a_form_that_two_readers_may_read_in_two_ways_is_refused(house: House, data: bytes, request) -> None:
    house.add_keys(OPENAI_KEYS[0])
    house.upstream.for_path("/audio", answer(200, {"text": "hello"}))
    response = house.client.post("/v1/audio/transcriptions", data=data, content_type=FORM, headers=house.headers())
    good = "good" in request.node.name
    assert response.status_code == (200 if good else 400)
    assert len(house.upstream.requests) == good


# -- streams ----------------------------------------------------------------------------------------------------


def test_a_stream_that_begins_with_an_error_moves_on_to_another_key(house: House) -> None:
    house.add_keys(*OPENAI_KEYS[:2])
    failed = {
        "type": "response.failed",
        "response": {"id": "resp_1", "error": {"code": "server_error", "message": "x"}},
    }
    spent = {"type": "error", "code": "insufficient_quota", "message": "You exceeded your quota."}
    usage = {"input_tokens": 1, "output_tokens": 1}
    good = [
        {"type": "response.created", "response": {"id": "resp_2", "object": "response"}},
        {"type": "response.output_text.delta", "delta": "hi"},
        {"type": "response.completed", "response": {"id": "resp_2", "usage": usage}},
    ]
    for bad in (failed, spent):
        house.upstream.requests.clear()
        house.upstream.for_key(OPENAI_KEYS[0], sse([good[0], bad]))
        house.upstream.for_key(OPENAI_KEYS[1], sse(good))
        for _ in range(2):
            response = house.post("/v1/responses", {"model": "gpt-4o", "input": "hi", "stream": True})
            assert response.data.count(b"response.completed") == 1
            assert b"response.failed" not in response.data


def test_a_responses_stream_that_breaks_off_ends_with_an_error_event(house: House) -> None:
    house.add_keys(OPENAI_KEYS[0])
    events = [{"type": "response.created", "response": {}}, {"type": "response.output_text.delta", "delta": "hi"}]
    house.upstream.script(sse(events))
    response = house.post("/v1/responses", {"model": "gpt-4o", "input": "hi", "stream": True})
    head, _, last = response.data.rstrip().rpartition(b"data: ")
    told = orjson.loads(last)
    assert head.endswith(b"event: error\n")
    assert (told["type"], told["code"], told["param"]) == ("error", "upstream_stream_interrupted", None)
    assert type(told["sequence_number"]) is int


def test_streams_nobody_knows_pass_event_by_event_to_their_end(house: House) -> None:
    house.add_keys(OPENAI_KEYS[0])
    for events in (
        [{"object": "thread.run", "id": "run_1"}, {"object": "thread.message.delta", "delta": {"content": "x"}}],
        [
            {"type": "image_generation.partial_image", "b64_json": "A" * 2_000_000},
            {"type": "image_generation.completed"},
        ],
        [{"anything": 1}],
    ):
        house.upstream.script(sse(events))
        response = house.post("/v1/images/generations", {"model": "gpt-image-1", "prompt": "x", "stream": True})
        assert response.status_code == 200
        assert [orjson.loads(part[6:]) for part in response.data.split(b"\n\n") if part] == events


def test_a_stream_answered_in_one_piece_is_that_piece(house: House) -> None:
    house.add_keys(OPENAI_KEYS[0])
    house.upstream.script(answer(201, {"id": "x"}))
    response = house.post("/v1/responses", {"model": "gpt-4o", "input": "hi", "stream": True})
    assert (response.status_code, response.json) == (201, {"id": "x"})


def test_an_answer_without_a_body_stays_without(house: House) -> None:
    house.add_keys(OPENAI_KEYS[0])
    raw = Person(house, "raw", permissions=["raw"])
    house.upstream.script(answer(204))
    response = raw.ask("DELETE", "/v1/organization/x")
    assert (response.status_code, response.data) == (204, b"")
    assert "Content-Length" not in response.headers


def test_silence_before_an_answer_in_one_piece_is_kept_alive_and_then_told_as_an_event(house: House) -> None:
    house.add_keys(OPENAI_KEYS[0])
    house.set(heartbeat_s=0.05)
    house.upstream.script(stall(0.2, then=answer(200, {"id": "x"})))
    response = house.post("/v1/responses", {"model": "gpt-4o", "input": "hi", "stream": True})
    assert response.data.startswith(b"\n")
    assert response.data.strip() == b'data: {"id": "x"}'


def test_a_response_that_is_followed_from_the_outside_is_kept_alive_too(store: ObjectStore, ann: Person) -> None:
    made = ann.ask("POST", "/v1/responses", {"model": "gpt-4o", "input": "hi", "background": True}).json["id"]
    ann.house.set(heartbeat_s=0.05)
    events = [{"type": "response.output_text.delta", "delta": "hi"}, {"type": "response.completed", "response": {}}]
    ann.house.upstream.script(stall_after(sse(events), 0.2, events=1))
    response = ann.ask("GET", f"/v1/responses/{made}?stream=true")
    assert [orjson.loads(part[6:]) for part in response.data.split(b"\n") if part] == events
    assert b"\n\n\n" in response.data


def test_no_heartbeat_gets_into_a_binary_answer(house: House) -> None:
    house.add_keys(OPENAI_KEYS[0])
    house.set(heartbeat_s=0.05)
    spoken = pieces([b"ID3", b"\x00\x01", b"end"], headers={"Content-Type": "audio/mpeg"})
    house.upstream.script(stall_after(spoken, 0.2, events=1))
    response = house.post("/v1/audio/speech", {"model": "tts-1", "input": "hello", "stream": True})
    assert response.data == b"ID3\x00\x01end"


def test_lists_and_objects_take_part_in_limits_and_give_back_what_they_took(store: ObjectStore, house: House) -> None:
    person = Person(house, "one at a time", concurrency_limit=1, tpm_limit=10_000)
    for _ in range(3):
        assert person.ask("GET", "/v1/batches").status_code == 200
        name = person.upload()
        assert person.ask("GET", f"/v1/files/{name}").headers["X-Ratelimit-Remaining-Tokens"] == "10000"
        assert person.ask("GET", "/v1/files/file-unknown").status_code == 404


def test_a_chat_follows_its_file_and_may_not_use_another_clients(store: ObjectStore, ann: Person, bob: Person) -> None:
    name = ann.upload()
    content = [{"type": "file", "file": {"file_id": name}}]
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": content}]}
    for _ in range(4):
        assert ann.ask("POST", "/v1/chat/completions", body).status_code == 200
        assert ann.house.upstream.requests[-1].key == store.made[f"files/{name}"]
    response = bob.ask("POST", "/v1/chat/completions", body)
    assert (response.status_code, response.json["error"]["param"]) == (404, "file_id")
    content[0]["file"]["file_id"] = "file-made-elsewhere"
    assert bob.ask("POST", "/v1/chat/completions", body).status_code == 200


def test_no_sql_runs_where_objects_are_looked_up(store: ObjectStore, ann: Person, house: House) -> None:
    name = ann.upload()
    before = house.keypool.database.statements
    ann.upload()
    ann.ask("GET", f"/v1/files/{name}")
    ann.ask("GET", "/v1/files")
    ann.ask("POST", "/v1/batches", {"input_file_id": name})
    ann.ask("DELETE", f"/v1/files/{name}")
    assert house.keypool.database.statements == before

"""The door of the proxy: credentials, limits, bad input, and what never passes in either direction."""

from __future__ import annotations

import base64

import gevent
import pytest

from pool.models import ModelList
from pool.relay import Caller
from tests.house import GEMINI_KEYS, OPENAI_KEYS, House
from tests.upstream import gemini_error

CHAT = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Hello"}]}
NATIVE = {"contents": [{"parts": [{"text": "Hello"}]}]}
GENERATE = "/v1beta/models/gemini-2.5-flash:generateContent"


@pytest.fixture
def stocked(house: House) -> House:
    house.add_keys(*GEMINI_KEYS[:2], OPENAI_KEYS[0])
    return house


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"Authorization": "Bearer {key}"}, ""),
        ({"Authorization": "bearer {key}"}, ""),
        ({"Authorization": "{key}"}, ""),
        ({"x-goog-api-key": "{key}"}, ""),
        ({"x-api-key": "{key}"}, ""),
        ({}, "?key={key}"),
        ({}, "?apikey={key}"),
        ({"Authorization": "Bearer not-needed"}, "?key={key}"),
        ({"Authorization": "Bearer not-needed", "x-goog-api-key": "{key}"}, ""),
    ],
    ids=["bearer", "lower case", "raw", "goog", "x-api-key", "?key", "?apikey", "second place", "behind a dummy"],
)
def test_a_client_key_is_found_in_every_place_and_removed_from_it(stocked: House, headers, query) -> None:
    key = stocked.auth_key
    headers = {name: value.format(key=key) for name, value in headers.items()}
    for path, body in (("/v1/chat/completions", CHAT), (GENERATE, NATIVE)):
        response = stocked.post(path + query.format(key=key), body, headers=headers)
        assert response.status_code == 200
        sent = stocked.upstream.requests[-1]
        assert key not in str(sent.headers) + sent.path
        assert "not-needed" not in str(sent.headers)
        assert sent.key in GEMINI_KEYS


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer sk-nobody"}, {"Authorization": "Basic eDp5"}])
def test_a_stranger_is_refused_in_the_routes_own_dialect(stocked: House, headers) -> None:
    openai = stocked.post("/v1/chat/completions", CHAT, headers=headers)
    assert openai.status_code == 401
    assert openai.json["error"]["code"] == "invalid_api_key"
    gemini = stocked.post(GENERATE, NATIVE, headers=headers)
    assert gemini.status_code == 401
    assert gemini.json["error"]["status"] == "UNAUTHENTICATED"
    assert gemini.json["error"]["details"][0]["reason"] == "API_KEY_INVALID"
    assert stocked.upstream.requests == []


def test_what_a_client_sends_of_itself_goes_no_further(stocked: House) -> None:
    own = {
        "Cookie": "session=abc", "X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9", "Via": "1.1 x",
        "X-Goog-User-Project": "mine", "OpenAI-Organization": "org-mine", "Referer": "https://example.com/secret",
    }  # fmt: skip
    stocked.post("/v1/chat/completions", CHAT, headers=stocked.headers(**own))
    stocked.post(GENERATE, NATIVE, headers=stocked.headers(**own))
    stocked.post("/v1/chat/completions", CHAT | {"model": "gpt-4o"}, headers=stocked.headers(**own))
    assert len(stocked.upstream.requests) == 3
    for sent in stocked.upstream.requests:
        assert not {name.lower() for name in own} & set(sent.headers)
        assert sent.headers["user-agent"].startswith("keypool/")
        assert "key=" not in sent.path


def test_every_answer_names_its_request_and_forbids_a_browser_to_run_it(stocked: House) -> None:
    answers = [
        stocked.chat(),
        stocked.chat(stream=True),
        stocked.post("/v1/chat/completions", CHAT, headers={}),
        stocked.client.get("/v1/nothing"),
        stocked.client.options("/v1/chat/completions"),
    ]
    for answer in answers:
        assert answer.headers["X-Keypool-Request-Id"].startswith("req_")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert len({answer.headers["X-Keypool-Request-Id"] for answer in answers}) == len(answers)
    assert answers[-1].status_code == 204
    assert answers[1].headers["X-Accel-Buffering"] == "no"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{", None),
        (b"", None),
        (b"[]", None),
        (b'"text"', None),
        (b"\xff\xfe", None),
        (b"[" * 100_000, None),
        ({"messages": []}, "model"),
        ({"model": "", "messages": []}, "model"),
        ({"model": 7, "messages": []}, "model"),
        ({"model": "gemini-2.5-flash"}, "messages"),
        ({"model": "gemini-2.5-flash", "messages": "hello"}, "messages"),
        ({"model": "gemini-2.5-flash", "messages": [], "stream": "yes"}, "stream"),
    ],
)
def test_bad_input_is_400_names_the_field_and_uses_no_key(stocked: House, body, param) -> None:
    response = stocked.post("/v1/chat/completions", body)
    assert response.status_code == 400
    error = response.json["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    if param:
        assert error["param"] == param
    assert stocked.upstream.requests == []


def test_wrong_methods_and_unknown_paths_are_errors_in_the_dialect(stocked: House) -> None:
    response = stocked.client.get("/v1/chat/completions", headers=stocked.headers())
    assert response.status_code == 405
    assert response.headers["Allow"] == "POST"
    assert response.json["error"]["code"] == "method_not_allowed"
    assert stocked.client.get("/v1", headers=stocked.headers()).json["error"]["code"] == "not_found"
    gemini = stocked.post("/v1beta/models/m:inventedVerb", NATIVE)
    assert gemini.status_code == 404
    assert gemini.json["error"]["status"] == "NOT_FOUND"


def test_a_switched_off_pool_and_a_model_outside_the_list_are_403(stocked: House) -> None:
    inventory = stocked.keypool.inventory
    inventory.update_pool(stocked.default_pool_id, allowed_models=["gemini-2.5-*"])
    assert stocked.chat("gemini-2.5-pro").status_code == 200
    refused = stocked.chat("gemini-1.5-pro")
    assert refused.status_code == 403
    assert refused.json["error"]["code"] == "model_not_allowed"
    native = stocked.generate("gemini-1.5-pro")
    assert native.json["error"]["status"] == "PERMISSION_DENIED"
    assert {row["id"] for row in stocked.client.get("/v1/models", headers=stocked.headers()).json["data"]} == {
        "gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite"
    }  # fmt: skip
    inventory.update_pool(stocked.default_pool_id, enabled=False)
    assert stocked.chat("gemini-2.5-pro").json["error"]["code"] == "pool_disabled"


def test_a_listed_model_may_be_written_in_every_way_it_goes_by(stocked: House) -> None:
    listed = ["gemini-2.5-flash"]
    stocked.keypool.inventory.update_pool(stocked.default_pool_id, allowed_models=listed)
    ways = ("models/gemini-2.5-flash", "gemini-2.5-flash:search", "gemini/gemini-2.5-flash")
    assert [stocked.chat(way).status_code for way in ways] == [200, 200, 200]
    others = ("gemini-2.5-pro:search", "gemini/gemini-2.5-pro", "elsewhere/gemini-2.5-flash")
    assert [stocked.chat(other).status_code for other in others] == [403, 403, 403]


def test_anonymous_callers_are_let_in_only_where_a_setting_says_so(stocked: House) -> None:
    assert stocked.post("/v1/chat/completions", CHAT, headers={}).status_code == 401
    stocked.set(allow_anonymous=True)
    assert stocked.post("/v1/chat/completions", CHAT, headers={}).status_code == 200
    assert stocked.post("/v1/chat/completions", CHAT, headers={"Authorization": "Bearer not-needed"}).status_code == 200


def test_a_revoked_client_key_is_refused_even_where_anonymous_callers_are_not(stocked: House) -> None:
    client_id, token = stocked.keypool.inventory.create_client("ana", stocked.default_pool_id)
    headers = {"Authorization": f"Bearer {token}"}
    assert stocked.post("/v1/chat/completions", CHAT, headers=headers).status_code == 200
    stocked.keypool.inventory.revoke_client(client_id)
    stocked.set(allow_anonymous=True)
    assert stocked.post("/v1/chat/completions", CHAT, headers=headers).status_code == 401


def test_a_callers_own_key_goes_through_only_where_a_setting_says_so(stocked: House) -> None:
    own = "AIzaSyMyVeryOwnKey0000000000000000000000"
    headers = {"x-goog-api-key": own}
    assert stocked.post(GENERATE, NATIVE, headers=headers).status_code == 401
    stocked.set(allow_byok=True)
    assert stocked.post(GENERATE, NATIVE, headers=headers).status_code == 200
    assert stocked.upstream.requests[-1].key == own
    assert stocked.post("/v1/chat/completions", CHAT, headers={"Authorization": f"Bearer {own}"}).status_code == 200
    assert stocked.post("/v1/chat/completions", CHAT, headers={"Authorization": "Bearer sk-pool-x"}).status_code == 401
    assert own not in str(stocked.records())


def test_models_are_listed_in_the_dialect_the_caller_presents_itself_in(stocked: House) -> None:
    key = stocked.auth_key
    openai = stocked.client.get("/v1/models", headers=stocked.headers()).json
    assert openai["object"] == "list"
    assert {"gemini-2.5-flash", "gpt-4o-mini"} <= {row["id"] for row in openai["data"]}
    for path, headers in ((f"/v1beta/models?key={key}", {}), ("/v1/models", {"x-goog-api-key": key})):
        google = stocked.client.get(path, headers=headers).json
        assert "models/gemini-2.5-flash" in {row["name"] for row in google["models"]}
        assert not any("gpt" in row["name"] for row in google["models"])
    assert "data" in stocked.client.get(f"/v1beta/openai/models?key={key}").json
    one = stocked.client.get("/v1beta/models/gemini-2.5-flash", headers={"x-goog-api-key": key}).json
    assert one["name"] == "models/gemini-2.5-flash"
    missing = stocked.client.get("/v1/models/none", headers=stocked.headers())
    assert missing.status_code == 404
    assert missing.json["error"]["code"] == "model_not_found"


def test_the_list_of_models_is_fetched_once_and_all_its_pages(stocked: House) -> None:
    for _ in range(3):
        stocked.client.get("/v1/models", headers=stocked.headers())
    asked = [request.path for request in stocked.upstream.requests]
    assert len(asked) == len(set(asked))
    assert any("pageToken" in path for path in asked)
    assert stocked.records() == []


def test_a_gemini_caller_of_a_pool_without_gemini_keys_gets_404_in_googles_shape(house: House) -> None:
    house.add_keys(OPENAI_KEYS[0])
    response = house.generate()
    assert response.status_code == 404
    assert response.json["error"]["status"] == "NOT_FOUND"


def test_strange_models_follow_the_setting(house: House) -> None:
    house.add_keys(GEMINI_KEYS[0])
    assert house.chat("gpt-4o").status_code == 200
    assert "gpt-4o" in house.upstream.requests[-1].path
    house.set(unknown_model_policy="default")
    assert house.chat("gpt-4o").status_code == 200
    assert "gemini-2.5-flash" in house.upstream.requests[-1].path
    assert house.post("/v1/chat/completions", {"messages": CHAT["messages"]}).status_code == 200
    house.set(unknown_model_policy="reject")
    assert house.chat("gpt-4o").json["error"]["code"] == "model_not_found"


def test_aliases_and_explicit_providers_route(stocked: House) -> None:
    stocked.keypool.inventory.update_pool(stocked.default_pool_id, aliases={"fast": "gemini-2.5-flash"})
    stocked.chat("fast")
    assert "gemini-2.5-flash" in stocked.upstream.requests[-1].path
    stocked.chat("openai/gemini-like")
    assert b'"model":"gemini-like"' in stocked.upstream.requests[-1].body.replace(b" ", b"")


def test_googles_own_openai_layer_is_used_where_the_environment_names_it(instance_template, tmp_path) -> None:
    from tests.house import open_house

    with open_house(instance_template, tmp_path / "instance") as house:
        url = house.upstream.url + "/v1beta/openai"
        house.keypool.inventory.found({"openai": url})
        house.add_keys(GEMINI_KEYS[0])
        assert house.chat().status_code == 200
        sent = house.upstream.requests[-1]
        assert sent.path == "/v1beta/openai/chat/completions"
        assert sent.headers["authorization"] == f"Bearer {GEMINI_KEYS[0]}"
        assert house.generate().status_code == 200
        assert house.upstream.requests[-1].headers["x-goog-api-key"] == GEMINI_KEYS[0]


def test_open_webui_is_answered(stocked: House) -> None:
    assert stocked.post("/api/chat/completed", {}).json == {"success": True, "message": "Chat completed"}
    assert stocked.post("/api/chat/completed", {}, headers={}).status_code == 401


def test_embeddings_come_for_every_input_and_in_base64(stocked: House) -> None:
    ask = {"model": "gemini-embedding-001", "input": ["one", "two", "three"]}
    rows = stocked.post("/v1/embeddings", ask).json["data"]
    assert [row["index"] for row in rows] == [0, 1, 2]
    packed = stocked.post("/v1/embeddings", ask | {"encoding_format": "base64"}).json["data"][0]["embedding"]
    assert len(base64.b64decode(packed)) == 4 * len(rows[0]["embedding"])


def test_health_says_degraded_without_keys_and_fails_only_when_strict(house: House) -> None:
    assert house.client.get("/healthz").json == {"status": "ok"}
    poor = house.client.get("/health")
    assert (poor.status_code, poor.json["status"]) == (200, "degraded")
    assert house.client.get("/health?strict=1").status_code == 503
    house.add_keys(GEMINI_KEYS[0])
    assert house.client.get("/health?strict=1").json["checks"]["available_keys"] == 1
    assert house.client.get("/").json["endpoints"]


def test_a_list_of_models_with_a_provider_missing_is_asked_for_again_soon(stocked: House) -> None:
    """By a clock of its own: the list is stale after half a minute, and whole on the look after the refresh."""
    keypool, moments = stocked.keypool, [1000.0]
    models = ModelList(
        keypool.relay, keypool.catalogue, lambda: keypool.preferences.current, lambda: moments[-1], lambda work: work()
    )
    caller = Caller(keypool.catalogue.pools[stocked.default_pool_id])
    down = gemini_error(503)
    stocked.upstream.script(lambda request: down if "pageSize" in request.path else None)
    assert {model.provider for model in models.of(caller)} == {"openai"}
    stocked.upstream.script(None)
    moments.append(1029.0)
    assert {model.provider for model in models.of(caller)} == {"openai"}
    moments.append(1031.0)
    models.of(caller)
    assert {model.provider for model in models.of(caller)} == {"gemini", "openai"}


def test_many_who_ask_for_the_models_at_once_cause_one_fetch(stocked: House) -> None:
    asking = [gevent.spawn(stocked.client.get, "/v1/models", headers=stocked.headers()) for _ in range(10)]
    gevent.joinall(asking, timeout=10)
    assert all(each.value.json["data"] for each in asking)
    asked = [request.path for request in stocked.upstream.requests]
    assert len(asked) == len(set(asked))


def test_odd_names_of_models_are_refused_or_arrive_as_they_were_meant(stocked: House) -> None:
    long = stocked.chat("gemini-" + "x" * 70_000)
    assert (long.status_code, long.json["error"]["param"]) == (400, "model")
    stocked.generate("gemini-%C3%A9")
    assert "gemini-%C3%A9:" in stocked.upstream.requests[-1].path
    for name in ("gemini-x\r\nX-Evil: 1", "gemini-x?key=1", "gemini-../../x", "gemini-x#y"):
        stocked.chat(name)
        sent = stocked.upstream.requests[-1]
        assert "x-evil" not in sent.headers
        assert sent.path.startswith("/v1beta/models/gemini-")
        assert "?" not in sent.path


def test_a_strategy_in_the_query_is_ours_alone(stocked: House) -> None:
    assert stocked.generate(query="?strategy=random&alt=json").status_code == 200
    assert stocked.upstream.requests[-1].path.endswith("?alt=json")


def test_embeddings_know_no_streams(stocked: House) -> None:
    for model in ("gemini-embedding-001", "text-embedding-3-small"):
        response = stocked.post("/v1/embeddings", {"model": model, "input": "x", "stream": True})
        assert response.status_code == 200
        assert response.json["data"]


def test_pages_name_their_requests_too(house: House) -> None:
    for path in ("/login", "/nowhere", "/healthz"):
        assert house.client.get(path).headers["X-Keypool-Request-Id"].startswith("req_")


@pytest.mark.parametrize(
    "secret", ["AIza with a space aaaaaaaaaaaaaaaaa", "AIzaSyé" + "a" * 30, "AIza\r\nX: y" + "a" * 20]
)
def test_a_key_no_header_can_carry_is_not_stored(house: House, secret: str) -> None:
    with pytest.raises(ValueError, match="outside ASCII"):
        house.add_keys(secret)
    assert house.keypool.catalogue.keys == {}

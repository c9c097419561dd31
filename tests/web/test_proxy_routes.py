"""The map of client routes: the fast matcher and Flask's URL map must mean the same."""

from __future__ import annotations

import pytest
from werkzeug.exceptions import NotFound

from pool.core.calls import GEMINI, OPENAI
from pool.web.proxy.routes import RULES, match
from tests.house import House

CHAT_PATHS = ["/v1", "", "/api", "/v1beta", "/v1alpha", "/v2", "/v1beta/openai"]
NATIVE_PATHS = ["/v1beta", "/v1alpha", "/v1", ""]


@pytest.mark.parametrize("prefix", CHAT_PATHS)
def test_openai_routes_are_known_under_every_prefix(prefix: str) -> None:
    assert match("POST", prefix + "/chat/completions").operation == "chat"
    assert match("POST", prefix + "/chat/completions/").operation == "chat"
    assert match("POST", prefix + "/embeddings").operation == "embeddings"
    assert match("GET", prefix + "/models").operation == "models"
    found = match("GET", prefix + "/models/gemini-2.5-flash")
    assert (found.operation, found.model, found.dialect) == ("model", "gemini-2.5-flash", OPENAI)


@pytest.mark.parametrize("prefix", NATIVE_PATHS)
@pytest.mark.parametrize(
    ("verb", "operation"),
    [
        ("generateContent", "generate"),
        ("streamGenerateContent", "stream_generate"),
        ("countTokens", "count_tokens"),
        ("embedContent", "embed"),
        ("batchEmbedContents", "batch_embed"),
    ],
)
def test_gemini_routes_are_known_under_every_prefix(prefix: str, verb: str, operation: str) -> None:
    found = match("POST", f"{prefix}/models/gemini-2.5-pro:{verb}")
    assert (found.operation, found.model, found.dialect) == (operation, "gemini-2.5-pro", GEMINI)
    assert found.version == (prefix[1:] or None)


def test_a_model_name_may_hold_slashes() -> None:
    assert match("GET", "/v1/models/meta-llama/llama-3-8b").model == "meta-llama/llama-3-8b"
    assert match("POST", "/v1beta/models/publishers/google/models/x:generateContent").operation == "generate"


def test_a_wrong_method_is_told_the_right_one() -> None:
    assert match("GET", "/v1/chat/completions").allow == "POST"
    assert match("POST", "/v1/models").allow == "GET"
    assert match("GET", "/v1beta/models/m:generateContent").allow == "POST"
    assert match("HEAD", "/v1/models").allow is None


def test_unknown_paths_below_an_api_prefix_are_answered_in_its_dialect() -> None:
    assert match("GET", "/v1/nothing").dialect == OPENAI
    assert match("POST", "/v1beta/nothing").dialect == GEMINI
    assert match("POST", "/v1beta/models/m:inventedVerb").dialect == GEMINI


@pytest.mark.parametrize(
    "path", ["/", "/login", "/keys", "/dashboard", "/admin/keys", "/api/pools", "/health", "/static/style.css"]
)
def test_pages_and_management_are_nobody_elses(path: str) -> None:
    assert match("GET", path) is None
    assert match("POST", path) is None


def sample(rule: str) -> str:
    return (
        rule.replace("<version:version>", "v1alpha")
        .replace("<path:model_and_verb>", "gemini-2.5-flash:generateContent")
        .replace("<path:model>", "gemini-2.5-flash")
    )


def test_no_two_rules_of_the_url_map_clash(house: House) -> None:
    seen: dict[tuple[str, str], str] = {}
    for rule in house.app.url_map.iter_rules():
        for method in rule.methods - {"HEAD", "OPTIONS"}:
            place = (method, rule.rule)
            assert place not in seen, f"{place} is both {seen.get(place)} and {rule.endpoint}"
            seen[place] = rule.endpoint


def test_the_blueprint_and_the_matcher_know_the_same_routes(house: House) -> None:
    urls = house.app.url_map.bind("localhost")
    for rule, method, operation in RULES:
        path = sample(rule)
        endpoint, _ = urls.match(path, method)
        assert endpoint.startswith("proxy."), path
        found = match(method, path)
        assert found is not None, path
        assert found.allow is None, path
        assert operation in (found.operation, "native"), path


def test_every_page_is_out_of_the_matchers_reach(house: House) -> None:
    for rule in house.app.url_map.iter_rules():
        if rule.endpoint.startswith("proxy.") or rule.arguments:
            continue
        for method in rule.methods:
            assert match(method, rule.rule) is None, rule


def test_flask_serves_the_client_routes_too_when_asked_directly(house: House) -> None:
    urls = house.app.url_map.bind("localhost")
    with pytest.raises(NotFound):
        urls.match("/v1/nothing", "GET")
    with house.app.test_request_context("/v1/models", headers=house.headers()):
        response = house.app.full_dispatch_request()
    assert response.get_json() == {"object": "list", "data": []}

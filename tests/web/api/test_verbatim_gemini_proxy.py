"""The document of the Gemini proxy: its variables, its two styles, and its page of figures."""

import pytest

from tests.house import GEMINI_KEYS, open_house
from tests.upstream import SAYS, gemini_error
from tests.web.api.verbatim import Caller
from tests.web.visitor import Visitor

CLIENT = "a-key-of-my-own-choosing"
CHAT = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Hello"}]}
GENERATE = {"contents": [{"parts": [{"text": "Hello"}]}]}
DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
REASON = "You exceeded your current quota."


@pytest.fixture
def proxy(instance_template, tmp_path):
    """Started by the variables of that document."""
    variables = {"API_KEYS": ",".join(GEMINI_KEYS[:2]), "PROXY_API_KEY": CLIENT}
    with open_house(instance_template, tmp_path / "proxy", **variables) as house:
        yield house


def test_openai_style_with_a_bearer_key(proxy):
    program = Caller(proxy, Authorization=f"Bearer {CLIENT}")
    for path in ("/chat/completions", "/v1beta/openai/chat/completions", "/v1/chat/completions"):
        assert program("POST", path, CHAT)["choices"][0]["message"]["content"] == "".join(SAYS)


def test_gemini_style_with_a_key_in_the_query_or_a_header(proxy):
    path = "/v1beta/models/gemini-2.5-flash:generateContent"
    Caller(proxy)("POST", f"{path}?key={CLIENT}", GENERATE)
    Caller(proxy, x_goog_api_key=CLIENT)("POST", path, GENERATE)
    Caller(proxy)("POST", f"{path.removeprefix('/v1beta')}?key={CLIENT}", GENERATE)
    for request in proxy.upstream.requests:
        assert CLIENT not in f"{request.path} {request.headers}"
        assert request.headers["x-goog-api-key"] in GEMINI_KEYS[:2]


def test_a_program_without_the_key_is_refused(proxy):
    Caller(proxy)("POST", "/chat/completions", CHAT, 401)
    Caller(proxy, Authorization="Bearer another")("POST", "/chat/completions", CHAT, 401)
    Caller(proxy)("POST", "/v1beta/models/gemini-2.5-flash:generateContent?key=another", GENERATE, 401)


def test_openai_style_goes_to_googles_own_openai_endpoint_where_that_is_the_upstream(instance_template, tmp_path):
    with open_house(instance_template, tmp_path / "first") as first:
        upstream = first.upstream
        variables = {
            "API_KEYS": GEMINI_KEYS[0],
            "PROXY_API_KEY": CLIENT,
            "GEMINI_UPSTREAM_URL": f"{upstream.url}/v1beta",
            "OPENAI_UPSTREAM_URL": f"{upstream.url}/v1beta/openai",
        }
        with open_house(instance_template, tmp_path / "proxy", **variables) as proxy:
            Caller(proxy, Authorization=f"Bearer {CLIENT}")("POST", "/chat/completions", CHAT)
        (request,) = upstream.requests
        assert request.path == "/v1beta/openai/chat/completions"
        assert request.headers["authorization"] == f"Bearer {GEMINI_KEYS[0]}"


def test_the_page_of_figures_marks_what_is_spent_and_says_why(proxy):
    program = Caller(proxy, Authorization=f"Bearer {CLIENT}")
    for _ in range(2):
        program("POST", "/chat/completions", CHAT)
    proxy.upstream.for_key(GEMINI_KEYS[0], gemini_error(429, message=REASON, quota_id=DAY))
    for _ in range(2):
        program("POST", "/chat/completions", CHAT)
    proxy.records()
    page = Visitor(proxy).see("/stat")
    assert "gemini-2.5-flash" in page.text
    assert REASON in page.text
    assert any("data-spent" in node.attrs for node in page.nodes)


def test_its_list_of_figures_shows_no_key_in_full(proxy):
    Caller(proxy, Authorization=f"Bearer {CLIENT}")("POST", "/chat/completions", CHAT)
    proxy.records()
    assert Caller(proxy)("GET", "/model_usage", status=302) is not None
    answer = Visitor(proxy).get("/model_usage", headers={"Accept": "application/json"}, follow_redirects=True)
    assert answer.status_code == 200
    assert not any(key in answer.text for key in GEMINI_KEYS[:2])

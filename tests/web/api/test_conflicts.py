"""Where predecessors contradicted each other about ways in, health and streams: a row of their table is a test.

The rows about keys, pools, settings and figures stand beside those (C1 to C6, C20 to C22, C27, C28), those about client
routes in `tests/web/test_conflicts.py` (C12 to C16, C25, C26).
"""

import orjson
import pytest

from tests.house import GEMINI_KEYS, PASSWORD
from tests.upstream import gemini_text, sse
from tests.web.visitor import Visitor

HELLO = {"messages": [{"role": "user", "content": "Hello"}]}


def chat(house, **headers):
    return house.post("/v1/chat/completions", {"model": "gemini-2.5-flash", **HELLO}, headers=headers).status_code


def streamed(house, **fields):
    """The events of a streamed answer but the last, which is the end."""
    text = house.chat(stream=True, **fields).text
    *events, end = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    assert end == "[DONE]"
    return [orjson.loads(event) for event in events]


def test_one_answer_to_signing_in_serves_the_clients_of_three(house, passwords):
    """C7."""
    for path in ("/admin/login", "/api/login", "/login"):
        answer = house.app.test_client().post(path, json={"password": PASSWORD})
        told, cookies = answer.json, answer.headers.getlist("Set-Cookie")
        assert told["token"] == told["sessionToken"] == told["data"]["token"]
        assert {"success", "message", "expiresAt"} <= told.keys()
        (cookie,) = [each for each in cookies if each.startswith(f"session={told['token']};")]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        for body, status in (({}, 400), ({"password": "wrong"}, 401)):
            assert house.app.test_client().post(path, json=body).status_code == status


def test_every_way_to_show_the_admin_credential_opens_management(house, passwords):
    """C8."""
    visitor = Visitor(house)
    ways = [{"X-Admin-Key": PASSWORD}, {"Authorization": PASSWORD}, {"Authorization": f"Bearer {PASSWORD}"},
            {"Authorization": f"Bearer {visitor.token}"}, {"Cookie": f"session={visitor.token}"}]  # fmt: skip
    for shown in ways:
        client = house.app.test_client(use_cookies=False)
        assert client.get("/admin/keys", headers=shown).status_code == 200, list(shown)


@pytest.mark.parametrize(
    ("path", "shown", "status", "error"),
    [
        ("/admin/keys", {"X-Admin-Key": "wrong"}, 401, "Unauthorized"),
        ("/admin/keys", {"Authorization": "Bearer wrong"}, 403, "Admin access required"),
        ("/api/pools", {"Authorization": "Bearer wrong"}, 401, "未授权：请先登录"),
        ("/api/tokens", {}, 401, "未授权：请先登录"),
        ("/admin/keys", {}, 401, "Unauthorized"),
    ],
)
def test_who_is_refused_hears_it_as_the_predecessor_would_have_said_it(house, passwords, path, shown, status, error):
    """C9."""
    answer = house.client.get(path, headers=shown)
    told = answer.json["error"]
    assert (answer.status_code, told if isinstance(told, str) else told["message"]) == (status, error)
    assert answer.json["success"] is False


def test_a_person_who_is_refused_is_led_to_sign_in(house):
    """C9."""
    answer = house.client.get("/admin/keys", headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["Location"].split("?")[0]) == (302, "/login")


def test_a_client_credential_is_told_by_what_it_is(house):
    """C10."""
    house.add_keys(GEMINI_KEYS[0])
    own, (_, token) = "AIzaSyMyVeryOwnKey0000000000000000000000", house.keypool.inventory.create_client("ana", 1)
    for known in (house.auth_key, token):
        assert chat(house, Authorization=f"Bearer {known}") == chat(house, Authorization=known) == 200
        assert chat(house, **{"x-goog-api-key": known}) == chat(house, **{"x-api-key": known}) == 200
    assert chat(house) == chat(house, Authorization="Bearer not-needed") == chat(house, Authorization=own) == 401
    house.set(allow_byok=True)
    assert chat(house, Authorization=own) == 200
    assert house.upstream.requests[-1].key == own
    house.set(allow_anonymous=True)
    assert chat(house) == chat(house, Authorization="Bearer not-needed") == 200


def test_below_api_a_route_of_ours_comes_before_a_provider(house, passwords):
    """C11."""
    house.add_keys(GEMINI_KEYS[0])
    admin = {"X-Admin-Key": PASSWORD}
    assert "pools" in house.client.get("/api/pools", headers=admin).json
    assert "data" in house.client.get("/api/models", headers=house.headers()).json
    native = {"contents": [{"parts": [{"text": "Hello"}]}]}
    assert house.post("/api/gemini/models/gemini-2.5-flash:generateContent", native).json["candidates"]
    for word in ("pools", "login", "models", "chat", "tokens", "stats", "logs", "session"):
        body = {"slug": word, "dialect": "openai", "base_url": "https://p.test/v1"}
        assert house.client.post("/admin/providers", json=body, headers=admin).status_code == 400, word


def test_the_root_leads_a_person_in_and_tells_a_program_what_there_is(house):
    """C17."""
    told = house.client.get("/").json
    assert {"message", "name", "version", "endpoints"} <= told.keys()
    html = {"Accept": "text/html"}
    assert house.client.get("/", headers=html).headers["Location"] == "/login"
    assert Visitor(house).client.get("/", headers=html).headers["Location"] == "/dashboard"


def test_health_is_whole_in_every_predecessors_members_and_life_is_asked_elsewhere(house):
    """C18; without an available key it serves still, and is 503 only where that is asked."""
    assert (house.client.get("/health").status_code, house.client.get("/health?strict=1").status_code) == (200, 503)
    house.add_keys(GEMINI_KEYS[0])
    told = house.client.get("/health").json
    assert (told["status"], told["ok"], told["checks"]["available_keys"]) == ("healthy", True, 1)
    assert {"timestamp", "version", "uptime"} <= told.keys()
    assert house.client.get("/healthz").json == {"status": "ok"}
    assert {"models", "version"} <= house.client.get("/status").json.keys()
    assert house.client.get("/wake").status_code == 200


@pytest.mark.parametrize("path", ["/stat", "/model_usage", "/dashboard"])
def test_figures_are_for_the_admin_unless_a_setting_makes_them_public(house, path):
    """C19."""
    house.add_keys(GEMINI_KEYS[0])
    assert house.client.get(path, headers={"Accept": "text/html"}).status_code in (302, 401)
    house.set(public_stats=True)
    shown = house.app.test_client().get(path, headers={"Accept": "text/html"}, follow_redirects=True)
    assert shown.status_code == 200
    assert GEMINI_KEYS[0] not in shown.text
    assert ("/login" in shown.request.path) == (path == "/dashboard")


def test_usage_of_a_stream_comes_in_one_last_chunk_without_choices(house):
    """C23."""
    house.add_keys(GEMINI_KEYS[0])
    *before, last = streamed(house, stream_options={"include_usage": True})
    assert (last["choices"], last["usage"]["total_tokens"] > 0) == ([], True)
    assert all(each["usage"] is None for each in before)


def test_thoughts_stand_beside_the_content_and_never_in_it(house):
    """C24."""
    house.add_keys(GEMINI_KEYS[0])
    body = gemini_text("It is 4.")
    parts = body["candidates"][0]["content"]["parts"]
    parts.insert(0, {"text": "Two and two…", "thought": True})
    house.upstream.script(sse([body]))
    events = streamed(house)
    deltas = [choice["delta"] for event in events for choice in event["choices"]]
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == "Two and two…"
    assert "".join(delta.get("content") or "" for delta in deltas) == "It is 4."

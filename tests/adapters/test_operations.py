"""What operators ask and change, on both databases: a statement that only one of them understands fails here."""

import pytest
from werkzeug.test import Client

from tests.house import GEMINI_KEYS, OPENAI_KEYS, PASSWORD, open_house
from tests.upstream import gemini_error

ADMIN = {"X-Admin-Key": PASSWORD}


@pytest.fixture
def either_house(either_url, instance_template, tmp_path):
    """A house over SQLite, and one over PostgreSQL."""
    variables = {"DATABASE_URL": either_url, "SECRET_KEY": "s" * 32, "KEY_ENCRYPTION_SECRET": "k" * 32}
    more = variables if either_url.startswith("postgresql") else {}
    with open_house(instance_template, tmp_path / "house", ADMIN_PASSWORD=PASSWORD, **more) as house:
        yield house


def test_everything_operators_ask_and_change_goes_well(either_house):
    house, client = either_house, Client(either_house.app)

    def call(method, path, body=None, status=200):
        answer = client.open(path, method=method, json=body, headers=ADMIN)
        assert answer.status_code == status, (path, answer.text[:500])
        return answer.json

    (gemini,) = house.add_keys(GEMINI_KEYS[0], email="ana@mail.test", max_requests=3)
    call("POST", "/admin/providers", {"slug": "local", "base_url": house.upstream.url + "/v1"}, 201)
    house.add_keys(OPENAI_KEYS[0], provider="local")
    for window in ("none", "day", "month"):
        house.keypool.inventory.set_limits([gemini], max_requests_window=window)
        house.chat()
        house.keypool.recorder.drain()
        told = call("GET", "/admin/status?provider=gemini")
        assert (told["availableKeys"], told["keys"][0]["usage"].partition("/")[2]) == (1, "3")
        for scope in ("counters", "stats", "cooldowns", "errors", "all"):
            assert call("POST", "/admin/reset", {"scope": scope})["keys"] == 2
    house.upstream.script(gemini_error(429, retry_delay="60s"))
    house.chat()
    house.keypool.recorder.drain()
    (first, *_) = call("GET", "/admin/requests?status=429&outcome=error&pool=default&limit=1")["requests"]
    assert call("GET", f"/admin/requests/{first['request_id']}")["tries"][0]["status"] == 429
    page = call("GET", "/admin/requests?limit=1")
    assert len(call("GET", f"/admin/requests?after={page['next']}")["requests"]) == 3
    assert call("GET", "/admin/stats?days=1")["data"][0]["gmail_email"] == "ana@mail.test"
    assert call("GET", "/admin/stats")["data"]["usage"]["total_requests"] == 4
    assert call("GET", "/admin/stats/hourly?hours=2")["hours"][-1]["requests"] == 4
    assert call("GET", "/admin/status")["statistics"]["total_keys"] == 2
    text = client.get("/metrics", headers=ADMIN).text
    assert 'keypool_keys{pool="default",state="cooling"} 1' in text
    assert "keypool_time_to_first_token_seconds_count 3" in text
    call("PATCH", "/admin/settings", {"max_attempts": 7})
    assert call("DELETE", "/admin/providers/local?force=1")["deleted_keys"] == 1
    entries = call("GET", "/admin/audit?limit=2")
    assert [each["action"] for each in entries["audit"]] == ["provider.delete", "settings.change"]
    assert call("GET", f"/admin/audit?action=keys.&limit=500&after={entries['next']}")["audit"]
    assert client.get("/model_usage", headers=ADMIN).json[0]["usageCount"] == {"gemini-2.5-flash": 3}

"""How the service stands and what it did, for programs of two predecessors at once: C4, C6, C22."""

import re
import time

import pytest
from sqlalchemy import text

from tests.house import GEMINI_KEYS, OPENAI_KEYS, PASSWORD
from tests.upstream import answer, gemini_error, gemini_text

ADMIN = {"X-Admin-Key": PASSWORD}
STATUS, STATS = "/admin/status", "/admin/stats"


@pytest.fixture
def get(house, passwords):
    client = house.app.test_client()

    def send(path, expected=200, /, **query):
        house.keypool.recorder.drain()
        answer = client.get(path, query_string=query, headers=ADMIN)
        assert answer.status_code == expected, answer.text[:500]
        return answer.json

    return send


def note(house, key_id, **fields):
    said = ", ".join(f"{name} = :{name}" for name in fields)
    change, values = text(f"UPDATE keys SET {said} WHERE id = :id"), {**fields, "id": key_id}
    house.keypool.database.write(lambda session: session.execute(change, values) and None)


def test_one_provider_is_told_in_its_predecessors_shape(house, get):
    first, second, _ = house.add_keys(*GEMINI_KEYS[:3], max_requests=2)
    house.add_keys(OPENAI_KEYS[0])
    house.keypool.inventory.set_disabled([second], float("inf"))
    for _ in range(3):
        house.chat()
    told = get(STATUS, provider="gemini")
    assert {name: told[name] for name in ("provider", "totalKeys", "activeKeys", "availableKeys")} == {
        "provider": "gemini", "totalKeys": 3, "activeKeys": 2, "availableKeys": 1,
    }  # fmt: skip
    public_id = house.public_ids()[first]
    assert re.fullmatch(r"key_\d+_\w+", public_id)
    by_id = {each["id"]: each for each in told["keys"]}
    assert (by_id[public_id]["usage"], by_id[public_id]["isActive"]) == ("2/2", True)
    assert [each["isActive"] for each in told["keys"]] == [True, False, True]
    assert {each["usage"] for each in told["keys"]} == {"2/2", "0/2", "1/2"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", by_id[public_id]["lastUsed"])
    assert [each["lastUsed"] for each in told["keys"]][1] is None
    assert get(STATUS, provider="openai")["keys"][0]["usage"] == "0/unlimited"


def test_a_provider_nobody_knows_is_all_zeros(get):
    assert get(STATUS, provider="nobody") == {
        "provider": "nobody", "totalKeys": 0, "activeKeys": 0, "availableKeys": 0, "keys": [], "next": None,
    }  # fmt: skip


def test_many_keys_are_told_page_by_page(house, get):
    house.add_keys(*GEMINI_KEYS[:5])
    first = get(STATUS, provider="gemini", limit=3)
    rest = get(STATUS, provider="gemini", limit=3, after=first["next"])
    ids = [each["id"] for each in first["keys"] + rest["keys"]]
    assert ids == list(house.public_ids().values())
    assert (first["totalKeys"], rest["next"]) == (5, None)
    assert get(STATUS, 400, limit=-1)["error"]["param"] == "limit"


def test_without_a_provider_the_service_is_told_with_each_provider_beside(house, get):
    ids = house.add_keys(*GEMINI_KEYS[:3])
    house.chat()
    house.upstream.for_key(GEMINI_KEYS[1], gemini_error(429, retry_delay="38s"))
    house.chat()
    told = get(STATUS)
    assert (told["service"], told["status"]) == ("Keypool", "operational")
    assert told["statistics"] == {
        "total_keys": 3, "healthy_keys": 2, "unhealthy_keys": 1, "recent_requests": 2,
    }  # fmt: skip
    assert told["components"] == dict.fromkeys(("api", "database", "load_balancer", "kv_storage"), "operational")
    share = told["load_balance"]
    assert (share["strategy"], share["total_keys"], share["healthy_keys"]) == ("round_robin", 3, 2)
    assert [each["id"] for each in share["key_distribution"]] == ids
    assert share["key_distribution"][0]["success_rate"] == 1.0
    for slug in ("gemini", "openai"):
        assert told[slug] == get(STATUS, provider=slug)
    assert isinstance(told["models"], list)
    assert not any(secret in str(told) for secret in GEMINI_KEYS[:3])


def test_health_is_told_in_a_predecessors_words(house, get):
    ids = house.add_keys(*GEMINI_KEYS[:5])
    house.keypool.inventory.set_disabled([ids[1]], float("inf"))
    note(house, ids[2], dead_at=time.time(), dead_reason="leaked")
    note(house, ids[3], requests=4, successes=3)
    insert = (
        "INSERT INTO key_health (key_id, model, state, reason, since, streak, upstream_text, until) VALUES "
        f"({ids[4]}, 'm', 'cooling', 'quota_day', 1, 0, '', {time.time() + 60})"
    )
    house.keypool.database.write(lambda session: session.execute(text(insert)) and None)
    told = get(STATUS)["load_balance"]["key_distribution"]
    words = [each["health_status"] for each in told]
    assert words == ["unknown", "unhealthy", "unhealthy", "healthy", "rate_limited"]
    assert told[3]["success_rate"] == 0.75
    assert get(STATS)["data"]["keys"] == {"total": 5, "healthy": 1, "unhealthy": 3, "unknown": 1}


def test_caps_of_a_day_leave_a_key_unavailable_once_they_are_full(house, get):
    (key_id,) = house.add_keys(GEMINI_KEYS[0])
    house.keypool.inventory.set_limits([key_id], max_requests=1, max_requests_window="day")
    assert get(STATUS, provider="gemini")["availableKeys"] == 1
    house.chat()
    told = get(STATUS, provider="gemini")
    assert (told["availableKeys"], told["activeKeys"], told["keys"][0]["usage"]) == (0, 1, "1/1")


def test_stats_of_some_days_are_by_mailbox_and_others_one_object(house, get):
    house.add_keys(GEMINI_KEYS[0], email="ana@mail.test")
    house.chat()
    house.chat()
    house.upstream.script(gemini_error(400, message="Invalid temperature"))
    house.chat()
    assert get(STATS, days=7) == {
        "success": True,
        "data": [{"gmail_email": "ana@mail.test", "request_count": 3, "avg_tokens": pytest.approx(6.67, abs=10),
                  "error_count": 1}],
    }  # fmt: skip
    told = get(STATS)
    assert (told["success"], told["message"]) == (True, "Success")
    data = told["data"]
    assert data["usage"] == {"recent_requests": 3, "total_requests": 3}
    assert data["traffic"]["rpm"] == data["traffic"]["rpd"] == 3
    assert data["performance"]["avg_success_rate"] == 1.0, "a request its caller got wrong is nobody's failure"
    (key,) = data["per_key"]
    assert (key["key"], key["requests"], key["successes"]) == ("AIzaSyGe...xxxx", 3, 2)
    (model,) = data["per_model"]
    assert (model["model"], model["requests"]) == ("gemini-2.5-flash", 3)
    for wrong in (0, -1, "many", 4000):
        assert get(STATS, 400, days=wrong)["error"]["param"] == "days"


@pytest.mark.parametrize("status", [200, 201])
def test_every_2xx_is_a_success(house, get, status):
    house.add_keys(GEMINI_KEYS[0])
    house.upstream.script(answer(status, gemini_text("hello")))
    assert house.generate().status_code in (200, 201)
    assert get(STATS)["data"]["per_model"][0]["successes"] == 1


def test_every_hour_is_told_and_empty_ones_are_zeros(house, get):
    house.add_keys(GEMINI_KEYS[0])
    house.chat()
    hours = get("/admin/stats/hourly")["hours"]
    assert len(hours) == 24
    assert [each["at"] for each in hours] == list(range(hours[0]["at"], hours[0]["at"] + 24 * 3600, 3600))
    assert (hours[-1]["requests"], hours[0]["requests"]) == (1, 0)
    assert len(get("/admin/stats/hourly", hours=2160)["hours"]) == 2160
    assert get("/admin/stats/hourly", 400, hours=0)["error"]["param"] == "hours"

"""What a load balancer is told: serving, serving with less, or not."""

from pool.adapters.redis import RedisState
from tests.house import GEMINI_KEYS


def test_a_worker_without_its_redis_is_degraded_and_still_serves(house):
    house.add_keys(GEMINI_KEYS[0])
    whole = house.client.get("/health").json
    assert (whole["status"], whole["checks"]["shared_state"]) == ("healthy", "ok")
    house.keypool.state = RedisState("redis://127.0.0.1:1")
    for path in ("/health", "/health?strict=1"):
        answer = house.client.get(path)
        assert (answer.status_code, answer.json["status"], answer.json["ok"]) == (200, "degraded", False)
        assert answer.json["checks"]["shared_state"] == "away"

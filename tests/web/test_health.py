"""What anybody is told: does it serve, what is it, and figures where they are public (C17 to C19)."""

import pytest

from pool.adapters.redis import RedisState
from pool.web.ops import Service
from tests.house import GEMINI_KEYS, PASSWORD
from tests.upstream import gemini_error
from tests.web.visitor import Visitor

HTML = {"Accept": "text/html"}
DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
REASON = "You exceeded your current quota"


def test_a_worker_without_its_redis_is_degraded_and_still_serves(house):
    house.add_keys(GEMINI_KEYS[0])
    whole = house.client.get("/health").json
    assert (whole["status"], whole["checks"]["shared_state"]) == ("healthy", "ok")
    house.keypool.state = RedisState("redis://127.0.0.1:1")
    for path in ("/health", "/health?strict=1"):
        answer = house.client.get(path)
        assert (answer.status_code, answer.json["status"], answer.json["ok"]) == (200, "degraded", False)
        assert answer.json["checks"]["shared_state"] == "away"


def test_health_has_every_predecessors_members(house):
    house.add_keys(GEMINI_KEYS[0])
    told = house.client.get("/health").json
    assert (told["status"], told["ok"], told["environment"]) == ("healthy", True, "production")
    assert {"database": "ok", "kv_storage": "ok", "available_keys": 1}.items() <= told["checks"].items()
    assert {"timestamp", "response_time_ms", "version", "uptime"} <= told.keys()


def test_without_an_available_key_it_is_degraded_and_503_where_that_is_asked(house):
    for path, status in (("/health", 200), ("/health?strict=1", 503), ("/health?strict=0", 200)):
        answer = house.client.get(path)
        assert (answer.status_code, answer.json["status"]) == (status, "degraded")


def test_a_server_that_stops_is_unhealthy_but_alive(house, monkeypatch):
    house.add_keys(GEMINI_KEYS[0])
    monkeypatch.setattr(Service, "draining", True)
    answer = house.client.get("/health")
    assert (answer.status_code, answer.json["status"], answer.json["draining"]) == (503, "unhealthy", True)
    assert (alive := house.client.get("/healthz")).status_code == 200
    assert alive.json == {"status": "draining"}


def test_a_database_that_fails_is_unhealthy(house):
    house.add_keys(GEMINI_KEYS[0])
    house.keypool.database.write(lambda session: session.connection().exec_driver_sql("DROP TABLE meta") and None)
    answer = house.client.get("/health")
    assert (answer.status_code, answer.json["checks"]["database"]) == (503, "error")
    assert house.client.get("/wake").json["operations"][0]["database"] == "error"
    assert house.client.get("/healthz").status_code == 200


def test_waking_it_tells_what_a_predecessor_told(house):
    house.add_keys(*GEMINI_KEYS[:2])
    told = house.client.get("/wake").json
    assert (told["status"], told["message"]) == ("awake", "Service is now active")
    assert told["operations"] == [{"database": "ok", "key_count": 2}, {"kv": "ok"}]
    assert told["wake_time_ms"] >= 0


def test_models_are_told_to_anybody_only_where_figures_are_public(house):
    house.add_keys(GEMINI_KEYS[0])
    assert house.client.get("/v1/models", headers=house.headers()).status_code == 200
    told = house.client.get("/status").json
    assert (told["status"], told["models"], told["name"]) == ("ok", [], "Keypool")
    house.set(public_stats=True)
    assert "gemini-2.5-flash" in house.client.get("/status").json["models"]


def test_a_program_is_told_what_there_is_and_a_person_led_in(house):
    told = house.client.get("/").json
    assert {"message", "name", "version", "description", "endpoints"} == told.keys()
    assert "/v1/chat/completions" in told["endpoints"]["api"]
    assert house.client.get("/", headers=HTML).location == "/login"
    hello = house.client.get("/hello")
    assert (hello.status_code, hello.mimetype) == (200, "text/html")
    assert "http://localhost/v1/chat/completions" in hello.text
    assert "default-src 'none'" in hello.headers["Content-Security-Policy"]
    assert house.upstream.url not in hello.text


# -- figures for programs (C19) -----------------------------------------------------------------------------------


@pytest.fixture
def used(house):
    """A key that served twice and is spent for the day."""
    house.add_keys(GEMINI_KEYS[0])
    house.chat()
    house.chat()
    house.upstream.script(gemini_error(429, message=REASON, quota_id=DAY))
    house.chat()
    house.records()
    return house


def test_figures_are_told_to_an_admin_in_a_predecessors_shape_with_masks(used):
    (told,) = used.app.test_client().get("/model_usage", headers={"X-Admin-Key": PASSWORD}).json
    assert told == {
        "key": "AIzaSyGe...xxxx",
        "usageCount": {"gemini-2.5-flash": 2},
        "exhaustedModels": ["gemini-2.5-flash"],
        "exhaustedReasons": {"gemini-2.5-flash": told["exhaustedReasons"]["gemini-2.5-flash"]},
    }
    assert REASON in told["exhaustedReasons"]["gemini-2.5-flash"]
    assert Visitor(used).get("/model_usage").json == [told]
    assert Visitor(used).get("/model_usage", headers=HTML).location == "/stat"


def test_figures_are_told_to_strangers_only_where_that_is_set_and_without_the_upstreams_words(used):
    stranger = used.app.test_client()
    for shown in ({}, {"X-Admin-Key": "wrong password"}, {"Authorization": f"Bearer {used.auth_key}"}):
        answer = stranger.get("/model_usage", headers=shown)
        assert (answer.status_code, answer.location.partition("?")[0]) == (302, "/login")
    assert stranger.get("/stat", headers={"X-Admin-Key": PASSWORD}).status_code == 302
    used.set(public_stats=True)
    (told,) = stranger.get("/model_usage").json
    assert (told["key"], told["exhaustedReasons"]) == ("AIzaSyGe...xxxx", {"gemini-2.5-flash": "quota_day"})


def test_guesses_at_the_figures_are_throttled_like_all_others(used):
    stranger = used.app.test_client()
    answers = [stranger.get("/model_usage", headers={"X-Admin-Key": f"guess {n}"}).status_code for n in range(7)]
    assert answers[-1] == 429

"""Keys that were given up come back by themselves, without a request of a client's and without quota."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update

from pool.adapters.tables import Key, KeyHealth
from tests.house import GEMINI_KEYS, OPENAI_KEYS, House
from tests.upstream import answer, gemini_error, openai_error
from tests.web.visitor import rows_of

LEAKED = gemini_error(403, message="Your API key was reported as leaked.")
HOUR_S = 3600.0


def pretend(house: House, table: Any, **values: Any) -> None:
    """Move moments of rows into the past."""
    house.keypool.recorder.drain()
    house.keypool.database.write(lambda session: session.execute(update(table).values(**values)) and None)


def look(house: House, later_s: float = 0.0) -> int:
    recovery = house.keypool.recovery
    now = recovery._clock()
    recovery._clock = lambda: now + later_s
    try:
        return recovery.look()
    finally:
        recovery._clock = lambda: now


def asked(house: House) -> list[str]:
    return [f"{request.method} {request.route}" for request in house.upstream.requests]


def test_a_dead_key_that_lives_again_is_used_again_after_an_hour(house: House) -> None:
    (key_id,) = house.add_keys(GEMINI_KEYS[0])
    house.upstream.script(LEAKED)
    assert house.chat().status_code == 503
    house.keypool.recorder.drain()
    house.upstream.script(None)
    house.upstream.requests.clear()
    assert look(house) == 0
    assert asked(house) == []
    assert look(house, HOUR_S + 1) == 1
    assert asked(house) == ["GET /v1beta/models"]
    assert house.keypool.catalogue.keys[key_id].dead is None
    assert house.chat().status_code == 200


def test_a_dead_key_that_stays_dead_is_looked_at_once_an_hour_and_blames_nobody(house: House) -> None:
    house.add_keys(*OPENAI_KEYS)
    house.upstream.script(openai_error(401, "invalid_api_key", "Incorrect API key provided."))
    house.keypool.checker.check(list(house.keypool.catalogue.keys))
    assert all(key.dead for key in house.keypool.catalogue.keys.values())
    pretend(house, Key, checked_at=1.0, dead_at=1.0)
    house.upstream.requests.clear()
    assert look(house) == 0
    assert len(asked(house)) == 5
    assert look(house) == 0
    assert len(asked(house)) == 9
    assert look(house) == 0
    assert len(asked(house)) == 9
    assert not house.keypool.relay.judge.outages.of("openai").storm.kind
    house.upstream.script(None)
    assert house.chat("gpt-4o-mini").status_code == 503


def test_in_a_storm_nobody_is_asked(house: House) -> None:
    house.add_keys(*GEMINI_KEYS)
    house.upstream.script(LEAKED)
    house.keypool.checker.check(list(house.keypool.catalogue.keys))
    pretend(house, Key, checked_at=1.0, dead_at=1.0)
    house.keypool.relay.judge.outages.of("gemini").storm._begin("403", 1.0)
    house.upstream.requests.clear()
    assert look(house) == 0
    assert asked(house) == []


def test_a_key_whose_service_is_on_again_comes_back(house: House) -> None:
    (key_id,) = house.add_keys(GEMINI_KEYS[0])
    house.upstream.script(gemini_error(403, reason="SERVICE_DISABLED", message="The API is disabled."))
    house.chat()
    house.keypool.recorder.drain()
    assert house.keypool.catalogue.benches(key_id)[""].reason == "service_disabled"
    house.upstream.script(None)
    assert look(house, HOUR_S + 1) == 1
    assert house.chat().status_code == 200


def test_a_model_a_key_may_not_use_is_asked_for_again_by_a_count_of_tokens(house: House) -> None:
    first, second = house.add_keys(*GEMINI_KEYS[:2])
    refusal = gemini_error(429, message="Quota exceeded, limit: 0, model: gemini-2.5-pro", quota_value="0")
    house.upstream.for_key(GEMINI_KEYS[0], refusal)
    assert [house.chat("gemini-2.5-pro").status_code for _ in range(3)] == [200] * 3
    assert house.keypool.catalogue.benches(first)["gemini-2.5-pro"].reason == "not_entitled"
    house.upstream.requests.clear()
    assert look(house) == 0
    assert asked(house) == []
    pretend(house, KeyHealth, until=house.keypool.relay.clock() + 60)
    house.upstream.for_key(GEMINI_KEYS[0], gemini_error(404, message="models/gemini-2.5-pro is not found"))
    assert look(house) == 0
    assert asked(house) == ["POST /v1beta/models/gemini-2.5-pro:countTokens"]
    assert house.keypool.catalogue.benches(first)["gemini-2.5-pro"].until > house.keypool.relay.clock() + 6 * 86_400
    pretend(house, KeyHealth, until=house.keypool.relay.clock() + 60)
    house.upstream.for_key(GEMINI_KEYS[0], answer(200, {"totalTokens": 1}))
    assert look(house) == 1
    assert house.keypool.catalogue.benches(first) == {}
    house.keypool.recorder.drain()
    assert house.keypool.database.read(lambda session: session.get(KeyHealth, (first, "gemini-2.5-pro"))) is None
    assert house.keypool.catalogue.benches(second) == {}


def test_what_rests_since_a_moment_to_come_is_used_again_and_nothing_else(house: House) -> None:
    """The clock was a month ahead, and was set right."""
    ahead, usual = house.add_keys(*GEMINI_KEYS[:2])
    house.upstream.script(gemini_error(429, quota_id="GenerateRequestsPerDayPerProjectPerModel-FreeTier"))
    assert house.chat().status_code == 429
    house.keypool.recorder.drain()
    then = house.keypool.relay.clock() + 30 * 24 * HOUR_S
    wrong = update(KeyHealth).where(KeyHealth.key_id == ahead).values(since=then, until=then + HOUR_S)
    house.keypool.database.write(lambda session: session.execute(wrong) and None)
    (chore,) = (each for each in house.keypool.chores._chores if each.name.startswith("end what rests since"))
    chore.do()
    house.keypool.recorder.drain()
    assert house.keypool.catalogue.benches(ahead) == {}
    assert house.keypool.catalogue.benches(usual)
    assert [row["key_id"] for row in rows_of(house, "key_health")] == [usual]

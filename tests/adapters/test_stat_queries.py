"""The figures of the statistics page, on either database."""

import pytest

from pool.adapters import tables
from pool.adapters.queries import Ending, Figures, Scope, Use, endings, endpoint_figures, model_figures, stat, stat_keys

HOUR = 1_789_999_200
NOW = HOUR + 1_800.0


def furnish(session):
    session.add(tables.Provider(id=1, slug="gemini", dialect="gemini"))
    for n in (1, 2):
        auth = {"auth_digest": bytes([n]) * 32, "auth_sealed": b""}
        session.add(tables.Pool(id=n, public_id=f"p{n}", name=f"pool {n}", **auth))
    session.flush()
    for n in range(1, 5):
        session.add(tables.Key(id=n, public_id=f"k{n}", provider_id=1, fingerprint=bytes([n]) * 32, revision=1,
                               hint_prefix="AIzaSyAB", hint_suffix=f"000{n}", deleted_at=NOW if n == 4 else None,
                               dead_at=NOW if n == 3 else None))  # fmt: skip
    session.flush()
    session.add_all(tables.Membership(pool_id=p, key_id=k, revision=1) for p, k in ((1, 1), (1, 2), (2, 2), (1, 4)))
    session.add(tables.KeyHealth(key_id=2, model="pro", state="cooling", reason="quota_day", since=HOUR,
                                 until=NOW + 60, upstream_text="spent"))  # fmt: skip
    session.add(tables.KeyHealth(key_id=1, model="", state="cooling", reason="errors", since=HOUR, until=NOW - 1))
    for hours_ago, pool, key, model, ok, failed in (
        (0, 1, 1, "flash", 5, 6), (0, 1, 1, "pro", 1, 0), (0, 2, 2, "flash", 2, 0), (30, 1, 1, "flash", 7, 0),
        (0, 1, 2, "flash", 4, 0),
    ):  # fmt: skip
        at = HOUR - hours_ago * 3600
        tally = {"requests": ok + failed, "successes": ok, "errors": failed, "tokens_in": 10 * ok}
        session.add(tables.UsageHour(hour=at, pool_id=pool, key_id=key, client_key_id=key, model=model, **tally))
        session.add(tables.TrafficHour(hour=at, pool_id=pool, client_key_id=key, model=model, **tally))
    # Others took over from it: it was asked and served nothing.
    session.add(tables.UsageHour(hour=HOUR, pool_id=1, key_id=3, client_key_id=1, model="flash", attempts=2))
    for side, operation, status, word, times in (
        ("request", "chat", 200, "ok", 11), ("request", "chat", 429, "all_keys_cooling", 1),
        ("request", "chat", 499, "client_gone", 2), ("request", "generate", 400, "invalid_request", 3),
        ("attempt", "generate", 400, "rejected", 3),
        ("request", "generate", 200, "ok", 3), ("attempt", "chat", 429, "quota_day", 4),
    ):  # fmt: skip
        session.add(tables.OutcomeHour(hour=HOUR, side=side, pool_id=1, model="flash", operation=operation,
                                       status=status, word=word, times=times))  # fmt: skip


@pytest.fixture
def furnished(either):
    either.write(furnish)
    return either


TODAY = Scope(HOUR)


def ids(database, *args, scope=TODAY, **options):
    return [key.id for key in database.read(stat_keys, scope, NOW, *args, **options)]


def test_keys_come_with_their_pools_uses_and_refusals(furnished):
    first, second, third = furnished.read(stat_keys, TODAY, NOW)
    assert (first.hint, first.pools) == ("AIzaSyAB...0001", ("pool 1",))
    assert sorted(first.uses, key=str) == [Use("flash", 5, 6), Use("pro", 1, 0)]
    assert first.refusals == ()
    assert second.pools == ("pool 1", "pool 2")
    assert second.uses == (Use("flash", 6, 0),)
    assert [(each.model, each.text) for each in second.refusals] == [("pro", "spent")]
    assert (third.dead_at, third.uses) == (NOW, ())


@pytest.mark.parametrize("probed", [1, stat.PROBED], ids=["used by many", "used by few"])
def test_keys_are_left_out_by_pool_use_and_exhaustion(furnished, monkeypatch, probed):
    monkeypatch.setattr(stat, "PROBED", probed)
    assert ids(furnished) == [1, 2, 3]
    assert ids(furnished, after=1, size=1) == [2]
    assert ids(furnished, "used") == [1, 2]
    assert ids(furnished, "exhausted") == [2, 3]
    assert ids(furnished, scope=Scope(HOUR, 2)) == [2]
    assert ids(furnished, scope=Scope(HOUR, 1), after=1) == [2]
    assert ids(furnished, scope=Scope(HOUR, None, "pro")) == [1, 2]
    assert ids(furnished, "used", scope=Scope(HOUR, None, "pro")) == [1]
    assert ids(furnished, "exhausted", scope=Scope(HOUR, 1, "pro")) == [2]


def test_a_scope_bounds_what_a_key_served(furnished):
    (key,) = furnished.read(stat_keys, Scope(HOUR, 2), NOW)
    assert key.uses == (Use("flash", 2, 0),)
    first = furnished.read(stat_keys, Scope(HOUR - 30 * 3600, None, "flash"), NOW)[0]
    assert first.uses == (Use("flash", 12, 6),)


def test_models_endpoints_and_errors_add_up(furnished):
    models = furnished.read(model_figures, TODAY)
    told = [(each.name, each.requests, each.ok, each.tokens, each.callers_own) for each in models]
    assert told == [("flash", 17, 11, 110, 5), ("pro", 1, 1, 10, 0)]
    chat, generate = furnished.read(endpoint_figures, TODAY)
    assert (chat, generate) == (Figures("chat", 14, 11, callers_own=2), Figures("generate", 6, 3, callers_own=3))
    assert ((chat.answerable, chat.errors), (generate.answerable, generate.errors)) == ((12, 1), (3, 0))
    assert furnished.read(endings, TODAY, "request") == [
        Ending(400, "invalid_request", 3), Ending(499, "client_gone", 2), Ending(429, "all_keys_cooling", 1),
    ]  # fmt: skip
    assert furnished.read(endings, TODAY, "attempt") == [Ending(429, "quota_day", 4), Ending(400, "rejected", 3)]
    assert furnished.read(endings, Scope(HOUR, 2), "attempt") == []
    assert furnished.read(endpoint_figures, Scope(HOUR + 3600)) == []

import time

import pytest
from sqlalchemy import func, insert, select, text, update

from pool.adapters.tables import (
    FAILED,
    LATENCY_BUCKETS,
    Attempt,
    ClientKey,
    Key,
    KeyHealth,
    Membership,
    Pool,
    Provider,
    Request,
    TrafficHour,
    UsageHour,
    latency_bucket,
    storable,
)
from pool.core.twice import Overtaken


def inventory(session, keys=3):
    session.add(Provider(slug="gemini", dialect="gemini", base_url="http://127.0.0.1"))
    for n in range(1, 3):
        session.add(
            Pool(public_id=f"pool-{n}", name=f"p{n}", is_default=n == 1, auth_digest=bytes([n]) * 32, auth_sealed=b"x")
        )
    session.flush()
    for n in range(1, keys + 1):
        session.add(Key(public_id=f"key_{n}", provider_id=1, secret=b"x", fingerprint=n.to_bytes(32)))
    session.flush()
    session.add_all(Membership(pool_id=pool, key_id=key) for pool in (1, 2) for key in range(1, keys + 1))


def request_row(n, **changes):
    return {
        "request_id": f"r{n}",
        "at": 1000.0 + n,
        "pool_id": n % 5,
        "client_key_id": n % 20,
        "key_id": n % 1000,
        "model_used": f"model-{n % 8}",
        "status": 200,
        "outcome": "ok",
        **changes,
    }


def one(session, statement):
    return session.scalars(statement).one()


def test_a_key_keeps_its_defaults_and_its_moment_of_birth(either):
    either.write(inventory)
    key = either.read(
        lambda s: s.execute(select(Key.origin, Key.revision, Key.max_requests_window, Key.created_at)).first()
    )
    assert key[:3] == ("paste", 0, "none")
    assert abs(key[3] - time.time()) < 10


def test_one_secret_is_one_key_of_a_provider(either):
    either.write(inventory)
    with pytest.raises(Overtaken):
        either.write(lambda s: s.add(Key(public_id="x", provider_id=1, fingerprint=(1).to_bytes(32))))


def test_there_is_one_default_pool(either):
    either.write(inventory)
    with pytest.raises(Overtaken):
        either.write(lambda s: s.execute(update(Pool).values(is_default=True)) and None)


def test_deleting_a_pool_unlinks_its_keys_and_keeps_them(either):
    either.write(inventory)
    either.write(lambda s: s.add(ClientKey(name="c", pool_id=2, digest=b"c" * 32)))
    either.write(lambda s: s.delete(s.get_one(Pool, 2)))
    assert either.read(one, select(func.count()).select_from(Membership)) == 3
    assert either.read(one, select(func.count()).select_from(Key)) == 3
    assert either.read(one, select(func.count()).select_from(ClientKey)) == 0


def test_a_provider_with_keys_cannot_vanish(either):
    either.write(inventory)
    with pytest.raises(Overtaken):
        either.write(lambda s: s.delete(s.get_one(Provider, 1)))


def test_what_is_known_of_a_key_goes_with_it(either):
    either.write(inventory)
    either.write(lambda s: s.add(KeyHealth(key_id=1, model="m", state="cooling", until=5.5)))
    either.write(lambda s: s.delete(s.get_one(Key, 1)))
    assert either.read(one, select(func.count()).select_from(KeyHealth)) == 0


def test_the_id_of_a_deleted_key_is_never_handed_out_again(either):
    either.write(inventory)
    either.write(lambda s: s.delete(s.get_one(Key, 3)))
    either.write(lambda s: s.add(Key(public_id="new", provider_id=1, fingerprint=b"n" * 32)))
    assert either.read(one, select(Key.id).where(Key.public_id == "new")) == 4


def test_a_pool_whose_fallback_is_deleted_has_none(either):
    either.write(inventory)
    either.write(lambda s: s.execute(update(Pool).where(Pool.id == 1).values(fallback_pool_id=2)) and None)
    either.write(lambda s: s.delete(s.get_one(Pool, 2)))
    assert either.read(one, select(Pool.fallback_pool_id)) is None


def test_an_empty_list_column_is_null_and_not_the_word(either):
    either.write(inventory)
    assert either.read(one, select(func.count()).where(Pool.allowed_models.is_(None))) == 2


def test_pruning_a_request_prunes_its_attempts(either):
    either.write(lambda s: s.add(Request(**request_row(1), id=7)))
    either.write(lambda s: s.add_all(Attempt(request_row=7, n=n, skipped={"cooling": 3}) for n in (1, 2)))
    either.write(lambda s: s.execute(text("DELETE FROM requests WHERE at < 2000")) and None)
    assert either.read(one, select(func.count()).select_from(Attempt)) == 0


@pytest.mark.parametrize("name", ["nul\0byte", "half \ud800 pair", "x" * 5000, "模型" * 200])
def test_a_hostile_model_name_cannot_make_a_batch_fail(either, name):
    either.write(lambda s: s.execute(insert(Request), [request_row(1, model_asked=name), request_row(2)]) and None)
    stored = either.read(one, select(Request.model_asked).where(Request.request_id == "r1"))
    assert stored == storable(name, 200)
    assert len(stored) <= 200
    assert "\0" not in stored


def test_moments_come_back_exactly(either):
    at = 1_790_000_000.123457
    either.write(lambda s: s.add(Request(**request_row(1, at=at))))
    assert either.read(one, select(Request.at)) == at


@pytest.mark.parametrize(
    ("latency_ms", "column"),
    [(0, "ms_100"), (100, "ms_100"), (100.1, "ms_250"), (60_000, "ms_60000"), (60_001, "ms_more")],
)
def test_a_latency_falls_into_the_first_bucket_that_holds_it(latency_ms, column):
    assert latency_bucket(latency_ms) == column


def test_every_latency_bucket_is_a_column_of_both_roll_ups():
    for table in (UsageHour, TrafficHour):
        assert set(LATENCY_BUCKETS) <= set(table.__table__.columns.keys())


def plan(session, statement):
    compiled = statement.compile(session.get_bind(), compile_kwargs={"literal_binds": True})
    return " ".join(row[3] for row in session.execute(text(f"EXPLAIN QUERY PLAN {compiled}")))


PAGE = select(Request.id).order_by(Request.at.desc(), Request.id.desc()).limit(50)


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (PAGE, "ix_requests_at"),
        (PAGE.where(Request.pool_id == 1), "ix_requests_pool_id"),
        (PAGE.where(Request.client_key_id == 1), "ix_requests_client_key_id"),
        (PAGE.where(Request.key_id == 1), "ix_requests_key_id"),
        (PAGE.where(Request.model_used == "m"), "ix_requests_model_used"),
        (PAGE.where(Request.status == 429, text(FAILED)), "ix_requests_status"),
        (PAGE.where(Request.outcome == "broken", text(FAILED)), "ix_requests_outcome"),
        (PAGE.where(Request.error_code == "x", text(FAILED)), "ix_requests_error_code"),
    ],
)
def test_each_filter_of_the_request_log_has_its_index_and_sorts_nothing(database, statement, index):
    found = database.read(plan, statement)
    assert index in found
    assert "TEMP B-TREE" not in found


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (select(Key.id).where(Key.dead_at.is_not(None)), "ix_keys_dead"),
        (select(Key.id).where(Key.disabled_at.is_not(None)), "ix_keys_disabled"),
        (select(Key.id).where(Key.deleted_at.is_not(None)).order_by(Key.deleted_at), "ix_keys_binned"),
        (select(Key.id).where(Key.revision > 5), "ix_keys_revision"),
        (select(Membership.key_id).where(Membership.revision > 5), "ix_memberships_revision"),
        (select(KeyHealth.key_id).where(KeyHealth.until > 5), "ix_key_health_until"),
        (select(UsageHour.requests).where(UsageHour.key_id == 1, UsageHour.hour > 5), "ix_usage_hourly_key_id_hour"),
    ],
)
def test_the_lists_of_keys_read_an_index(database, statement, index):
    assert index in database.read(plan, statement)


@pytest.mark.alone
def test_a_late_page_of_a_long_request_log_is_as_quick_as_the_first(database):
    rows = [request_row(n, outcome="broken" if n % 1000 == 0 else "ok") for n in range(30_000)]
    database.write(lambda s: s.execute(insert(Request), rows) and None)

    def timed(statement):
        started_at = time.perf_counter()
        database.read(lambda s: s.execute(statement).all())
        return time.perf_counter() - started_at

    late = PAGE.where(Request.at < 1500)
    rare = PAGE.where(Request.outcome == "broken", text(FAILED))
    assert max(timed(statement) for statement in (PAGE, late, rare)) < 0.05

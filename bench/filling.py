"""Fills an instance with many keys and a long past: what pages are measured on.

A program of its own, because the app wants gevent's patches: `filling.py FOLDER KEYS REQUESTS [DATABASE_URL]`. Keys
come through the inventory; the past is written by SQL that reads the same on SQLite and PostgreSQL, and the figures of
the hours are added up from it, as the recorder would have.
"""

from gevent import monkey

monkey.patch_all()

import re
import secrets
import shutil
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from sqlalchemy import text

from app import create_app
from pool.adapters.database import Database
from pool.adapters.days import add_up_days
from pool.adapters.inventory import NewKey
from pool.adapters.tables import LATENCY_BUCKETS

PASSWORD = secrets.token_urlsafe(16)
DAYS = 90
POOLS = ("research", "night jobs", "chat", "team: Zürich", "batch", "spare", "trial")
CLIENTS = 2_000
AUDIT = 100_000
MODELS = (
    "gemini-2.5-flash", "gemini-2.5-pro", "gemini-2.5-flash-lite", "gemini-2.0-flash", "gemini-3-pro-preview",
    "gemini-embedding-001", "gpt-5", "gpt-5-mini", "gpt-4o", "gpt-4o-mini", "text-embedding-3-small", "gemma-3-27b-it",
)  # fmt: skip

# The nearer the busier: a tenth of all in the last day, 2 % in the last hour. Ids rise with time. A third comes by the
# pools' own auth keys; of the user keys few ask much, each in one pool and for some models.
REQUESTS = """
INSERT INTO requests (id, request_id, at, pool_id, client_key_id, key_id, operation, dialect, model_asked, model_used,
  stream, status, outcome, error_code, latency_ms, ttfb_ms, tokens_in, tokens_out, tokens_cached, tokens_thinking,
  estimated, cost_nano, attempts, ip)
SELECT i, 'bench-' || i, :now - :span * share * share,
  CASE WHEN client IS NULL THEN 1 + (i * 13) % :pools ELSE 1 + client % :pools END, client, 1 + (i * 7919) % :keys,
  CASE WHEN i % 20 = 0 THEN 'embed' WHEN i % 4 = 0 THEN 'generate' ELSE 'chat' END,
  CASE WHEN i % 4 = 0 THEN 'gemini' ELSE 'openai' END, model, model, {streamed},
  CASE i % 100 WHEN 1 THEN 429 WHEN 2 THEN 503 WHEN 3 THEN 400 WHEN 4 THEN 499 ELSE 200 END,
  CASE i % 100 WHEN 1 THEN 'error' WHEN 2 THEN 'error' WHEN 3 THEN 'error' WHEN 4 THEN 'client_gone' ELSE 'ok' END,
  CASE i % 100 WHEN 1 THEN 'all_keys_cooling' WHEN 2 THEN 'overloaded' WHEN 3 THEN 'invalid_request' END,
  40 + (i * 104729) % 9000, 20 + (i * 7907) % 3000, 100 + i % 900, 50 + i % 500, i % 40, i % 70, {no}, 1000 + i % 9000,
  CASE WHEN i % 10 = 0 THEN 2 ELSE 1 END, '127.0.0.1'
FROM (SELECT i, client, (:requests - i) * 1.0 / :requests AS share,
    CASE WHEN i % 997 = 0 THEN 'no-such-model-' || (i % 2000) ELSE name END AS model
  FROM (SELECT i, CASE WHEN i % 3 > 0 THEN 1 + ((i * 17) % :clients) * ((i * 17) % :clients) / :clients END AS client
    FROM {numbers}) AS callers
  JOIN bench_models ON bench_models.n = (coalesce(client, 0) + i % 5) % {models}) AS made
"""

ATTEMPTS = """
INSERT INTO attempts (request_row, n, key_id, provider, why, started_ms, duration_ms, status, outcome, blamed, error)
SELECT id, 1, CASE WHEN attempts = 2 THEN 1 + (key_id * 31) % :keys ELSE key_id END, 'gemini', 'round_robin', 0,
  latency_ms / attempts, CASE WHEN attempts = 2 THEN 429 ELSE status END,
  CASE WHEN attempts = 2 THEN 'quota_minute' WHEN outcome = 'ok' THEN 'ok' ELSE coalesce(error_code, outcome) END,
  CASE WHEN attempts = 2 THEN 'key' ELSE '' END,
  CASE WHEN attempts = 2 THEN 'Quota exceeded for metric: generate_content_free_tier_requests' ELSE '' END
FROM requests
"""

SECOND_ATTEMPTS = """
INSERT INTO attempts (request_row, n, key_id, provider, why, started_ms, duration_ms, status, outcome, blamed, error)
SELECT id, 2, key_id, 'gemini', 'round_robin', latency_ms / 2, latency_ms / 2, status,
  CASE WHEN outcome = 'ok' THEN 'ok' ELSE coalesce(error_code, outcome) END, '', ''
FROM requests WHERE attempts = 2
"""

HOUR = "CAST({floor} AS BIGINT) * 3600"

# Of every so many thousands of requests one, counted for all: sorting them all takes longer than all else together.
OUTCOMES = """
INSERT INTO outcomes_hourly (hour, side, pool_id, model, operation, status, word, times)
SELECT {hour}, 'request', pool_id, model_used, operation, status, coalesce(error_code, outcome), count(*) * :of
FROM requests WHERE {sampled} GROUP BY 1, 3, 4, 5, 6, 7
UNION ALL
SELECT {hour}, 'attempt', pool_id, model_used, operation, coalesce(attempts.status, 0), attempts.outcome, count(*) * :of
FROM requests JOIN attempts ON request_row = requests.id WHERE {sampled} GROUP BY 1, 3, 4, 5, 6, 7
UNION ALL
SELECT {hour}, 'rescue', pool_id, model_used, operation, 429, 'quota_minute', count(*) * :of
FROM requests WHERE attempts = 2 AND outcome = 'ok' AND {sampled} GROUP BY 1, 3, 4, 5
UNION ALL
SELECT {hour}, 'first_byte', pool_id, '', operation, {edge}, '', count(*) * :of
FROM requests WHERE {sampled} GROUP BY 1, 3, 5, 6
"""

# How keys stand: a fifth cools for a model, 1 % for all; 4 % are disabled, 8 % dead, 5 % were never tried.
KEYS = (
    "UPDATE keys SET checked_at = :now - 3600, tokens = requests * 700, cost_nano = requests * 5000,"
    " name = CASE WHEN id % 3 = 0 THEN 'account ' || id ELSE '' END, note = CASE WHEN id % 11 = 0 THEN 'from the'"
    " || ' old sheet' ELSE '' END, email = CASE WHEN id % 2 = 0 THEN 'person' || (id / 4) || '@example.org' ELSE ''"
    " END, project = CASE WHEN id % 4 = 0 THEN 'project-' || (id / 40) ELSE '' END",
    "UPDATE keys SET tags = '[\"paid\"]' WHERE id % 9 = 0",
    "UPDATE keys SET max_requests = 1000, max_requests_window = 'day' WHERE id % 10 = 7",
    "UPDATE keys SET last_error = '429 quota_day Quota exceeded for metric', last_error_at = :now - id % 86400"
    " WHERE id % 5 = 0",
    "UPDATE keys SET dead_at = :now - id, dead_reason = '400 API key not valid. Please pass a valid API key.'"
    " WHERE id % 25 IN (3, 4)",
    "UPDATE keys SET disabled_at = :now - id WHERE id % 25 = 6",
    "UPDATE keys SET deleted_at = :now - id % 500000 WHERE id % 25 = 8",
    "UPDATE keys SET checked_at = NULL, requests = 0, successes = 0 WHERE id % 20 = 9",
    "INSERT INTO key_health (key_id, model, state, reason, status, since, until, streak, upstream_text, quota)"
    " SELECT id, CASE WHEN id % 100 = 5 THEN '' ELSE 'gemini-2.5-pro' END, 'cooling', 'quota_day', 429, :now - 600,"
    " :now + 20000 + id % 1000, 1, 'You exceeded your current quota, please check your plan and billing details.',"
    """ '{{"window": "day", "unit": "requests", "limit": 100, "tier": "free"}}' FROM keys WHERE id % 5 = 0""",
    "INSERT INTO learned_limits (key_id, project, model, \"window\", unit, limit_value, tier, seen_at) SELECT"
    " CASE WHEN project = '' THEN id ELSE 0 END, project, 'gemini-2.5-pro', 'day', 'requests', 100, 'free', :now"
    " FROM keys WHERE id % 5 = 0 AND (project = '' OR id % 40 = 0)",
)  # fmt: skip

SEATS = (
    "INSERT INTO memberships (pool_id, key_id, weight, tier, enabled, position, created_at, revision)"
    " SELECT 1 + id % :pools, id, 1 + id % 5, id % 2, {yes}, id, :now, revision FROM keys"
    " WHERE id % 3 = 0 AND id % :pools > 0"
)

CLIENT_KEYS = (
    "INSERT INTO client_keys (name, pool_id, digest, hint, origin, rpm_limit, last_used_at, created_at, updated_at)"
    " SELECT 'program ' || i, 1 + i % :pools, {blob}, 'sk-aaaaa...' || i, 'admin', 600, :now - i, :now - 86400,"
    " :now - 86400 FROM {numbers_of_clients}"
)

TRAIL = (
    "INSERT INTO audit (at, who, via, ip, action, object, after) SELECT :now - :span * (:trail - i) / :trail,"
    " 'admin', 'session', '127.0.0.1', CASE i % 4 WHEN 0 THEN 'key.disable' WHEN 1 THEN 'key.enable'"
    " WHEN 2 THEN 'pool.update' ELSE 'settings.change' END, 'key ' || (1 + i % :keys),"
    " '{{\"key\": \"AIzaSyAb...1234\", \"until\": null}}' FROM {numbers_of_trail}"
)

JOBS = (
    "INSERT INTO jobs (kind, state, who, via, total, done, fates, rows, error, cancel_asked, created_at, started_at,"
    " beat_at, ended_at) SELECT 'keys.disable', 'done', 'admin', 'session', 100000, 100000,"
    " '{{\"disabled\": 99000, \"unchanged\": 1000}}', {job_rows}, '', {no}, :now - i * 60, :now - i * 60,"
    " :now - i * 60 + 30, :now - i * 60 + 30 FROM {numbers_of_jobs}"
)

IMPORTS = (
    "INSERT INTO imports (at, who, origin, pool_id, counts, name, ended_at) SELECT :now - i * 3600, 'admin', 'paste',"
    " 1, '{{\"added\": 120, \"duplicate\": 4}}', 'keys ' || i || '.csv', :now - i * 3600 + 2 FROM {numbers_of_jobs}"
)


def fill(folder, keys, requests, url=""):
    """Make the instance anew."""
    shutil.rmtree(folder, ignore_errors=True)
    environment = {"KEYPOOL_INSTANCE": str(folder), "ADMIN_PASSWORD": PASSWORD, "DATABASE_URL": url}
    if url:
        environment |= {"SECRET_KEY": "s" * 32, "KEY_ENCRYPTION_SECRET": "k" * 32}
    keypool = create_app(environment=environment).extensions["keypool"]
    try:
        _take_in(keypool, keys)
        _write_past(keypool.database, keys, requests)
        add_up_days(keypool.database, time.time())
        keypool.database.checkpoint()
    finally:
        keypool.database.close()
    (Path(folder) / "filled").write_text(f"{time.time()}")


def _take_in(keypool, keys):
    inventory = keypool.inventory
    for name in POOLS:
        inventory.create_pool(name)
    for at in range(0, keys, 20_000):
        some = [_key(n) for n in range(at, min(keys, at + 20_000))]
        inventory.add_keys(some, keypool.catalogue.default_pool_id, "paste", "admin")


def _key(n):
    if n % 3:
        return NewKey("gemini", f"AIzaSy{secrets.token_hex(17)[:33]}")
    return NewKey("openai", f"sk-proj-{secrets.token_hex(24)}")


def _write_past(database: Database, keys, requests):
    sqlite = database.is_sqlite

    def numbers(count):
        if not sqlite:
            return f"(SELECT generate_series(1, {count})::bigint AS i) AS numbers"
        counting = f"WITH RECURSIVE counted(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM counted WHERE i < {count})"
        return f"({counting} SELECT i FROM counted) AS numbers"

    floor = "at / 3600" if sqlite else "floor(at / 3600)"
    words = {
        "hour": HOUR.format(floor=floor), "numbers": numbers(requests), "models": len(MODELS),
        "numbers_of_clients": numbers(CLIENTS), "numbers_of_trail": numbers(AUDIT), "numbers_of_jobs": numbers(300),
        "streamed": "i % 2 = 0", "no": "0" if sqlite else "false", "yes": "1" if sqlite else "true",
        "blob": "randomblob(32)" if sqlite else "sha256(i::text::bytea)",
        "sampled": "requests.id / 1000 % :of = 0",
        "edge": _bucket("ttfb_ms", lambda name: str(LATENCY_BUCKETS[name] or 0)),
        "job_rows": "'" + '{{"disabled": [{}]}}'.format(", ".join(map(str, range(1, 1_001)))) + "'",
    }  # fmt: skip
    bound = {
        "now": time.time(), "span": DAYS * 86_400.0, "keys": keys, "requests": requests, "pools": 1 + len(POOLS),
        "clients": CLIENTS, "trail": AUDIT, "of": max(1, requests // 1_000_000),
    }  # fmt: skip
    steps = [
        "CREATE TABLE bench_models (n INTEGER PRIMARY KEY, name TEXT)",
        *(f"INSERT INTO bench_models VALUES ({n}, '{name}')" for n, name in enumerate(MODELS)),
        CLIENT_KEYS, REQUESTS, ATTEMPTS, SECOND_ATTEMPTS, _usage(), _traffic(), OUTCOMES, _totals(), *KEYS, SEATS,
        TRAIL, JOBS, IMPORTS, *([] if sqlite else _sequences()), "DROP TABLE bench_models",
    ]  # fmt: skip
    for step in steps:
        database.write(_run, step.format(**words), bound)
        # What is in SQLite's log only is read more slowly, the more of it there is.
        database.checkpoint()


def _run(session, statement, bound):
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SET LOCAL statement_timeout = 0"))
    else:
        session.execute(text("PRAGMA cache_size = -400000"))
    began_s = time.monotonic()
    words = re.findall(r"(?<!:):([a-z]+)", statement)
    session.execute(text(statement).bindparams(**{name: bound[name] for name in set(words) & bound.keys()}))
    if time.monotonic() - began_s > 1:
        sys.stderr.write(f"  {time.monotonic() - began_s:5.1f} s  {' '.join(statement.split())[:60]}\n")


def _bucket(column, word):
    rising = [(edge, name) for name, edge in LATENCY_BUCKETS.items() if edge is not None]
    last = next(name for name, edge in LATENCY_BUCKETS.items() if edge is None)
    steps = " ".join(f"WHEN {column} <= {edge} THEN {word(name)}" for edge, name in rising)
    return f"CASE {steps} ELSE {word(last)} END"


def _sums():
    well = "sum(CASE WHEN outcome = 'ok' THEN 1 ELSE 0 END)"
    low, buckets = 0, []
    for edge in LATENCY_BUCKETS.values():
        within = f"latency_ms > {low}" + (f" AND latency_ms <= {edge}" if edge else "")
        buckets.append(f"sum(CASE WHEN {within} THEN 1 ELSE 0 END)")
        low = edge
    whole = ("tokens_in", "tokens_out", "tokens_cached", "tokens_thinking", "cost_nano", "latency_ms", "ttfb_ms")
    names = ("requests", "successes", "errors", "attempts", *whole, "estimated", *LATENCY_BUCKETS)
    sums = ("count(*)", well, f"count(*) - {well}", "sum(attempts)", *(f"sum({name})" for name in whole), "0", *buckets)
    return ", ".join(names), ", ".join(sums)


def _usage():
    names, sums = _sums()
    return (
        f"INSERT INTO usage_hourly (hour, pool_id, key_id, client_key_id, model, {names}) SELECT {{hour}}, pool_id,"
        f" key_id, coalesce(client_key_id, 0), model_used, {sums} FROM requests GROUP BY 1, 2, 3, 4, 5"
    )


def _traffic():
    names, sums = _sums()
    return (
        f"INSERT INTO traffic_hourly (hour, pool_id, client_key_id, model, {names}) SELECT {{hour}}, pool_id,"
        f" coalesce(client_key_id, 0), model_used, {sums} FROM requests GROUP BY 1, 2, 3, 4"
    )


def _totals():
    return (
        "UPDATE keys SET requests = used.asked, successes = used.well, errors = used.asked - used.well,"
        " last_used_at = used.last_at FROM (SELECT key_id, count(*) AS asked,"
        " sum(CASE WHEN outcome = 'ok' THEN 1 ELSE 0 END) AS well, max(at) AS last_at FROM requests GROUP BY key_id)"
        " AS used WHERE used.key_id = keys.id"
    )


def _sequences():
    return [
        f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))"
        for table in ("requests", "client_keys", "audit", "jobs", "imports")
    ]


if __name__ == "__main__":
    fill(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:5])

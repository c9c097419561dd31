"""What a migration must do besides changing tables: bring along what was there."""

from alembic import command
from alembic.config import Config
from sqlalchemy import text

from pool.adapters.schema import MIGRATIONS, locked

AT = 1_789_999_200 + 3_599.9


def to(connection, revision):
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def request(connection, row_id, outcome, status, code):
    connection.execute(
        text(
            "INSERT INTO requests (id, request_id, at, pool_id, operation, dialect, model_asked, model_used, stream,"
            " status, outcome, error_code, latency_ms, tokens_in, tokens_out, tokens_cached, tokens_thinking,"
            " estimated, cost_nano, attempts, ip) VALUES (:id, :name, :at, 1, 'chat', 'openai', 'm', 'm', false,"
            " :status, :outcome, :code, 1, 0, 0, 0, 0, false, 0, 1, '')"
        ),
        {"id": row_id, "name": f"r{row_id}", "at": AT - 10, "outcome": outcome, "status": status, "code": code},
    )
    connection.execute(
        text(
            "INSERT INTO attempts (request_row, n, provider, why, started_ms, duration_ms, status, outcome, blamed,"
            " error) VALUES (:id, 1, 'gemini', '', 0, 1, :status, :outcome, '', '')"
        ),
        {"id": row_id, "outcome": outcome, "status": None if status == 502 else status},
    )


def test_requests_of_an_older_version_are_counted_by_outcome(either_url):
    with locked(either_url) as connection:
        to(connection, "0001")
        for row_id, (outcome, status, code) in enumerate(
            [("ok", 200, None), ("ok", 200, None), ("error", 429, "all_keys_cooling"), ("error", 502, None)], 1
        ):
            request(connection, row_id, outcome, status, code)
        to(connection, "head")
        rows = connection.execute(
            text("SELECT hour, side, status, word, times FROM outcomes_hourly ORDER BY side, status")
        ).all()
    hour = int(AT // 3600) * 3600
    assert [tuple(row) for row in rows] == [
        (hour, "attempt", 0, "error", 1), (hour, "attempt", 200, "ok", 2), (hour, "attempt", 429, "error", 1),
        (hour, "request", 200, "ok", 2), (hour, "request", 429, "all_keys_cooling", 1),
        (hour, "request", 502, "error", 1),
    ]  # fmt: skip

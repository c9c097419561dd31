"""What happened: requests and their attempts, hourly roll-ups, counters, affinity, and how far the spool is drained.

Nothing here has a foreign key to the inventory: history outlives the keys, pools and clients it is about.
"""

from __future__ import annotations

from bisect import bisect_left

from sqlalchemy import BigInteger, ForeignKey, Index, Integer
from sqlalchemy.orm import Mapped, mapped_column

from pool.adapters.tables.base import (
    ROW_ID,
    Big,
    Flag,
    Line,
    Model,
    Moment,
    Name,
    Prose,
    RowId,
    Short,
    Table,
    Whole,
    only_where,
)

# Column of each latency bucket and its upper edge in ms; the last one has none.
LATENCY_BUCKETS = {
    "ms_100": 100,
    "ms_250": 250,
    "ms_500": 500,
    "ms_1000": 1_000,
    "ms_2500": 2_500,
    "ms_5000": 5_000,
    "ms_10000": 10_000,
    "ms_30000": 30_000,
    "ms_60000": 60_000,
    "ms_more": None,
}
_COLUMNS = tuple(LATENCY_BUCKETS)
_EDGES_MS = [edge for edge in LATENCY_BUCKETS.values() if edge is not None]


def latency_bucket(latency_ms: float) -> str:
    """The column that counts a request of this latency."""
    return _COLUMNS[bisect_left(_EDGES_MS, latency_ms)]


# Most requests go well and then three indexes are spared. A query that wants one of them must repeat this condition
# word by word, as `sqlalchemy.text(FAILED)`: a bound parameter proves nothing to SQLite.
FAILED = "outcome <> 'ok'"


# The fact that says up to which hour, that one left out, `TrafficDay` and `OutcomeDay` hold what there was.
DAYS_UNTIL = "days_until"
DAY_S = 86_400


class Tally:
    """Figures that only ever grow, so that an upsert may add to them."""

    requests: Mapped[Big]
    successes: Mapped[Big]
    errors: Mapped[Big]
    attempts: Mapped[Big]
    tokens_in: Mapped[Big]
    tokens_out: Mapped[Big]
    tokens_cached: Mapped[Big]
    tokens_thinking: Mapped[Big]
    estimated: Mapped[Big]
    cost_nano: Mapped[Big]
    latency_ms: Mapped[Big]
    ttfb_ms: Mapped[Big]
    ms_100: Mapped[Big]
    ms_250: Mapped[Big]
    ms_500: Mapped[Big]
    ms_1000: Mapped[Big]
    ms_2500: Mapped[Big]
    ms_5000: Mapped[Big]
    ms_10000: Mapped[Big]
    ms_30000: Mapped[Big]
    ms_60000: Mapped[Big]
    ms_more: Mapped[Big]


TALLY = tuple(Tally.__annotations__)


class UsageHour(Tally, Model):
    """Usage of one key in one hour; ids are 0 and the model "" where there was none (null would defeat the upsert).

    A request, its tokens and what they cost count for the key of its last attempt. `attempts` are those the key was
    asked for, in the hour they began: a key that others took over from has attempts and no requests.
    """

    __tablename__ = "usage_hourly"
    __table_args__ = (
        Index("ix_usage_hourly_key_id_hour", "key_id", "hour"),
        Index("ix_usage_hourly_model", "model", "hour", "key_id"),
        {"sqlite_with_rowid": False},
    )

    hour: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    pool_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    key_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    client_key_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    model: Mapped[str] = mapped_column(Line(200), primary_key=True)


class TrafficHour(Tally, Model):
    """The same without the key: 100,000 keys make `usage_hourly` too long to add up for a chart of 90 days."""

    __tablename__ = "traffic_hourly"
    __table_args__ = ({"sqlite_with_rowid": False},)

    hour: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    pool_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    client_key_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    model: Mapped[str] = mapped_column(Line(200), primary_key=True)


class TrafficDay(Tally, Model):
    """The same by days of UTC: whole hours of `traffic_hourly`, added up once they are over. `hour` is the day's first.

    Up to which hour that is done is the fact `DAYS_UNTIL`.
    """

    __tablename__ = "traffic_daily"
    __table_args__ = ({"sqlite_with_rowid": False},)

    hour: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    pool_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    client_key_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    model: Mapped[str] = mapped_column(Line(200), primary_key=True)


class OutcomeHour(Model):
    """How requests and attempts ended in one hour: `times` of each status and word.

    `side` is "request" (what the client was told: its error code, else its outcome), "attempt" (what an upstream
    answered: our verdict) or "rescue" (once for a request that another key answered: how its first attempt ended). The
    word of a success is "ok", and of nothing else; a status of 0 means no answer. On the side "first_byte" the status
    is the upper edge (ms) of the bucket of the time until an answer began, 0 beyond the last; model and word are "". On
    the side "ttfb" the word is "begun" (how many answers of a model began) or "ms" (the sum of the times until then).
    """

    __tablename__ = "outcomes_hourly"
    __table_args__ = ({"sqlite_with_rowid": False},)

    hour: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    side: Mapped[str] = mapped_column(Line(10), primary_key=True)
    pool_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    model: Mapped[str] = mapped_column(Line(200), primary_key=True)
    operation: Mapped[str] = mapped_column(Line(40), primary_key=True)
    status: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    word: Mapped[str] = mapped_column(Line(60), primary_key=True)
    times: Mapped[Big]


class OutcomeDay(Model):
    """`outcomes_hourly` by days, as `TrafficDay` is."""

    __tablename__ = "outcomes_daily"
    __table_args__ = ({"sqlite_with_rowid": False},)

    hour: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    side: Mapped[str] = mapped_column(Line(10), primary_key=True)
    pool_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    model: Mapped[str] = mapped_column(Line(200), primary_key=True)
    operation: Mapped[str] = mapped_column(Line(40), primary_key=True)
    status: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    word: Mapped[str] = mapped_column(Line(60), primary_key=True)
    times: Mapped[Big]


class Counter(Model):
    """What is spent of a limit, kept so that a restart forgives nothing.

    `owner` is key, project, client or pool; `window` is none, minute, day or month; `window_start` is Unix seconds.
    """

    __tablename__ = "counters"
    __table_args__ = (Index("ix_counters_window", "window", "window_start"), {"sqlite_with_rowid": False})

    owner: Mapped[str] = mapped_column(Line(10), primary_key=True)
    owner_id: Mapped[str] = mapped_column(Line(200), primary_key=True)
    model: Mapped[str] = mapped_column(Line(200), primary_key=True, default="")
    window: Mapped[str] = mapped_column(Line(10), primary_key=True)
    window_start: Mapped[int] = mapped_column(BigInteger, primary_key=True, default=0, autoincrement=False)
    requests: Mapped[Big]
    tokens: Mapped[Big]
    cost_nano: Mapped[Big]


class Request(Model):
    """What a client asked and how it ended; `request_id` is unique, so a record drained twice counts once.

    `outcome` is "ok" or a word for what went wrong; `model_used` equals `model_asked` where nothing was sent.
    `key_id` is the key of the last attempt. Lists page by (`at`, `id`); filters on status, outcome or error code
    need `FAILED` beside them.
    """

    __tablename__ = "requests"
    __table_args__ = (
        Index("ix_requests_at", "at", "id"),
        Index("ix_requests_pool_id", "pool_id", "at", "id"),
        Index("ix_requests_client_key_id", "client_key_id", "at", "id"),
        Index("ix_requests_key_id", "key_id", "at", "id"),
        Index("ix_requests_model_used", "model_used", "at", "id"),
        only_where("ix_requests_status", "status", "at", "id", condition=FAILED),
        only_where("ix_requests_outcome", "outcome", "at", "id", condition=FAILED),
        only_where("ix_requests_error_code", "error_code", "at", "id", condition=FAILED),
        only_where("ix_requests_failed_pool_id", "pool_id", "at", "id", condition=FAILED),
        only_where("ix_requests_failed_client_key_id", "client_key_id", "at", "id", condition=FAILED),
        only_where("ix_requests_failed_key_id", "key_id", "at", "id", condition=FAILED),
        only_where("ix_requests_failed_model_used", "model_used", "at", "id", condition=FAILED),
    )

    id: Mapped[RowId]
    request_id: Mapped[str] = mapped_column(Line(64), unique=True)
    at: Mapped[Moment]
    pool_id: Mapped[int | None] = mapped_column(BigInteger)
    client_key_id: Mapped[int | None] = mapped_column(BigInteger)
    key_id: Mapped[int | None] = mapped_column(BigInteger)
    operation: Mapped[Short]
    dialect: Mapped[Short]
    model_asked: Mapped[Name]
    model_used: Mapped[Name]
    stream: Mapped[Flag]
    status: Mapped[Whole]
    outcome: Mapped[Short]
    error_code: Mapped[str | None] = mapped_column(Line(60))
    latency_ms: Mapped[Whole]
    ttfb_ms: Mapped[int | None]
    tokens_in: Mapped[Big]
    tokens_out: Mapped[Big]
    tokens_cached: Mapped[Big]
    tokens_thinking: Mapped[Big]
    estimated: Mapped[Flag]
    cost_nano: Mapped[Big]
    attempts: Mapped[Whole]
    ip: Mapped[Short]


class Attempt(Model):
    """One try at an upstream. `skipped` counts keys passed over by reason; `error` is redacted, 500 characters."""

    __tablename__ = "attempts"
    __table_args__ = (
        Index("ix_attempts_key_id", "key_id", "request_row"),
        {"sqlite_with_rowid": False},
    )

    request_row: Mapped[int] = mapped_column(
        ROW_ID, ForeignKey("requests.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    n: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    key_id: Mapped[int | None] = mapped_column(BigInteger)
    provider: Mapped[str] = mapped_column(Line(60), default="")
    why: Mapped[Name]
    skipped: Mapped[Table | None]
    started_ms: Mapped[Whole]
    duration_ms: Mapped[Whole]
    status: Mapped[int | None]
    outcome: Mapped[Short]
    blamed: Mapped[Short]
    error: Mapped[Prose]


class Affinity(Model):
    """Which key made an upstream object (a file, a cache, a batch), and for which client key.

    For a user key, or without one for the auth key of the pool.
    """

    __tablename__ = "affinity"

    name: Mapped[str] = mapped_column(Line(400), primary_key=True)
    provider_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    key_id: Mapped[int] = mapped_column(BigInteger)
    client_key_id: Mapped[int | None] = mapped_column(BigInteger)
    pool_id: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[Moment]
    expires_at: Mapped[Moment | None] = mapped_column(index=True)


class SpoolPosition(Model):
    """Up to which byte a spool file is in SQL; moved in the same transaction as the rows it stands for."""

    __tablename__ = "spool_positions"

    file: Mapped[str] = mapped_column(Line(400), primary_key=True)
    offset: Mapped[Big]

"""The log of requests, page by page, and the attempts of one: walks along its indexes, fast however long it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from heapq import merge
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, and_, func, select, text, tuple_
from sqlalchemy.orm import Session

from pool.adapters.tables import FAILED, Attempt, ClientKey, Key, Pool, Request

_REFERENCE = re.compile(r"[0-9]{1,18}|[A-Za-z][\w.-]{0,63}", re.ASCII)
"""What can be the id of a row, or the one a client was told."""


@dataclass(frozen=True, slots=True)
class LogWanted:
    """Which requests; None and "" stand for all. `since` and `until` are Unix seconds, the second one left out.

    `failed`: all that are not "ok". `word`: what the client was told, an error code or else an outcome. `tried_id` is
    a key that was asked, whichever key answered in the end.
    """

    pool_id: int | None = None
    client_id: int | None = None
    key_id: int | None = None
    model: str = ""
    status: int | None = None
    outcome: str = ""
    error_code: str = ""
    since: float | None = None
    until: float | None = None
    failed: bool = False
    word: str = ""
    tried_id: int | None = None


@dataclass(frozen=True, slots=True)
class LoggedAttempt:
    """One try at an upstream, as it was recorded. `key` is a mask."""

    n: int
    key_id: int | None
    key: str
    provider: str
    why: str
    skipped: Mapping[str, int] = field(default_factory=dict)
    started_ms: int = 0
    duration_ms: int = 0
    status: int | None = None
    outcome: str = ""
    blamed: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """A request, as it was recorded, with names for its ids. `key` is a mask; `attempts` says how many there were."""

    id: int
    request_id: str
    at: float
    pool_id: int | None
    pool: str | None
    client_id: int | None
    client: str | None
    key_id: int | None
    key: str
    operation: str
    dialect: str
    model: str
    model_used: str
    stream: bool
    status: int
    outcome: str
    error_code: str | None
    latency_ms: int
    ttfb_ms: int | None
    tokens_in: int
    tokens_out: int
    tokens_cached: int
    tokens_thinking: int
    estimated: bool
    cost_nano: int
    attempts: int
    ip: str

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out

    @property
    def word(self) -> str:
        """How it ended, as its client was told."""
        return self.error_code or self.outcome


def logged_requests(
    session: Session, wanted: LogWanted, size: int, after: tuple[float, int] | None = None
) -> list[LoggedRequest]:
    """The newest first; `after`: (moment, id) of the last one of the page before."""
    if wanted.tried_id is not None:
        return _that_tried(session, wanted, size, after)
    walks = [_walk(session, each, size, after) for each in _alternatives(session, wanted)]
    if len(walks) == 1:
        return walks[0]
    return list(islice(merge(*walks, key=lambda row: (row.at, row.id), reverse=True), size))


def _alternatives(session: Session, wanted: LogWanted) -> list[LogWanted]:
    """The same as wishes that each have an index to walk along; no request is in two of them."""
    if wanted.word:
        return [replace(wanted, word="", error_code=wanted.word), replace(wanted, outcome=wanted.word)]
    if wanted.failed and not _asked(wanted):
        return [replace(wanted, outcome=each) for each in _failures(session)]
    return [wanted]


def _failures(session: Session) -> list[str]:
    """The few outcomes beside "ok", by a step along their index each: counting them would read it whole."""
    found: list[str] = []
    query = select(func.min(Request.outcome)).where(text(FAILED))
    while (outcome := session.scalar(query.where(Request.outcome > found[-1]) if found else query)) is not None:
        found.append(outcome)
    return found


def _walk(
    session: Session, wanted: LogWanted, size: int, after: tuple[float, int] | None
) -> list[LoggedRequest]:
    query = _along(_rows(), _best_index(session, wanted)).where(*_conditions(wanted))
    query = query.order_by(Request.at.desc(), Request.id.desc()).limit(size)
    if after is not None:
        query = query.where(tuple_(Request.at, Request.id) < tuple_(*after))
    return [_logged(row) for row in session.execute(query)]


def _that_tried(
    session: Session, wanted: LogWanted, size: int, after: tuple[float, int] | None
) -> list[LoggedRequest]:
    """Along the attempts of one key, which go by the ids of their requests; one that tried it twice comes once."""
    again = Attempt.__table__.alias("again")
    same = again.c.request_row == Attempt.request_row, again.c.key_id == Attempt.key_id
    last = select(func.max(again.c.n)).where(*same)
    tried = and_(Attempt.request_row == Request.id, Attempt.key_id == wanted.tried_id)
    query = _rows().join(Attempt, tried).where(Attempt.n == last.scalar_subquery())
    query = query.order_by(Attempt.request_row.desc()).limit(size)
    if after is not None:
        query = query.where(Attempt.request_row < after[1])
    if wanted.failed:
        query = query.where(Request.outcome != "ok")
    if wanted.word:
        query = query.where(func.coalesce(Request.error_code, Request.outcome) == wanted.word)
    return [_logged(row) for row in session.execute(query.where(*_named(wanted), *_between(wanted)))]


def logged_request(session: Session, reference: str) -> tuple[LoggedRequest, list[LoggedAttempt]] | None:
    """A request by its row's id or by the one its client was told, and its attempts in order."""
    if not _REFERENCE.fullmatch(reference):
        return None
    named = Request.id == int(reference) if reference.isdigit() else Request.request_id == reference
    row = session.execute(_rows().where(named)).one_or_none()
    if row is None:
        return None
    tries = (
        select(Attempt, Key.hint_prefix, Key.hint_suffix)
        .outerjoin(Key, Key.id == Attempt.key_id)
        .where(Attempt.request_row == row[0].id)
        .order_by(Attempt.n)
    )
    return _logged(row), [_attempt(each, _mask(*hint)) for each, *hint in session.execute(tries)]


def _rows() -> Any:
    return (
        select(Request, Pool.name, ClientKey.name, Key.hint_prefix, Key.hint_suffix)
        .outerjoin(Pool, Pool.id == Request.pool_id)
        .outerjoin(ClientKey, ClientKey.id == Request.client_key_id)
        .outerjoin(Key, Key.id == Request.key_id)
    )


def _conditions(wanted: LogWanted) -> list[ColumnElement[bool]]:
    conditions: list[Any] = [*_named(wanted), *_between(wanted)]
    # The indexes of failures hold no others, and are used only where the query says that, word by word.
    if _only_failures(wanted):
        conditions.append(text(FAILED))
    if wanted.word:
        conditions.append(Request.error_code.is_(None))
    return conditions


def _only_failures(wanted: LogWanted) -> bool:
    failed = (wanted.status or 0) >= 400 or wanted.outcome not in ("", "ok") or wanted.error_code or wanted.failed
    return bool(failed) and wanted.outcome != "ok"


def _best_index(session: Session, wanted: LogWanted) -> str:
    """The index of the named column whose value is met least often; "" leaves the choice to the database.

    SQLite knows only how often a column's values are met on average, and that of a sample: among ten million requests
    it would look at all of a busy user key to find its few failures. PostgreSQL knows the common ones.
    """
    if session.get_bind().dialect.name != "sqlite":
        return ""
    failures = [text(FAILED)] if _only_failures(wanted) else []
    named = _OF_FAILURES if failures else _OF_ALL
    indexes = [(named[column.key], column == value) for column, value in _asked(wanted) if column.key in named]
    # Where all are met often, nearly every entry along one of failures is wanted; among all requests who knows.
    least, best = PROBED, indexes[0][0] if indexes and (failures or len(indexes) == 1) else ""
    for index, condition in indexes if len(indexes) > 1 else ():
        some = _along(select(Request.id), index).where(condition, *failures, *_between(wanted)).limit(least)
        met = session.scalar(select(func.count()).select_from(some.subquery())) or 0
        if met < least:
            least, best = met, index
    return best


def _along(query: Any, index: str) -> Any:
    return query.with_hint(Request, f"INDEXED BY {index}", "sqlite") if index else query


PROBED = 20_000
"""Index entries that are counted to learn how rare a value is: some milliseconds."""

_OF_ALL = {name: f"ix_requests_{name}" for name in ("pool_id", "client_key_id", "key_id", "model_used")}
_OF_FAILURES = {name: f"ix_requests_failed_{name}" for name in _OF_ALL} | {
    name: f"ix_requests_{name}" for name in ("status", "outcome", "error_code")
}
"""By the column: the index of all requests, and that of failures."""


def _named(wanted: LogWanted) -> list[ColumnElement[bool]]:
    return [column == value for column, value in _asked(wanted)]


def _asked(wanted: LogWanted) -> list[tuple[Any, Any]]:
    named: tuple[tuple[Any, Any], ...] = (
        (Request.pool_id, wanted.pool_id),
        (Request.client_key_id, wanted.client_id),
        (Request.key_id, wanted.key_id),
        (Request.status, wanted.status),
        (Request.model_used, wanted.model or None),
        (Request.outcome, wanted.outcome or None),
        (Request.error_code, wanted.error_code or None),
    )
    return [(column, value) for column, value in named if value is not None]


def _between(wanted: LogWanted) -> list[ColumnElement[bool]]:
    conditions = []
    if wanted.since is not None:
        conditions.append(Request.at >= wanted.since)
    if wanted.until is not None:
        conditions.append(Request.at < wanted.until)
    return conditions


def _logged(row: Any) -> LoggedRequest:
    request, pool, client, *hint = row
    return LoggedRequest(
        request.id, request.request_id, request.at, request.pool_id, pool, request.client_key_id, client,
        request.key_id, _mask(*hint) if request.key_id else "", request.operation, request.dialect,
        request.model_asked, request.model_used, request.stream, request.status, request.outcome, request.error_code,
        request.latency_ms, request.ttfb_ms, request.tokens_in, request.tokens_out, request.tokens_cached,
        request.tokens_thinking, request.estimated, request.cost_nano, request.attempts, request.ip,
    )  # fmt: skip


def _attempt(row: Attempt, mask: str) -> LoggedAttempt:
    return LoggedAttempt(
        row.n, row.key_id, mask if row.key_id else "", row.provider, row.why, row.skipped or {}, row.started_ms,
        row.duration_ms, row.status, row.outcome, row.blamed, row.error,
    )  # fmt: skip


def _mask(prefix: str | None, suffix: str | None) -> str:
    return f"{prefix}...{suffix}" if prefix else "***"

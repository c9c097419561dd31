"""What is remembered of a request: one line of the journal, written once, drained into SQL later."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import NoneType
from typing import Any, Protocol

import orjson

from .calls import NO_USAGE, Usage

MOST_TOKENS = 2**40
REQUEST, BENCH, DEAD, RELEASE = "request", "bench", "dead", "release"
LIMIT, PROJECT = "limit", "project"
MADE, FORGET = "made", "forget"


@dataclass(slots=True)
class AttemptRecord:
    """One upstream call: which key and why, what was skipped, how long (ms), and what came of it."""

    key_id: int
    provider: str
    why: str
    started_ms: int
    skipped: dict[str, int] = field(default_factory=dict)
    duration_ms: int = 0
    ttfb_ms: int | None = None
    status: int | None = None
    outcome: str = ""
    blamed: bool = False
    error: str = ""


@dataclass(slots=True)
class RequestRecord:
    """One client request. Times in Unix seconds and milliseconds; prompts and answers are never part of it."""

    request_id: str
    at: float
    pool_id: int
    client_id: int | None
    dialect: str
    operation: str
    model: str
    model_used: str = ""
    stream: bool = False
    ip: str = ""
    status: int = 0
    outcome: str = ""
    code: str = ""
    latency_ms: int = 0
    ttfb_ms: int | None = None
    usage: Usage = NO_USAGE
    attempts: list[AttemptRecord] = field(default_factory=list)

    def line(self) -> bytes:
        """The journal's line: JSON, a kind first, one newline at the end."""
        usage = self.usage
        fields: list[Any] = [
            REQUEST,
            self.request_id,
            self.at,
            self.pool_id,
            self.client_id,
            self.dialect,
            self.operation,
            self.model[:200],
            self.model_used[:200],
            self.stream,
            self.ip,
            self.status,
            self.outcome,
            self.code,
            self.latency_ms,
            self.ttfb_ms,
            (
                _tokens(usage.input), _tokens(usage.output), _tokens(usage.cached), _tokens(usage.thinking),
                usage.estimated,
            ),
            [
                (a.key_id, a.provider, a.why, a.started_ms, a.skipped, a.duration_ms, a.ttfb_ms, a.status,
                 a.outcome, a.blamed, a.error[:500])
                for a in self.attempts
            ],
        ]  # fmt: skip
        return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def _tokens(count: int) -> int:
    """A count an upstream told us, within what every database takes."""
    return count if 0 <= count <= MOST_TOKENS else min(max(count, 0), MOST_TOKENS)


class Limited(Protocol):
    """A quota as an upstream named it (`quota.Quota`)."""

    @property
    def window(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def limit(self) -> int | None: ...
    @property
    def tier(self) -> str: ...


def bench_line(
    key_id: int, model: str, reason: str, until: float | None, text: str, at: float, quota: Limited | None = None
) -> bytes:
    """A key was set aside until a moment; None means until somebody says otherwise."""
    told = None if quota is None else [quota.window, quota.unit, _bounded(quota.limit), quota.tier]
    fields = [BENCH, key_id, model[:200], reason, until, text[:2000], at, told]
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def limit_line(key_id: int, project: str, model: str, quota: Limited, at: float) -> bytes:
    """An upstream named the size of a quota."""
    fields = [
        LIMIT, key_id, project[:200], model[:200], quota.window, quota.unit, _bounded(quota.limit) or 0, quota.tier, at,
    ]  # fmt: skip
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def project_line(key_id: int, project: str, at: float) -> bytes:
    """An error named the project a key belongs to."""
    return orjson.dumps([PROJECT, key_id, project[:200], at], option=orjson.OPT_APPEND_NEWLINE)


def _bounded(limit: int | None) -> int | None:
    return None if limit is None else _tokens(limit)


def dead_line(key_id: int, text: str, at: float) -> bytes:
    return orjson.dumps([DEAD, key_id, text[:2000], at], option=orjson.OPT_APPEND_NEWLINE)


def release_line(key_id: int, model: str | None, at: float) -> bytes:
    """A bench ended before its time; model None: every one of the key."""
    return orjson.dumps([RELEASE, key_id, model, at], option=orjson.OPT_APPEND_NEWLINE)


def made_line(provider: str, name: str, key_id: int, holder: int, at: float, expires_at: float | None) -> bytes:
    """A key made an upstream object. `holder`: a user key's id, or a pool's id below zero for its own auth key."""
    fields = [MADE, provider, name[:400], key_id, holder, at, expires_at]
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)


def forget_line(provider: str, name: str, at: float) -> bytes:
    """An upstream object was deleted."""
    return orjson.dumps([FORGET, provider, name[:400], at], option=orjson.OPT_APPEND_NEWLINE)


_WHOLE, _MAYBE, _MOMENT = int, (int, NoneType), (int, float)
_REQUEST_SHAPE: tuple[Any, ...] = (
    str, _MOMENT, _WHOLE, _MAYBE, str, str, str, str, bool, str, _WHOLE, str, str, _WHOLE, _MAYBE,
)  # fmt: skip
_ATTEMPT_SHAPE: tuple[Any, ...] = (_WHOLE, str, str, _WHOLE, dict, _WHOLE, _MAYBE, _MAYBE, str, bool, str)
_BENCH_SHAPE: tuple[Any, ...] = (str, _WHOLE, str, str, (*_MOMENT, NoneType), str, _MOMENT)
_SHAPES: dict[str, tuple[Any, ...]] = {
    BENCH: (*_BENCH_SHAPE, (list, NoneType)),
    LIMIT: (str, _WHOLE, str, str, str, str, _WHOLE, str, _MOMENT),
    PROJECT: (str, _WHOLE, str, _MOMENT),
    DEAD: (str, _WHOLE, str, _MOMENT),
    RELEASE: (str, _WHOLE, (str, NoneType), _MOMENT),
    MADE: (str, str, str, _WHOLE, _WHOLE, _MOMENT, (*_MOMENT, NoneType)),
    FORGET: (str, str, str, _MOMENT),
}


def parse_line(line: bytes) -> list[Any]:
    """A journal line as a list, its kind first.

    Raises ValueError for a torn one (a crash while writing) and for one of another shape: the database would
    refuse it, with all that came with it, for ever.
    """
    fields = orjson.loads(line)
    if not isinstance(fields, list) or not fields or not isinstance(fields[0], str):
        raise ValueError("not a journal line")
    if fields[0] == BENCH and len(fields) == len(_BENCH_SHAPE):
        fields.append(None)  # as written before quotas were
    shape = _SHAPES.get(fields[0])
    if shape and not (len(fields) == len(shape) and all(map(isinstance, fields, shape))):
        raise ValueError(f"not a line of kind {fields[0]}")
    return fields


def parse_request(fields: list[Any]) -> RequestRecord:
    """The record of a `REQUEST` line. Raises ValueError or TypeError for one of another shape."""
    *head, usage, attempts = fields[1:]
    if not all(map(isinstance, head, _REQUEST_SHAPE)) or not all(isinstance(count, int) for count in usage):
        raise ValueError("not a request's line")
    record = RequestRecord(*head)
    record.usage = Usage(*usage)
    for attempt in attempts:
        if not all(map(isinstance, attempt, _ATTEMPT_SHAPE)):
            raise ValueError("not an attempt")
        record.attempts.append(AttemptRecord(*attempt))
    return record

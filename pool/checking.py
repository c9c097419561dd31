"""Is a key alive? Asked by the provider's list of models, which spends no quota."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import orjson

from .core.calls import GEMINI, Ask, Target, Timeouts
from .core.catalogue import Catalogue
from .core.dialects import error_fields
from .core.faults import Broken, TimedOut, UpstreamError
from .core.judge import Judge, Thresholds
from .core.keys import Key
from .core.masking import redact
from .core.outcomes import KEY, KEY_MODEL, OK, Outcome, Penalties, classify, failed
from .core.providers import Provider
from .core.rotation import Rotation
from .settings import Settings

CHECK_S, CONNECT_S = 10.0, 5.0
"""A person is waiting."""

MOST_BYTES = 4 * 1024 * 1024
AT_ONCE = 10

ALIVE, DEAD, RESTS, SUSPECTED, UNREACHABLE, UNDECIDED = (
    "alive", "dead", "rests", "suspected", "unreachable", "undecided",
)  # fmt: skip

_DISPROVED = frozenset({"dead", "suspected", "service_disabled"})
"""What a list of models refutes. It says nothing of quotas or credit."""


class Exchange(Protocol):
    """One upstream HTTP exchange, as the engine hands it out."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    def wait(self, patience_s: float | None = None) -> bool: ...
    def read1(self, patience_s: float | None = None) -> bytes | None: ...
    def close(self) -> None: ...


class Upstream(Protocol):
    def start(self, target: Target, /) -> Exchange: ...


@dataclass(frozen=True, slots=True)
class Check:
    """What a check found: a word (`ALIVE`…), how long it took, and what the upstream said where it refused.

    `kind` is the outcome's: why the key rests. `status` 0: no answer came.
    """

    key_id: int
    word: str
    ms: int
    reason: str = ""
    kind: str = ""
    status: int = 0


class Checker:
    """Asks, and lets the judge act on a refusal. Nobody is blamed for an upstream that does not answer."""

    def __init__(
        self,
        *,
        upstream: Upstream,
        catalogue: Catalogue,
        judge: Judge,
        settings: Callable[[], Settings],
        unseal: Callable[[Key], str],
        revive: Callable[[Sequence[int]], None],
        remember: Callable[[Sequence[int], float], None],
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        each: Callable[[Callable[[Key], Check], Iterable[Key]], list[Check]],
    ) -> None:
        self._upstream = upstream
        self._catalogue = catalogue
        self._judge = judge
        self._settings = settings
        self._unseal = unseal
        self._revive = revive
        self._remember = remember
        self._clock = clock
        self._monotonic = monotonic
        self._each = each

    def check(self, key_ids: Sequence[int]) -> list[Check]:
        """Check keys, some of them at once. Those that are not in the catalogue are left out."""
        keys = [key for key_id in key_ids if (key := self._catalogue.keys.get(key_id)) is not None]
        checks = self._each(self._one, keys)
        back = [check.key_id for check in checks if check.word == ALIVE and self._disproved(check.key_id)]
        if back:
            self._revive(back)
        if checks:
            self._remember([check.key_id for check in checks], self._clock())
        return checks

    def _one(self, key: Key) -> Check:
        began, status = self._monotonic(), 0
        try:
            status, outcome = self._ask(key, began + CHECK_S)
        except UpstreamError as error:
            outcome = failed(error)
        ms = int((self._monotonic() - began) * 1000)
        outcome = replace(outcome, reason=redact(outcome.reason, self._unseal(key)))
        return Check(key.id, self._learn(key, outcome, status), ms, outcome.reason, outcome.kind, status)

    def _ask(self, key: Key, deadline: float) -> tuple[int, Outcome]:
        """The status and the verdict. Raises `UpstreamError`."""
        provider = self._catalogue.providers.get(key.provider)
        if provider is None:
            return 0, Outcome("other", reason="its provider is switched off")
        exchange = self._upstream.start(_target(provider, key, self._unseal(key)))
        try:
            if not exchange.wait(max(0.0, deadline - self._monotonic())):
                raise TimedOut("first_byte")
            body = self._body(exchange, deadline)
        finally:
            exchange.close()
        settings = self._settings()
        penalties = Penalties(settings.cooldown_hours * 3600, settings.quota_reset)
        fields = error_fields(body)
        outcome = classify(exchange.status, exchange.headers, fields, self._clock(), penalties)
        if outcome is not OK:
            return exchange.status, replace(outcome, reason=outcome.reason or fields.message)
        return exchange.status, OK if _is_list(body) else Outcome("other", reason="the answer is no list of models")

    def _body(self, exchange: Exchange, deadline: float) -> bytes:
        body = bytearray()
        while piece := exchange.read1(max(0.0, deadline - self._monotonic())):
            body += piece
            if len(body) > MOST_BYTES:
                raise Broken("the answer's body is too large")
        if piece is None:
            raise TimedOut("idle")
        return bytes(body)

    def _learn(self, key: Key, outcome: Outcome, status: int) -> str:
        """Act on a verdict; the word for it."""
        if outcome.kind == OK.kind:
            self._judge.succeeded(key, "", self._clock())
            return ALIVE
        if outcome.transient:
            return UNDECIDED if status else UNREACHABLE
        if outcome.scope not in (KEY, KEY_MODEL) or outcome.kind == "not_entitled":
            return UNDECIDED
        settings = self._settings()
        thresholds = Thresholds(settings.max_errors_threshold, settings.error_reset_interval)
        rotation = next(iter(self._catalogue.rotations_of(key.id)), None) or Rotation()
        self._judge.failed(key, "", outcome, self._clock(), rotation, thresholds)
        if key.dead is not None:
            return DEAD
        return SUSPECTED if outcome.kind == "suspected" else RESTS

    def _disproved(self, key_id: int) -> bool:
        """Is something known against the key that its being alive refutes?"""
        key = self._catalogue.keys.get(key_id)
        if key is None:
            return False
        bench = self._catalogue.benches(key_id).get("")
        return key.dead is not None or (bench is not None and bench.reason in _DISPROVED)


def _target(provider: Provider, key: Key, secret: str) -> Target:
    query = (("pageSize", "1"),) if provider.dialect == GEMINI else ()
    url = provider.url(Ask("GET", "/models", b"", query))
    headers = (("Accept", "application/json"), provider.credential(secret))
    timeouts = Timeouts(CONNECT_S, CHECK_S, CHECK_S)
    return Target("GET", url, headers, b"", timeouts, key.proxy_url or provider.proxy_url)


def _is_list(body: bytes) -> bool:
    """An object, or (some providers) a bare list. A captive portal answers 200 with a page."""
    try:
        document: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(document, dict | list)

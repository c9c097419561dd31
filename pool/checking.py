"""Is a key alive? Asked by the provider's list of models, which spends no quota."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol
from urllib.parse import quote

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


_NO_REACH = frozenset({"not_entitled", "model_missing", "rejected"})
"""Refusals of a question about a model that mean the key may not use it."""

_ONE_WORD = b'{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}'


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
        each: Callable[[Callable[[Any], Check], Iterable[Any]], list[Check]],
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

    def reach(self, pairs: Sequence[tuple[int, str]]) -> list[Check]:
        """May keys use these models by now? (key id, model) pairs; an answer either way is acted on."""
        asked = [(key, model) for key_id, model in pairs if (key := self._catalogue.keys.get(key_id)) is not None]
        return self._each(lambda pair: self._reach_one(*pair), asked)

    def _one(self, key: Key) -> Check:
        ms, status, outcome = self._timed(key, "")
        return Check(key.id, self._learn(key, outcome, status), ms, outcome.reason, outcome.kind, status)

    def _reach_one(self, key: Key, model: str) -> Check:
        ms, status, outcome = self._timed(key, model)
        word = UNDECIDED if status else UNREACHABLE
        if outcome.kind == OK.kind:
            word = ALIVE
            self._judge.entitled(key, model, self._clock())
        elif status in (403, 404) and outcome.kind in _NO_REACH:
            word = RESTS
            self._judge.not_entitled(key, model, outcome.reason, self._clock())
        return Check(key.id, word, ms, outcome.reason, outcome.kind, status)

    def _timed(self, key: Key, model: str) -> tuple[int, int, Outcome]:
        """How long it took (ms), the status (0: no answer), and the verdict, without the key in its words."""
        began, status = self._monotonic(), 0
        try:
            status, outcome = self._ask(key, model, began + CHECK_S)
        except UpstreamError as error:
            outcome = failed(error)
        ms = int((self._monotonic() - began) * 1000)
        return ms, status, replace(outcome, reason=redact(outcome.reason, self._unseal(key)))

    def _ask(self, key: Key, model: str, deadline: float) -> tuple[int, Outcome]:
        """The status and the verdict. Raises `UpstreamError`."""
        provider = self._catalogue.providers.get(key.provider)
        if provider is None:
            return 0, Outcome("other", reason="its provider is switched off")
        exchange = self._upstream.start(_target(provider, key, self._unseal(key), model))
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
        return exchange.status, OK if _is_json(body) else Outcome("other", reason="the answer is no list of models")

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
        bench = self._catalogue.benches(key.id).get("")
        if outcome.dead and key.dead is not None:
            return DEAD
        if bench is not None and bench.reason == outcome.kind == "service_disabled":
            return RESTS
        if outcome.dead:
            # Asked about this very key, in so many words: no storm is suspected behind it.
            outcome = replace(outcome, storm="")
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


def _target(provider: Provider, key: Key, secret: str, model: str) -> Target:
    """The list of models; for one model the smallest question about it that spends no quota."""
    ask = Ask("GET", "/models", b"", (("pageSize", "1"),) if provider.dialect == GEMINI else ())
    if model and provider.dialect == GEMINI:
        ask = Ask("POST", f"/models/{quote(model, safe='')}:countTokens", _ONE_WORD)
    elif model:
        ask = Ask("GET", f"/models/{quote(model, safe='')}", b"")
    typed = (("Content-Type", "application/json"),) if ask.body else ()
    headers = (*typed, ("Accept", "application/json"), provider.credential(secret))
    timeouts = Timeouts(CONNECT_S, CHECK_S, CHECK_S)
    return Target(ask.method, provider.url(ask), headers, ask.body, timeouts, key.proxy_url or provider.proxy_url)


def _is_json(body: bytes) -> bool:
    """An object, or (some providers) a bare list. A captive portal answers 200 with a page."""
    try:
        document: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(document, dict | list)

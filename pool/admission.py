"""The limits of client keys and pools: reserved before a request's first attempt, settled when it is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .core.calls import GEMINI, OPENAI, Call, Usage
from .core.limits import COST, TOKENS, Spending, holder_bounds, limit_headers, measure, over_limit, settlement
from .core.prices import Price
from .core.providers import served_by_gemini
from .core.state import Bound, PoolState, Refused
from .core.tokens import estimate_prompt, wanted_output
from .settings import Settings

if TYPE_CHECKING:
    from .relay import Caller


@dataclass(slots=True)
class Entry:
    """One request that was let in. `headers` tell the caller what is left; `settle` may be called again."""

    state: PoolState
    price: Callable[[str, str], Price]
    bounds: Sequence[Bound]
    at: int
    headers: list[tuple[str, str]]
    over: bool = False

    def settle(self, usage: Usage, provider: str = "", model: str = "") -> None:
        """The request is over: what it used takes the place of what it was expected to."""
        if self.over:
            return
        self.over = True
        cost = self.price(provider, model).cost_nano(usage) if usage.total else 0
        changes = settlement(self.bounds, self.at, Spending(usage.total, cost))
        if changes:
            self.state.settle(changes)


class Admission:
    """`price` gives what a provider's model costs."""

    def __init__(
        self,
        state: PoolState,
        settings: Callable[[], Settings],
        price: Callable[[str, str], Price],
        clock: Callable[[], float],
    ) -> None:
        self._state = state
        self._settings = settings
        self._price = price
        self._clock = clock

    def enter(self, call: Call, caller: Caller) -> Entry | None:
        """Reserve what a request may use, of all its limits or none. None where there is no limit.

        Raises `Fault` 429 that names the limit. A call under limits of tokens or cost becomes `metered`.
        """
        now = self._clock()
        bounds = self.bounds(call, caller, now)
        if not bounds:
            return None
        answer = self._state.admit([bounds], now)
        if isinstance(answer, Refused):
            number = answer.bounds[0]
            fault = over_limit(bounds[number], answer.left[0], answer.frees_at[0], now)
            fault.headers = limit_headers([bounds[number]], [answer.left[0]], now)
            raise fault
        call.metered = any(measure(bound) in (TOKENS, COST) for bound in bounds)
        return Entry(self._state, self._price, bounds, answer.at, limit_headers(bounds, answer.left, now))

    def bounds(self, call: Call, caller: Caller, now: float) -> list[Bound]:
        """What a request must fit under: the limits of its client key, then those of its pool."""
        of_client = caller.client.limits if caller.client else None
        of_pool = caller.pool.limits
        if not of_client and not of_pool:
            return []
        reset = self._settings().quota_reset
        model = caller.pool.aliases.get(call.model, call.model)
        expected = self._expected(call, model, [*of_pool, *(of_client or ())])
        bounds: list[Bound] = []
        if caller.client and of_client:
            bounds += holder_bounds(f"c{caller.client.id}", of_client, expected, now, reset)
        if of_pool:
            bounds += holder_bounds(f"p{caller.pool.id}", of_pool, expected, now, reset)
        return bounds

    def _expected(self, call: Call, model: str, limits: Sequence[str]) -> Spending:
        """The prompt's estimate and as much output as was asked for; reckoned only where a limit needs it."""
        priced = any(name.startswith("budget") for name in limits)
        if not priced and "tpm_limit" not in limits:
            return Spending(0)
        prompt, output = estimate_prompt(call), wanted_output(call)
        if not priced:
            return Spending(prompt + output)
        price = self._price(GEMINI if served_by_gemini(model) else OPENAI, model)
        return Spending(prompt + output, price.cost_nano(Usage(prompt, output)))

"""Which key a request tries next: providers in the order of the route, policies, tiers, caps, one fallback pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .core.calls import Ask, Call, Codec
from .core.dialects import ConversionSettings, codec_for
from .core.exhaustion import no_keys, nothing_left
from .core.faults import Fault
from .core.keys import Key
from .core.providers import Provider, Route, known_model, route_model
from .core.quota import cap_window
from .core.rotation import Rotation
from .core.state import Bound, Taken
from .settings import Settings

if TYPE_CHECKING:
    from .relay import Caller, Relay

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """How one provider is asked for one model: made once a request, before any key is used."""

    provider: Provider
    model: str
    codec: Codec
    ask: Ask
    url: str
    headers: Headers


@dataclass(frozen=True, slots=True)
class Pick:
    """An admitted key, how to use it, why it was chosen, and how many others were set aside for what."""

    key: Key
    plan: Plan
    rotation: Rotation
    why: str
    skipped: dict[str, int] = field(default_factory=dict)


class Choosing:
    """The choices of one request. No key is picked twice, but for `again`."""

    def __init__(self, relay: Relay, call: Call, caller: Caller, settings: Settings) -> None:
        self._relay = relay
        self._call = call
        self._caller = caller
        self._settings = settings
        self._pool = caller.pool
        self._plans: dict[tuple[str, str], Plan | None] = {}
        self.tried: dict[int, None] = {}

    def next(self, last_fault: Fault | None) -> Pick:
        """The next key, admitted. Raises `Fault`: a mistake of the caller's (400, 404), or nothing is left."""
        relay, settings = self._relay, self._settings
        if len(self.tried) >= settings.max_attempts:
            raise last_fault or Fault(503, "max_attempts", "Too many keys failed.", retry_after_s=1)
        now = relay.clock()
        candidates = relay.catalogue.candidates(self._pool.id)
        plans = self._usable(candidates)
        policy = self._caller.policy or self._pool.policy or settings.rotation_strategy
        rotations = [relay.catalogue.rotations[self._pool.id][plan.provider.slug] for plan in plans]
        for plan, rotation in zip(plans, rotations, strict=True):
            key = self._admit(rotation, policy, plan.model, now)
            if key is not None:
                skipped = rotation.census(plan.model, now) if self.tried else {}
                self.tried[key.id] = None
                return Pick(key, plan, rotation, policy, skipped)
        if self._fall_back():
            return self.next(last_fault)
        raise self._nothing_left(plans, rotations, now, last_fault)

    def again(self, pick: Pick) -> Pick | None:
        """The same key once more; None where its cap forbids it."""
        now = self._relay.clock()
        if not isinstance(self._relay.state.admit([self._bounds(pick.key, now)], now), Taken):
            return None
        return Pick(pick.key, pick.plan, pick.rotation, "same_key_again")

    def _usable(self, candidates: Mapping[str, Provider]) -> list[Plan]:
        if not candidates:
            if self._fall_back():
                return self._usable(self._relay.catalogue.candidates(self._pool.id))
            raise no_keys({})
        route = self._route(candidates)
        plans = [plan for slug in route.providers if (plan := self._plan(candidates[slug], route.model))]
        if not plans:
            message = f"No provider of this pool serves {self._call.model!r} on this route."
            raise Fault(404, "model_not_found", message, param="model", retryable=False)
        return plans

    def _route(self, candidates: Mapping[str, Provider]) -> Route:
        """The providers to ask and the model to ask for; `unknown_model_policy` decides about strange names."""
        call, settings = self._call, self._settings
        if call.provider is not None:
            return Route((call.provider,) if call.provider in candidates else (), call.model)
        route = route_model(call.model, candidates, self._pool.aliases)
        if settings.unknown_model_policy == "passthrough" or known_model(route, candidates):
            return route
        if settings.unknown_model_policy == "default":
            return route_model(settings.default_model_name, candidates, self._pool.aliases)
        message = f"The model {call.model!r} does not exist here."
        raise Fault(404, "model_not_found", message, param="model", retryable=False)

    def _plan(self, provider: Provider, model: str) -> Plan | None:
        place = (provider.slug, model)
        if place not in self._plans:
            self._plans[place] = self._new_plan(provider, model)
        return self._plans[place]

    def _new_plan(self, provider: Provider, model: str) -> Plan | None:
        """None where the caller's dialect cannot be carried to the provider. Raises `Fault` (400)."""
        call = self._call
        provider = provider.speaking(call.dialect)
        codec = codec_for(call.dialect, provider.dialect, call.operation, settings=conversion(self._settings))
        if codec is None:
            return None
        ask = codec.ask(call, model)
        accept = "text/event-stream" if call.stream else "application/json"
        headers = (*ask.headers, *call.headers, ("Accept", accept), ("User-Agent", self._relay.user_agent))
        return Plan(provider, model, codec, ask, provider.url(ask), headers)

    def _admit(self, rotation: Rotation, policy: str, model: str, now: float) -> Key | None:
        """The next key of a rotation that is still under its cap on attempts."""
        relay = self._relay
        while True:
            key_id = rotation.choose(policy, model, now, self.tried)
            if key_id is None:
                return None
            key = relay.catalogue.keys[key_id]
            answer = relay.state.admit([self._bounds(key, now)], now)
            if isinstance(answer, Taken):
                return key
            relay.catalogue.bench(key_id, "limited", answer.frees_at[0])

    def _bounds(self, key: Key, now: float) -> list[Bound]:
        if key.max_requests is None:
            return []
        period, ends_at = cap_window(key.max_requests_window, now, self._settings.quota_reset)
        return [Bound(f"k{key.id}/cap", key.max_requests, kind="period", period=period, ends_at=ends_at)]

    def _fall_back(self) -> bool:
        """One hop to the fallback pool, under the first pool's limits."""
        fallback = self._relay.catalogue.pools.get(self._pool.fallback_pool_id or 0)
        if self._pool is not self._caller.pool or fallback is None or not fallback.enabled:
            return False
        self._pool = fallback
        return True

    def _nothing_left(
        self, plans: Sequence[Plan], rotations: Sequence[Rotation], now: float, last_fault: Fault | None
    ) -> Fault:
        """Keys that are ready and were all tried: then the last upstream's word counts."""
        model = plans[0].model
        if last_fault and any(rotation.ready(model, now) for rotation in rotations):
            return last_fault
        return nothing_left(rotations, model, now)


def conversion(settings: Settings) -> ConversionSettings:
    """The settings a conversion depends on, as the dialects want them."""
    return ConversionSettings(
        safety_preset=settings.safety_preset,
        thinking_enabled=settings.thinking_enabled,
        thinking_budget=settings.thinking_budget,
        include_thoughts=settings.include_thoughts,
    )

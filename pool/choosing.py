"""Which key a request tries next: providers in the order of the route, policies, tiers, caps, one fallback pool."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from . import pins
from .core.calls import GEMINI, NO_USAGE, Ask, Call, Codec, Pin, Usage
from .core.catalogue import LIMITED, Pool
from .core.dialects import ConversionSettings, codec_for
from .core.dialects.cutting import parts_of
from .core.dialects.settings import Resolver
from .core.exhaustion import OF_OUR_KEYS, in_a_storm, no_keys, nothing_left, stormy
from .core.faults import Fault
from .core.keys import Key
from .core.limits import TOKENS, Spending, key_bounds, measure, settlement
from .core.providers import Provider, Route, known_model, route_model, route_native
from .core.rotation import Rotation
from .core.state import Bound, Refused
from .core.tokens import estimate_prompt, wanted_output
from .settings import Settings

if TYPE_CHECKING:
    from .relay import Caller, Relay

log = logging.getLogger(__name__)

Headers = tuple[tuple[str, str], ...]

TIGHT = 0.02
"""A key with less than this share of its tokens left is set aside for everybody, not for one request."""

FOREVER = float("inf")

NOBODY = Rotation()
"""Of a provider that a pool has no key of."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one provider is asked for one model: made once a request, before any key is used.

    `native`: the answer goes back as it comes, whatever it is. `parts`: what the call is cut into, and how each part
    is asked; none where it is asked as a whole.
    """

    provider: Provider
    model: str
    codec: Codec
    ask: Ask
    url: str
    headers: Headers
    native: bool = False
    parts: tuple[tuple[Call, Ask], ...] = ()


@dataclass(frozen=True, slots=True)
class Pick:
    """An admitted key, how to use it, why it was chosen, and how many others were set aside for what.

    `bounds` were reserved at the second `at`.
    """

    key: Key
    plan: Plan
    rotation: Rotation
    why: str
    skipped: dict[str, int] = field(default_factory=dict)
    bounds: Sequence[Bound] = ()
    at: int = 0


class Choosing:
    """The choices of one request. No key is picked twice, but for `again`.

    `probe`: the request was let through a storm to see whether it is over.
    """

    def __init__(self, relay: Relay, call: Call, caller: Caller, settings: Settings) -> None:
        self._relay = relay
        self._call = call
        self._caller = caller
        self._settings = settings
        self._pool = caller.pool
        self._plans: dict[tuple[str, str], Plan | None] = {}
        self._passed: set[str] = set()
        self._excluded: dict[int, None] = {}
        self._left: set[str] = set()
        self._limited = 0
        self._room_at = FOREVER
        self._prompt_tokens: int | None = None
        self._only: Plan | None = None
        self.tried = 0
        self.probe = False

    def next(self, last_fault: Fault | None) -> Pick:
        """The next key, admitted.

        Raises `Fault`: a mistake of the caller's (400, 404), or nothing is left; `NotYet` where waiting may help.
        """
        relay, settings = self._relay, self._settings
        if self.tried >= settings.max_attempts:
            raise last_fault or Fault(503, "max_attempts", "Too many keys failed.", retry_after_s=1)
        now = relay.clock()
        if self._call.pin is not None:
            return self._pinned(self._call.pin, now, last_fault)
        plans = self._usable(relay.catalogue.candidates(self._pool.id))
        policy, _ = policy_of(self._caller, self._pool, settings)
        rotations = [self._rotation(plan) for plan in plans]
        storm = ""
        for plan in plans:
            if plan.provider.slug in self._left:
                continue
            if not self._may_pass(plan.provider.slug, now):
                storm = relay.judge.outages.of(plan.provider.slug).storm.kind
                continue
            pick = self._pick(plan, policy, now)
            if pick is not None:
                return pick
            self.give_up_probe(now)
        if self._fall_back():
            return self.next(last_fault)
        if self._left and last_fault:
            raise last_fault
        if storm:
            raise in_a_storm(storm)
        raise self._nothing_left(plans, rotations, now, last_fault)

    def again(self, pick: Pick) -> Pick | None:
        """The same key once more; None where its limits forbid it."""
        now = self._relay.clock()
        bounds = self._bounds(pick.key, pick.plan.model, now)
        answer = self._relay.state.admit([bounds], now) if bounds else None
        if isinstance(answer, Refused):
            return None
        return Pick(pick.key, pick.plan, pick.rotation, "same_key_again", {}, bounds, answer.at if answer else 0)

    def settle(self, pick: Pick, usage: Usage = NO_USAGE) -> None:
        """An attempt is over: the tokens it was expected to use become those it used."""
        changes = settlement(pick.bounds, pick.at, Spending(usage.total))
        if changes:
            self._relay.state.settle(changes)

    def give_up_probe(self, now: float) -> None:
        """What was let through to try an upstream in a storm ends, and may have told nothing."""
        if self.probe:
            for slug in self._passed:
                self._relay.judge.outages.of(slug).storm.gave_up(now)

    def after_waiting(self) -> None:
        """Time went by: what was tried or had no room may serve now."""
        if self._only is None:
            self._pool = self._caller.pool
        self._excluded.clear()
        self._limited, self._room_at = 0, FOREVER

    def leave(self, slug: str) -> bool:
        """Ask this upstream no more: it is the one that fails. False where this request may ask no other."""
        self._left.add(slug)
        return self._call.pin is None and self._only is None

    def go_on(self, plan: Plan) -> None:
        """A part of the call is answered: every key may take the next, but only of the provider that took this one."""
        self._only = plan
        self.tried = 0
        self.after_waiting()

    @property
    def prompt_tokens(self) -> int:
        """The prompt's size, estimated once, when it is first asked for."""
        if self._prompt_tokens is None:
            self._prompt_tokens = estimate_prompt(self._call)
        return self._prompt_tokens

    def _may_pass(self, slug: str, now: float) -> bool:
        """Is the upstream open to this request? Once it is, it stays so for all of its attempts."""
        if slug in self._passed:
            return True
        standing = self._relay.judge.outages.of(slug)
        if standing.storm.kind:
            if not standing.storm.may_pass(now):
                return False
            self.probe = standing.storm.open
        self._passed.add(slug)
        standing.budget.asked()
        return True

    def _usable(self, candidates: Mapping[str, Provider]) -> list[Plan]:
        if not candidates:
            if self._fall_back():
                return self._usable(self._relay.catalogue.candidates(self._pool.id))
            raise no_keys({})
        route = self._route(candidates)
        plans = [plan for slug in route.providers if (plan := self._plan(candidates[slug], route.model))]
        plans = [plan for plan in plans if self._only is None or plan is self._only]
        if not plans and not self._call.model:
            raise Fault(404, "not_found", "No provider of this pool has this route.", retryable=False)
        if not plans:
            message = f"No provider of this pool serves {self._call.model!r} on this route."
            raise Fault(404, "model_not_found", message, param="model", retryable=False)
        return plans

    def _route(self, candidates: Mapping[str, Provider]) -> Route:
        """The providers to ask and the model to ask for; `unknown_model_policy` decides about strange names."""
        call, settings = self._call, self._settings
        if call.provider is not None:
            return Route((call.provider,) if call.provider in candidates else (), call.model or topic_of(call))
        if call.native is not None and not call.model:
            return route_native(call.dialect, candidates, call.native.topic)
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
        provider, codec = self._met(provider)
        if codec is None:
            return None
        parts = [(part, codec.ask(part, model)) for part in parts_of(codec, call, model)]
        ask = parts[0][1]
        if call.version and call.dialect != provider.dialect == GEMINI:
            # One predecessor's clients name Google's version on OpenAI's routes.
            ask = replace(ask, version=call.version)
        native = call.native is not None and provider.dialect == call.dialect
        accept = ("Accept", "text/event-stream" if call.stream else "application/json")
        more = () if native else (accept,) if call.native is not None else (*call.headers, accept)
        headers = (*ask.headers, *more, ("User-Agent", self._relay.user_agent))
        several = tuple(parts) if len(parts) > 1 else ()
        return Plan(provider, model, codec, ask, provider.url(ask), headers, native, several)

    def _met(self, provider: Provider) -> tuple[Provider, Codec | None]:
        """A provider as this call meets it, and how the call travels there; None where it cannot."""
        call = self._call
        provider = provider.speaking(call.dialect)
        if call.dialect == provider.dialect and self._settings.stream_mode != "fake":
            return provider, codec_for(call.dialect, provider.dialect, call.operation)
        settings = conversion(self._settings, self._relay.fetch)
        return provider, codec_for(call.dialect, provider.dialect, call.operation, settings=settings)

    def _pinned(self, pin: Pin, now: float, last_fault: Fault | None) -> Pick:
        """The one key that can serve this request. Raises `Fault` that says why it cannot."""
        relay, key = self._relay, self._relay.catalogue.keys.get(pin.key_id)
        seat = self._seat_of(key) if key is not None else None
        if key is None or seat is None:
            raise pins.gone(pin)
        self._pool, rotation = seat
        plans = self._usable(relay.catalogue.candidates(self._pool.id))
        plan = next((plan for plan in plans if plan.provider.slug == key.provider), None)
        if plan is None:
            raise pins.elsewhere(pin, key.provider, self._call.model)
        if self.tried:
            raise pins.final(pin, key, rotation.benches(key.id), now, last_fault)
        stopped = pins.stopped(pin, key, rotation.benches(key.id), self._call.model, now)
        if stopped is not None:
            raise stopped
        if not self._may_pass(key.provider, now):
            raise in_a_storm(relay.judge.outages.of(key.provider).storm.kind)
        bounds, at = self._bounds(key, plan.model, now), 0
        if bounds:
            answer = relay.state.admit([bounds], now)
            if isinstance(answer, Refused):
                raise pins.full(pin, answer.frees_at[0], now)
            at = answer.at
        self.tried += 1
        return Pick(key, plan, rotation, "pinned", {}, bounds, at)

    def _seat_of(self, key: Key) -> tuple[Pool, Rotation] | None:
        """Where a key sits: in the caller's pool, or in that one's fallback pool."""
        catalogue, own = self._relay.catalogue, self._caller.pool
        for pool in (own, catalogue.pools.get(own.fallback_pool_id or 0)):
            rotation = catalogue.rotations.get(pool.id, {}).get(key.provider) if pool and pool.enabled else None
            if pool is not None and rotation is not None and key.id in rotation:
                return pool, rotation
        return None

    def _preferred(self, plan: Plan, rotation: Rotation, now: float) -> int | None:
        """The key this call would rather have, where that is ready."""
        native = self._call.native
        key_id = native.prefers(plan.provider.slug) if native is not None and native.prefers is not None else None
        if key_id is None or key_id in self._excluded or key_id not in rotation:
            return None
        benches = rotation.benches(key_id)
        resting = any(model in benches and benches[model].until > now for model in ("", plan.model))
        return None if resting else key_id

    def _rotation(self, plan: Plan) -> Rotation:
        """The keys to choose from now: after each wait, as while a picture is fetched or Redis is asked for room, the
        pool may be deleted, or another one restored in its place."""
        return self._relay.catalogue.rotations.get(self._pool.id, {}).get(plan.provider.slug) or NOBODY

    def _pick(self, plan: Plan, policy: str, now: float) -> Pick | None:
        """The next key that has room for this request."""
        relay = self._relay
        while True:
            rotation = self._rotation(plan)
            key_id = self._preferred(plan, rotation, now) if self._call.native is not None else None
            if key_id is None:
                key_id = rotation.choose(policy, plan.model, now, self._excluded)
            if key_id is None:
                return None
            key = relay.catalogue.keys[key_id]
            bounds = self._bounds(key, plan.model, now)
            at = 0
            if bounds:
                answer = relay.state.admit([bounds], now)
                if isinstance(answer, Refused):
                    self._set_aside(key, plan.model, bounds[answer.bounds[0]], answer)
                    continue
                at = answer.at
            skipped = self._skipped(rotation, plan.model, now)
            why = self._why(policy, key, now)
            self.tried += 1
            self._excluded[key_id] = None
            if self._call.native is not None and self._call.native.chose is not None:
                self._call.native.chose(key_id, plan.provider.slug)
            return Pick(key, plan, rotation, why, skipped, bounds, at)

    def _bounds(self, key: Key, model: str, now: float) -> Sequence[Bound]:
        if key.max_requests is None and not key.limits:
            return ()
        of_model = (key.limits.get(model) or key.limits.get("*") or {}) if key.limits else {}
        tokens = self.prompt_tokens + wanted_output(self._call) if TOKENS in of_model else 0
        return key_bounds(key, model, tokens, now, self._settings.quota_reset)

    def _set_aside(self, key: Key, model: str, bound: Bound, answer: Refused) -> None:
        """A key at its limit rests until there is room; one that is only too full for this request is passed over."""
        left, frees_at = answer.left[0], answer.frees_at[0]
        if measure(bound) == TOKENS and (left > TIGHT * bound.most or bound.amount > bound.most):
            self._excluded[key.id] = None
            self._limited += 1
            self._room_at = min(self._room_at, frees_at)
        else:
            view = "" if measure(bound) == "cap" else model
            self._relay.catalogue.bench(key.id, LIMITED, frees_at, view)

    def _skipped(self, rotation: Rotation, model: str, now: float) -> dict[str, int]:
        """Why other keys were passed over, counted by reason."""
        skipped = rotation.census(model, now)
        if self.tried:
            skipped["tried"] = self.tried
        if self._limited:
            skipped[LIMITED] = skipped.get(LIMITED, 0) + self._limited
        return skipped

    def _why(self, policy: str, key: Key, now: float) -> str:
        why = policy
        if self._relay.judge.on_probation(key, now):
            why += ", on probation"
        if self.probe:
            why += ", probe in a storm"
        if self._pool is not self._caller.pool:
            why += ", fallback pool"
        return why

    def _fall_back(self) -> bool:
        """One hop to the fallback pool, under the first pool's limits."""
        fallback = self._relay.catalogue.pools.get(self._pool.fallback_pool_id or 0)
        if self._only or self._pool is not self._caller.pool or fallback is None or not fallback.enabled:
            return False
        self._pool = fallback
        return True

    def _nothing_left(
        self, plans: Sequence[Plan], rotations: Sequence[Rotation], now: float, last_fault: Fault | None
    ) -> Fault:
        """Keys that are ready and were all tried: then the last upstream's word counts."""
        model = plans[0].model
        if last_fault and any(rotation.ready(model, now) > self._limited for rotation in rotations):
            kinds = {self._relay.judge.outages.of(plan.provider.slug).storm.kind for plan in plans} & OF_OUR_KEYS
            return stormy(kinds.pop()) if kinds else last_fault
        return nothing_left(rotations, model, now, self._limited, self._room_at)


def policy_of(caller: Caller, pool: Pool, settings: Settings) -> tuple[str, str]:
    """How the next key is chosen, and who says so: request, pool or setting."""
    if caller.policy:
        return caller.policy, "request"
    return (pool.policy, "pool") if pool.policy else (settings.rotation_strategy, "setting")


def topic_of(call: Call) -> str:
    """What stands for the model where a call has none, so that a quota of files rests no key for chats."""
    return call.native.topic if call.native is not None else ""


def conversion(settings: Settings, fetch: Resolver | None = None) -> ConversionSettings:
    """The settings a conversion depends on, as the dialects want them."""
    return ConversionSettings(
        safety_preset=settings.safety_preset,
        thinking_enabled=settings.thinking_enabled,
        thinking_budget=settings.thinking_budget,
        include_thoughts=settings.include_thoughts,
        resolve=fetch,
        note=log.debug if log.isEnabledFor(logging.DEBUG) else None,
        fake_streams=settings.stream_mode == "fake",
    )

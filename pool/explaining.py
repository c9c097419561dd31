"""Where would a request go? The choices a request would meet, made without calling, reserving or changing anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .admission import Admission
from .choosing import Choosing, Pick, Plan, policy_of
from .core.calls import ANTHROPIC, GEMINI, OPENAI, Ask, Call
from .core.catalogue import LIMITED, Catalogue, Client, Pool
from .core.faults import Fault
from .core.keys import Key
from .core.limits import limit_headers, over_limit
from .core.providers import Provider
from .core.rotation import Rotation
from .core.state import Bound, PoolState
from .permitting import check_model, check_standing
from .relay import Caller, Relay

OPERATIONS = {
    "chat": OPENAI,
    "responses": OPENAI,
    "embeddings": OPENAI,
    "images": OPENAI,
    "speech": OPENAI,
    "messages": ANTHROPIC,
    "count_messages": ANTHROPIC,
    "generate": GEMINI,
    "stream_generate": GEMINI,
    "count_tokens": GEMINI,
    "embed": GEMINI,
    "batch_embed": GEMINI,
}
"""What may be asked about, and the dialect that has it; the first of a dialect is its usual one."""

MOST_FULL = 300
"""Keys at their limits that are looked at before one with room; a request would set them aside on its way."""

_NOTHING_TO_SEND = Ask("POST", "/", b"")


@dataclass(frozen=True, slots=True)
class Question:
    """A request that nobody sent. `policy` is what it would name for itself."""

    model: str
    pool: Pool
    client: Client | None = None
    dialect: str = OPENAI
    operation: str = "chat"
    policy: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """The key a provider would be asked with; None where there is none, `full` of them being at their limits."""

    key: Key | None
    full: int = 0


def explain(relay: Relay, admission: Admission, question: Question) -> dict[str, Any]:
    """Which pool, provider and key would serve a request now, why no other one, and what a client is told otherwise.

    An answer about this moment and for a request of the usual size: nothing is reserved.
    """
    call = Call("", question.dialect, question.operation, question.model, False, b"")
    caller = Caller(question.pool, question.client, "", question.policy)
    rehearsal = Rehearsal(relay, call, caller)
    pick: Pick | None = None
    fault: Fault | None = None
    try:
        rehearsal.enter(admission)
        pick = rehearsal.next(None)
    except Fault as refused:
        fault = refused
    return rehearsal.told(pick, fault)


def find_pool(catalogue: Catalogue, reference: str | None) -> Pool | None:
    """A pool by its id, its public id or its name; without any the default one."""
    if not reference:
        return catalogue.pools.get(catalogue.default_pool_id)
    pools = catalogue.pools.values()
    return (
        next((pool for pool in pools if str(pool.id) == reference), None)
        or next((pool for pool in pools if pool.public_id == reference), None)
        or next((pool for pool in pools if pool.name == reference), None)
    )


def find_client(catalogue: Catalogue, reference: str) -> Client | None:
    """A client key by its id."""
    holders = (credential.client for credential in catalogue.credentials.values() if credential.client)
    return next((client for client in holders if str(client.id) == reference), None)


class Rehearsal(Choosing):
    """The choices of one request as `Choosing` makes them, with everything left out that somebody could notice."""

    def __init__(self, relay: Relay, call: Call, caller: Caller) -> None:
        super().__init__(relay, call, caller, relay.settings())
        self._now = relay.clock()
        self._plans_of: dict[int, Sequence[Plan]] = {}
        self._choices: dict[tuple[int, str], Choice] = {}

    def enter(self, admission: Admission) -> None:
        """What is asked before any key. Raises `Fault` as the client would be told: 401, 403 or 429."""
        call, caller = self._call, self._caller
        check_standing(caller.pool, caller.client, self._now, call.dialect)
        check_model(call.model, caller, self._relay.catalogue)
        bounds = admission.bounds(call, caller, self._now)
        tight = in_the_way(self._relay.state, bounds, self._now)
        if tight is not None:
            bound, left, frees_at = tight
            fault = over_limit(bound, left, frees_at, self._now)
            fault.headers = limit_headers([bound], [left], self._now)
            raise fault

    # -- what a request would do, without doing it ------------------------------------------------------------

    def _usable(self, candidates: Mapping[str, Provider]) -> list[Plan]:
        plans = super()._usable(candidates)
        self._plans_of.setdefault(self._pool.id, plans)
        return plans

    def _new_plan(self, provider: Provider, model: str) -> Plan | None:
        """Without a body: there is nothing to convert."""
        provider, codec = self._met(provider)
        return Plan(provider, model, codec, _NOTHING_TO_SEND, "", ()) if codec is not None else None

    def _may_pass(self, slug: str, now: float) -> bool:
        storm = self._relay.judge.outages.storms().get(slug)
        return storm is None or storm.would_pass(now)

    def _pick(self, plan: Plan, policy: str, now: float) -> Pick | None:
        rotation = self._rotation(plan)
        choice = self._choice(self._pool, plan, rotation, policy)
        return Pick(choice.key, plan, rotation, policy) if choice.key is not None else None

    def _choice(self, pool: Pool, plan: Plan, rotation: Rotation, policy: str) -> Choice:
        """Looked for once: it is told, too."""
        place = (pool.id, plan.provider.slug)
        if place not in self._choices:
            self._choices[place] = self._first_with_room(plan, rotation, policy)
        return self._choices[place]

    def _first_with_room(self, plan: Plan, rotation: Rotation, policy: str) -> Choice:
        full: dict[int, None] = {}
        while len(full) < MOST_FULL:
            key_id = rotation.preview(policy, plan.model, self._now, full)
            if key_id is None:
                break
            key = self._relay.catalogue.keys[key_id]
            tight = in_the_way(self._relay.state, self._bounds(key, plan.model, self._now), self._now)
            if tight is None:
                return Choice(key, len(full))
            full[key_id] = None
            self._limited += 1
            self._room_at = min(self._room_at, tight[2])
        return Choice(None, len(full))

    # -- telling ----------------------------------------------------------------------------------------------

    def told(self, pick: Pick | None, fault: Fault | None) -> dict[str, Any]:
        pool, catalogue = self._caller.pool, self._relay.catalogue
        fallback = catalogue.pools.get(pool.fallback_pool_id or 0)
        plans = self._plans_of.get(pool.id) or self._plans_of.get(fallback.id if fallback else 0) or ()
        policy, source = policy_of(self._caller, pool, self._settings)
        return {
            "pool": _named(pool),
            "model_asked": self._call.model,
            "model": plans[0].model if plans else pool.aliases.get(self._call.model, self._call.model),
            "policy": {"name": policy, "from": source},
            "providers": self._providers(pool),
            "fallback_pool": None if fallback is None else {**_named(fallback), "providers": self._providers(fallback)},
            "goes_to": None if pick is None else {
                "pool": self._pool.id, "provider": pick.plan.provider.slug, "key": pick.key.hint, "key_id": pick.key.id,
            },
            "answer": None if fault is None else _answer(fault),
        }  # fmt: skip

    def _providers(self, pool: Pool) -> list[dict[str, Any]]:
        """Empty for a pool that was not come to."""
        policy, _ = policy_of(self._caller, pool, self._settings)
        rotations = self._relay.catalogue.rotations.get(pool.id, {})
        return [
            self._provider(pool, plan, rotations[plan.provider.slug], policy)
            for plan in self._plans_of.get(pool.id, ())
            if plan.provider.slug in rotations
        ]

    def _provider(self, pool: Pool, plan: Plan, rotation: Rotation, policy: str) -> dict[str, Any]:
        slug, model, now = plan.provider.slug, plan.model, self._now
        passes = self._may_pass(slug, now)
        choice = self._choice(pool, plan, rotation, policy) if passes else Choice(None)
        skipped = rotation.census(model, now)
        if choice.full:
            skipped[LIMITED] = skipped.get(LIMITED, 0) + choice.full
        return {
            "provider": slug,
            "would_choose": _chosen(choice.key, rotation),
            "ready": rotation.ready(model, now) - choice.full,
            "skipped": skipped,
            "tiers": [
                {"tier": tier, "standby": standby, "ready": count}
                for tier, standby, count in rotation.tiers(model, now)
            ],
            "earliest_recovery": rotation.recovery(model),
            "storm": self._storm(slug),
        }  # fmt: skip

    def _storm(self, slug: str) -> dict[str, Any] | None:
        storm = self._relay.judge.outages.storms().get(slug)
        if storm is None or not storm.kind:
            return None
        return {"kind": storm.kind, "since": storm.since, "keys": storm.keys, "only_probes": storm.open}


def in_the_way(state: PoolState, bounds: Sequence[Bound], now: float) -> tuple[Bound, int, float] | None:
    """The first bound a request would not fit under, what is left of it, and by when it may; nothing is counted."""
    for bound in bounds:
        held = state.held(bound.counter, now, bound.period, bound.span_s)
        if held + bound.amount > bound.most:
            frees_at = {"period": bound.ends_at, "sliding": now + bound.span_s}.get(bound.kind, float("inf"))
            return bound, max(0, bound.most - held), frees_at if bound.amount <= bound.most else float("inf")
    return None


def _named(pool: Pool) -> dict[str, Any]:
    return {"id": pool.id, "public_id": pool.public_id, "name": pool.name, "enabled": pool.enabled}


def _chosen(key: Key | None, rotation: Rotation) -> dict[str, Any] | None:
    member = rotation.member(key.id) if key is not None else None
    if key is None or member is None:
        return None
    return {"key": key.hint, "key_id": key.id, "tier": member.tier, "weight": member.weight}


def _answer(fault: Fault) -> dict[str, Any]:
    return {
        "status": fault.status, "code": fault.code, "message": fault.message, "retry_after_s": fault.retry_after_s,
        **fault.details,
    }  # fmt: skip

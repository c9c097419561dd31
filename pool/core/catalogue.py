"""What a worker holds in memory: pools, keys, client keys, providers, and one rotation a (pool, provider)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from .keys import FOREVER, Key
from .providers import Provider
from .rotation import Bench, Member, Rotation
from .state import MADE, Word
from .vitals import Vitals

DISABLED, DEAD, LIMITED = "disabled", "dead", "limited"


@dataclass(frozen=True, slots=True)
class Pool:
    """A named set of keys. `allowed_models` empty means all; entries may hold `*`."""

    id: int
    public_id: str
    name: str
    enabled: bool = True
    policy: str | None = None
    allowed_models: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    fallback_pool_id: int | None = None
    is_default: bool = False
    limits: Mapping[str, Any] = field(default_factory=dict)

    def allows(self, model: str) -> bool:
        return allows(self.allowed_models, model)


@dataclass(frozen=True, slots=True)
class Client:
    """A user key: who presents it, for which pool, within which limits. None means no limit."""

    id: int
    name: str
    pool_id: int
    expires_at: float | None = None
    revoked_at: float | None = None
    allowed_models: tuple[str, ...] = ()
    allowed_ips: tuple[str, ...] = ()
    permissions: frozenset[str] = frozenset()
    limits: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Credential:
    """What a known digest stands for: a pool, and the user key it came by (None: the pool's own auth key).

    `until`: a replaced auth key goes on for a while and then ends.
    """

    pool_id: int
    client: Client | None = None
    until: float = FOREVER


def allows(patterns: tuple[str, ...], model: str) -> bool:
    """Is `model` (with or without `models/`) named by a list of models? An empty list allows all."""
    if not patterns:
        return True
    bare = model.removeprefix("models/")
    return any(
        bare == pattern or fnmatchcase(bare, pattern) for pattern in (item.removeprefix("models/") for item in patterns)
    )


class Catalogue:
    """The inventory in force. Changed only between two yields of the hub, so a reader sees it whole."""

    def __init__(self, vitals: Vitals | None = None) -> None:
        self.vitals = vitals if vitals is not None else Vitals()
        self._begin()

    def _begin(self) -> None:
        self.providers: dict[str, Provider] = {}
        self.pools: dict[int, Pool] = {}
        self.keys: dict[int, Key] = {}
        self.credentials: dict[bytes, Credential] = {}
        self.rotations: dict[int, dict[str, Rotation]] = {}
        self.pools_of_key: dict[int, frozenset[int]] = {}
        # Most keys are in the same pools: they share one set.
        self._together: dict[frozenset[int], frozenset[int]] = {}
        self.projects: dict[tuple[str, str], set[int]] = {}
        self._limited: set[int] = set()
        self.default_pool_id = 0
        self.revision = 0
        # What was heard while another inventory is read, which will not know it.
        self._heard: dict[tuple[int, str], Word] | None = None

    def clear(self) -> None:
        """Know nothing of any key, pool or caller any more."""
        self._begin()

    @contextmanager
    def replacing(self) -> Iterator[Catalogue]:
        """An empty catalogue, to be filled while this one goes on.

        At the end, unless that is an error, they are exchanged, and what was heard against keys meanwhile holds for the
        new one, too. The one that was filled has what this one knew then.
        """
        heard = self._heard = {}
        fresh = Catalogue(self.vitals)
        try:
            yield fresh
        finally:
            self._heard = None
        for word in heard.values():
            fresh.hear(word)
        self.__dict__, fresh.__dict__ = fresh.__dict__, self.__dict__

    def candidates(self, pool_id: int) -> dict[str, Provider]:
        """The providers a pool has keys of, by slug."""
        return {
            slug: self.providers[slug]
            for slug, rotation in self.rotations.get(pool_id, {}).items()
            if len(rotation) and slug in self.providers
        }

    def ready_seats(self, now: float) -> int:
        """How many keys could be chosen now, counted once a pool they are in."""
        return sum(
            rotation.ready("", now)
            for rotations in self.rotations.values()
            for slug, rotation in rotations.items()
            if slug in self.providers
        )

    def put_key(self, key: Key, now: float) -> None:
        """Take a key in, or its changed fields; its rotations learn whether a person or the upstream stopped it."""
        known = self.keys.get(key.id)
        self._leave_project(known)
        if known is not None and known.sealed == key.sealed:
            key.secret = known.secret
            # A death may be in the journal still, so the row does not know it: only `revive` ends one.
            key.dead = key.dead or known.dead
            key.project = key.project or known.project
            key.used_at = known.used_at
            if (key.max_requests, key.max_requests_window, key.limits) != (
                known.max_requests, known.max_requests_window, known.limits,
            ):  # fmt: skip
                self.unlimit(key.id)
            # Not another one in its place: a hundred thousand new ones would all be news to Python's collector.
            known.become(key)
            key = known
        self.keys[key.id] = key
        if key.project:
            self.projects.setdefault((key.provider, key.project), set()).add(key.id)
        for rotation in self.rotations_of(key.id):
            seat(rotation, key, now)

    def revive(self, key_id: int) -> None:
        """Forget everything known against a key, its death too."""
        if key_id in self.keys:
            self.keys[key_id].dead = None
        self.release(key_id)

    def drop_key(self, key_id: int) -> None:
        for pool_id in self.pools_of_key.pop(key_id, ()):
            for rotation in self.rotations.get(pool_id, {}).values():
                rotation.remove(key_id)
        self._leave_project(self.keys.pop(key_id, None))

    def project_of(self, key: Key) -> Collection[int]:
        """The ids of all keys that share the project of one, which may be unknown."""
        return self.projects.get((key.provider, key.project), ()) if key.project else ()

    def put_in_project(self, key: Key, project: str) -> None:
        """A key's project became known."""
        self._leave_project(key)
        key.project = project
        self.projects.setdefault((key.provider, project), set()).add(key.id)

    def _leave_project(self, key: Key | None) -> None:
        if key is None or not key.project:
            return
        together = self.projects.get((key.provider, key.project))
        if together is not None:
            together.discard(key.id)
            if not together:
                del self.projects[key.provider, key.project]

    def unlimit(self, key_id: int) -> None:
        """A key's own limits changed, or were counted anew: it need not wait for the old ones."""
        for rotation in self.rotations_of(key_id):
            for model, bench in rotation.benches(key_id).items():
                if bench.reason == LIMITED:
                    rotation.release(key_id, model)

    def hear(self, word: Word) -> None:
        """Take in what some worker announced."""
        if word.reason == MADE:
            return
        if self._heard is not None:
            _remember(self._heard, word)
        if word.reason == LIMITED and not word.until:
            self.unlimit(word.key_id)
            return
        key = self.keys.get(word.key_id)
        if word.until:
            if word.reason == DEAD and key is not None:
                key.dead = key.dead or "refused by the upstream"
            self.bench(word.key_id, word.reason, word.until, word.model or "")
        elif word.model is None:
            self.revive(word.key_id)
        else:
            if word.reason == DEAD and key is not None:
                key.dead = None
            self.release(word.key_id, word.model)

    def put_member(self, pool_id: int, member: Member, now: float, known: Mapping[str, Bench] | None = None) -> None:
        """Seat a key in a pool. `known`: benches, by model, that another pool of the same key already holds."""
        key = self.keys[member.key_id]
        of_pool = self.rotations.setdefault(pool_id, {})
        rotation = of_pool.get(key.provider)
        if rotation is None:
            rotation = of_pool[key.provider] = Rotation(vitals=self.vitals)
        benches = known if known is not None else self.benches(key.id)
        rotation.add(member)
        self._put_in_pools(key.id, self.pools_of_key.get(key.id, frozenset()) | {pool_id})
        for model, bench in benches.items():
            rotation.bench(key.id, bench.reason, bench.until, model)
        seat(rotation, key, now)

    def drop_member(self, pool_id: int, key_id: int) -> None:
        for rotation in self.rotations.get(pool_id, {}).values():
            rotation.remove(key_id)
        if key_id in self.pools_of_key:
            self._put_in_pools(key_id, self.pools_of_key[key_id] - {pool_id})

    def _put_in_pools(self, key_id: int, pool_ids: frozenset[int]) -> None:
        self.pools_of_key[key_id] = self._together.setdefault(pool_ids, pool_ids)

    def rotations_of(self, key_id: int) -> list[Rotation]:
        """Every rotation the key has a place in."""
        provider = self.keys[key_id].provider if key_id in self.keys else None
        return [
            rotation
            for pool_id in self.pools_of_key.get(key_id, ())
            for slug, rotation in self.rotations.get(pool_id, {}).items()
            if slug == provider
        ]

    def benches(self, key_id: int) -> dict[str, Bench]:
        """What is known against a key, by model ("" for all)."""
        for rotation in self.rotations_of(key_id):
            return rotation.benches(key_id)
        return {}

    def bench(self, key_id: int, reason: str, until: float, model: str = "") -> None:
        """Set a key aside in every pool. A later word extends an earlier one and never shortens it."""
        if reason == LIMITED:
            self._limited.add(key_id)
        for rotation in self.rotations_of(key_id):
            known = rotation.benches(key_id).get(model)
            if known is None or until > known.until or reason == known.reason == DISABLED:
                rotation.bench(key_id, reason, until, model)

    def limited(self, now: float) -> list[int]:
        """The keys that are at a limit of their own for some model. Looks at those that were lately, and no others."""
        still = [
            key_id
            for key_id in self._limited
            if any(bench.reason == LIMITED and bench.until > now for bench in self.benches(key_id).values())
        ]
        self._limited = set(still)
        return still

    def release(self, key_id: int, model: str | None = None) -> None:
        for rotation in self.rotations_of(key_id):
            rotation.release(key_id, model)

    def keep_pools(self, pools: Iterable[Pool]) -> None:
        """These are all the pools there are. What the gone ones knew stays until `drop_rotations`."""
        self.pools = {pool.id: pool for pool in pools}
        self.default_pool_id = next((pool.id for pool in self.pools.values() if pool.is_default), 0)

    def drop_rotations(self) -> None:
        """Forget pools that are gone, once their keys were seated elsewhere with what is known against them."""
        gone = self.rotations.keys() - self.pools.keys()
        for pool_id in gone:
            del self.rotations[pool_id]
        if gone:
            for key_id, pool_ids in self.pools_of_key.items():
                self._put_in_pools(key_id, pool_ids - gone)
            self._together = {pool_ids: pool_ids for pool_ids in self.pools_of_key.values()}


def _remember(heard: dict[tuple[int, str], Word], word: Word) -> None:
    """Keep the longest word against a key. One that releases it ends those, and no bench that it knew nothing of."""
    place = word.key_id, word.model or ""
    if word.until:
        if place not in heard or heard[place].until < word.until:
            heard[place] = word
        return
    for known in [known for known in heard if known[0] == word.key_id]:
        if heard[known].reason == LIMITED if word.reason == LIMITED else word.model is None or known == place:
            del heard[known]


def seat(rotation: Rotation, key: Key, now: float) -> None:
    """Bring a key's place in one rotation in line with what a person and the upstream's last word allow."""
    if key.id not in rotation:
        return
    bench = rotation.benches(key.id).get("")
    if key.dead is not None:
        rotation.bench(key.id, DEAD, FOREVER)
    elif key.disabled_until is not None and key.disabled_until > now:
        rotation.bench(key.id, DISABLED, key.disabled_until)
    elif bench is not None and bench.reason in (DISABLED, DEAD):
        rotation.release(key.id)

"""What the operator owns, in SQL and in memory at once: every change is written, then taken over by the catalogue."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

import gevent
from gevent.lock import RLock

from pool.adapters.database import Database
from pool.adapters.vault import Vault, rewrap_some, slices
from pool.core.catalogue import Catalogue
from pool.core.heap import uncollected
from pool.core.keys import BINNED_S, FOREVER, Key
from pool.core.records import release_line
from pool.core.rotation import Member
from pool.core.state import Word

from . import clients, keys, pools, providers, reading
from .imports import Batch
from .key_editing import KeyEditing
from .keys import NewKey, Taken, pieces
from .resets import Resets
from .undoing import Undoing

__all__ = ["Batch", "Inventory", "NewKey", "Taken", "Undoing"]

PAGE = 2_000
"""Rows read at a time."""

PIECE, MORSEL = 500, 250
"""Rows taken over between two yields of the hub: at a start, and beside requests."""


class Inventory(KeyEditing, Resets):
    """The one writer of pools, keys, memberships and client keys."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        catalogue: Catalogue,
        remember: Callable[[bytes], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._vault = vault
        self._catalogue = catalogue
        self._remember = remember
        self._clock = clock
        self._listeners: list[Callable[[], None]] = []
        self.announce: Callable[[Word], None] = catalogue.hear
        self._refreshing = RLock()
        self._slugs: frozenset[str] = frozenset()
        self._restored: int | None = None

    def on_change(self, hear: Callable[[], None]) -> None:
        """Call `hear` after the catalogue took over a change."""
        self._listeners.append(hear)

    def load(self) -> None:
        """Fill the empty catalogue, with what is known against keys."""
        self.refresh()
        self._bench(self._catalogue)

    def _bench(self, catalogue: Catalogue) -> None:
        """Some at a time, each as the database knows it then: a key may be released meanwhile."""
        after = 0, ""
        while rows := self._database.read(reading.health, self._clock(), after, PIECE):
            for key_id, model, reason, until in rows:
                catalogue.bench(key_id, reason, FOREVER if until is None else until, model)
            after = rows[-1][:2]

    def refresh(self) -> None:
        """Take over what changed since the last time."""
        with self._refreshing, uncollected():
            self._refresh()
        for hear in self._listeners:
            hear()

    def catch_up(self) -> bool:
        """Take over what other workers changed, if they changed anything."""
        if self._database.read(reading.revision) == self._catalogue.revision:
            return False
        self.refresh()
        return True

    def _refresh(self) -> None:
        few = self._database.read(reading.few, self._vault)
        if self._restored in (None, few.restored):
            self._drop_keys_of(self._slugs - few.slugs)
            self._take_over(self._catalogue, few)
        else:
            self._begin_anew(few)
        self._restored, self._slugs = few.restored, few.slugs

    def _begin_anew(self, few: reading.Few) -> None:
        """A backup took the place of everything: its ids may mean other keys.

        It is read aside while requests go on, and then takes over as a whole. With a backup of another machine digests
        come of another key, and callers are others: these find no key until all is there.
        """
        if self._vault.adopt(few.fingerprint_key):
            self._catalogue.clear()
            self._take_few(self._catalogue, few)
        with self._catalogue.replacing() as other:
            self._take_over(other, few)
            self._bench(other)
        # Freed as one, a hundred thousand keys would stop every stream for that long.
        for some in pieces(list(other.keys)):
            for key_id in some:
                other.drop_key(key_id)
            gevent.sleep(0.001)

    def _take_over(self, catalogue: Catalogue, few: reading.Few) -> None:
        now, known = self._clock(), catalogue.revision
        self._take_few(catalogue, few)
        for rows in self._pages(reading.keys_since, known):
            for row in rows:
                if row[-1]:
                    catalogue.drop_key(row[0])
                else:
                    catalogue.put_key(reading.key(row, self._vault), now)
        for rows in self._pages(reading.members_since, known):
            for pool_id, key_id, weight, tier, seated in rows:
                if seated and pool_id in catalogue.pools and key_id in catalogue.keys:
                    # The very number that the key has: as many copies as there are keys would weigh 3 MB.
                    catalogue.put_member(pool_id, Member(catalogue.keys[key_id].id, weight, tier), now)
                else:
                    catalogue.drop_member(pool_id, key_id)
        catalogue.drop_rotations()
        catalogue.revision = few.revision

    def _take_few(self, catalogue: Catalogue, few: reading.Few) -> None:
        catalogue.providers = few.providers
        catalogue.keep_pools(few.pools)
        catalogue.credentials = few.credentials

    def _drop_keys_of(self, slugs: Set[str]) -> None:
        """The rows of a deleted provider's keys went with it, so no revision tells of them."""
        if slugs:
            for key_id in [key.id for key in self._catalogue.keys.values() if key.provider in slugs]:
                self._catalogue.drop_key(key_id)

    def _pages(self, query: Callable[..., Any], known: int) -> Iterator[Sequence[Any]]:
        after = reading.BEGINNING
        size = PIECE if self._restored is None else MORSEL
        while True:
            rows, after = self._database.read(query, known, after, PAGE)
            if not rows:
                return
            for at in range(0, len(rows), size):
                yield rows[at : at + size]
                # Not sleep(0): gevent runs fifty of those in a row before it looks at sockets and timers.
                gevent.sleep(0.001)
                if at and at % PIECE == 0:
                    # Keys stay: the collector need never look at them.
                    gc.freeze()

    def unseal(self, key: Key) -> str:
        """The key itself; decrypted once, then kept."""
        if key.secret is None:
            key.secret = self._vault.decrypt_packed(key.sealed)
        return key.secret

    def found(self, urls: dict[str, str]) -> None:
        """Make what must exist: the built-in providers (at the URLs given) and the pool `default`."""
        self._database.write(pools.found, self._vault, urls, self._clock())

    def merge_environment(self, secrets: Iterable[tuple[str, str]], proxy_key: str | None) -> None:
        """Keys of the environment join the pool `default`; one that was disabled or deleted here stays so.

        Behind `load`: a restored database has a fingerprint key of its own, and keys are found by that.
        """
        pool_id = self._database.read(reading.default_pool)
        batch = self._batch(pool_id, "env", "environment")
        batch.take([NewKey(provider, secret) for provider, secret in secrets])
        batch.end()
        self._database.write(clients.set_proxy_key, self._vault, pool_id, proxy_key, self._clock())
        self.refresh()

    def add_keys(self, given: Sequence[NewKey], pool_id: int, origin: str, who: str) -> list[Taken]:
        """Take keys into a pool, some hundreds in each transaction. Known ones are linked; a binned one is restored."""
        batch = self.begin_import(pool_id, origin, who)
        taken = [each for some in batch.take_all(pieces(list(given))) for each in some]
        batch.end()
        return taken

    def begin_import(self, pool_id: int, origin: str, who: str, name: str = "", job_id: int | None = None) -> Batch:
        """Begin to take keys into a pool, slice by slice. `name` is the file's, `job_id` says who is at it."""
        return self._batch(pool_id, origin, who, name, job_id, self.refresh)

    def _batch(self, *about: Any) -> Batch:
        return Batch(self._database, self._vault, self._clock, *about)

    def undo_import(self, import_id: int, forced: bool = False) -> Undoing:
        """Begin to take back what an import made, slice by slice. `forced`: what was changed since, too."""
        return Undoing(self._database, self._clock, self.refresh, import_id, forced)

    def slices(self) -> int:
        """How many calls of `seal_anew` it takes from beginning to end."""
        return self._database.read(slices)

    def seal_anew(self, place: tuple[int, int]) -> tuple[int, int] | None:
        """Encrypt some more with the newest key of the ring, from `place` on: where to go on, None at the end."""
        return self._database.write(rewrap_some, self._vault, place)

    def set_disabled(self, key_ids: Sequence[int], until: float | None) -> int:
        """Disable keys until a moment (FOREVER: until somebody says otherwise), or enable them with None."""
        count = self._database.write(keys.set_disabled, list(key_ids), until, self._clock())
        self.refresh()
        return count

    def set_limits(self, key_ids: Sequence[int], **fields: Any) -> int:
        """Set `limits` ({model or "*": {"rpm", "tpm", "rpd"}}), `max_requests` or `max_requests_window` of keys."""
        count = self._database.write(keys.set_limits, list(key_ids), fields, self._clock())
        self.refresh()
        return count

    def revive(self, key_ids: Sequence[int]) -> None:
        """Forget what is known against keys: they are used again at once."""
        for key_id in key_ids:
            # Into the journal too: what it holds of them already is drained after this transaction.
            self._remember(release_line(key_id, None, self._clock()))
        self._database.write(keys.revive, list(key_ids))
        for key_id in key_ids:
            self.announce(Word(key_id, "", 0.0, None))
        self.refresh()

    def put_disabled(self, states: Mapping[int, keys.Disabled]) -> None:
        """Bring back what a person had said of each key: since when it is disabled, and until when."""
        self._database.write(keys.put_disabled, states, self._clock())
        self.refresh()

    def set_checked(self, key_ids: Sequence[int], at: float) -> None:
        """Note when keys were tested. The catalogue need not know."""
        self._database.write(keys.set_checked, list(key_ids), at)

    def arrange(self, seats: Mapping[int, Sequence[int]]) -> None:
        """Give each key exactly these pools. A pool it was in before keeps its weight and tier for it."""
        self._database.write(keys.arrange, seats, self._clock())
        self.refresh()

    def secrets(self, key_ids: Sequence[int]) -> dict[int, str]:
        """Keys in full, by id: for somebody who may see them."""
        known = self._catalogue.keys
        return {key_id: self.unseal(known[key_id]) for key_id in key_ids if key_id in known}

    def bin_keys(self, key_ids: Sequence[int]) -> int:
        """Delete keys; the bin keeps them for seven days."""
        count = self._database.write(keys.bin_keys, list(key_ids), self._clock())
        self.refresh()
        return count

    def restore_keys(self, key_ids: Sequence[int]) -> int:
        count = self._database.write(keys.restore_keys, list(key_ids))
        self.refresh()
        return count

    def purge_keys(self, key_ids: Sequence[int]) -> int:
        """Forget binned keys for good. The catalogue has none of them."""
        return self._database.write(keys.purge_keys, list(key_ids))

    def empty_bin(self) -> None:
        """Forget what lies in the bin for longer than seven days."""
        while overdue := self._database.read(keys.overdue, self._clock() - BINNED_S, PIECE):
            self.purge_keys(overdue)

    # `form` is the one-time token of the form that asks. A second time it raises `AnsweredBefore`, and for ten minutes
    # `queries.answer` has what the first one was answered, sealed: the lines named in each docstring.

    def create_pool(self, name: str, *, form: str = "", **fields: Any) -> tuple[int, str]:
        """A new pool: its id and its auth key. Raises `NameTaken`. The answer: its id."""
        made = self._database.write(pools.create_pool, self._vault, name, fields, self._clock(), form)
        self.refresh()
        return made

    def update_pool(self, pool_id: int, **fields: Any) -> None:
        """Change columns of a pool. Raises `NameTaken`."""
        self._database.write(pools.update_pool, pool_id, fields, self._clock())
        self.refresh()

    def regenerate_auth(self, pool_id: int, grace_s: float = 0.0, *, form: str = "") -> str:
        """A new auth key for a pool; the old one works on for `grace_s` seconds, and so do those before it that have
        a grace left. Without a grace all of them end. The answer: the new key, and until when the old one works or 0.
        """
        token = self._database.write(pools.regenerate_auth, self._vault, pool_id, grace_s, self._clock(), form)
        self.refresh()
        return token

    def auth_key(self, pool_id: int) -> str:
        """A pool's auth key, as it was given out."""
        return self._vault.decrypt(self._database.read(reading.sealed_auth, pool_id))

    def delete_pool(self, pool_id: int) -> None:
        """Unlink its keys; those left in no pool go to `default`. Raises ValueError for `default` itself."""
        after: int | None = 0
        while after is not None:
            after = self._database.write(pools.house_some, pool_id, after, self._clock())
        self._database.write(pools.delete_pool, pool_id, self._clock())
        self.refresh()

    def settle_members(
        self,
        pool_id: int,
        seats: Mapping[int, Mapping[str, Any]],
        names: Mapping[int, str],
        gone: Sequence[int],
    ) -> tuple[list[int], list[int]]:
        """Change `weight` and `enabled` of keys in a pool, and their names, and take the gone ones out: the ids of
        those that were nowhere else, now in the bin, and of those that stay elsewhere."""
        settled = self._database.write(pools.settle_members, pool_id, seats, names, gone, self._clock())
        self.refresh()
        return settled

    def begin_figures(self, pool_id: int) -> None:
        """Count what a pool served from now on."""
        self._database.write(pools.begin_figures, pool_id, self._clock())

    def provider_rows(self, slug: str | None = None) -> list[providers.ProviderRow]:
        """All providers, switched-off ones too, or the one of a slug."""
        return self._database.read(providers.provider_rows, self._vault, slug)

    def create_provider(self, slug: str, **fields: Any) -> None:
        """A new provider. Raises `NameTaken`."""
        self._database.write(providers.create_provider, self._vault, slug, fields, self._clock())
        self.refresh()

    def update_provider(self, slug: str, **fields: Any) -> None:
        """Change columns of a provider. Raises LookupError."""
        self._database.write(providers.update_provider, self._vault, slug, fields, self._clock())
        self.refresh()

    def delete_provider(self, slug: str) -> None:
        """Delete a provider and all of its keys, for good: the bin keeps none without it. Raises LookupError.

        Nobody uses it from the first moment; where it is cut short, it stays switched off, and can be deleted again.
        """
        self.update_provider(slug, enabled=False)
        while self._database.write(providers.delete_some_keys, slug):
            gevent.sleep(0.001)
        self._database.write(providers.delete_provider, slug)
        self.refresh()

    def create_client(self, name: str, pool_id: int, *, form: str = "", **fields: Any) -> tuple[int, str]:
        """A new user key: its id and the key itself, which is stored nowhere but in the answer: these two.

        Raises `NameTaken` where one that is not revoked has the name.
        """
        token, now = clients.fresh_token(), self._clock()
        client_id = self._database.write(
            clients.create_client, self._vault, token, name, pool_id, fields, now, form
        )  # fmt: skip
        self.refresh()
        return client_id, token

    def update_client(self, client_id: int, **fields: Any) -> None:
        """Set columns of a user key: its name, its pool, its limits… Raises `NameTaken`."""
        self._database.write(clients.update_client, client_id, fields, self._clock())
        self.refresh()

    def revoke_client(self, client_id: int) -> None:
        self._database.write(clients.revoke_client, client_id, self._clock())
        self.refresh()

    def rotate_client(self, client_id: int, overlap_s: float = 0.0, form: str = "") -> str:
        """A new token for a user key, which is stored nowhere; the old one works on for `overlap_s` seconds, and those
        before it end."""
        token = clients.fresh_token()
        self._database.write(clients.rotate_client, self._vault, token, client_id, overlap_s, form, self._clock())
        self.refresh()
        return token

    def delete_client(self, client_id: int) -> None:
        """Revoke a user key for good: nothing enables it again."""
        self._database.write(clients.delete_client, client_id, self._clock())
        self.refresh()

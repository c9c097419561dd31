"""Which key made an upstream object, and for whom: in memory, in every worker, and in the journal."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from .core.calls import Pin
from .core.records import forget_line, made_line
from .core.state import MADE, Word
from .relay import Caller

MOST_OBJECTS = 100_000
"""How many are remembered; beyond it the one longest unused is forgotten here, and stays in the database."""

STICKY_S = 3600.0
"""How long the uploads of one holder go to the key of the one before, so that a prompt may use several of them."""

FOREVER = float("inf")
NOBODY = 0


def holder_of(caller: Caller) -> int:
    """Who holds what a caller makes: a user key by its id, a pool's auth key by the pool's id below zero.

    `NOBODY` for callers without a client key: whatever they hold, everybody would.
    """
    if caller.anonymous:
        return NOBODY
    return caller.client.id if caller.client else -caller.pool.id


@dataclass(frozen=True, slots=True)
class Made:
    """An object as it is remembered: the key that made it, for which holder, and until when (Unix seconds)."""

    provider: str
    name: str
    key_id: int
    holder: int
    expires_at: float = FOREVER

    def pin(self) -> Pin:
        return Pin(self.key_id, self.name)


class Affinity:
    """`announce` tells every worker, this one too; `remember` writes the journal. Lookups are a dictionary's."""

    def __init__(
        self,
        announce: Callable[[Word], None],
        remember: Callable[[bytes], None],
        clock: Callable[[], float],
        most: int = MOST_OBJECTS,
    ) -> None:
        self._announce = announce
        self._remember = remember
        self._clock = clock
        self._most = most
        self._objects: dict[tuple[str, str], Made] = {}
        self._of_holder: dict[int, dict[tuple[str, str], None]] = {}

    def __len__(self) -> int:
        return len(self._objects)

    def __bool__(self) -> bool:
        return bool(self._objects)

    def find(self, name: str, providers: Iterable[str]) -> Made | None:
        """Who made an object of one of these providers; None where nobody did through us, or it is over."""
        for provider in providers:
            made = self._objects.pop((provider, name), None)
            if made is None:
                continue
            if made.expires_at > self._clock():
                # At the end: what is given up first is what was longest unused.
                self._objects[provider, name] = made
                return made
            self._leave_holder(made)
        return None

    def held(self, holder: int, collection: str, providers: Collection[str]) -> Iterator[Made]:
        """What a holder made of one collection ("files") and has still, in the order it was made."""
        now, prefix = self._clock(), f"{collection}/"
        for place in list(self._of_holder.get(holder, ())):
            made = self._objects[place]
            if made.provider in providers and made.name.startswith(prefix) and made.expires_at > now:
                yield made

    def note(self, made: Made) -> None:
        """An object was made, or is to be known for longer."""
        known = self._objects.get((made.provider, made.name))
        if known == made:
            return
        now = self._clock()
        expires_at = None if made.expires_at == FOREVER else made.expires_at
        self._announce(Word(made.key_id, MADE, made.expires_at, _told(made)))
        self._remember(made_line(made.provider, made.name, made.key_id, made.holder, now, expires_at))

    def forget(self, provider: str, name: str) -> None:
        """An object was deleted."""
        made = self._objects.get((provider, name))
        if made is not None:
            self._announce(Word(made.key_id, MADE, 0.0, _told(made)))
            self._remember(forget_line(provider, name, self._clock()))

    def sticky(self, holder: int, provider: str) -> int | None:
        """The key of the holder's last upload to a provider, for an hour."""
        made = self.find(_last_upload(holder), (provider,)) if holder else None
        return made.key_id if made else None

    def stick(self, holder: int, provider: str, key_id: int) -> None:
        if holder:
            self.note(Made(provider, _last_upload(holder), key_id, holder, self._clock() + STICKY_S))

    def hear(self, word: Word) -> None:
        """Take in what some worker announced."""
        if word.reason != MADE or not word.model:
            return
        holder, provider, name = word.model.split(" ", 2)
        made = Made(provider, name, word.key_id, int(holder), word.until)
        if word.until:
            self._keep(made)
        else:
            self._drop((provider, name))

    def load(self, objects: Iterable[Made]) -> None:
        """What earlier runs left, the latest last."""
        for made in objects:
            self._keep(made)

    def prune(self) -> None:
        """Drop what is over."""
        now = self._clock()
        for place in [place for place, made in self._objects.items() if made.expires_at <= now]:
            self._drop(place)

    def _keep(self, made: Made) -> None:
        place = (made.provider, made.name)
        self._drop(place)
        self._objects[place] = made
        self._of_holder.setdefault(made.holder, {})[place] = None
        if len(self._objects) > self._most:
            self._drop(next(iter(self._objects)))

    def _drop(self, place: tuple[str, str]) -> None:
        made = self._objects.pop(place, None)
        if made is not None:
            self._leave_holder(made)

    def _leave_holder(self, made: Made) -> None:
        places = self._of_holder.get(made.holder)
        if places is not None:
            places.pop((made.provider, made.name), None)
            if not places:
                del self._of_holder[made.holder]


def _told(made: Made) -> str:
    return f"{made.holder} {made.provider} {made.name}"


def _last_upload(holder: int) -> str:
    """A name that no upstream gives: the place where the key of a holder's last upload is remembered."""
    return f"~uploads/{holder}"

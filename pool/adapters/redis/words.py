"""What workers tell each other: a stream of the latest words, so that who did not listen for a while catches up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter

import orjson
from redis.connection import Connection

from pool.core.state import MADE, Word

MOST_WORDS = 50_000
"""How many words are kept, about; 8 MB of them."""

AT_ONCE = 1_000
RECENT_S = 60.0
"""A release older than this is in the database, which a worker reads at its start."""

BEGINNING = (0, 0)


@dataclass(frozen=True, slots=True)
class Forgotten:
    """News of an owner whose counters were dropped."""

    owner: str


News = Word | Forgotten


@dataclass(frozen=True, slots=True)
class Entry:
    """One piece of news as the stream holds it: when it came in, and who told it."""

    id: tuple[int, int]
    teller: str
    news: News

    @property
    def told_at(self) -> float:
        return self.id[0] / 1000


def saying(teller: str, news: News) -> tuple[str | int, ...]:
    """The arguments of the XADD that tells `news`."""
    if isinstance(news, Word):
        # JSON has no infinity: `until` null is for ever.
        text = orjson.dumps([news.key_id, news.reason, news.until if news.until < 1e15 else None, news.model]).decode()
        return ("MAXLEN", "~", MOST_WORDS, "*", "by", teller, "word", text)
    return ("MAXLEN", "~", MOST_WORDS, "*", "by", teller, "forgotten", news.owner)


class Words:
    """The place in the stream up to which this worker has heard. Its own words are not heard again.

    Several may read at once: what one has heard meanwhile, the other drops.
    """

    def __init__(self, stream: str, teller: str, tell: Callable[[News], None], clock: Callable[[], float]) -> None:
        self._stream = stream
        self._teller = teller
        self._tell = tell
        self._clock = clock
        self._heard = BEGINNING
        self._beginnings = 0
        self._new_here = True
        self.begins_again = False

    def begin_again(self) -> None:
        """The stream was lost, or is an older copy, and its ids may begin anew.

        All of it will be heard once more, this worker's own words too: only the whole of it, in order, is true again.
        """
        self._heard = BEGINNING
        self._beginnings += 1
        self.begins_again = not self._new_here

    def catch_up(self, connection: Connection) -> None:
        """Hear everything told since, without waiting for more. Raises what redis raises."""
        entries: list[Entry] = []
        while more := self._read(connection):
            entries += more
        self._hear(_in_force(entries, self._clock()) if self._new_here else entries)
        self._new_here = self.begins_again = False

    def listen(self, connection: Connection, block_s: float, patience_s: float) -> None:
        """Wait up to `block_s` for news, and hear it."""
        self._hear(self._read(connection, block_s, patience_s))

    def _read(self, connection: Connection, block_s: float = 0.0, patience_s: float = 0.0) -> list[Entry]:
        beginning = self._beginnings
        block = ("BLOCK", int(block_s * 1000)) if block_s else ()
        place = "{}-{}".format(*self._heard)
        connection.send_command("XREAD", "COUNT", AT_ONCE, *block, "STREAMS", self._stream, place)
        answer = connection.read_response(timeout=block_s + patience_s) if block_s else connection.read_response()
        entries = [_entry(*each) for each in answer[0][1]] if answer else []
        if beginning != self._beginnings:
            return []
        entries = [entry for entry in entries if entry.id > self._heard]
        if entries:
            self._heard = entries[-1].id
        return entries

    def _hear(self, entries: Iterable[Entry]) -> None:
        now = self._clock()
        for entry in entries:
            if entry.teller == self._teller and not self.begins_again:
                continue
            news = entry.news
            if not isinstance(news, Word) or news.until == 0 or news.until > now:
                self._tell(news)


def _entry(entry_id: bytes, fields: list[bytes]) -> Entry:
    told_ms, _, number = entry_id.partition(b"-")
    said = dict(zip(fields[::2], fields[1::2], strict=True))
    news: News
    if b"word" in said:
        key_id, reason, until, model = orjson.loads(said[b"word"])
        news = Word(key_id, reason, float("inf") if until is None else until, model)
    else:
        news = Forgotten(said[b"forgotten"].decode())
    return Entry((int(told_ms), int(number)), said[b"by"].decode(), news)


def _in_force(entries: Iterable[Entry], now: float) -> list[Entry]:
    """What a worker that just began must hear: what still holds, and releases its database may not have had."""
    by_subject: dict[int | str, dict[str | None, list[Entry]]] = {}
    for entry in entries:
        word = entry.news
        if not isinstance(word, Word):
            continue
        # An object is one thing whichever key made it, and no release of a key ends it.
        known = by_subject.setdefault(MADE if word.reason == MADE else word.key_id, {})
        if word.until == 0:
            for ended in list(known) if word.model is None else [word.model]:
                known.pop(ended, None)
        if word.until > now or (word.until == 0 and entry.told_at > now - RECENT_S):
            known.setdefault(word.model, []).append(entry)
    in_force = (entry for known in by_subject.values() for each in known.values() for entry in each)
    return sorted(in_force, key=attrgetter("id"))

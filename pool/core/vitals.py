"""How well each key did lately: its successes, how quick it was, and what it carries now."""

from __future__ import annotations

from math import log2

HALF_LIFE_S = 60.0
"""Evidence counts half after so long: a key that did badly is nearly unknown again after five times that."""

MOST_KEPT = 0.98
"""What one more piece of evidence leaves of the older at most: on a busy key the last fifty are what counts."""
_KEPT_S = -HALF_LIFE_S * log2(MOST_KEPT)

PRIOR = 2.0
"""An unknown key counts as if it had done well so often: one failure is not yet a character."""

SLOW = 1.25
"""A key up to so many times as slow as usual is as good as any: answers differ by that much."""

LEAST = 0.05
"""The share of its turns that the worst key keeps, so that its recovery is seen."""

MOST_RATIO = 10.0
"""One answer may count as so many times as slow as usual, and no more."""

USUAL_STEP = 0.05
"""How far one answer moves what is usual."""

ENOUGH_TIMED = 10
"""How many answers of a kind make something usual."""

MOST_KEYS = 32_768
"""Of how many keys something is remembered at most: those used last."""

MOST_KINDS = 512
"""For how many kinds of answers the usual latency is remembered."""


class _Record:
    """Decayed sums at the moment `at`: pieces of evidence and failures; answers timed and their times ÷ the usual."""

    __slots__ = ("at", "bad", "pace", "seen", "timed")

    def __init__(self, at: float) -> None:
        self.at = at
        self.seen = self.bad = self.timed = self.pace = 0.0


class Vitals:
    """What one worker learnt about the keys it used; shared by all its rotations.

    Only keys that were used have state, the latest MOST_KEYS of them. Times are Unix seconds, latencies seconds.
    """

    def __init__(self) -> None:
        self._flying: dict[int, int] = {}
        # In two halves: when the newer is full the older goes as a whole, and nothing is looked for.
        self._records: dict[int, _Record] = {}
        self._older: dict[int, _Record] = {}
        # By kind of answer: how long it usually takes, and of how many that was learnt.
        self._usual: dict[str, tuple[float, int]] = {}

    def began(self, key_id: int) -> None:
        """An attempt with this key is under way; every one of them must end by `ended`."""
        self._flying[key_id] = self._flying.get(key_id, 0) + 1

    def ended(self, key_id: int, ok: bool | None, latency_s: float | None, now: float, kind: str = "") -> None:
        """An attempt is over. ok None: it taught nothing about the key, as when the client left.

        `latency_s` is compared with what is usual for answers of its `kind` (a model, say): to the first byte, or
        whole, but always the same of the two. None where nothing was timed; failures are not timed.
        """
        flying = self._flying.pop(key_id, 0)
        if flying > 1:
            self._flying[key_id] = flying - 1
        if ok is None:
            return
        record = self._records.get(key_id) or self._meet(key_id, now)
        elapsed_s = now - record.at
        kept = MOST_KEPT if elapsed_s < _KEPT_S else 0.5 ** (elapsed_s / HALF_LIFE_S)
        record.at = now
        record.seen = record.seen * kept + 1.0
        record.bad = record.bad * kept + (0.0 if ok else 1.0)
        if ok and latency_s is not None:
            record.timed = record.timed * kept + 1.0
            record.pace = record.pace * kept + self._ratio(latency_s, kind)
        elif kept < MOST_KEPT:
            record.timed *= kept
            record.pace *= kept

    @property
    def flying(self) -> int:
        """How many attempts are under way, with whatever key."""
        return sum(self._flying.values())

    def in_flight(self, key_id: int) -> int:
        """How many attempts with this key are under way."""
        return self._flying.get(key_id, 0)

    def weight(self, key_id: int, now: float) -> float:
        """The share of its turns a key deserves, LEAST to 1; an unknown one 1. Without news it goes back towards 1.

        Squared, because half as good or half as fast is worth less than half the work while others are well.
        """
        record = self._records.get(key_id) or self._older.get(key_id)
        if record is None:
            return 1.0
        elapsed_s = now - record.at
        left = 0.5 ** (elapsed_s / HALF_LIFE_S) if elapsed_s > 0.0 else 1.0
        seen = record.seen * left
        worth = (seen - record.bad * left + PRIOR) / (seen + PRIOR)
        slowness = (record.pace * left + PRIOR) / (record.timed * left + PRIOR) / SLOW
        if slowness > 1.0:
            worth /= slowness
        return max(LEAST, worth * worth)

    def _meet(self, key_id: int, now: float) -> _Record:
        record = self._older.get(key_id) or _Record(now)
        if len(self._records) >= MOST_KEYS // 2:
            self._older = self._records
            self._records = {}
        self._records[key_id] = record
        return record

    def _ratio(self, latency_s: float, kind: str) -> float:
        """A latency ÷ the usual one of its kind, which follows it; 1 while too few were seen to tell."""
        usual_s, count = self._usual.get(kind, (0.0, 0))
        if not count and len(self._usual) >= MOST_KINDS:
            del self._usual[next(iter(self._usual))]
        ratio = min(latency_s / usual_s, MOST_RATIO) if count >= ENOUGH_TIMED and usual_s > 0.0 else 1.0
        counted_s = min(latency_s, ratio * usual_s) if count >= ENOUGH_TIMED else latency_s
        usual_s += (counted_s - usual_s) * max(USUAL_STEP, 1.0 / (count + 1))
        self._usual[kind] = usual_s, count + 1
        return ratio

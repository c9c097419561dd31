"""A set of small whole numbers that knows its next member, and its k-th, without looking at all of them."""

from __future__ import annotations

WORD = 1024
_SHIFT = 10
_MASK = WORD - 1


class ReadySet:
    """Slots of a ring, as bits in words of 1,024 and one summary word that says which words are not empty.

    A step costs a few operations on whole numbers of 1,024 bits, the same for 10 and for 100,000 slots.
    """

    __slots__ = ("_summary", "_words", "count")

    def __init__(self) -> None:
        self._words: list[int] = []
        self._summary = 0
        self.count = 0

    def copy(self) -> ReadySet:
        twin = ReadySet()
        twin._words = self._words.copy()
        twin._summary = self._summary
        twin.count = self.count
        return twin

    def __contains__(self, slot: int) -> bool:
        word = slot >> _SHIFT
        return word < len(self._words) and bool(self._words[word] >> (slot & _MASK) & 1)

    def add(self, slot: int) -> None:
        word, bit = slot >> _SHIFT, 1 << (slot & _MASK)
        while word >= len(self._words):
            self._words.append(0)
        if not self._words[word] & bit:
            self._words[word] |= bit
            self._summary |= 1 << word
            self.count += 1

    def discard(self, slot: int) -> None:
        word, bit = slot >> _SHIFT, 1 << (slot & _MASK)
        if word < len(self._words) and self._words[word] & bit:
            self._words[word] ^= bit
            self.count -= 1
            if not self._words[word]:
                self._summary &= ~(1 << word)

    def next(self, start: int) -> int | None:
        """The first member at or after `start`, going round; None where the set is empty."""
        if not self._summary:
            return None
        word = start >> _SHIFT
        if word < len(self._words):
            rest = self._words[word] >> (start & _MASK)
            if rest:
                return start + _lowest(rest)
        later = self._summary >> (word + 1)
        word = word + 1 + _lowest(later) if later else _lowest(self._summary)
        return (word << _SHIFT) + _lowest(self._words[word])

    def select(self, k: int) -> int:
        """The k-th member, counted from 0. Raises IndexError where there are not so many."""
        for word, bits in enumerate(self._words):
            inside = bits.bit_count()
            if k < inside:
                return (word << _SHIFT) + _kth(bits, k)
            k -= inside
        raise IndexError(k)


def _lowest(bits: int) -> int:
    return (bits & -bits).bit_length() - 1


def _kth(bits: int, k: int) -> int:
    """The place of the k-th set bit: halves the word until one bit is left."""
    place, width = 0, WORD
    while width > 1:
        width //= 2
        low = bits & ((1 << width) - 1)
        inside = low.bit_count()
        if k < inside:
            bits = low
        else:
            k -= inside
            bits >>= width
            place += width
    return place

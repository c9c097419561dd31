"""A set of small whole numbers that knows its next member, and its k-th, without looking at all of them."""

from __future__ import annotations

from collections.abc import Iterator

WORD = 1024
SHIFT = 10
MASK = WORD - 1


class ReadySet:
    """Slots of a ring, as bits in words of 1,024 and one summary word that says which words are not empty.

    A step costs a few operations on whole numbers of 1,024 bits, the same for 10 and for 100,000 slots. Where it
    goes on `without` another set it may have to look at each word in turn: 98 for 100,000 slots.
    """

    __slots__ = ("_summary", "count", "words")

    def __init__(self) -> None:
        self.words: list[int] = []
        self._summary = 0
        self.count = 0

    def __iter__(self) -> Iterator[int]:
        for number, bits in enumerate(self.words):
            while bits:
                low = bits & -bits
                yield (number << SHIFT) + low.bit_length() - 1
                bits ^= low

    def __contains__(self, slot: int) -> bool:
        word = slot >> SHIFT
        return word < len(self.words) and bool(self.words[word] >> (slot & MASK) & 1)

    def add(self, slot: int) -> None:
        word, bit = slot >> SHIFT, 1 << (slot & MASK)
        while word >= len(self.words):
            self.words.append(0)
        if not self.words[word] & bit:
            self.words[word] |= bit
            self._summary |= 1 << word
            self.count += 1

    def discard(self, slot: int) -> None:
        word, bit = slot >> SHIFT, 1 << (slot & MASK)
        if word < len(self.words) and self.words[word] & bit:
            self.words[word] ^= bit
            self.count -= 1
            if not self.words[word]:
                self._summary &= ~(1 << word)

    def next(self, start: int, without: ReadySet | None = None) -> int | None:
        """The first member at or after `start` that is not in the other set, going round; None where there is none."""
        if not self._summary:
            return None
        number = start >> SHIFT
        if number < len(self.words):
            rest = self._left(number, without) >> (start & MASK)
            if rest:
                return start + _lowest(rest)
        later = self._summary >> (number + 1) << (number + 1)
        for summary in (later, self._summary ^ later):
            # The word of `start` comes last once more: its beginning was not looked at.
            while summary:
                number = _lowest(summary)
                bits = self._left(number, without)
                if bits:
                    return (number << SHIFT) + _lowest(bits)
                summary &= summary - 1
        return None

    def select(self, k: int, without: ReadySet | None = None) -> int:
        """The k-th member that is not in the other set, from 0. Raises IndexError where there are not so many."""
        for number in range(len(self.words)):
            bits = self._left(number, without)
            inside = bits.bit_count()
            if k < inside:
                return (number << SHIFT) + _kth(bits, k)
            k -= inside
        raise IndexError(k)

    def _left(self, number: int, without: ReadySet | None) -> int:
        bits = self.words[number]
        if without is not None and number < len(without.words):
            bits &= ~without.words[number]
        return bits


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

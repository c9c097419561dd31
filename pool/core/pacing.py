"""Stream modes that hand out text in small pieces: character by character, in batches, or at a pace that adapts.

An event that holds one piece of text is cut at the boundaries of what a reader takes for characters; each piece is a
copy of the event with its part of the text. Calls, usage and everything else pass as they came, and so does all that
is left once pacing has added as much delay as it may.
"""

from __future__ import annotations

import math
import random
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from pool.core import sse
from pool.core.graphemes import graphemes
from pool.core.telling import Telling, renumbered, telling

PASSTHROUGH, FAKE, ADAPTIVE, CHAR, BATCH = STREAM_MODES = ("passthrough", "fake", "adaptive", "char", "batch")
PACED = frozenset({ADAPTIVE, CHAR, BATCH})

MOST_DELAY_MS = 5000.0
"""The most that pacing may add to one answer."""

MOST_PIECES = 2000
MOST_COPIED_BYTES = 512 * 1024
"""What one event may become, also where no pause is asked for: what is left of it then goes on as one."""

_BREAKS = frozenset(".。!！?？,，;；:：\n")
_ENDING = re.compile(rb'"finish_reason": ?"|"finishReason"')


@dataclass(frozen=True, slots=True)
class Pacing:
    """The parameters, in milliseconds and characters; the names are those of the settings."""

    mode: str = PASSTHROUGH
    char_delay_ms: float = 50.0
    batch_size: int = 5
    batch_delay_ms: float = 100.0
    min_delay_ms: float = 2.0
    max_delay_ms: float = 20.0
    adaptive_delay_factor: float = 0.35
    chunk_buffer_size: int = 20
    min_content_length_for_fast_output: int = 300
    fast_output_delay_ms: float = 1.0
    final_low_delay_ms: float = 0.5
    inter_message_delay_ms: float = 3.0
    fast_mode_threshold: int = 2000
    intelligent_batching: bool = True
    max_batch_size: int = 6


@dataclass(slots=True)
class Pacer:
    """One stream's pace. `random_` spreads delays by 5 %.

    `left_ms` is what pacing may still add: whoever pauses takes off what a pause took beyond what was asked for.
    `added`: the events there are now beyond those that came, where events count themselves.
    """

    pacing: Pacing
    random_: random.Random = field(default_factory=random.Random)
    sent_chars: int = 0
    left_ms: float = MOST_DELAY_MS
    added: int = 0
    _sizes: deque[int] = field(init=False)

    def __post_init__(self) -> None:
        self._sizes = deque(maxlen=max(1, self.pacing.chunk_buffer_size))

    def pieces(self, events: bytes, gap_ms: float) -> Iterator[tuple[bytes, float]]:
        """Whole events as pieces to send, each with the pause (ms) after it. `gap_ms`: since the events before."""
        if self.left_ms <= 0 and not self.added:
            yield events, 0.0
            return
        blocks = sse.blocks(events)
        for number, block in enumerate(blocks):
            if self.left_ms <= 0:
                yield self.at_once(b"".join(blocks[number:])), 0.0
                return
            told = telling(block)
            if told is None:
                yield renumbered(block, self.added), 0.0
            else:
                # The last words need not be waited for.
                ends = _ENDING.search(block)
                yield from self._told(told, gap_ms, max(1.0, self.pacing.final_low_delay_ms) if ends else math.inf)

    def at_once(self, events: bytes) -> bytes:
        """Whole events that are not held up; where they count themselves, with the numbers that are theirs now."""
        return b"".join(renumbered(block, self.added) for block in sse.blocks(events)) if self.added else events

    def _told(self, told: Telling, gap_ms: float, most_ms: float) -> Iterator[tuple[bytes, float]]:
        """One event's text in parts; in one part from where the time, or the number of parts, is used up."""
        length, at = len(told.text), 0
        self._sizes.append(length)
        most = min(MOST_PIECES, 1 + MOST_COPIED_BYTES // told.frame_bytes)
        delay_ms = self._delay_ms(length, gap_ms)
        for number, part in enumerate(self._parts(told.text), 1):
            if number >= most or self.left_ms <= 0:
                yield renumbered(told.part(told.text[at:], True), self.added), 0.0
                return
            self.sent_chars += len(part)
            text = "".join(part)
            at += len(text)
            pause_ms = min(self._pause_ms(delay_ms, part, at == length), most_ms, self.left_ms)
            self.left_ms -= pause_ms
            yield renumbered(told.part(text, at == length), self.added), pause_ms
            self.added += told.numbered and at < length

    def _parts(self, text: str) -> Iterator[list[str]]:
        pacing, shown = self.pacing, graphemes(text)
        if pacing.mode == ADAPTIVE:
            return _at_breaks(shown, self._piece_size(len(text)))
        size = 1 if pacing.mode == CHAR else max(1, pacing.batch_size)
        return iter(lambda: list(islice(shown, size)), [])

    def _delay_ms(self, length: int, gap_ms: float) -> float:
        pacing = self.pacing
        if pacing.mode == ADAPTIVE:
            return self._adapted(length, gap_ms)
        return pacing.char_delay_ms if pacing.mode == CHAR else pacing.batch_delay_ms

    def _pause_ms(self, delay_ms: float, part: list[str], last: bool) -> float:
        """The pause after a part: adaptive ones are longer where a sentence or an event ends."""
        if self.pacing.mode != ADAPTIVE:
            return delay_ms
        pause_ms = min(1.2 * delay_ms, delay_ms + 2.0) if part[-1] in _BREAKS else delay_ms
        return pause_ms + (self.pacing.inter_message_delay_ms if last else 0.0)

    def _piece_size(self, length: int) -> int:
        """How many characters a piece has: single ones while they come in drops, more the more there is."""
        pacing = self.pacing
        if length > 20 and pacing.intelligent_batching:
            return pacing.max_batch_size if length > 200 else 4 if length > 100 else 3 if length > 50 else 2
        return 4 if length > 200 else 2 if length > 50 else 1

    def _adapted(self, length: int, gap_ms: float) -> float:
        """The pause (ms) after a piece: shorter for large chunks, longer where chunks come seldom."""
        pacing = self.pacing
        average = sum(self._sizes) / len(self._sizes)
        size = min(max(3.5 / math.log2(average), 0.15), 1.2) if average > 1 else 1.2
        pace = math.sqrt(min(max(gap_ms, 50.0), 1500.0) / 250.0)
        spread = pacing.max_delay_ms - pacing.min_delay_ms
        delay = pacing.min_delay_ms + spread * size * pace * pacing.adaptive_delay_factor
        delay = min(max(delay * self.random_.uniform(0.95, 1.05), pacing.min_delay_ms), pacing.max_delay_ms)
        if self.sent_chars > pacing.fast_mode_threshold or length > pacing.min_content_length_for_fast_output:
            delay = min(delay, pacing.fast_output_delay_ms)
        return delay


def _at_breaks(shown: Iterator[str], size: int) -> Iterator[list[str]]:
    """Pieces of `size`, or up to half as long again where a sentence or clause ends there."""
    reach = max(size, int(1.5 * size))
    waiting = list(islice(shown, reach))
    while waiting:
        end = next((number for number, char in enumerate(waiting, 1) if char in _BREAKS), size)
        yield waiting[:end]
        waiting = waiting[end:]
        waiting += islice(shown, reach - len(waiting))

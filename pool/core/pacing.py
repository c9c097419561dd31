"""Stream modes that hand out text in small pieces: character by character, in batches, or at a pace that adapts.

An event that holds one piece of text is cut at the boundaries of what a reader takes for characters; each piece is a
copy of the event with its part of the text. Calls, usage and everything else pass as they came.
"""

from __future__ import annotations

import math
import random
import re
import unicodedata
from collections import deque
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import orjson

PASSTHROUGH, FAKE, ADAPTIVE, CHAR, BATCH = STREAM_MODES = ("passthrough", "fake", "adaptive", "char", "batch")
PACED = frozenset({ADAPTIVE, CHAR, BATCH})

MOST_DELAY_MS = 5000.0
"""The most that pacing may add to one answer."""

_BREAKS = frozenset(".。!！?？,，;；:：\n")
_BLOCK = re.compile(rb".*?(?:\r\n\r\n|\n\n|\r\r)", re.S)
_ENDING = re.compile(rb'"finish_reason": ?"|"finishReason"')
_DATA = re.compile(rb"(?m)^data: ?(.*?)\r?$")


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
    """One stream's pace. `random_` spreads delays by 5 %."""

    pacing: Pacing
    random_: random.Random = field(default_factory=random.Random)
    sent_chars: int = 0
    left_ms: float = MOST_DELAY_MS
    _sizes: deque[int] = field(init=False)

    def __post_init__(self) -> None:
        self._sizes = deque(maxlen=max(1, self.pacing.chunk_buffer_size))

    def pieces(self, events: bytes, gap_ms: float) -> Iterator[tuple[bytes, float]]:
        """Whole events as pieces to send, each with the pause (ms) after it. `gap_ms`: since the events before."""
        blocks = _BLOCK.findall(events)
        rest = events[sum(map(len, blocks)) :]
        for block in [*blocks, *([rest] if rest else [])]:
            text, build = _cut_open(block) if self.left_ms > 0 else ("", _whole)
            if not text:
                yield block, 0.0
                continue
            self._sizes.append(len(text))
            # The last words need not be waited for.
            most_ms = max(1.0, self.pacing.final_low_delay_ms) if _ENDING.search(block) else self.left_ms
            for piece, last, pause_ms in self._split(text, gap_ms):
                pause_ms = min(pause_ms, most_ms, self.left_ms)
                self.left_ms -= pause_ms
                yield build(piece, last), pause_ms

    def _split(self, text: str, gap_ms: float) -> Iterator[tuple[str, bool, float]]:
        shown, pacing = graphemes(text), self.pacing
        if pacing.mode == ADAPTIVE:
            parts = _at_breaks(shown, self._piece_size(len(shown)))
            delay_ms = self._adapted(len(shown), gap_ms)
        else:
            size = 1 if pacing.mode == CHAR else max(1, pacing.batch_size)
            parts = [shown[at : at + size] for at in range(0, len(shown), size)]
            delay_ms = pacing.char_delay_ms if pacing.mode == CHAR else pacing.batch_delay_ms
        for number, part in enumerate(parts, 1):
            self.sent_chars += len(part)
            last = number == len(parts)
            pause_ms = delay_ms
            if pacing.mode == ADAPTIVE:
                pause_ms = min(1.2 * delay_ms, delay_ms + 2.0) if part[-1] in _BREAKS else delay_ms
                pause_ms += pacing.inter_message_delay_ms if last else 0.0
            yield "".join(part), last, pause_ms

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


def _at_breaks(shown: list[str], size: int) -> list[list[str]]:
    """Pieces of `size`, or up to half as long again where a sentence or clause ends there."""
    parts, at = [], 0
    while at < len(shown):
        end = at + size
        reach = min(len(shown), at + max(size, int(1.5 * size)))
        end = next((n + 1 for n in range(at, reach) if shown[n] in _BREAKS), end)
        parts.append(shown[at:end])
        at = end
    return parts


# -- characters as a reader sees them ---------------------------------------------------------------------------------

_JOINER = "\u200d"
_LINE_END_OR_CHAR = re.compile(r"\r\n|.", re.S)


def graphemes(text: str) -> list[str]:
    """Text in pieces that are never torn: letters with their marks, joined emoji, flags, Hangul syllables.

    The rules of https://unicode.org/reports/tr29/ as far as the standard library knows the classes they need.
    """
    if text.isascii():
        return _LINE_END_OR_CHAR.findall(text) if "\r\n" in text else list(text)
    found: list[str] = []
    flags = 0
    for char in text:
        flag = "\U0001f1e6" <= char <= "\U0001f1ff"
        if found and (
            _extends(char) or found[-1][-1] == _JOINER or (flag and flags % 2) or _joins(found[-1][-1], char)
        ):
            found[-1] += char
        else:
            found.append(char)
        flags = flags + 1 if flag else 0
    return found


def _extends(char: str) -> bool:
    if char < "\u0300":
        return False
    return (
        char == _JOINER
        or unicodedata.category(char) in ("Mn", "Me", "Mc")
        or "\U0001f3fb" <= char <= "\U0001f3ff"
        or "\U000e0020" <= char <= "\U000e007f"
    )


def _joins(before: str, char: str) -> bool:
    """CR LF, and the parts of a Hangul syllable."""
    if before == "\r":
        return char == "\n"
    vowels_or_tails = "\u1160" <= char <= "\u11ff"
    return vowels_or_tails and ("\u1100" <= before <= "\u11ff" or "\uac00" <= before <= "\ud7a3")


# -- events -----------------------------------------------------------------------------------------------------------

Build = Callable[[str, bool], bytes]


def _whole(piece: str, last: bool) -> bytes:
    raise AssertionError("an event without text has no pieces")


def _cut_open(block: bytes) -> tuple[str, Build]:
    """The text of an event that may be cut, and how to make an event of a piece of it; "" where it may not."""
    data = _DATA.findall(block)
    if len(data) != 1 or not data[0].startswith(b"{"):
        return "", _whole
    try:
        document = orjson.loads(data[0])
    except orjson.JSONDecodeError:
        return "", _whole
    head, _, _ = block.partition(b"data:")
    for open_ in (_openai, _gemini, _anthropic):
        place = open_(document)
        if place is not None:
            return place[0], _builder(head, document, place[1], place[2])
    return "", _whole


Place = tuple[str, Callable[[Any], tuple[Any, str]], Callable[[Any], None]]
"""The text, where it stands (holder and member), and what only the last piece keeps."""


def _builder(
    head: bytes, document: Any, stands: Callable[[Any], tuple[Any, str]], strip: Callable[[Any], None]
) -> Build:
    def build(piece: str, last: bool) -> bytes:
        twin = deepcopy(document)
        holder, member = stands(twin)
        holder[member] = piece
        if not last:
            strip(twin)
        return head + b"data: " + orjson.dumps(twin) + b"\n\n"

    return build


def _one(items: Any) -> Any:
    return items[0] if isinstance(items, list) and len(items) == 1 and isinstance(items[0], dict) else None


def _openai(document: Any) -> Place | None:
    choice = _one(document.get("choices"))
    delta = choice.get("delta") if choice else None
    if not isinstance(delta, dict) or delta.get("tool_calls") or delta.get("audio"):
        return None
    name = next((name for name in ("content", "reasoning_content") if isinstance(delta.get(name), str)), "")
    others = [name for name in ("content", "reasoning_content") if delta.get(name)]
    if not delta.get(name) or len(others) != 1:
        return None

    def strip(twin: Any) -> None:
        twin["choices"][0]["finish_reason"] = None
        if twin.get("usage"):
            twin["usage"] = None

    return delta[name], lambda twin: (twin["choices"][0]["delta"], name), strip


def _gemini(document: Any) -> Place | None:
    candidate = _one(document.get("candidates"))
    content = candidate.get("content") if candidate else None
    part = _one(content.get("parts")) if isinstance(content, dict) else None
    if not part or not isinstance(part.get("text"), str) or not part.keys() <= {"text", "thought"} or not part["text"]:
        return None

    def strip(twin: Any) -> None:
        for name in ("finishReason", "groundingMetadata", "citationMetadata", "logprobsResult", "avgLogprobs"):
            twin["candidates"][0].pop(name, None)

    return part["text"], lambda twin: (twin["candidates"][0]["content"]["parts"][0], "text"), strip


def _anthropic(document: Any) -> Place | None:
    delta = document.get("delta")
    if document.get("type") != "content_block_delta" or not isinstance(delta, dict):
        return None
    name = {"text_delta": "text", "thinking_delta": "thinking"}.get(str(delta.get("type")), "")
    if not isinstance(delta.get(name), str) or not delta[name]:
        return None
    return delta[name], lambda twin: (twin["delta"], name), lambda twin: None

"""What an upstream repeats of a request when it refuses it: validators quote, and prompts are never written down."""

from __future__ import annotations

import re
from contextlib import suppress

import orjson

LEFT_OUT = "…"

SHORTEST, SHORTEST_WIDE = 12, 6
"""Fewer characters in a row are words that anybody may use, or the name of a setting; in letters beyond ASCII, where
one may stand for a word, the second."""

MOST_BYTES = 32 * 1024
"""Of a larger request both ends are compared; and whatever is quoted counts as repeated, for it may be the middle."""

MOST_CHARS = 600
"""Of a message, so much is looked at: a little more than is kept."""

MOST_LOOKS = 150
"""How often one message is compared at most, for nobody is served meanwhile: what is left then counts as repeated."""

_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))')
_PLAIN = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_QUOTED = re.compile(rf"""(["'`])(?P<said>[^"'`]{{{SHORTEST},}})\1|[“‘«](?P<framed>[^“‘«”’»]{{{SHORTEST},}})[”’»]""")
_AROUND = " \t\r\n\"'`“”‘’«»()[]{}<>.,:;!?…"


def without_echo(text: str, asked: bytes | None, model: str = "") -> str:
    """`text` without what stands in `asked` too, but for the model and for names of fields.

    Letters of either case are the same, and so is a text and what JSON makes of it. `asked` is None where nobody has
    the request any more.
    """
    text = text[:MOST_CHARS]
    whole = asked is not None and len(asked) <= MOST_BYTES
    ends = asked or b""
    if not whole:
        ends = ends[: MOST_BYTES // 2] + b"\0" + ends[-MOST_BYTES // 2 :]
    text = _without_runs(text, _Heard(_plain(ends)), ends, model)
    return text if whole else _QUOTED.sub(lambda found: _unquoted(found, model), text)


def _without_runs(text: str, heard: _Heard, asked: bytes, model: str) -> str:
    low = _lower(text)
    shortest = SHORTEST if low.isascii() else SHORTEST_WIDE
    # Whatever run is as long as that holds one of these windows, wherever it begins.
    step = shortest // 2
    kept: list[str] = []
    end = at = 0
    while at + step <= len(low):
        if heard.looks >= MOST_LOOKS:
            return "".join([*kept, text[end:at], LEFT_OUT])
        if not heard.has(low[at : at + step]):
            at += step
            continue
        begins, ends = _reach(low, at, at + step, end, heard)
        while begins < ends and low[begins] in _AROUND:
            begins += 1
        while ends > begins and low[ends - 1] in _AROUND:
            ends -= 1
        said = text[begins:ends]
        if _long(said) and said != model and not _is_field(said, asked):
            kept += [text[end:begins], LEFT_OUT]
            end = ends
        at = max(at + step, ends)
    return "".join([*kept, text[end:]])


class _Heard:
    """What was asked, and how often it was looked through."""

    __slots__ = ("looks", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.looks = 0

    def has(self, said: str) -> bool:
        self.looks += 1
        return said in self.text


def _reach(low: str, begins: int, ends: int, least: int, heard: _Heard) -> tuple[int, int]:
    """The run around a window that was heard, as far as all of it was."""
    hop = len(low) - ends
    while hop:
        if ends + hop <= len(low) and heard.has(low[begins : ends + hop]):
            ends += hop
        else:
            hop //= 2
    hop = begins - least
    while hop:
        if begins - hop >= least and heard.has(low[begins - hop : ends]):
            begins -= hop
        else:
            hop //= 2
    return begins, ends


def _long(said: str) -> bool:
    return len(said) >= (SHORTEST if said.isascii() else SHORTEST_WIDE)


def _unquoted(found: re.Match[str], model: str) -> str:
    said = found["said"] or found["framed"]
    return found[0] if said in (model, LEFT_OUT) else found[0].replace(said, LEFT_OUT)


def _plain(asked: bytes) -> str:
    """A request as text, in small letters, with its escapes and without them."""
    if b"\\u" in asked:
        # Much quicker than one by one, where a client writes in ASCII alone.
        with suppress(ValueError, TypeError, RecursionError):
            asked = orjson.dumps(orjson.loads(asked))
    text = asked.decode("utf-8", "replace")
    if "\\" in text:
        text = f"{_ESCAPE.sub(_unescaped, text)}\0{text}"
    return _lower(text)


def _unescaped(found: re.Match[str]) -> str:
    if found[1]:
        return chr(int(found[1], 16))
    return _PLAIN.get(found[2], found[2])


def _lower(text: str) -> str:
    """In small letters, and as long as it was: of a few the small one is longer."""
    low = text.lower()
    return low if len(low) == len(text) else "".join(each.lower()[:1] for each in text)


def _is_field(said: str, asked: bytes) -> bool:
    return re.search(rb'"%b"\s*:' % re.escape(said.encode("utf-8", "replace")), asked) is not None

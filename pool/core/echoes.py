"""What an upstream repeats of a request when it refuses it: validators quote, and prompts are never written down."""

from __future__ import annotations

import json
import re

LEFT_OUT = "…"

SHORTEST = 12
"""Fewer characters in a row are words that anybody may use, or the name of a setting."""

ENDS_BYTES = 16 * 1024
"""Of a larger request both ends are compared: what is repeated of it begins where a text begins."""

MOST_CHARS = 2_000
"""Of a message, so much is kept."""

_WORD = re.compile(r"\S+")
_PLAIN = re.compile(r"[ !#-\[\]-~]+")
"""What JSON writes as it is."""

_BEFORE, _BEHIND = "\"'`“‘«([{<", "\"'`”’»)]}>.,:;!?…"


def without_echo(text: str, asked: bytes, model: str = "") -> str:
    """`text` without what stands in `asked` too, but for the model and for names of fields."""
    text = text[:MOST_CHARS]
    if len(asked) > 2 * ENDS_BYTES:
        asked = asked[:ENDS_BYTES] + b"\0" + asked[-ENDS_BYTES:]
    words = [found.span() for found in _WORD.finditer(text)]
    kept, end, number = [], 0, 0
    while number < len(words):
        start, stop, number = _run(text, words, number, asked)
        said = text[start:stop]
        if stop - start >= SHORTEST and said != model and not _is_field(said, asked):
            kept += [text[end:start], LEFT_OUT]
            end = stop
    return "".join([*kept, text[end:]])


def _run(text: str, words: list[tuple[int, int]], first: int, asked: bytes) -> tuple[int, int, int]:
    """The longest run of words from the first on that was asked (from, to; nothing where it was not), and the word
    to go on with. Punctuation around it does not count."""
    start = words[first][0]
    start += len(text[start : words[first][1]]) - len(text[start : words[first][1]].lstrip(_BEFORE))
    stop, last = start, first
    while last < len(words):
        reach = start + len(text[start : words[last][1]].rstrip(_BEHIND))
        if reach <= start or not _stands_in(text[start:reach], asked):
            break
        stop, last = reach, last + 1
    return start, stop, max(last, first + 1)


def _stands_in(said: str, asked: bytes) -> bool:
    """As it is, or as JSON writes it, in letters of any kind or in ASCII alone."""
    if said.encode("utf-8", "surrogatepass") in asked:
        return True
    if _PLAIN.fullmatch(said):
        return False
    forms = (json.dumps(said, ensure_ascii=False), json.dumps(said))
    return any(form[1:-1].encode("utf-8", "surrogatepass") in asked for form in forms)


def _is_field(said: str, asked: bytes) -> bool:
    name = re.escape(json.dumps(said).encode())
    return re.search(rb"%b\s*:" % name, asked) is not None

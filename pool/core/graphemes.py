"""Characters as a reader sees them, so that none is torn where a text is cut.

The rules of https://unicode.org/reports/tr29/ as far as the standard library knows the classes they need. Where it
does not, two characters rather stay together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from unicodedata import category

_ZWJ = "\u200d"
_LINE_END_OR_CHAR = re.compile(r"\r\n|.", re.S)

_PREPENDED = frozenset(
    map(
        chr,
        (
            *range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0xD4E, 0x110BD, 0x110CD, 0x111C2, 0x111C3, 0x113D1,
            0x1193F, 0x11941, 0x11A84, 0x11A85, 0x11A86, 0x11A87, 0x11A88, 0x11A89, 0x11D46, 0x11F02,
        ),
    )
)  # fmt: skip
"""Signs that belong to what follows them."""

_EXTENDING = frozenset("\u200c\u200d\uff9e\uff9f\u0e33\u0eb3")
"""Joiners, halfwidth voice marks, SARA AM: no marks by their category, and part of the letter before all the same."""

_LINKERS = frozenset(
    map(
        chr,
        (
            0x94D, 0x9CD, 0xACD, 0xB4D, 0xC4D, 0xD4D, 0x1039, 0x17D2, 0x1A60, 0x1B44, 0x1BAB, 0xA9C0, 0xAAF6, 0x10A3F,
            0x11133, 0x113D0, 0x1193E, 0x11A47, 0x11A99, 0x11F42,
        ),
    )
)  # fmt: skip
"""Viramas: the consonant that follows one joins the consonant before."""


def graphemes(text: str) -> Iterator[str]:
    """Text in pieces that are never torn: letters with marks, conjuncts, joined emoji, flags, Hangul syllables."""
    if text.isascii():
        yield from _LINE_END_OR_CHAR.findall(text) if "\r\n" in text else text
        return
    began, flags = 0, int(_is_flag(text[0]))
    for at, (before, char) in enumerate(pairwise(text), 1):
        flag = _is_flag(char)
        if not (flag and flags % 2) and not _stay_together(text, began, at, before, char):
            yield text[began:at]
            began = at
        flags = flags + 1 if flag else 0
    yield text[began:]


def _is_flag(char: str) -> bool:
    """Half of a flag: two of them make one."""
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _stay_together(text: str, began: int, at: int, before: str, char: str) -> bool:
    if before < "\u0300" and char < "\u0300":
        return before == "\r" and char == "\n"
    return (
        _extends(char)
        or before == _ZWJ
        or (before in _PREPENDED and category(char) not in ("Cc", "Zl", "Zp"))
        or _in_a_syllable(before, char)
        or (category(char) == "Lo" and _linked(text, began, at))
    )


def _extends(char: str) -> bool:
    return char >= "\u0300" and (
        char in _EXTENDING
        or category(char) in ("Mn", "Me", "Mc")
        or "\U0001f3fb" <= char <= "\U0001f3ff"
        or "\U000e0020" <= char <= "\U000e007f"
    )


def _linked(text: str, began: int, at: int) -> bool:
    """Does a virama stand among the marks before a letter?"""
    while at > began and _extends(text[at - 1]):
        at -= 1
        if text[at] in _LINKERS:
            return True
    return False


def _in_a_syllable(before: str, char: str) -> bool:
    """The parts of a Hangul syllable."""
    if _is_leading(before):
        return _is_leading(char) or _is_vowel_or_tail(char) or "\uac00" <= char <= "\ud7a3"
    return _is_vowel_or_tail(char) and (_is_vowel_or_tail(before) or "\uac00" <= before <= "\ud7a3")


def _is_leading(char: str) -> bool:
    return "\u1100" <= char <= "\u115f" or "\ua960" <= char <= "\ua97c"


def _is_vowel_or_tail(char: str) -> bool:
    return "\u1160" <= char <= "\u11ff" or "\ud7b0" <= char <= "\ud7fb"

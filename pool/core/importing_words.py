"""One row of an import, and what its key's shape says: whose it is, and whether it can ever work."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from . import lengths

GOOD, UNSURE, TWICE, IMPOSSIBLE = KINDS = ("good", "unsure", "twice", "impossible")

NO_KEY = "no_key"
NOT_A_KEY = {
    "ya29.": "access_token",
    "eyJ": "jwt",
    "GOCSPX-": "oauth_secret",
    "sk-pool-": "own_key",
    "-----BEGIN": "private_key",
}
"""Beginnings of what can never work, and why."""

_NEVER = tuple(NOT_A_KEY)

SHORTEST, LONGEST = 20, 500
UNKNOWN = "unknown"

_TAGS = re.compile(r"[,;|，；、]")
_PRINTABLE = re.compile(r"[!#-;=?-Z^_a-z|~]+")  # but quotes, brackets and the like
_SHAPED = ("AIza", "AQ.", "sk-")
_OF_KEYS = re.compile(r"[A-Za-z0-9._-]+")
_OF_TOKENS = re.compile(r"[A-Za-z0-9._~+/=:-]+")
"""What keys of those shapes are made of, and what a stranger's that looks like one may be: of anything else no key is
made, but a piece of a page or a program is."""

_PROVIDERS = {
    "gemini": "gemini",
    "google": "gemini",
    "googleai": "gemini",
    "ai studio": "gemini",
    "openai": "openai",
    "oai": "openai",
}
_OWN_USER_KEY = re.compile(r"sk-[0-9a-f]{48}")
# Keys of others that begin like OpenAI's: they go to an address of their own.
_OTHERS = ("sk-ant-", "sk-or-")


@dataclass(slots=True)  # not frozen: a hundred thousand of them are made at once
class Row:
    """One key of a text and what was said beside it. `line` counts from 1; in JSON it is the number of the item.

    It has all that the inventory reads of a new key. `provider` is a guess by shape: gemini, openai or unknown;
    `named` is whose key the text calls it. `problem` says what is wrong, or may be.
    """

    line: int
    secret: str = field(repr=False)
    provider: str = ""
    weight: int = 1
    email: str = ""
    note: str = ""
    name: str = ""
    project: str = ""
    tags: tuple[str, ...] = ()
    max_requests: int | None = None
    problem: str = ""
    kind: str = GOOD
    named: str = ""

    @classmethod
    def of(cls, line: int, secret: str, said: Mapping[str, str]) -> Row:
        """A row of a key and the words beside it, by the names of the fields."""
        row = cls(line, secret)
        for name, words in said.items():
            words = words.strip()
            if name == "weight":
                row.weight = min(int(words), 100) if words.isdecimal() and len(words) < 10 else 1
            elif name == "provider":
                row.provider = _PROVIDERS.get(words.lower(), "")
                row.named = row.provider or words.lower()[: lengths.LINE]
            elif name == "tags":
                row.tags = tags_of(words)
            else:
                setattr(row, name, words[: lengths.NOTE if name == "note" else lengths.LINE])
        return row

    @property
    def usable(self) -> bool:
        return self.kind in (GOOD, UNSURE)


def tags_of(words: str) -> tuple[str, ...]:
    """The tags a text lists, each once."""
    tags = (tag.strip()[: lengths.LINE] for tag in _TAGS.split(words))
    return tuple(dict.fromkeys(tag for tag in tags if tag))


def judge(row: Row, twice: bool) -> Row:
    """Guess the row's provider; mark it where it cannot work, stood there before, or is unfamiliar."""
    row.problem = row.problem or impossible(row.secret)
    if row.problem:
        row.provider, row.kind = row.provider or UNKNOWN, IMPOSSIBLE
        return row
    provider, warning = guess(row.secret)
    row.provider = row.provider or UNKNOWN if provider == UNKNOWN else provider
    if twice:
        row.problem, row.kind = TWICE, TWICE
    elif warning:
        row.problem, row.kind = warning, UNSURE
    return row


def impossible(secret: str) -> str:
    """Why this can never be a key; empty where it might be one."""
    if not secret:
        return NO_KEY
    if secret.startswith(_NEVER):
        return next(why for beginning, why in NOT_A_KEY.items() if secret.startswith(beginning))
    if not (_OF_TOKENS if secret.startswith(_SHAPED) else _PRINTABLE).fullmatch(secret):
        return "characters"
    if len(secret) < SHORTEST:
        return "short"
    return "long" if len(secret) > LONGEST else ""


def guess(secret: str) -> tuple[str, str]:
    """Whose key this is by its shape, and a warning where something about the shape is unfamiliar."""
    odd = "" if _OF_KEYS.fullmatch(secret) else "odd"
    if secret.startswith("AIza"):
        return "gemini", odd if len(secret) == 39 else "length"
    if secret.startswith("AQ."):
        return "gemini", odd
    if secret.startswith(_OTHERS):
        return UNKNOWN, "other_provider"
    if _OWN_USER_KEY.fullmatch(secret):
        return "openai", "maybe_own_key"
    if secret.startswith("sk-"):
        return "openai", odd
    return UNKNOWN, "shape"

"""Who is in the demo: made-up keys and how the upstream treats each, pools, and programs with their client keys."""

from __future__ import annotations

import random
import string
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pool.adapters.inventory import NewKey

FLASH, PRO, LITE = "gemini-2.5-flash", "gemini-2.5-pro", "gemini-2.5-flash-lite"
EMBEDDING, MINI = "gemini-embedding-001", "gpt-4o-mini"
DEFAULT, RESEARCH, PRODUCTION = "default", "research", "production"

STEADY, SCARCE, FLAKY = "steady", "scarce", "flaky"
"""What a key may be beside a reason of `refusals.REFUSALS`: SCARCE has little of the flash model left for today, FLAKY
cuts streams."""

_LETTERS = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class Part:
    """A key in the demo. `known`: Keypool found out about it before the curtain rose."""

    key: NewKey
    role: str = STEADY
    known: bool = False


@dataclass(frozen=True, slots=True)
class PoolPart:
    """A pool: its own keys, and how many of the pool `default` it shares."""

    name: str
    description: str
    policy: str | None
    parts: tuple[Part, ...]
    shares: int = 0
    falls_back: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """A caller: how often a second, for which models (weights), and with which share of streams.

    `client` is the name of its user key; without one it presents the pool's auth key.
    """

    pool: str
    client: str
    dialect: str
    rate: float
    models: dict[str, int]
    streams: float


PROGRAMS = (
    Program(DEFAULT, "ci bot", "openai", 0.9, {LITE: 6, FLASH: 3}, 0.1),
    Program(DEFAULT, "", "gemini", 0.8, {EMBEDDING: 5, FLASH: 5, LITE: 2, PRO: 1}, 0.4),
    Program(RESEARCH, "alice notebook", "openai", 0.5, {PRO: 5, FLASH: 4}, 0.8),
    Program(PRODUCTION, "mobile app", "openai", 0.9, {MINI: 6, FLASH: 4}, 0.7),
)
REVOKED = "old scraper"
"""The user key that was taken back and is still being tried."""

# Beside steady ones, by pool and provider: (reason, known already, how many).
_DEFAULT = (
    ("invalid", True, 3), ("leaked", True, 1), ("suspended", True, 1), ("switched_off", True, 2), ("day", True, 14),
    ("zero", True, 8), ("invalid", False, 1), ("leaked", False, 1), ("suspended", False, 1),
    ("switched_off", False, 1), (SCARCE, False, 16), ("minute", False, 4), ("tokens", False, 2), (FLAKY, False, 1),
)  # fmt: skip
_RESEARCH = (("minute", False, 2), (SCARCE, False, 2))
_OPENAI = (("spent", True, 1), ("spent", False, 1), ("deactivated", False, 1), ("rate", False, 2))
_PAID = ((FLAKY, False, 1),)

_OWNERS = ("lab", "workshop", "library", "print shop", "hackathon", "student", "team blue", "spare")
_NOTES = {
    "day": "free tier, 1,500 a day",
    "zero": "no pro on this tier",
    "switched_off": "switch the API on in the console",
    "leaked": "was in a public notebook",
    "spent": "top up at the beginning of the month",
    FLAKY: "breaks off now and then",
}


def pools() -> tuple[PoolPart, ...]:
    """The same cast at every start."""
    rng = random.Random(7)
    free = _parts(rng, "gemini", 150, _DEFAULT, ("free",))
    research = _parts(rng, "gemini", 20, _RESEARCH, ("paid", "research"))
    weights = [5] * 4 + [2] * 6 + [1] * 6 + [0] * 4
    research = [
        replace(part, key=replace(part.key, weight=weight, name=_weighted_name(part.key.name, weight)))
        for part, weight in zip(research, weights, strict=True)
    ]
    paid = _parts(rng, "openai", 14, _OPENAI, ("paid", "eu")) + _parts(rng, "gemini", 16, _PAID, ("paid", "eu"))
    return (
        PoolPart(DEFAULT, "Everybody's free keys", None, tuple(free)),
        PoolPart(RESEARCH, "Paid keys, by weight", "weighted", tuple(research), shares=6),
        PoolPart(PRODUCTION, "OpenAI and Gemini", None, tuple(paid), shares=4, falls_back=True),
    )


def _weighted_name(name: str, weight: int) -> str:
    return f"{name} (standby)" if weight == 0 else name


def _parts(
    rng: random.Random, provider: str, size: int, casting: Iterable[tuple[str, bool, int]], tags: tuple[str, ...]
) -> list[Part]:
    roles = [(role, known) for role, known, count in casting for _ in range(count)]
    roles += [(STEADY, False)] * (size - len(roles))
    rng.shuffle(roles)
    return [Part(_key(rng, provider, number, role, tags), role, known) for number, (role, known) in enumerate(roles, 1)]


def _key(rng: random.Random, provider: str, number: int, role: str, tags: tuple[str, ...]) -> NewKey:
    # The word "demo" stands in each: none of them can be anybody's.
    begin, length = ("AIzaSyDemo", 29) if provider == "gemini" else ("sk-proj-demo", 40)
    owner = rng.choice(_OWNERS)
    return NewKey(
        provider,
        begin + "".join(rng.choices(_LETTERS, k=length)),
        name=f"{owner} {number}",
        note=_NOTES.get(role, ""),
        email=f"{owner.replace(' ', '.')}{number}@example.org" if rng.random() < 0.3 else "",
        tags=tags,
        project=f"{tags[-1]}-{(number + 1) // 2:03d}",
    )

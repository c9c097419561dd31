"""An array of keys that somebody sends for a pool: what is wrong with it, and which key here each item means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import lengths
from .importing_words import UNKNOWN, guess, impossible
from .masking import is_masked

MOST_WEIGHT = 100


@dataclass(frozen=True, slots=True)
class Item:
    """One item, `number` counting from 1. What is None was not said. `secret` is in full, `shown` is a mask."""

    number: int
    id: str = ""
    secret: str = field(default="", repr=False)
    shown: str = ""
    provider: str = ""
    name: str | None = None
    enabled: bool | None = None
    weight: int | None = None


@dataclass(frozen=True, slots=True)
class Seated:
    """A key of the pool, as the items may name it."""

    key_id: int
    public_id: str
    hint: str


class Unclear(ValueError):
    """A mask that no key of the pool has, or several: `number` is the item's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def read_items(given: Any, usual: str = "") -> tuple[list[Item], list[str]]:
    """The items of an array, and what is wrong with them, in the words of the predecessor whose clients send it.

    `usual` is the provider of those whose shape says nothing.
    """
    if not isinstance(given, list) or not given:
        return [], ["至少需要一个 Gemini API Key"]
    items, errors = [], []
    for number, each in enumerate(given, 1):
        item = _item(number, {"key": each} if isinstance(each, str) else each, usual)
        if isinstance(item, Item):
            items.append(item)
        else:
            errors.append(item)
    return items, errors


def _item(number: int, said: Any, usual: str) -> Item | str:
    wrong = f"Gemini Key #{number} 无效"
    if not isinstance(said, Mapping):
        return wrong
    reference, key, weight, enabled = (said.get(name) for name in ("id", "key", "weight", "enabled"))
    key = key.strip() if isinstance(key, str) else key
    reference = str(reference) if isinstance(reference, int | str) and not isinstance(reference, bool) else ""
    if not isinstance(key, str | None) or not (key or reference):
        return wrong
    masked = is_masked(key or "")
    if key and not masked and impossible(key):
        return wrong
    if not (weight is None or _weighs(weight)):
        return f"{wrong}: weight 必须是 0 到 {MOST_WEIGHT} 的整数"
    if not isinstance(enabled, bool | None):
        return f"{wrong}: enabled 必须是布尔值"
    name, provider = said.get("name"), said.get("provider")
    if not isinstance(name, str | None) or not isinstance(provider, str | None):
        return wrong
    secret = "" if masked else key or ""
    return Item(
        number, reference, secret, key if masked and key else "", _provider(secret, provider, usual),
        name[: lengths.LINE] if name is not None else None, enabled, weight,
    )  # fmt: skip


def _weighs(weight: Any) -> bool:
    return isinstance(weight, int) and not isinstance(weight, bool) and 0 <= weight <= MOST_WEIGHT


def _provider(secret: str, said: str | None, usual: str) -> str:
    if said or not secret:
        return said or ""
    guessed, _ = guess(secret)
    return usual or "gemini" if guessed == UNKNOWN else guessed


def match(items: Sequence[Item], seated: Sequence[Seated]) -> tuple[dict[int, Item], list[Item]]:
    """The items that name a key of the pool, by its id here or by a mask that no other one has; and those in full.

    Of two items for one key the first counts. Raises `Unclear`.
    """
    by_reference = {reference: key.key_id for key in seated for reference in (key.public_id, str(key.key_id))}
    by_mask: dict[str, list[int]] = {}
    for key in seated:
        by_mask.setdefault(key.hint, []).append(key.key_id)
    named: dict[int, Item] = {}
    rest = []
    for item in items:
        key_id = by_reference.get(item.id)
        if key_id is None and item.secret:
            rest.append(item)
        else:
            named.setdefault(_of_mask(item, by_mask) if key_id is None else key_id, item)
    return named, rest


def _of_mask(item: Item, by_mask: Mapping[str, list[int]]) -> int:
    found = by_mask.get(item.shown.replace("…", "..."), [])
    if len(found) != 1 or item.shown == "***":
        raise Unclear(item.number)
    return found[0]

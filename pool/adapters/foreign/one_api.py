"""one-api, new-api and their kin: a channel is a provider with keys and a pool of its own; a group, which is what a
token opens there, is a pool over its channels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection

from pool.core.calls import GEMINI, OPENAI
from pool.core.documents import Document, KeyEntry, PoolEntry, ProviderEntry, Seat, Unreadable
from pool.core.providers import PROVIDERS, RESERVED_SLUGS, served_by_gemini

from .one_api_tokens import MODEL_LIMITS, USUAL_GROUP, clients
from .stating import columns_of, parsed, rows_of, split

_CHANNEL = (
    "id", "type", "key", "status", "name", "weight", "base_url", "models", "model_mapping", "priority", "tag", "group",
)  # fmt: skip
_OPENAI_TYPE, _AZURE_TYPE, _CUSTOM_TYPE, _GEMINI_TYPE = 1, 3, 8, 24
_COMMON = {14: "https://api.anthropic.com", 20: "https://openrouter.ai/api", 25: "https://api.moonshot.cn"}
_ONE_API = _COMMON | {
    28: "https://api.mistral.ai", 29: "https://api.groq.com/openai", 36: "https://api.deepseek.com",
    39: "https://api.together.xyz", 44: "https://api.siliconflow.cn", 45: "https://api.x.ai",
}  # fmt: skip
_NEW_API = _COMMON | {
    40: "https://api.siliconflow.cn", 42: "https://api.mistral.ai", 43: "https://api.deepseek.com",
    48: "https://api.x.ai",
}  # fmt: skip
"""Where makers are who take OpenAI's dialect: the two products number them differently after the first two dozen."""

_VERSION = re.compile(r"/v\d[0-9a-z]*$")


@dataclass(frozen=True, slots=True)
class _Channel:
    """A row of `channels` with its provider's slug and the name of its own pool. `mapping` renames models."""

    row: dict[str, Any]
    provider: str
    pool: str
    models: tuple[str, ...]
    mapping: dict[str, str]
    groups: tuple[str, ...]

    @property
    def priority(self) -> int:
        return self.row["priority"] or 0


@dataclass(slots=True)
class _Read:
    """What was read so far."""

    addresses: dict[int, str]
    providers: dict[str, ProviderEntry] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def dialect(self, slug: str) -> str:
        return (PROVIDERS.get(slug) or self.providers[slug]).dialect


def read(connection: Connection, tables: set[str], encryption_key: str) -> Document:
    """Raises `Unreadable`. Nothing is encrypted, so no key is needed."""
    if "channels" not in tables:
        raise Unreadable("That is no database of one-api or new-api: it has no table `channels`.")
    newer = "tokens" in tables and MODEL_LIMITS in columns_of(connection, "tokens")
    found = _Read(_NEW_API if newer else _ONE_API)
    rows = list(rows_of(connection, "channels", _CHANNEL))
    groups = dict.fromkeys(group for row in rows for group in _groups(row))
    found.names.update(map(_pool_of_group, groups))
    channels = [channel for row in rows if (channel := _channel(row, found))]
    members = {group: [each for each in channels if group in each.groups] for group in groups}
    pools = {group: _pool_of_group(group) for group in groups if members[group]}
    return Document(
        providers=tuple(found.providers.values()),
        pools=(
            *(PoolEntry(each.pool, aliases=each.mapping, allowed_models=each.models) for each in channels),
            *(_over(group, members[group], found) for group in pools),
        ),
        clients=tuple(clients(connection, tables, pools, found.notes)),
        keys=_keys(channels, members),
        notes=tuple(found.notes),
    )


def _groups(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(split(row["group"])) or (USUAL_GROUP,)


def _pool_of_group(group: str) -> str:
    return "one-api" if group == USUAL_GROUP else f"one-api {group}"


def _channel(row: dict[str, Any], found: _Read) -> _Channel | None:
    provider = _provider(row, found)
    if provider is None:
        return None
    name = str(row["name"] or f"channel {row['id']}")
    if name in found.names:
        name = f"{name} {row['id']}"
    found.names.add(name)
    mapping = {model: to for model, to in parsed(row["model_mapping"], {}).items() if isinstance(to, str)}
    return _Channel(row, provider, name, tuple(split(row["models"])), mapping, _groups(row))


def _provider(row: dict[str, Any], found: _Read) -> str | None:
    kind, url = row["type"], str(row["base_url"] or "").strip().rstrip("/")
    if kind == _AZURE_TYPE:
        found.notes.append(f"Channel {row['name']} is Azure's, which has an address a deployment; it is left out.")
        return None
    url = url or found.addresses.get(kind, "")
    if kind == _GEMINI_TYPE:
        dialect = GEMINI
    elif kind in (_OPENAI_TYPE, _CUSTOM_TYPE) or url:
        dialect = OPENAI
    else:
        found.notes.append(f"Channel {row['name']} is of type {kind} and names no address; it is left out.")
        return None
    base = url if _VERSION.search(url) or not url else url + ("/v1beta" if dialect == GEMINI else "/v1")
    if not base or base == PROVIDERS[dialect].base_url:
        return dialect
    return _slug(row, dialect, base, found.providers)


def _slug(row: dict[str, Any], dialect: str, base: str, providers: dict[str, ProviderEntry]) -> str:
    """Of the provider at this address: one that was read before, else a new one with the channel's name."""
    for known in providers.values():
        if (known.dialect, known.base_url) == (dialect, base):
            return known.slug
    slug = re.sub(r"[^a-z0-9_.-]+", "-", str(row["name"]).lower()).strip("-._")[:50] or f"channel-{row['id']}"
    if slug in providers or slug in PROVIDERS or slug in RESERVED_SLUGS:
        slug = f"{slug}-{row['id']}"
    providers[slug] = ProviderEntry(slug, dialect, base)
    return slug


def _over(group: str, channels: Sequence[_Channel], found: _Read) -> PoolEntry:
    """The pool of a group. Where a name alone would not lead to the provider that has the model, an alias does: to the
    channel of the highest priority, of those that are on."""
    aliases: dict[str, str] = {}
    plain = {each.provider for each in channels if found.dialect(each.provider) != GEMINI}
    for channel in sorted(channels, key=lambda each: (each.row["status"] != 1, -each.priority)):
        gemini = found.dialect(channel.provider) == GEMINI
        for model in channel.models or channel.mapping:
            to = channel.mapping.get(model, model)
            leads = served_by_gemini(to) if gemini else len(plain) == 1 and not served_by_gemini(to)
            aliases.setdefault(model, to if leads else f"{channel.provider}/{to}")
    return PoolEntry(
        _pool_of_group(group),
        description=f"The channels of group {group}",
        aliases={model: to for model, to in aliases.items() if model != to},
        allowed_models=tuple(aliases) if all(each.models for each in channels) else (),
    )


def _keys(channels: Sequence[_Channel], members: dict[str, list[_Channel]]) -> list[KeyEntry]:
    """A channel has a key, or one a line. Status 1 is on, 2 switched off by a person, 3 by itself."""
    merged: dict[tuple[str, str], KeyEntry] = {}
    for channel in channels:
        row = channel.row
        tags = (row["tag"],) if row["tag"] else ()
        dead = "switched off by one-api" if row["status"] == 3 else None
        seats = _seats(channel, members)
        for secret in filter(None, map(str.strip, str(row["key"] or "").splitlines())):
            entry = KeyEntry(
                secret, channel.provider, tags=tags, disabled=row["status"] == 2, dead_reason=dead, seats=seats
            )
            known = merged.get((channel.provider, secret))
            merged[channel.provider, secret] = entry if known is None else _together(known, entry)
    return list(merged.values())


def _seats(channel: _Channel, members: dict[str, list[_Channel]]) -> tuple[Seat, ...]:
    """In its own pool, and in those of its groups: behind the channels there that have a higher priority."""
    weight = min(100, max(1, channel.row["weight"] or 1))
    seats = [Seat(channel.pool, weight)]
    for group in channel.groups:
        above = {each.priority for each in members[group] if each.priority > channel.priority}
        seats.append(Seat(_pool_of_group(group), weight, min(100, len(above))))
    return tuple(seats)


def _together(known: KeyEntry, other: KeyEntry) -> KeyEntry:
    """One key of several channels: in all of their pools, and on where it was in one of them."""
    seats = {seat.pool: seat for seat in (*other.seats, *known.seats)}
    better = other if (known.disabled or known.dead_reason) and not other.disabled else known
    return replace(better, seats=tuple(seats.values()))

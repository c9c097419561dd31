"""gpt-load 1.x: its groups are our pools, their upstreams our providers, its proxy keys our client keys.

Values of keys are hexadecimal: a nonce of 12 bytes and what AES-256-GCM made of the key, under PBKDF2 (SHA-256,
100,000 rounds, a salt that is the same everywhere) of ENCRYPTION_KEY. Without that variable they stand in the clear.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection

from pool.core.calls import GEMINI, OPENAI
from pool.core.documents import ClientEntry, Document, KeyEntry, PoolEntry, ProviderEntry, Seat, Unreadable
from pool.core.providers import PROVIDERS, RESERVED_SLUGS

from .stating import parsed, rows_of, split

_GROUP = (
    "id", "name", "display_name", "description", "group_type", "channel_type", "upstreams", "proxy_keys", "config",
    "model_redirect_rules", "model_redirect_strict", "param_overrides", "header_rules", "sort",
)  # fmt: skip
_KEY = ("id", "key_value", "key_hash", "group_id", "status", "notes")
_CHANNELS = {"openai": OPENAI, "openai-response": OPENAI, "anthropic": OPENAI, "gemini": GEMINI}
_VERSION = re.compile(r"/v\d[0-9a-z]*(?:/openai)?$")
_ROUNDS, _SALT = 100_000, b"gpt-load-encryption-v1"
_WRONG_KEY = "That is not the ENCRYPTION_KEY of this database: none of its keys can be read with it."
_NO_KEY = "The keys of this database are encrypted: give its ENCRYPTION_KEY."


@dataclass(slots=True)
class _Read:
    """What was read so far."""

    providers: dict[str, ProviderEntry] = field(default_factory=dict)
    provider_of: dict[int, str] = field(default_factory=dict)
    seats: dict[int, list[Seat]] = field(default_factory=dict)
    clients: dict[str, ClientEntry] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read(connection: Connection, tables: set[str], encryption_key: str) -> Document:
    """Raises `Unreadable`."""
    if not {"groups", "api_keys"} <= tables:
        raise Unreadable("That is no database of gpt-load 1.x: it has no tables `groups` and `api_keys`.")
    found = _Read()
    groups = {row["id"]: row for row in rows_of(connection, "groups", _GROUP)}
    parents = _parents(connection, tables, groups, found)
    for group in groups.values():
        if _standard(group):
            _provider(group, found)
            own = [Seat(group["name"])]
            found.seats[group["id"]] = own + [Seat(name, weight) for name, weight in parents.get(group["id"], ())]
    for group in groups.values():
        _clients(group["name"], split(group["proxy_keys"]), found)
    _shared_clients(connection, tables, groups.values(), found)
    return Document(
        providers=tuple(found.providers.values()),
        pools=tuple(_pool(group, found) for group in groups.values()),
        clients=tuple(found.clients.values()),
        keys=list(_keys(connection, found, _Decrypt(encryption_key))),
        notes=tuple(found.notes),
    )


def _standard(group: dict[str, Any]) -> bool:
    return (group["group_type"] or "standard") != "aggregate"


def _parents(
    connection: Connection, tables: set[str], groups: dict[int, dict[str, Any]], found: _Read
) -> dict[int, list[tuple[str, int]]]:
    """The aggregate groups each group serves, with its weight there: its keys sit in those pools, too."""
    parents: dict[int, list[tuple[str, int]]] = {}
    if "group_sub_groups" not in tables:
        return parents
    for row in rows_of(connection, "group_sub_groups", ("id", "group_id", "sub_group_id", "weight")):
        parent, child = groups.get(row["group_id"]), groups.get(row["sub_group_id"])
        if parent and child:
            parents.setdefault(child["id"], []).append((parent["name"], min(100, max(0, row["weight"] or 0))))
    if parents:
        found.notes.append("Weights of sub-groups became weights of their keys: a group of many keys is asked more.")
    return parents


def _provider(group: dict[str, Any], found: _Read) -> None:
    """The provider of a group's keys: a built-in one where the upstream is the maker's own."""
    name, channel = group["name"], group["channel_type"]
    dialect = _CHANNELS.get(channel)
    if dialect is None:
        found.notes.append(f"Group {name} is of the type {channel}, which is not known; it is taken for OpenAI's.")
        dialect = OPENAI
    if channel == "anthropic":
        found.notes.append(f"Group {name} is Anthropic's: it is called in OpenAI's way, which Anthropic takes, too.")
    urls = [each for each in parsed(group["upstreams"], []) if isinstance(each, dict) and each.get("url")]
    urls.sort(key=lambda each: -(each.get("weight") or 0))
    if not urls:
        found.notes.append(f"Group {name} has no upstream; the usual one of {dialect} is taken.")
    if len(urls) > 1:
        found.notes.append(f"Group {name} has {len(urls)} upstreams; the heaviest is taken: {_host(urls[0]['url'])}.")
    base = _base(str(urls[0]["url"]), dialect) if urls else PROVIDERS[dialect].base_url
    proxy = parsed(group["config"], {}).get("proxy_url") or None
    for what, told in (("param_overrides", "overrides parameters"), ("header_rules", "changes headers")):
        if parsed(group[what], {}) or parsed(group[what], []):
            found.notes.append(f"Group {name} {told}; nothing here does that.")
    found.provider_of[group["id"]] = _slug(group, dialect, base, proxy, found)


def _base(url: str, dialect: str) -> str:
    """Its clients give the version in the path, our base URLs end in one."""
    url = url.strip().rstrip("/")
    if _VERSION.search(url):
        return url
    return url + ("/v1beta" if dialect == GEMINI else "/v1")


def _host(url: str) -> str:
    return urlsplit(url).hostname or "?"


def _slug(group: dict[str, Any], dialect: str, base: str, proxy: str | None, found: _Read) -> str:
    """Whom a group's keys belong to. Groups that call the same address in the same way share one provider."""
    if base == PROVIDERS[dialect].base_url and not proxy:
        return dialect
    for slug, known in found.providers.items():
        if (known.dialect, known.base_url, known.proxy_url) == (dialect, base, proxy):
            return slug
    wanted = re.sub(r"[^a-z0-9_.-]+", "-", group["name"].lower()).strip("-._")[:50] or f"group-{group['id']}"
    slug, number = wanted, 1
    while slug in found.providers or slug in PROVIDERS or slug in RESERVED_SLUGS:
        number += 1
        slug = f"{wanted}-{number}"
    found.providers[slug] = ProviderEntry(slug, dialect, base, proxy)
    return slug


def _pool(group: dict[str, Any], found: _Read) -> PoolEntry:
    rules = parsed(group["model_redirect_rules"], {})
    aliases = {name: target for name, target in rules.items() if isinstance(target, str)}
    if len(aliases) < len(rules):
        found.notes.append(f"Group {group['name']} redirects a model to several; those rules are left out.")
    strict = bool(group["model_redirect_strict"]) and bool(aliases)
    said = [text for text in (group["display_name"], group["description"]) if text]
    return PoolEntry(
        name=group["name"],
        description=" — ".join(said),
        aliases=aliases,
        allowed_models=tuple(aliases) if strict else (),
    )


def _clients(pool: str, tokens: Iterable[str], found: _Read) -> None:
    for number, token in enumerate(tokens, 1):
        if token in found.clients:
            other = found.clients[token].pool
            found.notes.append(f"A proxy key of group {pool} is one of {other}, too: here it opens {other} alone.")
        else:
            found.clients[token] = ClientEntry(pool if number == 1 else f"{pool} {number}", pool, token)


def _shared_clients(connection: Connection, tables: set[str], groups: Iterable[dict[str, Any]], found: _Read) -> None:
    """Proxy keys for every group: a client key here opens one pool, so they open the first."""
    if "system_settings" not in tables:
        return
    settings = rows_of(connection, "system_settings", ("id", "setting_key", "setting_value"))
    shared = [row["setting_value"] for row in settings if row["setting_key"] == "proxy_keys"]
    first = min(groups, key=lambda group: (group["sort"] or 0, group["id"]), default=None)
    tokens = [token for token in split(shared[0] if shared else "") if token not in found.clients]
    if first is None or not tokens:
        return
    found.notes.append(f"Proxy keys that opened every group open {first['name']} here: a client key has one pool.")
    for number, token in enumerate(tokens, 1):
        name = "all groups" if number == 1 else f"all groups {number}"
        found.clients[token] = ClientEntry(name, first["name"], token)


class _Decrypt:
    """Opens values of keys; counts those that it cannot.

    Beside a value stands its hash: of the key itself where nothing is encrypted, keyed where something is.
    """

    def __init__(self, encryption_key: str) -> None:
        made = hashlib.pbkdf2_hmac("sha256", encryption_key.encode(), _SALT, _ROUNDS, 32) if encryption_key else None
        self._cipher = AESGCM(made) if made else None
        self.opened = self.failed = 0

    def __call__(self, value: str, hashed: str | None) -> str | None:
        if hashed == hashlib.sha256(value.encode()).hexdigest() or (self._cipher is None and not hashed):
            return value
        if self._cipher is None:
            raise Unreadable(_NO_KEY)
        try:
            raw = bytes.fromhex(value)
            text = self._cipher.decrypt(raw[:12], raw[12:], None).decode()
        except (ValueError, InvalidTag):
            self.failed += 1
            return None
        self.opened += 1
        return text


def _keys(connection: Connection, found: _Read, decrypt: _Decrypt) -> Iterable[KeyEntry]:
    """A key that gpt-load called invalid comes as dead: it is looked at again here as it was there."""
    merged: dict[tuple[str, str], KeyEntry] = {}
    lost = 0
    for row in rows_of(connection, "api_keys", _KEY):
        provider = found.provider_of.get(row["group_id"])
        if provider is None:
            lost += 1
            continue
        secret = decrypt(row["key_value"] or "", row["key_hash"])
        if secret is None:
            continue
        entry = _key(secret.strip(), provider, row, tuple(found.seats[row["group_id"]]))
        known = merged.get((provider, entry.secret))
        merged[provider, entry.secret] = entry if known is None else _together(known, entry)
    if decrypt.failed and not decrypt.opened:
        raise Unreadable(_WRONG_KEY)
    if decrypt.failed:
        found.notes.append(f"{decrypt.failed} keys cannot be decrypted with this ENCRYPTION_KEY; they are left out.")
    if lost:
        found.notes.append(f"{lost} keys belong to no group with upstreams; they are left out.")
    return merged.values()


def _key(secret: str, provider: str, row: dict[str, Any], seats: tuple[Seat, ...]) -> KeyEntry:
    status = row["status"] or "active"
    dead = None if status == "active" else f"{status} in gpt-load"
    return KeyEntry(secret, provider, note=row["notes"] or "", dead_reason=dead, seats=seats)


def _together(known: KeyEntry, other: KeyEntry) -> KeyEntry:
    """One key of several groups: in all of their pools, and alive where it was in one of them."""
    seats = {seat.pool: seat for seat in (*known.seats, *other.seats)}
    better = known if known.dead_reason is None else other
    return replace(better, note=known.note or other.note, seats=tuple(seats.values()))

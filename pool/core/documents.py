"""What moves between machines and products: providers, pools, client keys, settings and keys, as one value.

An export writes it as JSON, an import reads that back, and the databases of other products are read into it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from . import addresses
from .calls import GEMINI, OPENAI
from .heap import let_go
from .limits import LIMIT_NAMES, MOST, MOST_USD, WINDOWS
from .policies import POLICIES, canonical_policy
from .providers import RESERVED_SLUGS

FORMAT = 1
PRODUCTS = ("gpt-load", "gemini-balance", "one-api")
"""Whose databases can be read."""

LEAST_PASSPHRASE = 8
"""Characters of a backup's passphrase."""

MOST_TEXT = 10_000
LONGEST_S = 3_600
LATEST = 32_503_680_000
"""The year 3000: what is later is no moment that somebody meant."""

TIMEOUTS = ("connect_s", "first_byte_s", "idle_s")

_SLUG = re.compile(r"[a-z0-9][a-z0-9_.-]{0,59}")
_HALF = re.compile(r"[\ud800-\udfff]")
_SENDABLE = re.compile(r"[\x21-\x7e]{1,4000}")

T = TypeVar("T")


class BadDocument(ValueError):
    """Something a document must not hold: where it stands (`keys[3].weight`) and what is wrong with it."""

    def __init__(self, place: str, wrong: str) -> None:
        super().__init__(f"`{place}` {wrong}." if place else f"{wrong}.")
        self.place = place


class Unreadable(ValueError):
    """Nothing can be made of a file or a database: the text is one sentence for the person who gave it."""


class NotEmpty(ValueError):
    """This machine has something already, and nobody said what is to become of it."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A place in a pool, which is told by its name."""

    pool: str
    weight: int = 1
    tier: int = 0
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class ProviderEntry:
    slug: str
    dialect: str
    base_url: str
    proxy_url: str | None = field(default=None, repr=False)
    fallback_to_direct: bool = False
    key_header: str | None = None
    timeouts: Mapping[str, Any] | None = None
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class PoolEntry:
    """`default` marks the pool that is called so on every machine. Without an auth key a new pool makes its own."""

    name: str
    description: str = ""
    enabled: bool = True
    default: bool = False
    policy: str | None = None
    allowed_models: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    fallback: str | None = None
    auth_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ClientEntry:
    """A client key: as it is presented (`token`), or as this machine finds it again (`digest`); without either it
    cannot be taken in."""

    name: str
    pool: str
    token: str | None = field(default=None, repr=False)
    permissions: tuple[str, ...] = ()
    allowed_models: tuple[str, ...] = ()
    allowed_ips: tuple[str, ...] = ()
    limits: Mapping[str, Any] = field(default_factory=dict)
    expires_at: float | None = None
    revoked_at: float | None = None
    digest: bytes | None = field(default=None, repr=False)
    hint: str = ""


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A key with what was said of it. `dead_reason` None: it lives. Without seats it goes where an import goes."""

    secret: str = field(repr=False)
    provider: str
    name: str = ""
    note: str = ""
    email: str = ""
    tags: tuple[str, ...] = ()
    project: str = ""
    limits: Mapping[str, Any] | None = None
    max_requests: int | None = None
    max_requests_window: str = "none"
    proxy_url: str | None = field(default=None, repr=False)
    fallback_to_direct: bool = False
    disabled: bool = False
    disabled_until: float | None = None
    dead_reason: str | None = None
    seats: tuple[Seat, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """`notes` tell a person what could not be carried over, in sentences. `keys` may be very many: see `let_go`."""

    providers: tuple[ProviderEntry, ...] = ()
    pools: tuple[PoolEntry, ...] = ()
    clients: tuple[ClientEntry, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    keys: list[KeyEntry] = field(default_factory=list)
    notes: tuple[str, ...] = ()


def sendable(secret: str) -> bool:
    """Can a header carry it?"""
    return bool(_SENDABLE.fullmatch(secret))


def possible_provider(entry: ProviderEntry) -> str:
    """What is wrong with a provider; "" where nothing is."""
    if not _SLUG.fullmatch(entry.slug) or entry.slug in RESERVED_SLUGS:
        return "has a slug that no provider can have"
    if entry.dialect not in (OPENAI, GEMINI):
        return f"has a dialect that is neither {OPENAI} nor {GEMINI}"
    try:
        addresses.base_url(entry.base_url)
        if entry.proxy_url is not None:
            addresses.proxy_url(entry.proxy_url)
        if entry.key_header is not None:
            addresses.key_header(entry.key_header)
    except ValueError as error:
        return f"is no provider: {error}"
    return ""


def read_document(payload: Any) -> Document:
    """A document as JSON has it. Raises `BadDocument` for the first thing that does not fit."""
    whole = _object(payload, "")
    if whole.get("keypool") != "export":
        raise BadDocument("keypool", 'must be "export": this is no export of Keypool')
    if type(whole.get("format")) is not int or whole["format"] > FORMAT:
        raise BadDocument("format", "is of a newer version of Keypool, or missing")
    return Document(
        providers=_each(whole, "providers", _provider),
        pools=_each(whole, "pools", _pool),
        clients=_each(whole, "clients", _client),
        settings=dict(_object(whole.get("settings") or {}, "settings")),
        keys=list(_each(whole, "keys", _key)),
    )


def parse_document(body: bytes) -> Document:
    """The document in a JSON text. Raises `BadDocument`. To be run in a thread: other threads go on meanwhile."""
    try:
        # Not by orjson: it holds every thread until it is done, here somebody may run after each object.
        payload = json.loads(body, object_hook=_as_it_is, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise BadDocument("", f"The body is no JSON: {error}") from None
    document = read_document(payload)
    if isinstance(payload.get("keys"), list):
        let_go(payload["keys"])
    return document


def _as_it_is(value: dict[str, Any]) -> dict[str, Any]:
    return value


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number")


def _provider(row: Mapping[str, Any], place: str) -> ProviderEntry:
    entry = ProviderEntry(
        slug=_text(row, "slug", place),
        dialect=_text(row, "dialect", place),
        base_url=_text(row, "base_url", place),
        proxy_url=_text_or_none(row, "proxy_url", place),
        fallback_to_direct=_flag(row, "fallback_to_direct", place, False),
        key_header=_text_or_none(row, "key_header", place),
        timeouts=_timeouts(row.get("timeouts") or {}, f"{place}.timeouts"),
        enabled=_flag(row, "enabled", place, True),
    )
    wrong = possible_provider(entry)
    if wrong:
        raise BadDocument(place, wrong)
    return entry


def _timeouts(value: Any, place: str) -> dict[str, float] | None:
    stated = _object(value, place)
    for name, seconds in stated.items():
        if name not in TIMEOUTS or not _within(seconds, 0.1, LONGEST_S):
            raise BadDocument(f"{place}.{name}", f"must be up to {LONGEST_S} seconds, of one of {', '.join(TIMEOUTS)}")
    return dict(stated) or None


def _pool(row: Mapping[str, Any], place: str) -> PoolEntry:
    policy = _text_or_none(row, "policy", place)
    if policy is not None and canonical_policy(policy) is None:
        raise BadDocument(f"{place}.policy", f"must be one of {', '.join(POLICIES)}")
    aliases = _object(row.get("aliases") or {}, f"{place}.aliases")
    if not all(isinstance(value, str) and _storable(name) and _storable(value) for name, value in aliases.items()):
        raise BadDocument(f"{place}.aliases", "must lead from names to names")
    return PoolEntry(
        name=_text(row, "name", place),
        description=_text_or_none(row, "description", place) or "",
        enabled=_flag(row, "enabled", place, True),
        default=_flag(row, "default", place, False),
        policy=canonical_policy(policy) if policy is not None else None,
        allowed_models=_words(row, "allowed_models", place),
        aliases=dict(aliases),
        limits=_limits(row.get("limits") or {}, f"{place}.limits"),
        fallback=_text_or_none(row, "fallback", place),
        auth_key=_text_or_none(row, "auth_key", place),
    )


def _client(row: Mapping[str, Any], place: str) -> ClientEntry:
    return ClientEntry(
        name=_text(row, "name", place),
        pool=_text(row, "pool", place),
        token=_text_or_none(row, "token", place),
        permissions=_words(row, "permissions", place),
        allowed_models=_words(row, "allowed_models", place),
        allowed_ips=_words(row, "allowed_ips", place),
        limits=_limits(row.get("limits") or {}, f"{place}.limits"),
        expires_at=_moment(row, "expires_at", place),
        revoked_at=_moment(row, "revoked_at", place),
    )


def _key(row: Mapping[str, Any], place: str) -> KeyEntry:
    window = row.get("max_requests_window") or "none"
    if window not in WINDOWS:
        raise BadDocument(f"{place}.max_requests_window", f"must be one of {', '.join(WINDOWS)}")
    return KeyEntry(
        secret=_text(row, "key", place).strip(),
        provider=_text(row, "provider", place),
        name=_text_or_none(row, "name", place) or "",
        note=_text_or_none(row, "note", place) or "",
        email=_text_or_none(row, "email", place) or "",
        tags=_words(row, "tags", place),
        project=_text_or_none(row, "project", place) or "",
        limits=_key_limits(row.get("limits"), f"{place}.limits"),
        max_requests=_whole(row, "max_requests", place, None, 0, MOST),
        max_requests_window=window,
        proxy_url=_proxy(row, place),
        fallback_to_direct=_flag(row, "fallback_to_direct", place, False),
        disabled=_flag(row, "disabled", place, False),
        disabled_until=_moment(row, "disabled_until", place),
        dead_reason=_text_or_none(row, "dead_reason", place),
        seats=_each(row, "pools", _seat, f"{place}."),
    )


def _proxy(row: Mapping[str, Any], place: str) -> str | None:
    url = _text_or_none(row, "proxy_url", place)
    try:
        return addresses.proxy_url(url) if url else None
    except ValueError as error:
        raise BadDocument(f"{place}.proxy_url", f"is no proxy: {error}") from None


def _seat(row: Any, place: str) -> Seat:
    if isinstance(row, str):
        return Seat(row)
    row = _object(row, place)
    weight, tier = _whole(row, "weight", place, 1, 0, 100), _whole(row, "tier", place, 0, 0, 100)
    return Seat(_text(row, "name", place), weight or 0, tier or 0, _flag(row, "enabled", place, True))


def _each(row: Mapping[str, Any], name: str, read: Callable[[Any, str], T], before: str = "") -> tuple[T, ...]:
    rows, place = () if row.get(name) is None else row[name], f"{before}{name}"
    if not isinstance(rows, list | tuple):
        raise BadDocument(place, "must be a list")
    free = read is _seat
    return tuple(
        read(each if free else _object(each, f"{place}[{index}]"), f"{place}[{index}]")
        for index, each in enumerate(rows)
    )


def _object(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BadDocument(place, "must be an object")
    return value


def _text(row: Mapping[str, Any], name: str, place: str) -> str:
    value = _text_or_none(row, name, place)
    if not value:
        raise BadDocument(f"{place}.{name}", "is missing")
    return value


def _text_or_none(row: Mapping[str, Any], name: str, place: str) -> str | None:
    value = row.get(name)
    if value is None or (isinstance(value, str) and _storable(value)):
        return value
    raise BadDocument(f"{place}.{name}", "must be text of a reasonable length, without NUL and halves of characters")


def _storable(text: str) -> bool:
    """Of a length that is meant, and without what a database refuses: NUL, and halves of surrogate pairs."""
    return len(text) <= MOST_TEXT and "\0" not in text and (text.isascii() or not _HALF.search(text))


def _within(value: Any, low: float, high: float) -> bool:
    """Is it a number from `low` to `high`?"""
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _flag(row: Mapping[str, Any], name: str, place: str, usual: bool) -> bool:
    value = row.get(name, usual)
    if not isinstance(value, bool):
        raise BadDocument(f"{place}.{name}", "must be true or false")
    return value


def _whole(
    row: Mapping[str, Any], name: str, place: str, usual: int | None, low: int, high: int
) -> int | None:  # fmt: skip
    value = row.get(name, usual)
    if value is None:
        return usual
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise BadDocument(f"{place}.{name}", f"must be a whole number from {low} to {high}")
    return value


def _moment(row: Mapping[str, Any], name: str, place: str) -> float | None:
    value = row.get(name)
    if value is None:
        return None
    if not _within(value, 0, LATEST):
        raise BadDocument(f"{place}.{name}", "must be a moment in Unix seconds")
    return float(value)


def _words(row: Mapping[str, Any], name: str, place: str) -> tuple[str, ...]:
    value = row.get(name) or ()
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) and _storable(each) for each in value):
        raise BadDocument(f"{place}.{name}", "must be a list of texts")
    return tuple(value)


def _limits(value: Any, place: str) -> dict[str, Any]:
    """Limits of a client key or a pool."""
    stated = _object(value, place)
    for name, limit in stated.items():
        if name not in LIMIT_NAMES:
            raise BadDocument(f"{place}.{name}", "is no limit")
        most, kind = (MOST_USD, int | float) if name.startswith("budget") else (MOST, int)
        if limit is not None and not (isinstance(limit, kind) and _within(limit, 0, most)):
            raise BadDocument(f"{place}.{name}", f"must be a number from 0 to {most:,}")
    return {name: limit for name, limit in stated.items() if limit is not None}


def _key_limits(value: Any, place: str) -> dict[str, Any] | None:
    """Limits of a key by model; those nobody knows are carried along and never looked at."""
    if not value:
        return None
    stated = _object(value, place)
    if not all(isinstance(each, Mapping) and _storable(model) for model, each in stated.items()):
        raise BadDocument(place, "must have an object for each model")
    for model, each in stated.items():
        for name, limit in each.items():
            if not _storable(name) or (limit is not None and not _within(limit, 0, MOST)):
                raise BadDocument(f"{place}[{model!r}]", f"must hold numbers from 0 to {MOST:,}")
    return {model: dict(each) for model, each in stated.items()}


def as_payload(document: Document) -> dict[str, Any]:
    """A document as `read_document` takes it, with its secrets in full."""
    return {
        "keypool": "export",
        "format": FORMAT,
        "providers": [_told(each) for each in document.providers],
        "pools": [_told(each) for each in document.pools],
        "clients": [_told(each, "digest", "hint") for each in document.clients],
        "settings": dict(document.settings),
        "keys": [_told_key(each) for each in document.keys],
    }


def _told(entry: Any, *left_out: str) -> dict[str, Any]:
    return {each.name: getattr(entry, each.name) for each in fields(entry) if each.name not in left_out}


def _told_key(entry: KeyEntry) -> dict[str, Any]:
    return {"key": entry.secret, **_told(entry, "secret", "seats"), "pools": [_told_seat(seat) for seat in entry.seats]}


def _told_seat(seat: Seat) -> dict[str, Any]:
    return {"name": seat.pool, "weight": seat.weight, "tier": seat.tier, "enabled": seat.enabled}

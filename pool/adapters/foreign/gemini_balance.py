"""gemini-balance: its settings are rows of `t_settings`, lists among them as JSON; keys and tokens in the clear."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from pool.core.calls import GEMINI
from pool.core.documents import ClientEntry, Document, KeyEntry, ProviderEntry, Unreadable
from pool.core.providers import PROVIDERS

from .stating import parsed, rows_of, split

_OWN_URL = PROVIDERS[GEMINI].base_url
_VERTEX, _PAID = "vertex", "paid"
_SAYINGS = (
    ("CUSTOM_HEADERS", "Headers of its own are sent to no upstream here."),
    ("FILTERED_MODELS", "Models it hides are not hidden here: say in a pool which models are allowed."),
    ("IMAGE_MODELS", "Models it lists for images and for search need no list here."),
)
"""Settings that nothing here stands for, where they are set to something."""


def read(connection: Connection, tables: set[str], encryption_key: str) -> Document:
    """Raises `Unreadable`. Nothing is encrypted, so no key is needed."""
    if "t_settings" not in tables:
        raise Unreadable("That is no database of gemini-balance: it has no table `t_settings`.")
    stored = {row["key"]: row["value"] for row in rows_of(connection, "t_settings", ("id", "key", "value"))}
    notes: list[str] = []
    providers, provider = _providers(stored, notes)
    return Document(
        providers=tuple(providers),
        clients=tuple(_clients(stored, notes)),
        settings=_settings(stored),
        keys=_keys(connection, tables, stored, provider, notes),
        notes=(*notes, *(said for name, said in _SAYINGS if parsed(stored.get(name), {}) or _list(stored, name))),
    )


def _list(stored: dict[str, Any], name: str) -> list[str]:
    """A list of texts: as JSON, or by commas as a person may have written it."""
    listed = parsed(stored.get(name), [])
    if not listed and not str(stored.get(name) or "").lstrip().startswith(("[", "{")):
        return split(stored.get(name))
    return list(dict.fromkeys(str(each).strip() for each in listed if str(each).strip()))


def _providers(stored: dict[str, Any], notes: list[str]) -> tuple[list[ProviderEntry], str]:
    """Those that the built-in ones do not cover, and the slug of the one that its keys belong to."""
    providers, slug = [], GEMINI
    url, proxies = (stored.get("BASE_URL") or _OWN_URL).strip().rstrip("/"), _list(stored, "PROXIES")
    proxy = proxies[0] if proxies else None
    if len(proxies) > 1:
        notes.append(f"It spreads keys over {len(proxies)} proxies; here a provider has one: the first is taken.")
    if url != _OWN_URL or proxy:
        slug = "gemini-balance"
        providers.append(ProviderEntry(slug, GEMINI, url, proxy))
    if _list(stored, "VERTEX_API_KEYS"):
        vertex = (stored.get("VERTEX_EXPRESS_BASE_URL") or "").strip().rstrip("/")
        vertex = vertex or "https://aiplatform.googleapis.com/v1beta1/publishers/google"
        providers.append(ProviderEntry(_VERTEX, GEMINI, vertex, proxy))
    return providers, slug


def _clients(stored: dict[str, Any], notes: list[str]) -> list[ClientEntry]:
    """`AUTH_TOKEN` opens its pages, too, and its API: here it is a client key like the others, and opens no page."""
    tokens = _list(stored, "ALLOWED_TOKENS")
    auth = str(stored.get("AUTH_TOKEN") or "").strip()
    clients = [ClientEntry(f"token {n}", "default", token) for n, token in enumerate(tokens, 1) if token != auth]
    if auth:
        clients.append(ClientEntry("AUTH_TOKEN", "default", auth))
        notes.append("AUTH_TOKEN comes as a client key; the password of Keypool's pages is its own.")
    return clients


def _settings(stored: dict[str, Any]) -> dict[str, Any]:
    """What both have, as far as it is a number."""
    both = {"MAX_RETRIES": "max_attempts", "MAX_FAILURES": "max_errors_threshold", "TIME_OUT": "idle_timeout_s"}
    found = {}
    for theirs, ours in both.items():
        value = str(stored.get(theirs) or "").strip()
        if value.isdecimal() and len(value) < 10 and int(value) > 0:
            found[ours] = int(value)
    return found


def _keys(
    connection: Connection, tables: set[str], stored: dict[str, Any], provider: str, notes: list[str]
) -> list[KeyEntry]:
    keys = {secret: KeyEntry(secret, provider) for secret in _list(stored, "API_KEYS")}
    paid = str(stored.get("PAID_KEY") or "").strip()
    if paid:
        keys[paid] = KeyEntry(paid, provider, tags=(_PAID,))
    vertex = [KeyEntry(secret, _VERTEX) for secret in _list(stored, "VERTEX_API_KEYS")]
    if vertex:
        notes.append("Vertex keys have a provider of their own, in the same pool.")
    if "t_api_keys" in tables:
        _from_rows(connection, provider, keys, notes)
    return [*keys.values(), *vertex]


def _from_rows(connection: Connection, provider: str, keys: dict[str, KeyEntry], notes: list[str]) -> None:
    """Versions that keep a row for each key say there how it stands."""
    others = 0
    for row in rows_of(connection, "t_api_keys", ("id", "key_value", "service", "status")):
        secret, service = str(row["key_value"] or "").strip(), row["service"] or "gemini"
        if service not in ("gemini", "openai"):
            others += 1
            continue
        slug = provider if service == "gemini" else service
        known = keys.get(secret, KeyEntry(secret, slug))
        dead = "banned in gemini-balance" if row["status"] == "banned" else None
        keys[secret] = KeyEntry(secret, slug, tags=known.tags, dead_reason=dead)
    if others:
        notes.append(f"{others} keys are for a service that is not known; they are left out.")

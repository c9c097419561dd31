"""What of the log of requests is wanted, as a URL says it, and what in it cannot be understood."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from flask_babel import gettext as _
from werkzeug.datastructures import MultiDict

from pool.adapters import queries
from pool.explaining import find_client
from pool.web.code_words import code_text
from pool.web.here import keypool, now, read
from pool.web.ids import row_id
from pool.web.moments import for_field, parse_moment
from pool.web.names import isolated

WINDOWS_S = {"1h": 3600, "24h": 86_400, "7d": 7 * 86_400}
ENDED = ("", "ok", "failed")
MOST_ALIKE = 2


@dataclass(frozen=True, slots=True)
class Filters:
    """`args` is what the URL says, as it says it. `key` is a number or a mask, `client` a number or a name."""

    args: dict[str, str]
    troubles: dict[str, str]
    wanted: queries.LogWanted

    @property
    def narrow(self) -> bool:
        return bool(self.args)

    def without(self, name: str) -> dict[str, str]:
        return {each: value for each, value in self.args.items() if each != name}

    def chosen(self, name: str, value: str) -> dict[str, str]:
        return {**self.without(name), name: value} if value else self.without(name)


NAMES = ("pool", "client", "key", "model", "status", "code", "ended", "window", "since", "until")
_LONGEST = 200


def filters_of(given: MultiDict[str, str]) -> Filters:
    args = {name: given.get(name, "").strip()[:_LONGEST] for name in NAMES}
    args = {name: value for name, value in args.items() if value}
    troubles: dict[str, str] = {}
    found: dict[str, Any] = {}
    for name, meant in _MEANINGS.items():
        try:
            found |= meant(args[name]) if name in args else {}
        except ValueError as error:
            troubles[name] = str(error)
    return Filters(args, troubles, queries.LogWanted(**found))


def _pool(text: str) -> dict[str, Any]:
    try:
        return {"pool_id": row_id(text)}
    except ValueError:
        raise ValueError(_("A pool goes by its number here.")) from None


def _client(text: str) -> dict[str, Any]:
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return {"client_id": int(text)}
    holders = {each.client.id for each in keypool().catalogue.credentials.values()
               if each.client and each.client.name == text}  # fmt: skip
    if not holders:
        raise ValueError(_("No user key is called %(name)s.", name=isolated(text)))
    if len(holders) > 1:
        text = isolated(text)
        raise ValueError(_("Several user keys are called %(name)s: take the link beside one of them.", name=text))
    return {"client_id": holders.pop()}


def _key(text: str) -> dict[str, Any]:
    """By its number, or by anything the search on the page of keys finds, if that is one key alone."""
    if text.isascii() and text.isdigit() and len(text) <= 18:
        return {"tried_id": int(text)}
    alike = read(queries.key_page, queries.Wanted(now(), search=text), size=MOST_ALIKE)
    if not alike:
        raise ValueError(_("No key is like %(text)s.", text=isolated(text)))
    if len(alike) > 1:
        raise ValueError(_("Several keys are like %(text)s: say more of it.", text=isolated(text)))
    return {"tried_id": alike[0].id}


def _status(text: str) -> dict[str, Any]:
    if not (text.isascii() and text.isdigit() and len(text) == 3 and 100 <= int(text) <= 599):
        raise ValueError(_("A status is a number from 100 to 599."))
    return {"status": int(text)}


def _ended(text: str) -> dict[str, Any]:
    meant: dict[str, dict[str, Any]] = {"ok": {"outcome": "ok"}, "failed": {"failed": True}}
    return meant.get(text, {})


def _moment(name: str, text: str) -> dict[str, Any]:
    try:
        return {name: parse_moment(text)}
    except (ValueError, OverflowError):
        raise ValueError(_("A moment looks like 2026-01-31T18:00.")) from None


_MEANINGS: dict[str, Any] = {
    "pool": _pool,
    "client": _client,
    "key": _key,
    "model": lambda text: {"model": text},
    "status": _status,
    "code": lambda text: {"word": text},
    "ended": _ended,
    "window": lambda text: {"since": now() - WINDOWS_S[text]} if text in WINDOWS_S else {},
    "since": lambda text: _moment("since", text),
    "until": lambda text: _moment("until", text),
}


def pins(filters: Filters) -> Iterator[tuple[str, str]]:
    """Filters that are in force, by their names, in words: "pool default", "key AIzaSyDe...9BgL"."""
    wanted = filters.wanted
    for name in filters.args:
        if name not in filters.troubles and name not in ("ended", "window"):
            yield name, _PINS[name](filters.args[name], wanted)


def _pool_pin(text: str, wanted: queries.LogWanted) -> str:
    pool = keypool().catalogue.pools.get(wanted.pool_id)
    return _("pool %(name)s", name=isolated(pool.name if pool else text))


def _client_pin(text: str, wanted: queries.LogWanted) -> str:
    client = find_client(keypool().catalogue, str(wanted.client_id))
    return _("user key %(name)s", name=isolated(client.name if client else text))


def _key_pin(text: str, wanted: queries.LogWanted) -> str:
    row = read(queries.key_row, wanted.tried_id)
    return _("key %(name)s", name=row.hint if row else text)


def _shown(at: float | None) -> str:
    return for_field(at).replace("T", " ") + " UTC"


_PINS: dict[str, Any] = {
    "pool": _pool_pin,
    "client": _client_pin,
    "key": _key_pin,
    "model": lambda text, _wanted: _("model %(name)s", name=isolated(text)),
    "status": lambda text, _wanted: _("status %(number)s", number=text),
    "code": lambda text, _wanted: code_text(text),
    "since": lambda _text, wanted: _("since %(when)s", when=_shown(wanted.since)),
    "until": lambda _text, wanted: _("until %(when)s", when=_shown(wanted.until)),
}

"""Lists of upstream objects, put together from the keys that hold them, with nothing in them but the caller's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from .affinity import Affinity, holder_of
from .core.calls import GEMINI, Call, Pin
from .core.faults import Fault
from .relay import Answer, Caller, Relay

MOST_PAGES = 20
"""Upstream pages looked through for one answer."""

GONE = frozenset({"key_gone", "key_dead"})
"""What their keys held is lost; the rest of the list is not."""

_JSON = [("Content-Type", "application/json")]


class Listing:
    """Asks one key after another. A page may be shorter than was asked for, as it may upstream."""

    def __init__(self, affinity: Affinity, relay: Relay) -> None:
        self._affinity = affinity
        self._relay = relay

    def answer(self, call: Call, caller: Caller, collection: str, providers: Mapping[str, Any]) -> Answer:
        """The caller's objects of a collection. Raises `Fault`."""
        keys = self._keys(caller, collection, providers)
        key_id, cursor = self._begin(call, keys, collection)
        order = list(keys)
        place = order.index(key_id) if key_id in keys else 0
        rows: list[Any] = []
        member, more = "", False
        for _ in range(MOST_PAGES):
            if place >= len(order) or rows:
                break
            page = self._page(call, caller, order[place], keys[order[place]], cursor, collection)
            member, found, cursor = _read(page, call.dialect) if page is not None else (member, [], "")
            rows = [row for row in found if self._own(row, caller, collection, keys[order[place]])]
            place += not cursor
            more = bool(cursor) or place < len(order)
        next_key = order[place] if more and place < len(order) else None
        return _rendered(call.dialect, member or _usual(collection, call.dialect), rows, next_key, cursor)

    def _keys(self, caller: Caller, collection: str, providers: Mapping[str, Any]) -> dict[int, str]:
        """The keys that hold something of the caller's, oldest first, each with its provider."""
        held = self._affinity.held(holder_of(caller), collection, providers.keys())
        return {made.key_id: made.provider for made in held}

    def _begin(self, call: Call, keys: Mapping[int, str], collection: str) -> tuple[int | None, str]:
        """Where the page asked for begins: a key, and the upstream's own cursor."""
        query = dict(call.query)
        if call.dialect == GEMINI:
            number, _, cursor = query.get("pageToken", "").partition(".")
            ours = number.isascii() and number.isdigit() and len(number) <= 18
            return (int(number), cursor) if ours else (next(iter(keys), None), "")
        after = query.get("after", "")
        made = self._affinity.find(f"{collection}/{after}", set(keys.values())) if after else None
        return (made.key_id, after) if made is not None else (next(iter(keys), None), "")

    def _page(
        self, call: Call, caller: Caller, key_id: int, provider: str, cursor: str, collection: str
    ) -> dict[str, Any] | None:
        """One page of one key; None where that key is lost."""
        name = "pageToken" if call.dialect == GEMINI else "after"
        query = tuple(pair for pair in call.query if pair[0] != name) + (((name, cursor),) if cursor else ())
        asked = replace(call, query=query, method="GET", provider=provider, pin=Pin(key_id, collection))
        # One record a request, however many keys are asked.
        call.request_id = ""
        try:
            answer = self._relay.answer(asked, caller)
        except Fault as fault:
            if fault.code in GONE:
                return None
            raise
        try:
            page = orjson.loads(answer.body) if isinstance(answer.body, bytes) and answer.status == 200 else None
        except orjson.JSONDecodeError:
            page = None
        finally:
            answer.close()
        if not isinstance(page, dict):
            raise Fault(502, "upstream_error", "The upstream's list could not be read.", retry_after_s=1)
        return page

    def _own(self, row: Any, caller: Caller, collection: str, provider: str) -> bool:
        if not isinstance(row, dict):
            return False
        named = row.get("name")
        name = named if isinstance(named, str) and "/" in named else f"{collection}/{row.get('id')}"
        made = self._affinity.find(name, (provider,))
        return made is not None and made.holder == holder_of(caller)


def _read(page: Mapping[str, Any], dialect: str) -> tuple[str, list[Any], str]:
    """The member that holds a page's rows, those rows, and where the next page begins ("" after the last)."""
    member = next((name for name, value in page.items() if isinstance(value, list)), "")
    rows = page.get(member) or []
    if dialect == GEMINI:
        return member, rows, str(page.get("nextPageToken") or "")
    last = rows[-1].get("id") if rows and isinstance(rows[-1], dict) else None
    return member, rows, str(last) if page.get("has_more") and last else ""


def _rendered(dialect: str, member: str, rows: list[Any], next_key: int | None, cursor: str) -> Answer:
    if dialect == GEMINI:
        page: dict[str, Any] = {member: rows} if rows else {}
        if next_key is not None:
            page["nextPageToken"] = f"{next_key}.{cursor}"
    else:
        ids = [row.get("id") for row in rows]
        page = {"object": "list", member: rows, "has_more": next_key is not None}
        page |= {"first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None}
    return Answer(200, list(_JSON), orjson.dumps(page))


def _usual(collection: str, dialect: str) -> str:
    if dialect != GEMINI:
        return "data"
    last = collection.rpartition("/")[2]
    return "operations" if last == "batches" else last

"""Which keys the page of keys is about, and in which order, as its address says: for its table and its bulk bar."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from flask import abort, request, url_for
from flask_babel import gettext as _
from werkzeug.datastructures import MultiDict

from pool.adapters import queries
from pool.core import lengths
from pool.core.catalogue import LIMITED
from pool.web.api.key_shapes import limited_keys
from pool.web.bulk import Selection
from pool.web.code_words import code_text
from pool.web.here import now, read
from pool.web.ids import row_id, row_ids
from pool.web.lately import lately
from pool.web.moments import for_field, parse_moment
from pool.web.names import isolated
from pool.web.origin import own_path

MOST = 500
"""Keys of a selection that are named: as many as the longest page has."""

MOST_REASONS = 6

UNTESTED = "untested"
SORTS = (
    "id", "-id", "-last_used_at", "last_used_at", "-requests", "-errors", "-tokens", "-cost_usd", "success_rate",
)  # fmt: skip
"""What the page sorts by; - where the most comes first."""

Args = MultiDict[str, str]


def wanted_of(args: Args) -> queries.Wanted:
    """The keys that an address asks for. What makes no sense narrows nothing down."""
    state = args.get("state", "")
    state = state if state in queries.STATES else ""
    return queries.Wanted(
        now(),
        search=args.get("q", "").strip()[:100],
        state=state,
        code=args.get("code", "").strip()[:60],
        tag=args.get("tag", "").strip()[: lengths.LINE],
        project=args.get("project", "").strip()[: lengths.LINE],
        provider=args.get("provider", "")[:60],
        pool_id=args.get("pool", type=row_id),
        limited=limited_keys() if state == LIMITED else (),
        import_id=args.get("import", type=row_id),
        model=args.get("model", "").strip()[:200],
        added_since=_moment(args.get("since", "")),
    )


def _moment(text: str) -> float | None:
    try:
        return parse_moment(text.strip())
    except (ValueError, OverflowError):
        return None


def order_of(args: Args) -> queries.Order:
    sort = args.get("sort", "")
    sort = sort if sort in SORTS else "id"
    return queries.Order(sort.removeprefix("-"), sort.startswith("-"))


def sort_text(sort: str) -> str:
    """An order in words."""
    return {
        "id": _("Oldest first"),
        "-id": _("Newest first"),
        "-last_used_at": _("Used last"),
        "last_used_at": _("Unused for longest"),
        "-requests": _("Most requests"),
        "-errors": _("Most errors"),
        "-tokens": _("Most tokens"),
        "-cost_usd": _("Highest cost"),
        "success_rate": _("Least success"),
    }[sort]


def filters_of(args: Args, wanted: queries.Wanted) -> dict[str, Any]:
    """The same as the query of an address: what is None is left out of it."""
    sort = args.get("sort", "")
    return {
        "q": wanted.search or None,
        "state": args.get("state") or None,
        "code": wanted.code or None,
        "tag": wanted.tag or None,
        "project": wanted.project or None,
        "provider": wanted.provider or None,
        "pool": wanted.pool_id,
        "import": wanted.import_id,
        "model": wanted.model or None,
        "since": for_field(wanted.added_since) or None,
        "sort": sort if sort in SORTS[1:] else None,
    }


PINNED: dict[str, Callable[[Any], str]] = {
    "code": lambda code: code_text(code),
    "model": lambda name: _("rest for %(name)s", name=isolated(name)),
    "tag": lambda name: _("tag %(name)s", name=isolated(name)),
    "project": lambda name: _("project %(name)s", name=isolated(name)),
    "provider": lambda slug: _("provider %(name)s", name=isolated(slug)),
    "import": lambda number: _("import %(number)s", number=number),
    "since": lambda when: _("added since %(when)s", when=when.replace("T", " ") + " UTC"),
}
"""What narrows a list of keys down beside their state, their pool and a search; and how that is said."""


def pins_of(filters: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Those in force, by their names."""
    return [(name, said(filters[name])) for name, said in PINNED.items() if filters[name]]


def reasons_of(at: float) -> list[str]:
    """What the most keys rest for now."""
    return lately("reasons", read, queries.rest_reasons, at, MOST_REASONS)


def counts_of(wanted: queries.Wanted, found: Sequence[queries.KeyRow] | None = None) -> dict[str, int]:
    """How many keys stand how, of those that everything but the state leaves; these are all, where they are `found`."""
    every = replace(wanted, state="", limited=(), ids=None if found is None else [row.id for row in found])
    return read(queries.key_counts, wanted.now, every, limited_keys())


def chosen() -> Selection:
    """The keys that were ticked, or that the page before this one carried on; or all that the page's filters find."""
    if request.form.get("all") == "yes":
        place = urlsplit(own_path(request.form.get("back", ""), ""))
        if place.path != url_for("admin.keys"):
            abort(400)  # "all" of which page? Never all there are.
        return Selection(wanted=wanted_of(MultiDict(parse_qsl(place.query))))
    ids = row_ids([*request.form.getlist("key"), *request.form.get("keys", "").split(",")])
    if len(ids) > MOST:
        abort(413)
    return Selection(sorted(ids))

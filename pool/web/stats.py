"""Blueprint `stats`: what was served, by key and model, by endpoint and by error; on a page and as CSV."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any
from zlib import crc32

from flask import Blueprint, Response, abort, g, make_response, redirect, request, url_for

from pool.adapters import queries
from pool.adapters.queries.charts import names_of_clients
from pool.core.catalogue import DEAD, DISABLED
from pool.core.faults import Fault
from pool.core.keys import FOREVER
from pool.core.quota import last_reset, next_reset
from pool.core.rotation import Bench
from pool.web import htmx
from pool.web.api.answers import answer, gradually, refusal
from pool.web.api.credentials import admit, presented
from pool.web.code_words import code_text, own_text
from pool.web.here import browsing, keypool, now, read
from pool.web.ids import row_id
from pool.web.login import signed_in
from pool.web.sheets import csv_file
from pool.web.stat_words import countdown, edge_cell, edge_text, endpoint, iso, quota_text, rest_text, window_text

WINDOWS_H = {"1h": 1, "24h": 24, "7d": 7 * 24, "30d": 30 * 24, "90d": 90 * 24}
"""Windows by their name in the URL; without one, the quota day."""

SIZE = 50
PIECE = 500
"""Keys read at a time for a file."""

MOST_TOLD = 10_000
"""Keys that a program is told of in one answer."""

MOST_BADGES = 12
MOST_NAMED = 50
HUES = 8
HUE_SEED = 353
"""With it the models asked most today (Gemini 2.0 and 2.5, GPT-4o and 5) have eight colours, not fewer."""
MOST_SAID = 1_000

JSON = frozenset(("stats.old_model_usage",))

stats = Blueprint("stats", __name__)
for _name, _words in (
    ("countdown", countdown),
    ("window", window_text),
    ("rest", rest_text),
    ("quota", quota_text),
    ("iso", iso),
    ("edge", edge_text),
):
    stats.add_app_template_filter(_words, _name)


@dataclass(frozen=True, slots=True)
class Filters:
    """What of it is wanted, as the URL says."""

    window: str = ""
    pool_id: int | None = None
    model: str = ""
    shown: str = ""

    def scope(self, at: float) -> queries.Scope:
        """Roll-ups are by the hour, so that a window begins with the hour its first moment is in."""
        hours = WINDOWS_H.get(self.window)
        began_at = last_reset(at, _quota_reset()) if hours is None else at - hours * 3600
        return queries.Scope(int(began_at // 3600) * 3600, self.pool_id, self.model)

    @property
    def args(self) -> dict[str, Any]:
        """The same for `url_for`."""
        return {
            "window": self.window or None,
            "pool": self.pool_id,
            "model": self.model or None,
            "show": self.shown or None,
        }


@dataclass(frozen=True, slots=True)
class Rest:
    """Why a key is not used, for a model or for all, until when (None: until somebody says otherwise).

    `text` is the upstream's own words; `note` is Keypool's, where the reason is its own. `quota`: which one is spent.
    """

    word: str
    reason: str
    until: float | None
    text: str = ""
    since: float | None = None
    note: str = ""
    quota: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Badge:
    """A model ("" for every model) with what a key served of it, and why it serves no more."""

    model: str
    answered: int = 0
    failed: int = 0
    rest: Rest | None = None
    cost_nano: int = 0


@stats.before_request
def _guard() -> Response | None:
    """For those who signed in, and for anybody where the setting `public_stats` says so; a program may show an admin
    credential where it gets JSON."""
    try:
        g.admin = signed_in() or (request.endpoint in JSON and bool(presented()) and admit() is not None)
    except Fault as fault:
        return refusal(fault)
    if g.admin or keypool().preferences.current.public_stats:
        return None
    return htmx.sign_in_first(url_for("login.form", next=request.full_path.rstrip("?")))


@stats.get("/stat")
def stat() -> Response:
    at, filters = now(), _filters()
    scope = filters.scope(at)
    after = request.args.get("after", 0, type=row_id)
    keys = read(queries.stat_keys, scope, at, filters.shown, after, SIZE + 1)
    reset = _quota_reset()
    models = read(queries.model_figures, scope)
    everything = read(queries.model_figures, replace(scope, model="")) if filters.model else models
    names = sorted({each.name for each in everything if each.name} | {filters.model} - {""})
    return htmx.page(
        "stat/page.html",
        "stat/_found.html",
        admin=signed_in(),
        filters=filters,
        windows=("", *WINDOWS_H),
        since=scope.since,
        pools=list(keypool().catalogue.pools.values()) if signed_in() else [],
        names=names,
        rows=[(key, *_few(_worth_showing(badges(key, filters.model, at)))) for key in keys[:SIZE]],
        after=after,
        more=keys[SIZE - 1].id if len(keys) > SIZE else 0,
        models=models[:MOST_NAMED],
        pools_served=_named("pools", scope),
        clients_served=_named("clients", scope),
        endpoints=[(endpoint(each.name), each) for each in read(queries.endpoint_figures, scope)],
        told=[(code_text(each.word), each) for each in read(queries.endings, scope, "request")],
        heard=[(code_text(each.word), each) for each in read(queries.endings, scope, "attempt")],
        resets_at=next_reset(at, reset),
        seconds=int(next_reset(at, reset) - at),
        pacific=reset.lower().startswith("pacific"),
    )


@stats.get("/stat/<table>.csv")
def sheet(table: str) -> Response:
    """One table of the page, whole."""
    if table not in SHEETS:
        abort(404)
    filters = _filters()
    header, rows = SHEETS[table](filters, now())
    return csv_file(f"keypool-{table}-{filters.window or 'quota-day'}.csv", header, rows)


@stats.get("/model_usage")
def old_model_usage() -> Response:
    """A predecessor had it here: a page's figures for a program, with masks where that one told whole keys."""
    if browsing():
        return make_response(redirect(url_for(".stat")))
    at = now()
    return answer(gradually(_keys(_filters(), at, MOST_TOLD), lambda key: _usage_told(key, at, g.admin)))


def _usage_told(key: queries.StatKey, at: float, admin: bool) -> dict[str, Any]:
    found = badges(key, "", at)
    spent = {badge.model: badge.rest for badge in found if badge.rest and badge.model}
    reasons = {model: (rest.text or rest.note if admin else "") or rest.reason for model, rest in spent.items()}
    return {
        "key": key.hint,
        "usageCount": {badge.model: badge.answered for badge in found if badge.model},
        "exhaustedModels": list(spent),
        "exhaustedReasons": reasons,
    }


def badges(key: queries.StatKey, model: str, at: float) -> list[Badge]:
    """What a key served and what it cannot serve: a badge a model, the busiest first, one for all of them before."""
    whole, rests = _rests(key, at)
    answered: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    cost_nano: Counter[str] = Counter()
    for use in key.uses:
        answered[use.model.removeprefix("models/")] += use.answered
        failed[use.model.removeprefix("models/")] += use.failed
        cost_nano[use.model.removeprefix("models/")] += use.cost_nano
    names = {*answered, *(name for name in rests if not model or name == model.removeprefix("models/"))}
    found = [Badge(name, answered[name], failed[name], whole or rests.get(name), cost_nano[name]) for name in names]
    found.sort(key=lambda badge: (-badge.answered, badge.rest is None, -badge.failed, badge.model))
    return [Badge("", rest=whole), *found] if whole else found


@stats.app_template_filter()
def hue(model: str) -> int:
    """The colour of a model: always the same one, whatever else is served."""
    return crc32(model.removeprefix("models/").encode(), HUE_SEED) % HUES


def _rests(key: queries.StatKey, at: float) -> tuple[Rest | None, dict[str, Rest]]:
    """Why nothing is asked of a key, for every model and for single ones: as the catalogue has it, in force now."""
    benches: Mapping[str, Bench] = keypool().catalogue.benches(key.id)
    said = {refusal.model: refusal for refusal in key.refusals}
    rests = {}
    for model, bench in benches.items():
        if bench.until > at and bench.reason not in (DEAD, DISABLED):
            words = said.get(model)
            until = None if bench.until == FOREVER else bench.until
            text, note = _whose(words.text if words else "")
            since = words.since if words else None
            rests[model.removeprefix("models/")] = Rest(
                "cooling", bench.reason, until, text, since, note, words.quota if words else None
            )  # fmt: skip
    whole = rests.pop("", None)
    if key.dead_at is not None:
        text, note = _whose(key.dead_reason)
        whole = Rest("dead", "dead", None, text, key.dead_at, note)
    elif key.disabled_at is not None and (key.disabled_until is None or key.disabled_until > at):
        until = None if key.disabled_until in (None, FOREVER) else key.disabled_until
        whole = Rest("disabled", "disabled", until, "", key.disabled_at)
    return whole, rests


def _whose(text: str) -> tuple[str, str]:
    """Words about a key as an upstream's or as Keypool's own, one of them empty."""
    note = own_text(text)
    return ("", note) if note else (text[:MOST_SAID], "")


def _worth_showing(found: list[Badge]) -> list[Badge]:
    """Without what was only asked for: strangers misspell models, and every key they were tried with would say so."""
    whole = next((badge.rest for badge in found if not badge.model), None)
    return [badge for badge in found if not badge.model or badge.answered or badge.rest not in (None, whole)]


def _few(found: list[Badge]) -> tuple[list[Badge], int]:
    """As many badges as a row shows, and how many are left out: strangers name models, so there is no end of them."""
    resting = [badge for badge in found[MOST_BADGES:] if badge.rest][:MOST_BADGES]
    shown = found[:MOST_BADGES] + resting
    return shown, len(found) - len(shown)


def _filters() -> Filters:
    given = request.args
    window, shown = given.get("window", ""), given.get("show", "")
    return Filters(
        window=window if window in WINDOWS_H else "",
        pool_id=given.get("pool", type=row_id) if signed_in() else None,
        model=given.get("model", "").strip()[:200],
        shown=shown if shown in queries.SHOWN else "",
    )


def _quota_reset() -> str:
    return keypool().preferences.current.quota_reset


Table = tuple[tuple[str, ...], Iterable[Iterable[Any]]]


def _keys_sheet(filters: Filters, at: float) -> Table:
    header = ("key", "provider", "model", "answered", "failed", "state", "reason", "until")
    admin = signed_in()
    return (*header, "pools", "upstream said", "cost usd") if admin else header, _key_rows(filters, at, admin)


def _key_rows(filters: Filters, at: float, admin: bool) -> Iterator[Iterable[Any]]:
    """One row a key and model; keys without any have one with no model."""
    for key in _keys(filters, at):
        for badge in badges(key, filters.model, at) or [Badge("")]:
            rest = badge.rest or Rest("", "", None)
            figures = (badge.model, badge.answered, badge.failed)
            row = (key.hint, key.provider, *figures, rest.word, rest.reason, iso(rest.until))
            yield (*row, ", ".join(key.pools), rest.text, usd(badge.cost_nano)) if admin else row


def _keys(filters: Filters, at: float, most: float = inf) -> Iterator[queries.StatKey]:
    """Keys with their figures, read in pieces."""
    scope, after, left = filters.scope(at), 0, most
    while left > 0 and (keys := read(queries.stat_keys, scope, at, filters.shown, after, int(min(PIECE, left)))):
        after, left = keys[-1].id, left - len(keys)
        yield from keys


def _named(table: str, scope: queries.Scope, size: int = MOST_NAMED) -> list[tuple[str, queries.Figures]]:
    """What each pool, or client key, asked for; for the admin alone. "" is an auth key, or one that is gone."""
    if not signed_in():
        return []
    if table == "pools":
        pools = keypool().catalogue.pools
        found = read(queries.pools_served, scope, size)
        return [(pools[int(each.name)].name if int(each.name) in pools else "", each) for each in found]
    found = read(queries.clients_served, scope, size)
    names = read(names_of_clients, [int(each.name) for each in found])
    return [(names.get(int(each.name), ""), each) for each in found]


def _served_sheet(filters: Filters, at: float, table: str) -> Table:
    """Nobody but the admin sees whom Keypool serves."""
    if not signed_in():
        abort(404)
    header = ("id", table.removesuffix("s"), "requests", "ok", *_TOKENS, *_TOOK, "cost usd")
    rows = (
        (each.name, name, each.requests, each.ok, *_tokens(each), *_took(each), usd(each.cost_nano))
        for name, each in _named(table, filters.scope(at), 10_000)
    )
    return header, rows


def _models_sheet(filters: Filters, at: float) -> Table:
    found = read(queries.model_figures, filters.scope(at), 10_000)
    header = ("model", *_COUNTED, "tokens", *_TOKENS, *_TOOK, "first byte ms")
    rows = (
        (each.name, *_counts(each), each.tokens, *_tokens(each), *_took(each), _whole(each.first_ms)) for each in found
    )
    if not signed_in():
        return header, rows
    return (*header, "cost usd"), ((*row, usd(each.cost_nano)) for row, each in zip(rows, found, strict=True))


def _endpoints_sheet(filters: Filters, at: float) -> Table:
    found = read(queries.endpoint_figures, filters.scope(at))
    header = ("endpoint", *_COUNTED, "first byte p50 ms", "first byte p95 ms")
    return header, ((each.name, *_counts(each), *_took(each)) for each in found)


def _endings_sheet(filters: Filters, at: float, side: str) -> Table:
    found = read(queries.endings, filters.scope(at), side, 10_000)
    return ("status", "code", "times"), ((each.status or "", each.word, each.times) for each in found)


SHEETS = {
    "keys": _keys_sheet,
    "models": _models_sheet,
    "endpoints": _endpoints_sheet,
    "pools": lambda filters, at: _served_sheet(filters, at, "pools"),
    "clients": lambda filters, at: _served_sheet(filters, at, "clients"),
    "errors": lambda filters, at: _endings_sheet(filters, at, "request"),
    "upstream-errors": lambda filters, at: _endings_sheet(filters, at, "attempt"),
}


def usd(nano_usd: int) -> str:
    """Dollars for a spreadsheet, to the last nano-dollar and without an exponent."""
    return f"{nano_usd / 1e9:.9f}".rstrip("0").rstrip(".")


_TOKENS = ("tokens in", "tokens out", "tokens cached", "tokens thinking")
_TOOK = ("p50 ms", "p95 ms")


def _tokens(figures: queries.Figures) -> tuple[int, ...]:
    return figures.tokens_in, figures.tokens_out, figures.tokens_cached, figures.tokens_thinking


def _whole(ms: float | None) -> int | str:
    return "" if ms is None else round(ms)


def _took(figures: queries.Figures) -> tuple[str, str]:
    """Upper edges; beyond the last one it says so."""
    return edge_cell(figures.took.p50_ms), edge_cell(figures.took.p95_ms)


_COUNTED = ("requests", "ok", "errors", "callers' own", "ok rate")


def _counts(figures: queries.Figures) -> tuple[int | float | str, ...]:
    rate = round(figures.ok / figures.answerable, 4) if figures.answerable else ""
    return figures.requests, figures.ok, figures.errors, figures.callers_own, rate

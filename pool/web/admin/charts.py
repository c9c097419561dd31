"""What the dashboard draws: requests, failures and tokens of 1 h to 90 d, who asked most, and how far quotas reach."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Response, abort, request, url_for
from flask_babel import gettext as _

from pool.adapters.queries import Hour, charts, runway
from pool.core.quota import last_reset, next_reset
from pool.web import htmx
from pool.web.admin import admin
from pool.web.here import keypool, now, read
from pool.web.lately import lately
from pool.web.sheets import csv_file
from pool.web.stat_words import iso
from pool.web.stats import usd

HOUR_S, DAY_S = 3600, 86_400
USUAL = "24h"

WINDOWS_S = {
    "1h": (HOUR_S, 60),
    "24h": (DAY_S, HOUR_S),
    "7d": (7 * DAY_S, 3 * HOUR_S),
    "30d": (30 * DAY_S, 12 * HOUR_S),
    "90d": (90 * DAY_S, DAY_S),
}
"""By their name in the URL: how long, and how long a slot of it is."""

LIVELY = ("1h", "24h")
"""Windows that look again by themselves: of the others, one more request changes nothing that can be seen."""

TOP = 5
WHOLE = 10_000
"""Rows of a file."""

LEAST = 3.0
"""What a few requests are drawn as, in percent of the height: still to be seen."""


@dataclass(frozen=True, slots=True)
class Charts:
    """`slots`: oldest first, each `step_s` long, those without traffic too."""

    window: str
    step_s: int
    slots: Sequence[Hour]

    @property
    def lively(self) -> bool:
        return self.window in LIVELY

    @property
    def requests(self) -> int:
        return sum(slot.requests for slot in self.slots)

    @property
    def errors(self) -> int:
        return sum(slot.errors for slot in self.slots)

    @property
    def tokens(self) -> int:
        return sum(slot.tokens for slot in self.slots)


def window_of(given: str) -> str:
    return given if given in WINDOWS_S else USUAL


def drawn(window: str, at: float) -> dict[str, Any]:
    """What the templates of the charts want."""
    since = _since(window, at)
    known = {slot.at: slot for slot in lately(("slots", window), read, charts.slots_since, since, WINDOWS_S[window][1])}
    span_s, step_s = WINDOWS_S[window]
    slots = [known.get(begin) or Hour(begin) for begin in range(since, since + span_s, step_s)]
    reset = keypool().preferences.current.quota_reset
    return {
        "charts": Charts(window, step_s, slots),
        "chart_windows": list(WINDOWS_S),
        "tops": [_top(table, window, at) for table in TOPS],
        "runways": _runways(at),
        "runs_until": next_reset(at, reset),
        "runs_at": at,
        "pacific": reset.lower().startswith("pacific"),
    }


def _since(window: str, at: float) -> int:
    """Where the first slot begins: the last one has the present in it."""
    span_s, step_s = WINDOWS_S[window]
    return int(at // step_s + 1) * step_s - span_s


def _runways(at: float) -> list[runway.Runway]:
    reset = keypool().preferences.current.quota_reset
    day_began = int(last_reset(at, reset) // HOUR_S) * HOUR_S
    return lately("runway", read, runway.runways, at, day_began, next_reset(at, reset))


@admin.get("/dashboard/charts")
def show_charts() -> Response:
    """The part of the dashboard that is drawn."""
    window = window_of(request.args.get("window", ""))
    if not htmx.calling():
        return htmx.moved(url_for(".dashboard", window=window))
    return htmx.page("dashboard.html", "_charts.html", **drawn(window, now()))


@admin.get("/dashboard/<table>.csv")
def dashboard_sheet(table: str) -> Response:
    """What is drawn or listed, as figures."""
    if table not in SHEETS:
        abort(404)
    window = window_of(request.args.get("window", ""))
    header, rows = SHEETS[table](window, now())
    return csv_file(f"keypool-{table}-{window}.csv", header, rows)


Table = tuple[tuple[str, ...], Iterable[Iterable[Any]]]


def _traffic_sheet(window: str, at: float) -> Table:
    slots = drawn(window, at)["charts"].slots
    return ("from", "requests", "errors", "tokens"), (
        (iso(slot.at), slot.requests, slot.errors, slot.tokens) for slot in slots
    )


def _runway_sheet(_window: str, at: float) -> Table:
    resets_at = next_reset(at, keypool().preferences.current.quota_reset)
    header = ("model", "requests left", "usual limit", "live", "out", "used today", "an hour", "runs dry", "refill")
    rows = (
        (each.model, each.left, each.limit, each.live, each.out, each.used, round(each.per_s * HOUR_S, 1),
         iso(each.dry_at(at, resets_at)), iso(resets_at))
        for each in _runways(at)
    )  # fmt: skip
    return header, rows


@dataclass(frozen=True, slots=True)
class TopRow:
    """`name` is None for what is nameless: no model, a pool or user key that is gone, a pool's own auth key."""

    name: str | None
    said: str
    url: str
    requests: int
    tokens: int
    cost_nano: int


@dataclass(frozen=True, slots=True)
class Top:
    table: str
    rows: Sequence[TopRow]
    most: int


def _top(table: str, window: str, at: float) -> Top:
    busy = lately(("top", table, window), _busiest, table, _since(window, at), TOP)
    rows = TOPS[table](busy)
    return Top(table, rows, max([row.requests for row in rows], default=0))


def _busiest(table: str, since: int, size: int) -> list[charts.Busy]:
    """Roll-ups are by the hour."""
    return read(charts.busiest, table, since // HOUR_S * HOUR_S, size)


def _models(busy: list[charts.Busy]) -> list[TopRow]:
    return [_row(each, each.what or None, _("no model"), model=each.what or None) for each in busy]


def _pools(busy: list[charts.Busy]) -> list[TopRow]:
    pools = keypool().catalogue.pools
    names = {each.what: pools[each.what].name for each in busy if each.what in pools}
    return [_row(each, names.get(each.what), _("a pool that is gone"), pool=each.what) for each in busy]


def _clients(busy: list[charts.Busy]) -> list[TopRow]:
    names = read(charts.names_of_clients, [each.what for each in busy if each.what])
    return [
        _row(each, names.get(each.what), _("a user key that is gone"), client=each.what)
        if each.what
        else _row(each, None, _("the pools’ own auth keys"))
        for each in busy
    ]


def _row(each: charts.Busy, name: str | None, nameless: str, **asked: Any) -> TopRow:
    url = url_for(".requests", **asked) if any(asked.values()) else ""
    return TopRow(name, name or nameless, url, each.requests, each.tokens, each.cost_nano)


TOPS: dict[str, Callable[[list[charts.Busy]], list[TopRow]]] = {"models": _models, "pools": _pools, "clients": _clients}


def _top_sheet(table: str) -> Callable[[str, float], Table]:
    def sheet(window: str, at: float) -> Table:
        rows = TOPS[table](_busiest(table, _since(window, at), WHOLE))
        return (table.removesuffix("s"), "requests", "tokens", "cost usd"), (
            (row.said, row.requests, row.tokens, usd(row.cost_nano)) for row in rows
        )

    return sheet


SHEETS: dict[str, Callable[[str, float], Table]] = {
    "traffic": _traffic_sheet,
    "runway": _runway_sheet,
    **{table: _top_sheet(table) for table in TOPS},
}


@admin.app_template_filter()
def top_title(table: str) -> str:
    return {"models": _("Busiest models"), "pools": _("Busiest pools"), "clients": _("Busiest user keys")}[table]


@admin.app_template_filter()
def ceiling(most: int) -> int:
    """Where the scale of a chart ends: at a round number, whose half is one, too."""
    if most <= 1:
        return 1
    unit = 10 ** (len(str(most)) - 1)
    return next((step * unit for step in (1, 2, 4, 6, 8) if step * unit >= most and step * unit > 1), 10 * unit)


@admin.app_template_filter()
def bars(values: Sequence[int], top: int) -> str:
    """A path of bars, each in a square of its own: as high as it is of `top`, and never too low to be seen."""
    heights = ((at, max(98 * value / top, LEAST)) for at, value in enumerate(values) if value)
    return "".join(f"M{at}.1 100v-{height:.4g}h.8v{height:.4g}z" for at, height in heights)

"""Blueprint `own`: what the holder of a client key sees: what that key used, what is left, which models it may call."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, g, make_response, redirect, render_template, request, url_for
from flask_babel import gettext as _

from pool.adapters import queries
from pool.adapters.queries.own import OwnUse, own_requests, own_use
from pool.core.limits import COST, Spending, holder_bounds, measure
from pool.core.state import Bound
from pool.web import htmx, login
from pool.web.here import keypool, now, read
from pool.web.holding import as_called, in_force
from pool.web.model_names import model_names
from pool.web.origin import refuse_foreign
from pool.web.shown import count, money

WINDOWS_H = {"24h": 24, "7d": 7 * 24, "30d": 30 * 24, "90d": 90 * 24}
USUAL = "7d"
LATEST = 20

own = Blueprint("own", __name__)


@dataclass(frozen=True, slots=True)
class Left:
    """A limit, what is left of it, and until when (None: it frees by itself, bit by bit)."""

    name: str
    most: str
    left: str
    spent: bool
    until: float | None


@own.before_request
def _guard() -> Response | None:
    refuse_foreign()
    if login.signed_in():
        return make_response(redirect(url_for("admin.clients")))
    client_id = login.holder()
    row = in_force(client_id) if client_id is not None else None
    if row is None:
        login.end()
        return htmx.sign_in_first(url_for("login.form"))
    g.client = row
    return None


@own.get("/own")
def use() -> Response:
    window = request.args.get("window", "")
    window = window if window in WINDOWS_H else USUAL
    client: queries.ClientWhole = g.client
    since = int((now() - WINDOWS_H[window] * 3600) // 3600) * 3600
    used = read(own_use, client.id, since)
    page = render_template(
        "own/page.html", client=client, window=window, windows=tuple(WINDOWS_H), limits=_limits(client),
        total=_added("", used), days=_by(used, lambda each: each.day), models=_by(used, lambda each: each.model),
        latest=read(own_requests, client.id, LATEST), base=request.host_url.rstrip("/"),
        names=model_names(client.pool_id, as_called(client.id)),
    )  # fmt: skip
    return make_response(page)


def _limits(client: queries.ClientWhole) -> list[Left]:
    reset, at = keypool().preferences.current.quota_reset, now()
    named = [name for name, most in client.limits.items() if most is not None]
    bounds = holder_bounds(f"c{client.id}", client.limits, Spending(0), at, reset)
    return [_left(name, bound, at) for name, bound in zip(named, bounds, strict=True)]


def _left(name: str, bound: Bound, at: float) -> Left:
    held = keypool().state.held(bound.counter, at, bound.period, bound.span_s)
    left, said = max(0, bound.most - held), money if measure(bound) == COST else count
    return Left(limit_text(name), said(bound.most), said(left), not left, bound.ends_at if bound.period else None)


def limit_text(name: str) -> str:
    return {
        "rpm_limit": _("Requests a minute"),
        "tpm_limit": _("Tokens a minute"),
        "rpd_limit": _("Requests a day"),
        "concurrency_limit": _("Requests at a time"),
        "budget_usd_day": _("Cost a day"),
        "budget_usd_month": _("Cost a month"),
    }[name]


def _by(used: Sequence[OwnUse], part: Callable[[OwnUse], Hashable]) -> list[tuple[Any, OwnUse]]:
    """Added up by a part of it: days with the latest first, models by name."""
    parts: dict[Any, list[OwnUse]] = {}
    for each in used:
        parts.setdefault(part(each), []).append(each)
    latest_first = any(isinstance(name, int) for name in parts)
    return [(name, _added("", parts[name])) for name in sorted(parts, reverse=latest_first)]


def _added(model: str, used: Sequence[OwnUse]) -> OwnUse:
    names = ("requests", "errors", "tokens_in", "tokens_out", "cost_nano")
    return OwnUse(0, model, *(sum(getattr(each, name) for each in used) for name in names))

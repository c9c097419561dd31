"""The page of one key: its row, what it served today by model, and what it rests for with the upstream's words."""

from __future__ import annotations

from flask import Response, make_response, render_template, request

from pool.adapters import queries
from pool.core.quota import last_reset
from pool.web.admin import admin
from pool.web.admin.key_use import limits_spent, used_by
from pool.web.admin.keys import found, standing_of
from pool.web.here import keypool, now, read
from pool.web.stats import Badge, badges

HOUR_S = 3600


@admin.get("/keys/<int:key_id>")
def key(key_id: int) -> Response:
    row, at = found(key_id), now()
    served = _badges(key_id, at)
    return make_response(
        render_template(
            "keys/one.html", row=row, standing=standing_of(row, at), used=used_by([row], at)[key_id],
            badges=served, back=request.path,
            limits=limits_spent(key_id, [badge.model for badge in served if badge.model]),
        )
    )  # fmt: skip


def _badges(key_id: int, at: float) -> list[Badge]:
    """What it served on this quota day and what it cannot serve, by model; one for all of them before."""
    day_began = int(last_reset(at, keypool().preferences.current.quota_reset) // HOUR_S) * HOUR_S
    rows = read(queries.stat_keys, queries.Scope(day_began), at, "", key_id - 1, 1)
    return badges(rows[0], "", at) if rows and rows[0].id == key_id else []

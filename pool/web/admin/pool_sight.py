"""What the page of a pool shows of it: its figures, how its keys stand, its tiers, and the models its keys reach."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flask import request
from flask_babel import gettext as _

from pool.adapters import queries
from pool.adapters.queries.pool_figures import tiers_of
from pool.core.faults import Fault
from pool.core.quota import last_reset
from pool.web.api.pool_shapes import stats_of
from pool.web.here import keypool, now, read


@dataclass(frozen=True, slots=True)
class Models:
    """The list of models to choose from, as far as it is there; `trouble` where somebody asked and no upstream said."""

    names: list[str] = field(default_factory=list)
    trouble: str = ""


def sight(row: queries.PoolRow) -> dict[str, Any]:
    at = now()
    figures, spent = stats_of([row.id])
    quota_reset = keypool().preferences.current.quota_reset
    day_began = int(last_reset(at, quota_reset) // 3600) * 3600
    today = read(queries.model_figures, queries.Scope(day_began, row.id), 10_000)
    return {
        "figures": figures[row.id],
        "spent": spent.get(row.id, queries.Spending()),
        "answered": sum(each.ok for each in today),
        "answerable": sum(each.answerable for each in today),
        "minute_began": int(at - 60),
        "day_began": day_began,
        "keys": read(queries.key_counts, at, queries.Wanted(at, pool_id=row.id)),
        "tiers": read(tiers_of, row.id),
    }


def models_of(row: queries.PoolRow) -> Models:
    """The list we have; where the address says `models=read` it is asked for first, which may take a while."""
    models = keypool().models
    if request.args.get("models") != "read":
        return Models(models.listed(row.id))
    try:
        return Models(models.reached(keypool().catalogue.pools[row.id]))
    except Fault as fault:
        return Models(trouble=_("No upstream told its models: %(why)s", why=str(fault.message)))

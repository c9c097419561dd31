"""Where would a request to a pool go? Asked in the address of the pool's page, and answered under its form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flask import request
from flask_babel import gettext as _

from pool.core.rotation import POLICIES
from pool.explaining import Question, explain
from pool.web.admin import admin
from pool.web.here import keypool
from pool.web.shown import reason_text
from pool.web.storm_words import storm_text

MOST_MODEL = 500


@dataclass(slots=True)
class Whereto:
    """What somebody asked, and what would happen. `storms`: sentences, by provider."""

    model: str = ""
    strategy: str = ""
    told: dict[str, Any] | None = None
    storms: dict[str, str] = field(default_factory=dict)
    error: str = ""

    @property
    def status(self) -> int:
        return 422 if self.error else 200

    @property
    def pools(self) -> list[dict[str, Any]]:
        """The pools a request would come to, each with its providers."""
        if self.told is None:
            return []
        asked = [{**self.told["pool"], "providers": self.told["providers"]}]
        fallback = self.told["fallback_pool"]
        return asked + ([fallback] if fallback and fallback["providers"] else [])


def whereto(pool_id: int) -> Whereto:
    """What the address of the page asks."""
    where = Whereto(request.args.get("model", "").strip()[:MOST_MODEL], request.args.get("strategy", ""))
    pool = keypool().catalogue.pools.get(pool_id)
    if where.strategy and where.strategy not in POLICIES:
        where.error = _("There is no such policy.")
    elif where.model and pool is not None:
        question = Question(where.model.removeprefix("models/"), pool, policy=where.strategy or None)
        where.told = explain(keypool().relay, keypool().admission, question)
        storms = keypool().relay.judge.outages.storms()
        where.storms = {slug: storm_text(slug, storm) for slug, storm in storms.items() if storm.kind}
    return where


def skipped_text(reason: str) -> str:
    """Why a key is set aside, in words."""
    words = {
        "dead": _("refused for good"),
        "disabled": _("disabled by a person"),
        "limited": _("at a limit of its own"),
        "probing": _("being tried"),
    }
    return words.get(reason) or reason_text(reason)


def source_text(source: str) -> str:
    """Who says how the next key is chosen."""
    return {"request": _("as asked here"), "pool": _("as this pool says"), "setting": _("as in the settings")}[source]


admin.add_app_template_filter(skipped_text, "skipped")
admin.add_app_template_filter(source_text, "source")

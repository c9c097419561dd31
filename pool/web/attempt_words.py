"""Why a key was chosen for an attempt, and what others were passed over for, in words."""

from __future__ import annotations

from collections.abc import Mapping

from flask_babel import gettext as _

from pool.web.code_words import code_text
from pool.web.shown import count


def why_text(why: str) -> str:
    """ "round_robin, on probation" as a page says it."""
    words = {
        "round_robin": _("round robin"),
        "weighted": _("by weight"),
        "least_used": _("least used"),
        "random": _("at random"),
        "lru": _("least recently used"),
        "adaptive": _("adaptive"),
        "on probation": _("on probation"),
        "probe in a storm": _("a probe in a storm"),
        "fallback pool": _("from the fallback pool"),
        "same_key_again": _("the same key again"),
        "pinned": _("the only key that can serve it"),
    }
    return " · ".join(words.get(part, part) for part in why.split(", ")) if why else "–"


def passed_over(skipped: Mapping[str, int]) -> str:
    """ "3 day quota, 1 already tried", the commonest first."""
    found = sorted(skipped.items(), key=lambda pair: (-pair[1], pair[0]))
    words = ((number, _("already tried") if word == "tried" else code_text(word)) for word, number in found)
    return " · ".join(f"{count(number)} {text}" for number, text in words)

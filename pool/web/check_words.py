"""What a check of a key found, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from flask_babel import gettext as _

from pool.checking import ALIVE, DEAD, RESTS, SUSPECTED, UNREACHABLE, Check
from pool.web.code_words import reason_text, said_text
from pool.web.shown import count, duration

MOST_SAID = 300


def check_text(check: Check) -> str:
    """One line: "alive, 182 ms", "refused: API key not valid."."""
    said = said_text(check.reason.strip())[:MOST_SAID] or (f"HTTP {check.status}" if check.status else "")
    match check.word:
        case "alive":
            return _("alive, %(took)s", took=duration(check.ms))
        case "dead":
            return _("refused: %(reason)s", reason=said)
        case "suspected":
            return _("refused, but it is not clear why: %(reason)s", reason=said)
        case "rests":
            return _("alive, but has to rest (%(why)s): %(reason)s", why=reason_text(check.kind), reason=said)
        case "unreachable":
            return _("no answer: %(reason)s", reason=said)
    return _("undecided: %(reason)s", reason=said)


def summary(checks: Iterable[Check]) -> str:
    """How many keys were found how: "3 alive, 1 refused"."""
    words = {
        ALIVE: _("alive"),
        RESTS: _("resting"),
        SUSPECTED: _("suspected"),
        DEAD: _("refused"),
        UNREACHABLE: _("without answer"),
        "": _("undecided"),
    }
    found = Counter(check.word if check.word in words else "" for check in checks)
    return ", ".join(f"{count(found[word])} {text}" for word, text in words.items() if found[word])

"""How values are shown: moments, numbers, and how a key stands. Filters of the templates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from flask import Flask
from flask_babel import format_decimal, ngettext
from flask_babel import gettext as _
from markupsafe import Markup

from pool.adapters.queries import KeyRow
from pool.core import lengths
from pool.core.keys import FOREVER
from pool.core.rotation import Bench
from pool.web.code_words import code_text, last_error_text, reason_text, said_text
from pool.web.here import now


@dataclass(frozen=True, slots=True)
class Standing:
    """How a key stands, as its row says it: a word, why, until when, and how many more reasons there are."""

    word: str
    reason: str = ""
    until: float | None = None
    model: str = ""
    more: int = 0


def mount(app: Flask) -> None:
    app.jinja_env.filters.update(
        count=count, short=short, moment=moment, ago=ago, until=until, standing=standing_word, reason=reason_text,
        ending=code_text, said=said_text, last_error=last_error_text,
        ms=duration, policy=policy_text, percent=percent, utc=utc,
        clock=clock, money=money, when=when, span=span, begun=begun,
    )  # fmt: skip
    app.jinja_env.globals["lengths"] = lengths


def standing(row: KeyRow, benches: Mapping[str, Bench], at: float) -> Standing:
    """The worst of what is known: dead outdoes disabled, disabled outdoes cooling."""
    whole = benches.get("")
    if row.dead_at is not None or (whole is not None and whole.reason == "dead"):
        return Standing("dead", row.dead_reason)
    if row.disabled_at is not None and (row.disabled_until is None or row.disabled_until > at):
        return Standing("disabled", "", row.disabled_until)
    cooling = [
        (bench.until, model, bench.reason)
        for model, bench in benches.items()
        if bench.until > at and bench.reason not in ("disabled", "dead")
    ]
    if not cooling:
        return Standing("healthy")
    last, model, reason = max(cooling)
    return Standing("cooling", reason, None if last == FOREVER else last, model, len(cooling) - 1)


def standing_word(word: str) -> str:
    words = {
        "all": _("All"),
        "healthy": _("Healthy"),
        "cooling": _("Cooling"),
        "disabled": _("Disabled"),
        "dead": _("Dead"),
        "limited": _("Limited"),
        "untested": _("Untested"),
    }
    return words.get(word, word)


def policy_text(policy: str) -> str:
    words = {
        "round_robin": _("Round robin — one after the other"),
        "weighted": _("Weighted — by weight, 0 is standby"),
        "least_used": _("Least used — fewest requests first"),
        "random": _("Random"),
        "lru": _("Least recently used"),
        "adaptive": _("Adaptive — by success, speed and load"),
    }
    return words.get(policy, policy)


def count(number: float) -> str:
    """A number with its thousands set apart."""
    return format_decimal(number)


def short(number: float) -> str:
    """A number in four characters or so: 1.2k, 34M."""
    for edge, unit in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if abs(number) >= edge:
            scaled = number / (1e3 if unit == "k" else edge)
            return f"{scaled:.1f}{unit}" if scaled < 100 else f"{scaled:.0f}{unit}"
    return format_decimal(number)


def money(nano_usd: int) -> str:
    """Dollars and cents; four digits below a dollar, six below a tenth of a cent: columns of them stand in line."""
    if abs(nano_usd) >= 1_000_000_000:
        return "$" + format_decimal(nano_usd / 1e9, "#,##0.00")
    if not nano_usd:
        return "$0"
    if abs(nano_usd) < 1_000:
        return "<$0.000001"
    places = 4 if abs(nano_usd) >= 1_000_000 else 6
    return f"${nano_usd / 1e9:.{places}f}"


def percent(part: float, whole: float) -> str:
    """A share, never rounded up to 100 % where something is missing."""
    if not whole:
        return "–"
    share = 100 * part / whole
    return "100 %" if part >= whole else f"{min(share, 99.9):.1f} %"


def duration(ms: float | None) -> str:
    if ms is None:
        return "–"
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


def begun(text: str) -> str:
    """A word as it begins a line."""
    return text[:1].upper() + text[1:]


def ago(at: float | None) -> Markup:
    """How long ago a moment was, with the moment itself for those who ask."""
    if not at:
        return Markup("–")
    return _time(at, _distance(now() - at, _("just now"), _past))


def until(at: float | None) -> Markup:
    """How far off a moment is."""
    if at is None or at == FOREVER:
        return Markup("")
    return _time(at, _distance(at - now(), _("any moment"), _future))


def moment(at: float | None) -> Markup:
    """A point in time, in UTC; the page's script puts the visitor's own time in its place."""
    if not at:
        return Markup("–")
    return _time(at, utc(at), "moment")


def when(at: float, step_s: float) -> Markup:
    """Where a slot of a chart begins: the time of day, or its day where slots are longer than an hour."""
    if step_s > 3600:
        return _time(at, utc(at)[:10], "date")
    return _time(at, clock(at) + " UTC", "clock")


def span(seconds: float) -> str:
    """A length of time in its largest unit."""
    return _distance(seconds, _span("second", max(1, int(seconds))), str)


def clock(at: float) -> str:
    """The time of day of a moment, in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M")


def _past(text: str) -> str:
    return _("%(span)s ago", span=text)


def _future(text: str) -> str:
    return _("for %(span)s", span=text)


def _distance(seconds: float, none: str, said: object) -> str:
    if seconds < 5:
        return none
    for unit_s, text in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= unit_s * (2 if unit_s == 86_400 else 1):
            return said(_span(text, int(seconds // unit_s)))  # type: ignore[operator]
    return none


def _span(unit: str, number: int) -> str:
    match unit:
        case "day":
            return ngettext("%(num)d day", "%(num)d days", number)
        case "hour":
            return ngettext("%(num)d h", "%(num)d h", number)
        case "minute":
            return ngettext("%(num)d min", "%(num)d min", number)
    return ngettext("%(num)d s", "%(num)d s", number)


def utc(at: float) -> str:
    pattern = "%Y-%m-%d %H:%M"
    return datetime.fromtimestamp(at, UTC).strftime(pattern) + " UTC"


def _time(at: float, text: str, kind: str = "") -> Markup:
    """`kind`: how the page's script says it in the visitor's zone; what is said as a distance needs none."""
    iso = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
    local = Markup(' data-moment="{}"').format(kind) if kind else ""
    return Markup('<time datetime="{}" title="{}"{}>{}</time>').format(iso, utc(at), local, text)

"""What statistics are about, in words: endpoints, windows, what keys rest for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flask_babel import gettext as _

from pool.web.code_words import code_text
from pool.web.shown import count, duration

ROUTES = {
    "chat": "/v1/chat/completions",
    "embeddings": "/v1/embeddings",
    "generate": ":generateContent",
    "stream_generate": ":streamGenerateContent",
    "count_tokens": ":countTokens",
    "embed": ":embedContent",
    "batch_embed": ":batchEmbedContents",
}


def endpoint(operation: str) -> tuple[str, str]:
    """An operation in words, and the route it comes by ("" where there is more than one)."""
    words = {
        "chat": _("Chat"),
        "embeddings": _("Embeddings"),
        "generate": _("Gemini, whole answers"),
        "stream_generate": _("Gemini, streams"),
        "count_tokens": _("Gemini, counting tokens"),
        "embed": _("Gemini, one embedding"),
        "batch_embed": _("Gemini, embeddings"),
        "raw": _("Passed through"),
    }
    return words.get(operation, operation), ROUTES.get(operation, "")


def rest_text(reason: str) -> str:
    """Why a key rests, as a sentence begins."""
    words = {"dead": _("Refused for good"), "disabled": _("Disabled by a person")}
    text = words.get(reason) or code_text(reason)
    return text[:1].upper() + text[1:]


def quota_text(quota: Mapping[str, Any]) -> str:
    """A quota an upstream named: "20 requests a day, free tier"; "" where it told no size."""
    limit, tier = quota.get("limit"), {"free": _("free tier"), "paid": _("paid tier")}.get(str(quota.get("tier")))
    if not isinstance(limit, int):
        return ""
    units = {
        ("requests", "day"): _("%(limit)s requests a day", limit=count(limit)),
        ("requests", "minute"): _("%(limit)s requests a minute", limit=count(limit)),
        ("tokens", "day"): _("%(limit)s tokens a day", limit=count(limit)),
        ("tokens", "minute"): _("%(limit)s tokens a minute", limit=count(limit)),
    }
    unit, window = str(quota.get("unit")), str(quota.get("window"))
    text = units.get((unit, window)) or f"{count(limit)} {unit.replace('_', ' ')} / {window}"
    return f"{text}, {tier}" if tier else text


def window_text(name: str) -> str:
    words = {
        "": _("Quota day"),
        "1h": _("1 hour"),
        "24h": _("24 hours"),
        "7d": _("7 days"),
        "30d": _("30 days"),
        "90d": _("90 days"),
    }
    return words.get(name, name)


def countdown(seconds: int) -> str:
    """7:03:09 — as the script of the page goes on counting it."""
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def iso(at: float | None) -> str:
    """A moment for machines; nothing where there is none."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds") if at else ""


LAST_EDGE_MS = 60_000


def edge_text(edge_ms: int | None) -> str:
    """The upper edge of a bucket of latencies: "≤ 500 ms"; 0 is beyond the last one."""
    if edge_ms is None:
        return "–"
    return f"≤ {duration(edge_ms)}" if edge_ms else f"> {duration(LAST_EDGE_MS)}"


def edge_cell(edge_ms: int | None) -> str:
    """The same for a spreadsheet."""
    return "" if edge_ms is None else str(edge_ms) if edge_ms else f"over {LAST_EDGE_MS}"

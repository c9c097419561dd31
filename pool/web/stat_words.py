"""What statistics are about, in words: endpoints, windows, what keys rest for."""

from __future__ import annotations

from datetime import UTC, datetime

from flask_babel import gettext as _

from pool.web.code_words import code_text

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

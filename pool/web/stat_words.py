"""What statistics are about, in words: endpoints and ways to end."""

from __future__ import annotations

from datetime import UTC, datetime

from flask_babel import gettext as _

from pool.web.shown import reason_text

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


def ending_text(word: str) -> str:
    """How a request or an attempt ended: our own codes in words, an upstream's as it is."""
    words = {
        "all_keys_cooling": _("every key was cooling down"),
        "no_available_keys": _("no usable key"),
        "model_not_found": _("no such model"),
        "client_gone": _("the client hung up"),
        "dead": _("key refused for good"),
        "rejected": _("the request itself was refused"),
        "unreachable": _("could not be reached"),
        "timeout": _("no answer in time"),
        "broken": _("broke off"),
        "empty": _("an answer without content"),
        "error": _("other error"),
        "other": _("other error"),
        "location": _("refused for its location"),
        "misrouted": _("refused how the key was sent"),
        "request_too_large": _("larger than a minute's quota"),
        "upstream_error": _("the upstream failed"),
        "upstream_timeout": _("the upstream gave no answer in time"),
        "upstream_stream_interrupted": _("the upstream broke off"),
        "deadline_exceeded": _("no key answered in time"),
        "max_attempts": _("too many keys failed"),
    }
    return words.get(word, reason_text(word))


def rest_text(reason: str) -> str:
    """Why a key rests, as a sentence begins."""
    words = {"dead": _("Refused for good"), "disabled": _("Disabled by a person")}
    text = words.get(reason) or reason_text(reason)
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

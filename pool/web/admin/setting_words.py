"""Settings in words: their groups on the page, a label each, and what their choices mean."""

from __future__ import annotations

import re

from flask_babel import gettext as _
from markupsafe import Markup, escape

from pool.core import lengths
from pool.settings import Setting
from pool.web.admin import admin
from pool.web.shown import count, policy_text

GROUPS = {
    "choosing": ("rotation_strategy", "max_attempts", "max_queue_s", "retry_unsure", "quota_reset"),
    "failures": ("max_errors_threshold", "error_reset_interval", "cooldown_hours"),
    "timeouts": ("request_deadline_s", "connect_timeout_s", "first_byte_timeout_s", "idle_timeout_s",
                 "graceful_timeout_s"),
    "streams": ("heartbeat_s", "stream_mode", "char_delay_ms", "batch_size", "batch_delay_ms", "min_delay_ms",
                "max_delay_ms", "adaptive_delay_factor", "chunk_buffer_size", "min_content_length_for_fast_output",
                "fast_output_delay_ms", "final_low_delay_ms", "inter_message_delay_ms", "fast_mode_threshold",
                "intelligent_batching", "max_batch_size"),
    "models": ("unknown_model_policy", "default_model_name", "model_cache_ttl_s", "safety_preset", "thinking_enabled",
               "thinking_budget", "include_thoughts"),
    "access": ("allow_anonymous", "allow_byok", "public_stats", "rate_limit_requests", "rate_limit_window",
               "max_body_mb"),
    "alerts": ("alert_keys_below", "alert_success_below", "alert_dry_within_h"),
    "usage": ("enable_usage_tracking", "usage_retention_days", "log_level"),
}  # fmt: skip


def group_text(group: str) -> str:
    words = {
        "choosing": _("Choosing keys"),
        "failures": _("Failures and cooling"),
        "timeouts": _("Timeouts"),
        "streams": _("Streams"),
        "models": _("Models and conversion"),
        "access": _("Access"),
        "alerts": _("Alerts"),
        "usage": _("Usage and log"),
    }
    return words.get(group, _("Others"))


def label(name: str) -> str:
    words = {
        "rotation_strategy": _("Policy"),
        "max_attempts": _("Keys a request may try"),
        "max_queue_s": _("Wait for a key"),
        "retry_unsure": _("Retry what broke off"),
        "quota_reset": _("Daily quotas return"),
        "max_errors_threshold": _("Errors in a row"),
        "error_reset_interval": _("Window of those errors"),
        "cooldown_hours": _("Long rest"),
        "request_deadline_s": _("Deadline of new attempts"),
        "connect_timeout_s": _("Connecting"),
        "first_byte_timeout_s": _("First byte"),
        "idle_timeout_s": _("Silence"),
        "graceful_timeout_s": _("Stopping"),
        "stream_mode": _("Pace"),
        "heartbeat_s": _("Heartbeat"),
        "char_delay_ms": _("Pause after a character"),
        "batch_size": _("Characters of a batch"),
        "batch_delay_ms": _("Pause after a batch"),
        "min_delay_ms": _("Shortest pause"),
        "max_delay_ms": _("Longest pause"),
        "adaptive_delay_factor": _("Weight of the rhythm"),
        "chunk_buffer_size": _("Events looked back at"),
        "min_content_length_for_fast_output": _("Long events"),
        "fast_output_delay_ms": _("Pause in long events"),
        "final_low_delay_ms": _("Pause at the end"),
        "inter_message_delay_ms": _("Pause after an event"),
        "fast_mode_threshold": _("Long answers"),
        "intelligent_batching": _("Larger pieces"),
        "max_batch_size": _("Largest piece"),
        "unknown_model_policy": _("Unknown models"),
        "default_model_name": _("Default model"),
        "model_cache_ttl_s": _("Lists of models are kept"),
        "safety_preset": _("Gemini's safety settings"),
        "thinking_enabled": _("Thinking"),
        "thinking_budget": _("Thinking budget"),
        "include_thoughts": _("Return thoughts"),
        "allow_anonymous": _("Calls without a client key"),
        "allow_byok": _("Callers' own upstream keys"),
        "public_stats": _("Public statistics"),
        "rate_limit_requests": _("Requests of a new client key"),
        "rate_limit_window": _("Window of that limit"),
        "max_body_mb": _("Largest request"),
        "alert_keys_below": _("Fewest keys of a pool"),
        "alert_success_below": _("Lowest share of success"),
        "alert_dry_within_h": _("Shortest time until a model runs dry"),
        "enable_usage_tracking": _("Log of requests"),
        "usage_retention_days": _("Request rows are kept"),
        "log_level": _("Log level"),
    }
    return words.get(name, name)


def choice(setting: Setting, value: str) -> str:
    if setting.name == "rotation_strategy":
        return policy_text(value)
    words = {
        "passthrough stream_mode": _("As they come"),
        "fake stream_mode": _("From whole answers — for models without streaming"),
        "adaptive stream_mode": _("Adaptive — evenly, as fast as they come"),
        "char stream_mode": _("Character by character"),
        "batch stream_mode": _("In batches of characters"),
        "off safety_preset": _("Off — nothing is blocked"),
        "google_default safety_preset": _("Google's defaults"),
        "passthrough unknown_model_policy": _("Send them on"),
        "default unknown_model_policy": _("Take the default model"),
        "reject unknown_model_policy": _("Refuse them"),
        "debug log_level": _("Debug"),
        "info log_level": _("Info"),
        "warning log_level": _("Warnings"),
        "error log_level": _("Errors"),
    }
    return words.get(f"{value} {setting.name}", value)


def unit_text(unit: str) -> str:
    words = {
        "s": _("seconds"),
        "h": _("hours"),
        "d": _("days"),
        "keys": _("keys"),
        "errors": _("errors"),
        "tokens": _("tokens"),
        "requests": _("requests"),
        "ms": _("milliseconds"),
        "characters": _("characters"),
        "events": _("events"),
    }
    return words.get(unit, unit)


def value_text(setting: Setting, value: object) -> str:
    """A value as a sentence may hold it: `120 seconds`, `on`, `Random`."""
    if isinstance(value, bool):
        return _("on") if value else _("off")
    if setting.choices:
        return choice(setting, str(value)).split(" — ")[0]
    if isinstance(value, int | float):
        return f"{count(value)} {unit_text(setting.unit)}".strip()
    return str(value)


def plain(number: object) -> str:
    """A number without a point where it needs none, and never as 1e+06; what somebody typed instead, as it is."""
    if isinstance(number, float) and number == int(number):
        return f"{number:.0f}"
    return str(number)


@admin.app_template_filter("code")
def code(text: str) -> Markup:
    """A sentence whose `words` in backticks are code."""
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 — escaped before


def wrong(setting: Setting) -> str:
    """What a refused value should have been."""
    if setting.choices:
        return _("Choose one of these.")
    if setting.name == "default_model_name":
        return _("The name of a model has at most %(most)s characters.", most=lengths.MODEL)
    if setting.pattern:
        return _("Write pacific, or an hour like 07:00 UTC.")
    low, high = (count(edge or 0) for edge in (setting.low, setting.high))
    if isinstance(setting.default, int):
        return _("A whole number from %(low)s to %(high)s.", low=low, high=high)
    return _("A number from %(low)s to %(high)s.", low=low, high=high)

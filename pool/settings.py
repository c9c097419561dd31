"""Every setting there is: its name, default, unit and meaning. Nothing else defines one."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from .core import lengths
from .core.pacing import STREAM_MODES, Pacing
from .core.rotation import POLICIES, canonical_policy


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `boot`: read at the start only; the others are live. `low`/`high` bound numbers, `pattern` text."""

    name: str
    default: Any
    unit: str
    help: str
    boot: bool = False
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    aliases: tuple[str, ...] = ()
    pattern: str = ""


SETTINGS = (
    Setting(
        "rotation_strategy",
        "round_robin",
        "",
        "How the next key is chosen where a pool says nothing.",
        choices=POLICIES,
        aliases=("load_balance_strategy",),
    ),
    Setting(
        "max_attempts", 50, "keys", "The most keys one request may try.", low=1, high=1000, aliases=("max_retries",)
    ),
    Setting(
        "max_errors_threshold",
        5,
        "errors",
        "Errors blamed on a key, without a success between, that cool it down.",
        low=1,
        high=1000,
        aliases=("max_consecutive_errors",),
    ),
    Setting(
        "error_reset_interval",
        3600,
        "s",
        "The window of that count, and how long the key then cools down.",
        low=1,
        high=604_800,
    ),
    Setting(
        "cooldown_hours",
        24.0,
        "h",
        "How long a key rests after spent credit or a switched-off service.",
        low=0.01,
        high=720,
    ),
    Setting(
        "quota_reset",
        "pacific",
        "",
        "When daily quotas come back: `pacific` (midnight in Los Angeles) or `HH:MM UTC`.",
        pattern=r"pacific|([01]?\d|2[0-3]):[0-5]\d UTC",
    ),
    Setting("retry_unsure", True, "", "Try another key where an upstream broke off before any content came."),
    Setting("max_queue_s", 0.0, "s", "How long a request may wait for a key that recovers soon.", low=0, high=60),
    Setting("request_deadline_s", 60.0, "s", "No new attempt starts after this.", low=1, high=3600),
    Setting("connect_timeout_s", 5.0, "s", "To connect to an upstream, over all its addresses.", low=0.1, high=120),
    Setting(
        "first_byte_timeout_s",
        120.0,
        "s",
        "From the sent request to the head of a streamed answer; plain answers have five times as long.",
        low=1,
        high=3600,
    ),
    Setting(
        "idle_timeout_s", 120.0, "s", "Between two pieces of an answer.", low=1, high=3600, aliases=("request_timeout",)
    ),
    Setting(
        "heartbeat_s",
        15.0,
        "s",
        "Silence in a stream after which a blank line is sent; 0 switches it off.",
        low=0,
        high=300,
        aliases=("sse_keepalive_s",),
    ),
    Setting(
        "stream_mode",
        "passthrough",
        "",
        "How streams are paced.",
        choices=STREAM_MODES,
        aliases=("sendMode",),
    ),
    Setting("char_delay_ms", 50.0, "ms", "`char`: after each character.", low=0, high=1000, aliases=("charDelay",)),
    Setting("batch_size", 5, "characters", "`batch`: in one piece.", low=1, high=1000, aliases=("batchSize",)),
    Setting("batch_delay_ms", 100.0, "ms", "`batch`: after each piece.", low=0, high=1000, aliases=("batchDelay",)),
    Setting("min_delay_ms", 2.0, "ms", "`adaptive`: the shortest pause.", low=0, high=1000, aliases=("minDelay",)),
    Setting("max_delay_ms", 20.0, "ms", "`adaptive`: the longest pause.", low=0, high=1000, aliases=("maxDelay",)),
    Setting(
        "adaptive_delay_factor",
        0.35,
        "",
        "`adaptive`: how much the rhythm of the upstream counts.",
        low=0,
        high=2,
        aliases=("adaptiveDelayFactor",),
    ),
    Setting(
        "chunk_buffer_size",
        20,
        "events",
        "`adaptive`: the latest events that tell how large they are.",
        low=1,
        high=1000,
        aliases=("chunkBufferSize",),
    ),
    Setting(
        "min_content_length_for_fast_output",
        300,
        "characters",
        "`adaptive`: events longer than this go out fast.",
        low=0,
        high=1_000_000,
        aliases=("minContentLengthForFastOutput",),
    ),
    Setting(
        "fast_output_delay_ms",
        1.0,
        "ms",
        "`adaptive`: the pause then.",
        low=0,
        high=1000,
        aliases=("fastOutputDelay",),
    ),
    Setting(
        "final_low_delay_ms",
        0.5,
        "ms",
        "The longest pause in the event that ends an answer; at least 1.",
        low=0,
        high=1000,
        aliases=("finalLowDelay",),
    ),
    Setting(
        "inter_message_delay_ms",
        3.0,
        "ms",
        "`adaptive`: after each event besides.",
        low=0,
        high=1000,
        aliases=("interMessageDelay",),
    ),
    Setting(
        "fast_mode_threshold",
        2000,
        "characters",
        "`adaptive`: answers longer than this go on fast.",
        low=0,
        high=10_000_000,
        aliases=("fastModeThreshold",),
    ),
    Setting(
        "intelligent_batching",
        True,
        "",
        "`adaptive`: larger pieces of larger events.",
        aliases=("intelligentBatching",),
    ),
    Setting(
        "max_batch_size",
        6,
        "characters",
        "`adaptive`: the largest piece.",
        low=1,
        high=1000,
        aliases=("maxBatchSize",),
    ),
    Setting(
        "safety_preset",
        "off",
        "",
        "Gemini's safety settings where a converted request names none: `off` (nothing blocked) or `google_default`.",
        choices=("off", "google_default"),
    ),
    Setting(
        "unknown_model_policy",
        "passthrough",
        "",
        "A model no provider of the pool is known for: send it on, take the default model, or refuse.",
        choices=("passthrough", "default", "reject"),
    ),
    Setting(
        "default_model_name",
        "gemini-2.5-flash",
        "",
        "The model of `unknown_model_policy = default`.",
        pattern=rf"\S{{0,{lengths.MODEL}}}",
    ),
    Setting("allow_anonymous", False, "", "Calls without a known client key use the pool `default`."),
    Setting("allow_byok", False, "", "A caller's own upstream key goes through as it is."),
    Setting("public_stats", False, "", "Show /stat, with masked keys, to anybody."),
    Setting(
        "model_cache_ttl_s",
        3600,
        "s",
        "How long a pool's list of models is kept.",
        low=1,
        high=604_800,
        aliases=("model_cache_ttl",),
    ),
    Setting("enable_usage_tracking", True, "", "Write a row for every request."),
    Setting("usage_retention_days", 30, "d", "How long request rows are kept.", low=1, high=3650),
    Setting(
        "thinking_enabled",
        True,
        "",
        "Let Gemini models think where a converted request says nothing.",
    ),
    Setting(
        "thinking_budget", -1, "tokens", "Their thinking budget then; -1 leaves it to the model.", low=-1, high=65_536
    ),
    Setting("include_thoughts", False, "", "Return thoughts (`reasoning_content`) where a request does not ask."),
    Setting(
        "rate_limit_requests",
        60,
        "requests",
        "New client keys: requests in one window; 0 = no limit.",
        low=0,
        high=1_000_000,
    ),
    Setting("rate_limit_window", 60, "s", "The window of that limit.", low=1, high=86_400),
    Setting(
        "graceful_timeout_s", 120, "s", "How long a stopping server lets streams finish.", boot=True, low=1, high=3600
    ),
    Setting(
        "log_level",
        "info",
        "",
        "What the log tells.",
        choices=("debug", "info", "warning", "error"),
        aliases=("logLevel",),
    ),
    Setting(
        "alert_keys_below",
        0,
        "keys",
        "Tell the webhook where a pool has fewer keys that can serve; 0 = never.",
        low=0,
        high=1_000_000,
    ),
    Setting(
        "alert_success_below",
        0.0,
        "%",
        "Tell the webhook where less of the last ten minutes' requests succeeded; 0 = never.",
        low=0,
        high=100,
    ),
    Setting(
        "alert_dry_within_h",
        0.0,
        "h",
        "Tell the webhook where a model's quotas end sooner at the present pace; 0 = never.",
        low=0,
        high=24,
    ),
    Setting("max_body_mb", 50, "MB", "The largest request body.", low=1, high=1024),
)

BY_NAME = {name: setting for setting in SETTINGS for name in (setting.name, *setting.aliases)}


class BadSetting(ValueError):
    """An unknown name or a value that does not fit; the text names both."""


class Settings:
    """The values in force, one attribute a setting. Replaced whole, so a reader never sees half a change."""

    def __init__(self, stored: Mapping[str, Any] | None = None) -> None:
        for setting in SETTINGS:
            setattr(self, setting.name, setting.default)
        for name, value in (stored or {}).items():
            if name in BY_NAME:
                setattr(self, BY_NAME[name].name, coerce(name, value))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


_LEVELS = {"warn": "warning", "debug": "debug", "info": "info", "warning": "warning", "error": "error"}
"""What predecessors say, in capitals, too, for what the log knows."""

PACING = tuple(each.name for each in fields(Pacing) if each.name != "mode")


def pacing(settings: Settings) -> Pacing:
    """The parameters of the stream modes."""
    return Pacing(settings.stream_mode, **{name: getattr(settings, name) for name in PACING})


def coerce(name: str, value: Any) -> Any:
    """`value` (typed, or text from a form) as the setting's own type. Raises `BadSetting`."""
    setting = BY_NAME.get(name)
    if setting is None:
        raise BadSetting(f"{name}: there is no such setting")
    if setting.name == "rotation_strategy":
        value = canonical_policy(str(value)) or value
    if setting.name == "log_level" and str(value).lower() in _LEVELS:
        value = _LEVELS[str(value).lower()]
    try:
        typed = _typed(setting, value)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadSetting(f"{name}: {value!r} is not a {type(setting.default).__name__}") from error
    if setting.choices and typed not in setting.choices:
        raise BadSetting(f"{name}: {typed!r} is none of {', '.join(setting.choices)}")
    if setting.pattern and not re.fullmatch(setting.pattern, typed):
        raise BadSetting(f"{name}: {typed!r} does not fit; {setting.help}")
    if setting.low is not None and not typed >= setting.low:
        raise BadSetting(f"{name}: at least {setting.low:g} {setting.unit}")
    if setting.high is not None and typed > setting.high:
        raise BadSetting(f"{name}: at most {setting.high:g} {setting.unit}")
    return typed


def _typed(setting: Setting, value: Any) -> Any:
    match setting.default:
        case bool():
            if isinstance(value, bool):
                return value
            text = str(value).strip().lower()
            if text in ("1", "true", "yes", "on"):
                return True
            if text in ("0", "false", "no", "off", ""):
                return False
            raise ValueError(value)
        case int():
            if isinstance(value, bool) or float(value) != int(float(value)):
                raise ValueError(value)
            return int(float(value))
        case float():
            if isinstance(value, bool):
                raise ValueError(value)
            return float(value)
    if not isinstance(value, str):
        raise TypeError(value)
    return value.strip()


def check(name: str, value: Any) -> tuple[str, Any]:
    """The canonical name and the typed value of a change; None stands for the default. Raises `BadSetting`."""
    typed = coerce(name, BY_NAME[name].default if value is None and name in BY_NAME else value)
    return BY_NAME[name].name, typed


def table() -> str:
    """The README's table of settings: `python -m pool.settings` prints it."""
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *map(_table_row, SETTINGS)])


def _table_row(setting: Setting) -> str:
    also = f" (also {', '.join(f'`{name}`' for name in setting.aliases)})" if setting.aliases else ""
    told = [setting.help]
    if setting.choices:
        told.append(f"One of {', '.join(f'`{choice}`' for choice in setting.choices)}.")
    if setting.low is not None and setting.high is not None:
        told.append(f"{_figure(setting.low)} to {_figure(setting.high)}.")
    if setting.boot:
        told.append("Read at the start only.")
    return f"| `{setting.name}`{also} | {_default(setting)} | {' '.join(told)} |"


def _default(setting: Setting) -> str:
    match setting.default:
        case bool(on):
            return "on" if on else "off"
        case str(text):
            return f"`{text}`"
    return f"{_figure(setting.default)} {setting.unit}".strip()


def _figure(number: float) -> str:
    return f"{number:,.0f}" if number == int(number) else f"{number:g}"


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")

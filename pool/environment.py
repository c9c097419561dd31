"""What the environment may say before the start: names, defaults, and what stops the start."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pool.core.addresses import base_url

_SENDABLE = re.compile(r"[\x21-\x7e]+")

ALIASES = {"ADMIN_KEY": "ADMIN_PASSWORD", "GEMINI_API_KEYS": "API_KEYS"}
"""A second name a predecessor used. The first name wins where both are set."""

KNOWN = (
    "HOST", "PORT", "ADMIN_PASSWORD", "SECRET_KEY", "KEY_ENCRYPTION_SECRET", "DATABASE_URL", "REDIS_URL",
    "WEB_CONCURRENCY", "API_KEYS", "OPENAI_API_KEYS", "PROXY_API_KEY", "GEMINI_UPSTREAM_URL", "OPENAI_UPSTREAM_URL",
    "FORWARDED_ALLOW_IPS", "LOG_LEVEL", "LOG_FORMAT", "KEYPOOL_INSTANCE", "LOGIN_NOTE",
    "ALERT_WEBHOOK_URL", "DEBUG_ERRORS", "DRAIN_DELAY_S",
)  # fmt: skip

LOG_LEVELS = ("debug", "info", "warning", "error")
LOG_FORMATS = ("text", "json")


class BadStart(Exception):
    """Something Keypool must not start with. The text is one sentence that names it and what is wanted."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The boot settings. Secrets are kept out of `repr`."""

    instance: Path
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    database_url: str = field(default="", repr=False)
    redis_url: str = field(default="", repr=False)
    admin_password: str | None = field(default=None, repr=False)
    secret_key: str | None = field(default=None, repr=False)
    encryption_secret: str | None = field(default=None, repr=False)
    gemini_keys: tuple[str, ...] = field(default=(), repr=False)
    openai_keys: tuple[str, ...] = field(default=(), repr=False)
    proxy_key: str | None = field(default=None, repr=False)
    gemini_url: str | None = None
    openai_url: str | None = None
    forwarded_allow_ips: str = "127.0.0.1,::1"
    log_level: str | None = None
    log_format: str = "text"
    login_note: str = ""
    alert_url: str | None = field(default=None, repr=False)
    debug_errors: bool = False
    drain_delay_s: int = 0

    def secrets(self) -> tuple[str, ...]:
        """What must not be read in any trace."""
        alone = (self.admin_password, self.secret_key, self.encryption_secret, self.proxy_key, self.alert_url)
        of_urls = (urlsplit(self.database_url).password, urlsplit(self.redis_url).password)
        return tuple(filter(None, (*alone, *of_urls, *self.gemini_keys, *self.openai_keys)))


def read_environment(variables: Mapping[str, str], root: Path) -> Environment:
    """The environment as typed values. Raises `BadStart`, naming the variable, for what cannot be meant.

    Every variable may also come from a file, as NAME_FILE; an empty one counts as unset.
    """
    named = _named(variables)
    instance = Path(named.get("KEYPOOL_INSTANCE") or root / "instance").absolute()
    environment = Environment(
        instance=instance,
        host=named.get("HOST") or "127.0.0.1",
        port=_whole("PORT", named.get("PORT") or "8000", 0, 65_535),
        workers=_whole("WEB_CONCURRENCY", named.get("WEB_CONCURRENCY") or "1", 1, 64),
        database_url=named.get("DATABASE_URL") or f"sqlite:///{instance / 'pool.sqlite'}",
        redis_url=named.get("REDIS_URL", ""),
        admin_password=named.get("ADMIN_PASSWORD") or None,
        secret_key=named.get("SECRET_KEY") or None,
        encryption_secret=named.get("KEY_ENCRYPTION_SECRET") or None,
        gemini_keys=_list(named.get("API_KEYS", "")),
        openai_keys=_list(named.get("OPENAI_API_KEYS", "")),
        proxy_key=named.get("PROXY_API_KEY") or None,
        gemini_url=_url("GEMINI_UPSTREAM_URL", named.get("GEMINI_UPSTREAM_URL")),
        openai_url=_url("OPENAI_UPSTREAM_URL", named.get("OPENAI_UPSTREAM_URL")),
        forwarded_allow_ips=named.get("FORWARDED_ALLOW_IPS") or "127.0.0.1,::1",
        log_level=_one_of("LOG_LEVEL", named.get("LOG_LEVEL"), LOG_LEVELS),
        log_format=_one_of("LOG_FORMAT", named.get("LOG_FORMAT"), LOG_FORMATS) or "text",
        login_note=named.get("LOGIN_NOTE", ""),
        alert_url=named.get("ALERT_WEBHOOK_URL") or None,
        debug_errors=_flag("DEBUG_ERRORS", named.get("DEBUG_ERRORS", "0")),
        drain_delay_s=_whole("DRAIN_DELAY_S", named.get("DRAIN_DELAY_S") or "0", 0, 300),
    )
    _check(environment)
    return environment


def _named(variables: Mapping[str, str]) -> dict[str, str]:
    named: dict[str, str] = {}
    for name in (*KNOWN, *ALIASES):
        value = variables.get(name)
        if not value and (path := variables.get(f"{name}_FILE")):
            try:
                value = Path(path).read_text().strip()
            except OSError as error:
                raise BadStart(f"{name}_FILE: {path} cannot be read ({error.strerror}).") from None
            except UnicodeDecodeError:  # it holds what was read
                raise BadStart(f"{name}_FILE: {path} is not UTF-8.") from None
        if value:
            named.setdefault(ALIASES.get(name, name), value)
    return named


def _check(environment: Environment) -> None:
    sqlite = environment.database_url.startswith("sqlite:///")
    if not sqlite and not environment.database_url.startswith(("postgresql://", "postgresql+psycopg://")):
        raise BadStart("DATABASE_URL: it is neither sqlite:///path nor postgresql+psycopg://user@host/name.")
    if not sqlite and not _is_url(environment.database_url):
        raise BadStart("DATABASE_URL: it cannot be read; write what is odd in a password as %XX.")
    for name, keys, shortest in (
        ("API_KEYS", environment.gemini_keys, 1),
        ("OPENAI_API_KEYS", environment.openai_keys, 1),
        ("PROXY_API_KEY", (environment.proxy_key,) if environment.proxy_key else (), 8),
    ):
        for number, key in enumerate(keys, 1):
            if len(key) < shortest or not _SENDABLE.fullmatch(key):
                raise BadStart(f"{name}: key {number} is too short, or holds a space or a letter outside ASCII.")
    if environment.workers > 1 and (sqlite or not environment.redis_url):
        raise BadStart(
            "WEB_CONCURRENCY: more than one worker needs DATABASE_URL (postgresql+psycopg://…) and REDIS_URL (redis://…)."
        )
    alert_url = environment.alert_url
    if alert_url and not (alert_url.startswith(("http://", "https://")) and _is_url(alert_url)):
        # It is a secret: what it is instead is not told.
        raise BadStart("ALERT_WEBHOOK_URL: it is not an http:// or https:// URL.")
    if environment.redis_url and not _names_a_redis(environment.redis_url):
        raise BadStart("REDIS_URL: it is not redis://:password@host:port/number (rediss:// for TLS, unix:///path).")
    if not sqlite and not (environment.secret_key and environment.encryption_secret):
        raise BadStart(
            "DATABASE_URL: with PostgreSQL set SECRET_KEY and KEY_ENCRYPTION_SECRET too;"
            " no instance keeps them for others."
        )


def _is_url(text: str) -> bool:
    """Asked first: what Python says of one that is none quotes it, password and all."""
    try:
        parts = urlsplit(text)
        return bool(parts.hostname or parts.path.strip("/")) and parts.port != 0
    except ValueError:
        return False


def _names_a_redis(url: str) -> bool:
    """Whether redis-py can make something of it. One that does not answer is no reason not to start."""
    # Here, because most starts do without it and it costs them a tenth of a second.
    from redis.connection import Connection, parse_url
    from redis.exceptions import RedisError

    try:
        place, options = urlsplit(url), dict(parse_url(url))
        for of_pools in ("max_connections", "timeout"):
            options.pop(of_pools, None)
        options.pop("connection_class", Connection)(**options)
    except (ValueError, TypeError, RedisError):
        return False
    path = place.path.strip("/")
    return bool(path) if place.scheme == "unix" else path.isdigit() or not path


def _whole(name: str, text: str, low: int, high: int) -> int:
    if not (text.isascii() and text.isdigit()) or not low <= int(text) <= high:
        raise BadStart(f"{name}: {text!r} is not a whole number from {low} to {high}.")
    return int(text)


def _flag(name: str, text: str) -> bool:
    if text not in ("0", "1"):
        raise BadStart(f"{name}: {text!r} is neither 0 nor 1.")
    return text == "1"


def _one_of(name: str, text: str | None, words: tuple[str, ...]) -> str | None:
    if text is not None and text.lower() not in words:
        raise BadStart(f"{name}: {text!r} is none of {', '.join(words)}.")
    return text and text.lower()


def _url(name: str, text: str | None) -> str | None:
    if not text:
        return None
    try:
        return base_url(text)
    except ValueError as error:  # nothing of it is quoted: it may hold a password
        raise BadStart(f"{name}: {error}.") from None


def _list(text: str) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(part for part in (piece.strip() for piece in text.replace("\n", ",").split(",")) if part)
    )

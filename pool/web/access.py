"""Who may call: the credential of a program, checked in memory before its body is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import parse_qsl

from pool.core.catalogue import Catalogue, Credential
from pool.core.faults import Fault
from pool.core.providers import Provider
from pool.permitting import check_standing, unauthenticated
from pool.relay import Caller
from pool.settings import Settings

CREDENTIAL_PARAMETERS = frozenset({"key", "apikey", "api_key", "access_token"})

MOST_REMEMBERED = 4096
"""Tokens whose digests are remembered."""

_OWN_KEYS = (("AIza", "gemini"), ("AQ.", "gemini"), ("sk-proj-", "openai"))


def presented(environ: Mapping[str, Any]) -> list[str]:
    """The credentials of a request in the order they count: Authorization (Bearer or raw), `x-goog-api-key`,
    `x-api-key`, `?key=`, `?apikey=`."""
    found = []
    authorization = environ.get("HTTP_AUTHORIZATION", "").strip()
    if authorization:
        scheme, _, token = authorization.partition(" ")
        found.append(token.strip() if scheme.lower() == "bearer" else authorization)
    found += [environ.get("HTTP_X_GOOG_API_KEY", ""), environ.get("HTTP_X_API_KEY", "")]
    query = environ.get("QUERY_STRING", "")
    if "key=" in query:
        named = dict(reversed(parse_qsl(query)))
        found += [named.get("key", ""), named.get("apikey", "")]
    return [token for token in found if token]


def without_credentials(query: str) -> tuple[tuple[str, str], ...]:
    """A query string's pairs, less every place a client may put a credential."""
    if not query:
        return ()
    pairs = parse_qsl(query, keep_blank_values=True)
    return tuple(pair for pair in pairs if pair[0].lower() not in CREDENTIAL_PARAMETERS)


def google_style(environ: Mapping[str, Any]) -> bool:
    """Does a caller of `…/models` speak Google's dialect? By how it presents its credential."""
    if environ.get("HTTP_AUTHORIZATION"):
        return False
    query = environ.get("QUERY_STRING", "")
    return bool(environ.get("HTTP_X_GOOG_API_KEY")) or any(name == "key" for name, _ in parse_qsl(query))


class Access:
    """Checks client credentials against the catalogue. No SQL, no hashing slower than one HMAC."""

    def __init__(
        self,
        catalogue: Catalogue,
        settings: Callable[[], Settings],
        digest: Callable[[str], bytes],
        clock: Callable[[], float],
    ) -> None:
        self._catalogue = catalogue
        self._settings = settings
        # A digest costs as much as all else here together, and callers are few.
        self._digest = lru_cache(maxsize=MOST_REMEMBERED)(digest)
        self._clock = clock

    def forget(self) -> None:
        """A restore brings a digest key of its own along: who was a stranger may be known now."""
        self._digest.cache_clear()

    def caller(self, environ: Mapping[str, Any], dialect: str) -> tuple[Caller, tuple[str, Provider] | None]:
        """Who calls, and the caller's own upstream key and its provider where it brings one.

        Raises `Fault` 401, or 403 where the pool is switched off.
        """
        tokens = presented(environ)
        for token in tokens:
            credential = self._catalogue.credentials.get(self._digest(token))
            if credential is not None:
                return self._known(credential, environ, dialect), None
        settings = self._settings()
        pool = self._catalogue.pools.get(self._catalogue.default_pool_id)
        ip = environ.get("REMOTE_ADDR", "")
        if settings.allow_byok and pool:
            for token in tokens:
                provider = self._catalogue.providers.get(provider_of(token) or "")
                if provider is not None:
                    return Caller(pool, None, ip), (token, provider)
        if settings.allow_anonymous and pool and pool.enabled:
            return Caller(pool, None, ip, anonymous=True), None
        raise unauthenticated(dialect, bool(tokens))

    def holder(self, holder: int, environ: Mapping[str, Any], dialect: str) -> Caller:
        """The caller who holds what was made for it (`affinity.holder_of`), as its key stands now. Raises `Fault`."""
        for credential in self._catalogue.credentials.values():
            client = credential.client
            if holder == (client.id if client else -credential.pool_id) and credential.until > self._clock():
                return self._known(credential, environ, dialect)
        raise unauthenticated(dialect, False)

    def _known(self, credential: Credential, environ: Mapping[str, Any], dialect: str) -> Caller:
        now = self._clock()
        client = credential.client
        if credential.until <= now:
            raise unauthenticated(dialect, True)
        pool = check_standing(self._catalogue.pools.get(credential.pool_id), client, now, dialect)
        ip = environ.get("REMOTE_ADDR", "")
        if client is not None and client.allowed_ips and not within(ip, client.allowed_ips):
            message = f"This client key may not be used from {ip}."
            raise Fault(403, "ip_not_allowed", message, type="permission_error", retryable=False)
        return Caller(pool, client, ip)


@lru_cache(maxsize=4096)
def within(address: str, networks: tuple[str, ...]) -> bool:
    """Is an address one of these, or in one of these networks ("10.0.0.0/8")? What cannot be read matches nothing."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return any(ip in network for text in networks if (network := _network(text)) is not None)


def is_network(text: str) -> bool:
    """Is it an address or a network, as a client key's list may hold them?"""
    return _network(text) is not None


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text.strip(), strict=False)
    except ValueError:
        return None


def provider_of(token: str) -> str | None:
    """The provider an upstream key belongs to by its shape; None for our own shapes and unknown ones."""
    return next((slug for prefix, slug in _OWN_KEYS if token.startswith(prefix)), None)

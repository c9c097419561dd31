"""Addresses an operator gives: what a base URL, an outbound proxy and a key's header may be; how a proxy is shown."""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address
from urllib.parse import SplitResult, urlsplit, urlunsplit

LONGEST = 500
PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")

_SENDABLE = re.compile(r"[\x21-\x7e]+")
_HIDDEN = "***"

_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,59}")
_OTHERS = frozenset(
    "accept accept-encoding connection content-encoding content-length content-type cookie expect host "
    "proxy-authorization te trailer transfer-encoding upgrade user-agent".split()
)
"""Headers that mean something else."""

_TOLD_TO_MACHINES = frozenset({"fd00:ec2::254", "fd20:ce::254", "100.100.100.200"})
"""Where Amazon, Google and Alibaba tell them their secrets, too, in networks that others may use otherwise."""


def base_url(text: str) -> str:
    """The URL of an API as it is stored, without the slash it may end in. Raises ValueError with a sentence.

    A network's own addresses are allowed, because models run there, too; those that no API has are not: a cloud tells
    its machines their secrets at a link-local one. Names, and numbers that stand for one, are judged when they are
    resolved.
    """
    parts = _split(text, ("http", "https"))
    if parts.username is not None or parts.password is not None:
        raise ValueError("a base URL holds no name or password; the key goes into a header")
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise ValueError("a base URL ends before the `?` and the `#`")
    _refuse_odd_hosts(parts.hostname or "")
    return urlunsplit(parts).rstrip("/")


def proxy_url(text: str) -> str:
    """The URL of an outbound proxy as it is stored. Raises ValueError with a sentence that quotes none of it."""
    parts = _split(text, PROXY_SCHEMES)
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("a proxy's URL ends with its port")
    return urlunsplit(parts._replace(path=""))


def key_header(text: str) -> str:
    """The header that carries a provider's keys. Raises ValueError with a sentence."""
    if not _HEADER.fullmatch(text) or text.lower() in _OTHERS:
        raise ValueError("this header cannot carry a key")
    return text


def masked_proxy(url: str) -> str:
    """A proxy's URL as it may be shown: who it is, and nothing of the password."""
    name_and_secret, at, place = urlsplit(url).netloc.rpartition("@")
    if not at:
        return url
    name, colon, _ = name_and_secret.partition(":")
    return urlunsplit(urlsplit(url)._replace(netloc=f"{name if colon else _HIDDEN}:{_HIDDEN}@{place}"))


def _split(text: str, schemes: tuple[str, ...]) -> SplitResult:
    said = ", ".join(f"{scheme}://" for scheme in schemes)
    if len(text) > LONGEST or not _SENDABLE.fullmatch(text) or "\\" in text:
        raise ValueError(f"a URL has at most {LONGEST} characters, and no space or letter outside ASCII among them")
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise ValueError("that is no URL") from None
    if parts.scheme.lower() not in schemes or not parts.hostname:
        raise ValueError(f"a URL begins with {said}, and names a host")
    return parts._replace(scheme=parts.scheme.lower())


def no_api_is_at(text: str) -> bool:
    """Is it an address no API has, written as addresses are? A name is none."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_link_local or address.is_multicast or address.is_unspecified or str(address) in _TOLD_TO_MACHINES


def _refuse_odd_hosts(host: str) -> None:
    if no_api_is_at(host):
        raise ValueError("no API has this address")

"""Documents: what JSON tells of an inventory is read back as it was, and what does not fit is named."""

import json

import pytest

from pool.core.documents import (
    BadDocument,
    ClientEntry,
    Document,
    KeyEntry,
    PoolEntry,
    ProviderEntry,
    Seat,
    as_payload,
    parse_document,
)

WHOLE = Document(
    providers=(ProviderEntry("relay", "openai", "https://relay.test/v1", "http://u:p@proxy.test:1", True),),
    pools=(
        PoolEntry("batch", "for night", False, False, "lru", ("gemini-*",), {"a": "b"}, {"rpm_limit": 5}, "default",
                  "sk-1"),
    ),
    clients=(ClientEntry("ana", "batch", "sk-ana", ("raw",), ("m",), ("10.0.0.0/8",), {"rpd_limit": 7}, 1.5, 2.5),),
    settings={"max_attempts": 9},
    keys=[
        KeyEntry("AIzaSecret", "gemini", "n", "note", "a@b.test", ("t",), "p", {"*": {"rpm": 1}}, 5, "day",
                 "socks5://p.test:1", True, True, 9.5, "leaked", (Seat("batch", 3, 1, False),)),
    ],
)  # fmt: skip
CLIENT, KEY = {"name": "a", "pool": "default"}, {"key": "k", "provider": "p"}
PROVIDER = {"slug": "p", "dialect": "openai", "base_url": "https://p.test"}
GOOD = {"keypool": "export", "format": 1}


def test_a_document_survives_its_way_through_json():
    assert parse_document(json.dumps(as_payload(WHOLE)).encode()) == WHOLE


def test_a_document_shows_no_secret_in_its_repr():
    for secret in ("AIzaSecret", "sk-1", "sk-ana", "u:p@", "socks5"):
        assert secret not in repr(WHOLE)


@pytest.mark.parametrize(
    ("members", "place"),
    [
        ({"format": True}, "format"),
        ({"keys": [7]}, "keys[0]"),
        ({"keys": [{"key": "k"}]}, "keys[0].provider"),
        ({"keys": [{"key": "k", "provider": "p", "max_requests": -1}]}, "keys[0].max_requests"),
        ({"keys": [{"key": "k", "provider": "p", "max_requests": True}]}, "keys[0].max_requests"),
        ({"keys": [{"key": "k", "provider": "p", "tags": "a"}]}, "keys[0].tags"),
        ({"keys": [{"key": "k", "provider": "p", "limits": {"*": 5}}]}, "keys[0].limits"),
        ({"keys": [{"key": "k", "provider": "p", "disabled": 1}]}, "keys[0].disabled"),
        ({"keys": [{"key": "k", "provider": "p", "max_requests_window": "year"}]}, "keys[0].max_requests_window"),
        ({"pools": [{"name": ""}]}, "pools[0].name"),
        ({"pools": [{"name": "a", "aliases": {"a": 1}}]}, "pools[0].aliases"),
        ({"pools": [{"name": "a", "limits": {"rpm": 1}}]}, "pools[0].limits.rpm"),
        ({"pools": [{"name": "a", "limits": {"rpm_limit": "5"}}]}, "pools[0].limits.rpm_limit"),
        ({"clients": [{"name": "a"}]}, "clients[0].pool"),
        ({"clients": [{**CLIENT, "limits": {"rpm_limit": 10**400}}]}, "clients[0].limits.rpm_limit"),
        ({"clients": [{**CLIENT, "limits": {"rpm_limit": 1.5}}]}, "clients[0].limits.rpm_limit"),
        ({"clients": [{**CLIENT, "expires_at": 10**400}]}, "clients[0].expires_at"),
        ({"pools": [{"name": "a", "limits": {"budget_usd_day": 1e9}}]}, "pools[0].limits.budget_usd_day"),
        ({"pools": [{"name": "a", "aliases": {"\ud800": "a"}}]}, "pools[0].aliases"),
        ({"providers": [{**PROVIDER, "timeouts": {"idle_s": 10**400}}]}, "providers[0].timeouts.idle_s"),
        ({"providers": [{**PROVIDER, "key_header": "a\r\nb"}]}, "providers[0]"),
        ({"keys": [{**KEY, "name": "a\0b"}]}, "keys[0].name"),
        ({"keys": [{**KEY, "tags": ["\ud800"]}]}, "keys[0].tags"),
        ({"keys": [{**KEY, "limits": {"*": {"rpm": [[1]]}}}]}, "keys[0].limits['*']"),
        ({"keys": [{**KEY, "limits": {"*": {"rpm": 10**400}}}]}, "keys[0].limits['*']"),
        ({"keys": [{**KEY, "proxy_url": "ftp://a.test"}]}, "keys[0].proxy_url"),
        ({"clients": [{"name": "a", "pool": "b", "expires_at": "soon"}]}, "clients[0].expires_at"),
        ({"providers": [{"slug": "a", "dialect": "french", "base_url": "https://a.test"}]}, "providers[0]"),
        ({"providers": [{"slug": "a", "dialect": "openai", "base_url": "ftp://a.test"}]}, "providers[0]"),
        ({"settings": [1]}, "settings"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(members, place):
    with pytest.raises(BadDocument) as refused:
        parse_document(json.dumps({**GOOD, **members}).encode())
    assert refused.value.place == place


def test_numbers_that_are_none_and_text_that_is_no_json_are_refused():
    for body in (b"", b"[", b'{"keypool": NaN}', b"[" * 100_000, b"\xff"):
        with pytest.raises(BadDocument):
            parse_document(body)

"""The caller's address behind proxies."""

from __future__ import annotations

import pytest

from pool.web.forwarded import Forwarded


@pytest.mark.parametrize(
    ("trusted", "peer", "header", "caller"),
    [
        ("127.0.0.1", "127.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("127.0.0.1", "127.0.0.1", "6.6.6.6, 203.0.113.7", "203.0.113.7"),
        ("127.0.0.1,10.0.0.0/8", "127.0.0.1", "6.6.6.6, 203.0.113.7, 10.1.2.3", "203.0.113.7"),
        ("127.0.0.1", "203.0.113.9", "6.6.6.6", "203.0.113.9"),
        ("127.0.0.1", "127.0.0.1", "nonsense", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1", "6.6.6.6, ", "127.0.0.1"),
        ("*", "10.0.0.1", "2001:db8::1", "2001:db8::1"),
        ("127.0.0.1", "", "6.6.6.6", ""),
    ],
)
def test_only_trusted_proxies_are_believed(trusted: str, peer: str, header: str, caller: str) -> None:
    assert Forwarded(trusted).caller(peer, header) == caller


def test_the_app_sees_the_callers_address() -> None:
    seen = {}
    app = Forwarded("127.0.0.1").around(lambda environ, start_response: seen.update(environ) or [])
    app({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "203.0.113.7"}, None)
    assert seen["REMOTE_ADDR"] == "203.0.113.7"

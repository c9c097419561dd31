"""The engine behind a `requests` session."""

from __future__ import annotations

import pytest
import requests

from pool.adapters.upstream import FastAdapter
from tests.adapters.upstream_kit import both
from tests.upstream import answer, close_before_head, cut_after, gemini_text, sse, stall, stall_after


@pytest.fixture
def session_and_server():
    with both() as (server, engine), requests.Session() as session:
        session.trust_env = False
        session.mount("http://", FastAdapter(engine))
        yield session, server


def test_a_session_posts_json_and_reuses_the_connection(session_and_server):
    session, server = session_and_server
    for _ in range(3):
        response = session.post(
            f"{server.url}/v1beta/models/m:generateContent", json={"a": 1}, headers={"x-goog-api-key": "K"}
        )
        assert response.status_code == 200
        assert response.json()["candidates"][0]["finishReason"] == "STOP"
        assert response.headers["Content-Type"].startswith("application/json")
    assert server.requests[0].json == {"a": 1}
    assert len(server.connections) == 1


def test_lines_of_a_stream(session_and_server):
    session, server = session_and_server
    server.script(sse(["a", "b"]))
    with session.get(server.url, stream=True) as response:
        assert [line for line in response.iter_lines() if line] == [b"data: a", b"data: b"]


def test_read1_hands_on_what_is_here(session_and_server):
    session, server = session_and_server
    server.script(stall_after(sse(["a", "b"], chunked=False), events=1))
    with session.get(server.url, stream=True, timeout=1) as response:
        assert response.raw.read1(4) == b"data"
        assert response.raw.read1() == b": a\n\n"
    server.wait_until(lambda: server.requests[0].client_closed_at)


def test_no_cookie_is_kept(session_and_server):
    session, server = session_and_server
    server.script(answer(200, gemini_text(), {"Set-Cookie": "a=b"}))
    for _ in range(2):
        session.get(server.url)
    assert "cookie" not in server.requests[1].headers


@pytest.mark.parametrize(
    ("action", "error"),
    [
        (close_before_head(), requests.ConnectionError),
        (stall(), requests.ReadTimeout),
        (cut_after(sse(["a"]), events=1), requests.exceptions.ChunkedEncodingError),
        (stall_after(sse(["a"]), events=1), requests.ReadTimeout),
    ],
)
def test_failures_are_those_of_requests_and_quote_nothing(session_and_server, action, error):
    session, server = session_and_server
    server.script(action)
    with pytest.raises(error) as caught:
        session.get(f"{server.url}/?key=AIzaSecret", timeout=(1, 0.05))
    assert "AIzaSecret" not in str(caught.value)


def test_unverified_tls_is_not_offered(session_and_server):
    session, server = session_and_server
    with pytest.raises(ValueError, match="unverified"):
        session.get(server.url, verify=False)

"""What the engine refuses: answers that two readers could understand differently, requests HTTP forbids."""

from __future__ import annotations

import pytest

from pool.core.faults import Broken, CannotConnect
from tests.adapters.upstream_kit import both, target
from tests.upstream import raw

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
REFUSED = {
    "not HTTP": b"SSH-2.0-x\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "an upgrade": b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "status 99": b"HTTP/1.1 099 No\r\n\r\n",
    "status 600": b"HTTP/1.1 600 No\r\nContent-Length: 2\r\n\r\nhi",
    "status 2000": b"HTTP/1.1 2000 No\r\nContent-Length: 2\r\n\r\nhi",
    "length and chunks": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "chunks and length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
    "a list of lengths": OK + b"Content-Length: 2, 2\r\n\r\nhi",
    "a signed length": OK + b"Content-Length: +2\r\n\r\nhi",
    "a negative length": OK + b"Content-Length: -2\r\n\r\nhi",
    "an empty length": OK + b"Content-Length: \r\n\r\nhi",
    "a huge length": OK + b"Content-Length: 99999999999999999999\r\n\r\nhi",
    "another coding": OK + b"Transfer-Encoding: identity\r\n\r\nhi",
    "a second coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "chunked twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "chunked not last": OK + b"Transfer-Encoding: chunked, identity\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "a folded header": OK + b"A: b\r\n c\r\nContent-Length: 2\r\n\r\nhi",
    "a folded first header": OK + b" A: b\r\nContent-Length: 2\r\n\r\nhi",
    "a space before the colon": OK + b"Content-Length : 2\r\n\r\nhi",
    "NUL in a header": OK + b"A: b\0c\r\nContent-Length: 2\r\n\r\nhi",
    "CR in a header": OK + b"A: b\rc\r\nContent-Length: 2\r\n\r\nhi",
    "no colon": OK + b"Abc\r\nContent-Length: 2\r\n\r\nhi",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi",
}
BAD_CHUNKS = [b"-5", b"+5", b"0x5", b"5 ", b" 5", b"", b"5_0", b"g", b"f" * 17, b"5;\tx", b'5;a="\n"']


@pytest.mark.parametrize("answer", REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("pieces", ["at once", "byte by byte"])
def test_an_ambiguous_answer_is_broken(answer, pieces):
    blocks = [answer] if pieces == "at once" else [bytes([b]) for b in answer]
    with both(raw(*blocks)) as (server, engine):
        with pytest.raises(Broken):
            engine.start(target(server)).read(1000)
        assert engine.open_connections() == 0
        assert len(server.requests) == 1


@pytest.mark.parametrize("size", BAD_CHUNKS)
def test_a_chunk_size_that_is_not_plain_hexadecimal_is_broken(size):
    with both(raw(CHUNKED + size + b"\r\nhello\r\n0\r\n\r\n")) as (server, engine), pytest.raises(Broken):
        engine.start(target(server)).read(1000)


def test_bare_line_feeds_between_chunks_are_broken():
    with both(raw(CHUNKED + b"5\nhello\n0\n\n")) as (server, engine), pytest.raises(Broken):
        engine.start(target(server)).read(1000)


def test_trailers_are_read_and_dropped():
    with both(raw(CHUNKED + b"2\r\nhi\r\n0\r\nX-Late: 1\r\n\r\n", close=False)) as (server, engine):
        exchange = engine.start(target(server))
        assert exchange.read(10) == b"hi"
        assert "x-late" not in exchange.headers
        assert engine.idle_connections() == 1


ENDLESS = {
    "header value": (OK + b"A: ", b"x" * 1000),
    "header name": (OK, b"x" * 1000),
    "reason": (b"HTTP/1.1 200 ", b"x" * 1000),
    "headers": (OK, b"A: b\r\n" * 100),
    "long headers": (OK, b"A: " + b"b" * 1000 + b"\r\n"),
    "hints": (b"", b"HTTP/1.1 103 E\r\n\r\n" * 100),
    "blank lines": (b"", b"\r\n" * 500),
    "chunk extension": (CHUNKED + b"2;a=", b"x" * 1000),
    "trailers": (CHUNKED + b"2\r\nhi\r\n0\r\n", b"A: b\r\n" * 100),
    "trailer value": (CHUNKED + b"2\r\nhi\r\n0\r\nA: ", b"x" * 1000),
    "quiet header": (OK + b"A: " + b"x" * 40_000 + b"\r\nContent-Length: 0\r\n\r\n", b""),
    "201 headers": (OK + b"A: b\r\n" * 201 + b"\r\n", b""),
}


@pytest.mark.parametrize(("start", "more"), ENDLESS.values(), ids=ENDLESS.keys())
def test_an_endless_head_is_broken_after_32_kilobytes(start, more):
    with both(raw(start, *[more] * 400)) as (server, engine):
        with pytest.raises(Broken):
            engine.start(target(server)).read(10_000_000)
        assert engine.open_connections() == 0


def test_a_large_head_within_the_limit_is_fine():
    head = OK + b"".join(b"X-%d: %b\r\n" % (n, b"v" * 140) for n in range(190)) + b"Content-Length: 2\r\n\r\nhi"
    with both(raw(head)) as (server, engine):
        assert engine.start(target(server)).read(10) == b"hi"


@pytest.mark.parametrize("extra", [b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen", b"HTTP/1.1 ", b"\0"])
def test_a_connection_with_bytes_left_over_carries_no_other_request(extra):
    with both(raw(OK + b"Content-Length: 2\r\n\r\nhi" + extra, close=False)) as (server, engine):
        for _ in range(3):
            exchange = engine.start(target(server))
            assert exchange.read(100) == b"hi"
            assert engine.idle_connections() == 0
        assert len(server.connections) == 3


def test_bytes_that_come_after_the_answer_end_the_idle_connection():
    late = raw(OK + b"Content-Length: 2\r\n\r\nhi", b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen", close=False)
    with both(late) as (server, engine):
        assert engine.start(target(server)).read(100) == b"hi"
        server.wait_until(lambda: server.connections[0].idle)
        assert engine.start(target(server)).read(100) == b"hi"
        assert len(server.connections) == 2


@pytest.mark.parametrize(
    "head", [OK + b"Connection: close\r\n", b"HTTP/1.0 200 OK\r\n", OK + b"Connection: keep-alive, close\r\n"]
)
def test_a_connection_the_server_will_close_is_not_kept(head):
    with both(raw(head + b"Content-Length: 2\r\n\r\nhi", close=False)) as (server, engine):
        assert engine.start(target(server)).read(10) == b"hi"
        assert engine.open_connections() == 0


FORBIDDEN_VALUES = [
    "AIzaSecret\r\nX: y",
    "AIzaSecret\n",
    "AIzaSecret\0",
    " AIzaSecret",
    "AIzaSecret ",
    "AIzaSecreté",
    "AIzaSecret\x7f",
]


@pytest.mark.parametrize("value", FORBIDDEN_VALUES)
def test_a_header_http_forbids_is_never_sent_and_never_quoted(value):
    with both() as (server, engine):
        with pytest.raises(CannotConnect) as caught:
            engine.start(target(server, headers=(("x-goog-api-key", value),)))
        assert "AIzaSecret" not in str(caught.value)
        assert server.requests == [] and engine.open_connections() == 0


@pytest.mark.parametrize("name", ["x key", "x:key", "", "x\n", "clé"])
def test_a_header_name_http_forbids_is_never_sent(name):
    with both() as (server, engine), pytest.raises(CannotConnect):
        engine.start(target(server, headers=((name, "AIzaSecret"),)))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/",
        "http://user:AIzaSecret@127.0.0.1/",
        "http://127.0.0.1/x y?key=AIzaSecret",
        "http://127.0.0.1/x?key=AIzaSecret\r\nX: y",
        "http://127.0.0.1/x?key=AIzaSecret\n",
        "http://127.0.0.1:99999/?key=AIzaSecret",
        "http://127.0.0.1:0/?key=AIzaSecret",
        "http:///x?key=AIzaSecret",
        "http://bücher.example/?key=AIzaSecret",
        "127.0.0.1/?key=AIzaSecret",
    ],
)
def test_a_url_http_forbids_is_never_sent_and_never_quoted(url):
    with both() as (_server, engine):
        with pytest.raises(CannotConnect) as caught:
            engine.start(target(url))
        assert "AIzaSecret" not in str(caught.value)


@pytest.mark.parametrize("method", ["CONNECT", "post", "GET /x HTTP/1.1\r\n", ""])
def test_a_method_http_forbids_is_never_sent(method):
    with both() as (server, engine), pytest.raises(CannotConnect):
        engine.start(target(server, method=method))


def test_framing_headers_of_the_caller_are_not_sent():
    sent = (
        ("Host", "evil.example"),
        ("Content-Length", "999"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "close"),
        ("Expect", "100-continue"),
        ("User-Agent", "tests"),
    )
    with both() as (server, engine):
        engine.start(target(server, headers=sent)).wait()
        headers = server.requests[0].headers
        assert headers == {
            "host": f"127.0.0.1:{server.port}",
            "content-length": "2",
            "accept-encoding": "identity",
            "user-agent": "tests",
        }


def test_no_failure_and_no_repr_shows_the_key():
    seen = []
    with both() as (server, engine):
        request = target(server, "/v1/x?key=AIzaSecret")
        exchange = engine.start(request)
        exchange.wait()
        seen += [repr(exchange), repr(engine), repr(exchange._head), repr(request)]
        for action in (raw(b"junk"), raw(b""), raw(OK + b"Content-Length: 9\r\n\r\nhi")):
            server.script(action)
            with pytest.raises(Broken) as caught:
                engine.start(request).read(10)
            seen.append(repr(caught.value))
    with both() as (_server, engine), pytest.raises(CannotConnect) as refused:
        engine.start(request)
    seen.append(repr(refused.value))
    assert "AIzaSecret" not in "".join(seen)

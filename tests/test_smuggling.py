"""Requests framed in two ways at once, under a real gunicorn: refused, or one request; never a second out of a body."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest
import requests
from gevent.pool import Pool

from tests.house import OPENAI_KEYS
from tests.server import CLIENT_KEY, Server
from tests.test_door import door
from tests.upstream import ScriptedUpstream

pytestmark = pytest.mark.slow

ANSWERED_S, QUIET_S = 10.0, 1.0
"""How long the first byte may take, and after how much silence nothing more is to come."""

HIDDEN = b"GET /healthz?hidden HTTP/1.1\r\nHost: x\r\n\r\n"
CHAT = orjson.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]})
ROUTES = {
    "a client route": f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {CLIENT_KEY}\r\n",
    "a stranger": "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n",
    "management": "POST /admin/keys HTTP/1.1\r\nHost: x\r\n",
    "a form": "POST /theme HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n",
    "nothing there": "POST /nowhere HTTP/1.1\r\nHost: x\r\n",
    "a page that wants no body": "GET /login HTTP/1.1\r\nHost: x\r\n",
}
REFUSED = {400, 413, 431, 501, 505}


def sized(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def chunks(*pieces: bytes, last: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + last


TE = b"Transfer-Encoding: chunked\r\n\r\n"
TWO_LENGTHS = b"Content-Length: %d\r\nContent-Length: %d\r\n\r\n"

REFUSED_SHAPES = {
    "length, then chunked": b"Content-Length: %d\r\n" % (5 + len(HIDDEN)) + TE + b"0\r\n\r\n" + HIDDEN,
    "chunked, then length": b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + chunks(HIDDEN),
    "length, then odd chunked": b"Content-Length: 4\r\nTransfer-Encoding: Chunked\r\n\r\n" + chunks(HIDDEN),
    "length, then chunked behind a tab": b"Content-Length: 4\r\nTransfer-Encoding:\tchunked\r\n\r\n" + chunks(HIDDEN),
    "space before the colon": b"Transfer-Encoding : chunked\r\n\r\n" + chunks(HIDDEN),
    "tab before the colon": b"Transfer-Encoding\t: chunked\r\n\r\n" + chunks(HIDDEN),
    "space before the name": b"X: y\r\n Transfer-Encoding: chunked\r\n" + sized(HIDDEN),
    "folded": b"Transfer-Encoding:\r\n chunked\r\n" + sized(chunks(HIDDEN)),
    "vertical tab": b"Transfer-Encoding:\x0bchunked\r\n" + sized(HIDDEN),
    "xchunked": b"Transfer-Encoding: xchunked\r\n\r\n" + chunks(HIDDEN),
    "chunked in quotes": b'Transfer-Encoding: "chunked"\r\n\r\n' + chunks(HIDDEN),
    "chunked twice": b"Transfer-Encoding: chunked\r\n" + TE + chunks(HIDDEN),
    "chunked, chunked": b"Transfer-Encoding: chunked, chunked\r\n\r\n" + chunks(HIDDEN),
    "chunked, identity": b"Transfer-Encoding: chunked, identity\r\n\r\n" + chunks(HIDDEN),
    "identity with a length": b"Transfer-Encoding: identity\r\n" + sized(HIDDEN),
    "chunked by a comma": b"Transfer-Encoding: ,chunked\r\n" + sized(HIDDEN),
    "two lengths": TWO_LENGTHS % (len(HIDDEN), 0) + HIDDEN,
    "two lengths, the other way": TWO_LENGTHS % (0, len(HIDDEN)) + HIDDEN,
    "the same length twice": TWO_LENGTHS % (len(HIDDEN), len(HIDDEN)) + HIDDEN,
    "lengths in a list": b"Content-Length: 0, %d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "length with a plus": b"Content-Length: +%d\r\n\r\n" % len(HIDDEN) + HIDDEN,
    "negative length": b"Content-Length: -1\r\n\r\n" + HIDDEN,
    "length in hex": b"Content-Length: 0x10\r\n\r\n" + HIDDEN,
    "length with an underscore": b"Content-Length: 1_0\r\n\r\n" + HIDDEN,
    "length in two words": b"Content-Length: 1 0\r\n\r\n" + HIDDEN,
    "length of no digit": b"Content-Length: \r\n\r\n" + HIDDEN,
    "length of a superscript": b"Content-Length: \xb2\r\n\r\n" + HIDDEN,
    "length behind a vertical tab": b"Content-Length:\x0b10\r\n\r\n" + HIDDEN,
    "NUL in a value": b"X: a\x00b\r\n" + sized(HIDDEN),
    "CR in a value": b"X: a\rTransfer-Encoding: chunked\r\n" + sized(HIDDEN),
    "LF in a value": b"X: a\nTransfer-Encoding: chunked\r\n" + sized(HIDDEN),
    "NUL in a name": b"X\x00: a\r\n" + sized(HIDDEN),
    "no name": b": a\r\n" + sized(HIDDEN),
    "no colon": b"Transfer-Encoding\r\n" + sized(HIDDEN),
    "lines ended by LF": sized(HIDDEN).replace(b"\r\n\r\n", b"\n\n", 1),
}
BAD_CHUNKS = {
    "negative size": b"-1\r\n",
    "size with a plus": b"+1\r\n \r\n0\r\n\r\n",
    "size by 0x": b"0x1\r\n \r\n0\r\n\r\n",
    "size with an underscore": b"1_0\r\n" + b" " * 16 + b"\r\n0\r\n\r\n",
    "space before the size": b" 1\r\n \r\n0\r\n\r\n",
    "space behind the size": b"1 \r\n \r\n0\r\n\r\n",
    "no size": b"\r\n",
    "an extension alone": b";x=1\r\n",
    "size ended by LF": b"1\n \r\n0\r\n\r\n",
    "size ended by CR": b"1\r \r\n0\r\n\r\n",
    "LF in an extension": b"1;a\nb\r\n \r\n0\r\n\r\n",
    "CR in an extension": b"1;a\rb\r\n \r\n0\r\n\r\n",
    "huge extension": b"1;a=" + b"b" * 20_000 + b"\r\n \r\n0\r\n\r\n",
    "more than its size": b"1\r\nab\r\n0\r\n\r\n",
    "nothing behind the data": b"1\r\na0\r\n\r\n",
    "LF behind the data": b"1\r\na\n0\r\n\r\n",
    "trailer ended by LF": b"0\r\nX: y\n\n",
    "trailer without a colon": b"0\r\nX\r\n\r\n",
    "huge trailer": b"0\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
}
SWALLOWED_SHAPES = {
    "gzip, chunked": b"Transfer-Encoding: gzip, chunked\r\n\r\n" + chunks(HIDDEN),
    "endless length": b"Content-Length: " + b"9" * 400 + b"\r\n\r\n",
    "longer than Python counts": b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
    "shorter than announced": b"Content-Length: 2000\r\n\r\n",
}
ONE_SHAPES = {
    "sized": sized(HIDDEN),
    "in one chunk": TE + chunks(HIDDEN),
    "in odd case": b"transfer-ENCODING: cHuNkEd\r\n\r\n" + chunks(HIDDEN),
    "behind a tab": b"Transfer-Encoding:\t chunked \r\n\r\n" + chunks(HIDDEN),
    "by an underscore": b"Transfer_Encoding: chunked\r\nContent_Length: 0\r\n" + sized(HIDDEN),
    "with a trailer that frames": TE + chunks(HIDDEN, last=b"0\r\nX-Checksum: 1\r\n\r\n"),
    "with an extension": TE + b"%x;a=b\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN),
    "with zeros before the size": TE + b"0000%x\r\n%b\r\n000\r\n\r\n" % (len(HIDDEN), HIDDEN),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, instance_template: Path) -> Iterator[Server]:
    instance = tmp_path_factory.mktemp("smuggling") / "instance"
    shutil.copytree(instance_template, instance)
    with ScriptedUpstream() as upstream, Server(instance, upstream.url, OPENAI_API_KEYS=OPENAI_KEYS[0]) as server:
        yield server


@dataclass(frozen=True, slots=True)
class Told:
    """The statuses that came back over one connection, and whether the server ended it."""

    statuses: tuple[int, ...]
    closed: bool


def told(port: int, sent: bytes, within_s: float = ANSWERED_S) -> Told:
    with socket.create_connection(("127.0.0.1", port), timeout=within_s) as sock:
        content, closed = b"", False
        try:
            sock.sendall(sent)
            while piece := sock.recv(65_536):
                content += piece
                sock.settimeout(QUIET_S)
            closed = True
        except TimeoutError:
            pass
        except OSError:
            closed = True
    return Told(tuple(int(part[:3]) for part in content.split(b"HTTP/1.1 ")[1:]), closed)


def all_told(port: int, shapes: dict[str, bytes], within_s: float = ANSWERED_S) -> dict[tuple[str, str], Told]:
    """Every shape over every route, each over a connection of its own."""
    asked = {(route, name): ROUTES[route].encode() + shape for route in ROUTES for name, shape in shapes.items()}
    answers = Pool(30).map(lambda sent: told(port, sent, within_s), asked.values())
    return dict(zip(asked, answers, strict=True))


def test_what_is_framed_in_two_ways_or_none_is_refused_and_nothing_behind_it_is_served(server: Server) -> None:
    found = all_told(server.port, REFUSED_SHAPES)
    wrong = {
        each: seen
        for each, seen in found.items()
        if not (len(seen.statuses) == 1 and seen.statuses[0] in REFUSED and seen.closed)
    }
    assert wrong == {}
    assert "Traceback" not in server.log


def test_what_is_announced_and_does_not_come_is_waited_for_and_never_a_request(server: Server) -> None:
    found = all_told(server.port, {name: shape + HIDDEN for name, shape in SWALLOWED_SHAPES.items()}, QUIET_S)
    assert {each: seen for each, seen in found.items() if len(seen.statuses) > 1 or 500 in seen.statuses} == {}
    assert "Traceback" not in server.log


def test_a_body_in_bad_chunks_ends_its_connection(server: Server) -> None:
    """Who reads no body answers before it sees them; nothing behind them is a request then either."""
    found = all_told(server.port, {name: TE + body + HIDDEN for name, body in BAD_CHUNKS.items()})
    wrong = {each: seen for each, seen in found.items() if len(seen.statuses) != 1 or not seen.closed}
    assert wrong == {}
    read = {seen.statuses[0] for (route, _), seen in found.items() if route in ("a client route", "a form")}
    assert read <= REFUSED
    assert "Traceback" not in server.log


def test_a_request_in_a_body_is_not_served_and_the_one_behind_it_is(server: Server) -> None:
    found = all_told(server.port, {name: shape + HIDDEN for name, shape in ONE_SHAPES.items()})
    wrong = {each: seen for each, seen in found.items() if seen.statuses[1:] not in ((200,), ())}
    assert wrong == {}
    behind = {route for (route, _), seen in found.items() if seen.statuses[1:] == (200,)}
    assert behind >= {"a form", "nothing there", "a page that wants no body"}
    closed = [each for each, seen in found.items() if len(seen.statuses) == 1 and not seen.closed]
    assert closed == []


def test_requests_are_served_one_after_another_however_they_are_cut(server: Server) -> None:
    chat = ROUTES["a client route"].encode()
    for body in (sized(CHAT), TE + chunks(CHAT[:10], CHAT[10:]), TE + chunks(CHAT, last=b"0\r\nX-T: 1\r\n\r\n")):
        assert told(server.port, (chat + body) * 2 + HIDDEN).statuses == (200, 200, 200)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /healthz HTTP/1.1\nHost: x\n\n",
        b"GET /healthz HTTP/1.1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET  /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET\t/healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\rHost: x\r\n\r\n",
        b"GET /health\x00z HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        ROUTES["a client route"].replace("1.1", "1.0").encode() + TE + chunks(CHAT),
    ],
    ids=["LF", "two versions", "two spaces", "tab", "CR", "NUL", "HTTP/2", "TLS", "chunks of HTTP/1.0"],
)
def test_a_strange_beginning_is_refused(server: Server, sent: bytes) -> None:
    seen = told(server.port, sent + HIDDEN)
    assert len(seen.statuses) == 1
    assert seen.statuses[0] in REFUSED
    assert seen.closed


LARGE_HEADS = {
    "a field too many": b"".join(b"X-%d: y\r\n" % n for n in range(100)) + b"\r\n",
    "a field of nine kilobytes": b"X-Long: " + b"a" * 9_000 + b"\r\n\r\n",
    "a megabyte of fields": b"".join(b"X-%d: %b\r\n" % (n, b"a" * 8_000) for n in range(130)) + b"\r\n",
    "a field without end": b"X-Endless: " + b"a" * 2_000_000,
}


def test_a_head_past_its_limits_is_told_so_and_quoted_nowhere(server: Server) -> None:
    found = all_told(server.port, LARGE_HEADS)
    assert {each: seen for each, seen in found.items() if (seen.statuses, seen.closed) != ((431,), True)} == {}
    line = b"GET /v1/models?x=" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    assert told(server.port, line).statuses == (414,)
    assert "a" * 100 not in server.log


def test_nothing_gets_through_the_door_that_the_instance_would_read_otherwise(server: Server, tmp_path: Path) -> None:
    """nginx keeps its connections to an instance: a request hidden in one client's body would answer the next one."""
    shapes = {name: shape + HIDDEN for name, shape in ONE_SHAPES.items()}
    shapes |= {name: TE + body + HIDDEN for name, body in BAD_CHUNKS.items()}
    with door(tmp_path, server.port, server.port) as url:
        port = int(url.rpartition(":")[2])
        found = all_told(port, REFUSED_SHAPES | shapes)
        assert {
            each: seen for each, seen in found.items() if len(seen.statuses) != 1 and each[1] in REFUSED_SHAPES
        } == {}
        assert {each: seen for each, seen in found.items() if seen.statuses[1:] not in ((), (200,))} == {}
        # Whoever is served next over the same connections gets their own answer.
        for _ in range(40):
            assert requests.get(f"{url}/healthz", timeout=5).json() == {"status": "ok"}

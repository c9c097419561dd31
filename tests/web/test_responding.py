"""Answers on the wire: framed as gunicorn frames them, in as few packets as it takes."""

import time

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import InvalidResponseHeader, InvalidResponseHeaderName
from gunicorn.http.wsgi import Response

from pool.web.heads import PlainRequest
from pool.web.responding import PlainResponse


class Wire:
    """A socket that keeps what is sent, as gevent's have a plain one below; that one takes `room` bytes at a time."""

    def __init__(self, room=None):
        self.packets, self.room, self._sock = [], room, self

    def send(self, data):
        if self.room == 0:
            raise BlockingIOError
        self.packets.append(bytes(data[: self.room]))
        return len(self.packets[-1])

    def sendall(self, data):
        self.packets.append(bytes(data))

    @property
    def sent(self):
        return b"".join(self.packets)


class Slow:
    """A socket without a plain one below, as gunicorn's own response writes to it."""

    def __init__(self):
        self.sent = b""

    def sendall(self, data):
        self.sent += data


def answered(kind, wire, status, headers, pieces, method="POST", connection="keep-alive"):
    response = kind(PlainRequest(method, "/x", {"HTTP_CONNECTION": connection}, None), wire, Config())
    response.start_response(status, headers)
    for piece in pieces:
        response.write(piece)
    response.close()
    return response


JSON = ("Content-Type", "application/json")
CASES = [
    ("200 OK", [JSON, ("Content-Length", "5")], [b"hello"]),
    ("200 OK", [JSON, ("Content-Length", "5")], [b"he", b"llo, world", b"more"]),
    ("200 OK", [JSON, ("Content-Length", "0")], [b""]),
    ("404 Not Found", [JSON, ("Content-Length", "2"), ("X-Odd", " a\tb\xe9 ")], [b"{}"]),
    ("200 OK", [("Content-Type", "text/event-stream")], [b"data: 1\n\n", b"", b"data: 2\n\n"]),
    ("200 OK", [JSON, ("Connection", "upgrade"), ("Transfer-Encoding", "gzip")], [b"x"]),
    ("200 OK", [JSON], []),
    ("204 No Content", [("X-A", "b")], []),
    ("304 Not Modified", [("Content-Length", "7")], []),
    ("599 Odd", [JSON, ("Content-Length", "1")], [b"x"]),
]


@pytest.mark.parametrize("method", ["POST", "HEAD"])
@pytest.mark.parametrize("connection", ["keep-alive", "close"])
@pytest.mark.parametrize(("status", "headers", "pieces"), CASES)
@pytest.mark.parametrize("room", [None, 0, 3])
def test_the_bytes_are_gunicorns(status, headers, pieces, connection, method, room, monkeypatch):
    at = time.time()
    monkeypatch.setattr("time.time", lambda: at)  # both tell it, and a second may begin between them
    ours, theirs = Wire(room), Slow()
    mine = answered(PlainResponse, ours, status, list(headers), pieces, method, connection)
    other = answered(Response, theirs, status, list(headers), pieces, method, connection)
    assert ours.sent == theirs.sent
    assert (mine.should_close(), mine.status_code, mine.sent) == (other.should_close(), other.status_code, other.sent)


def test_a_whole_answer_is_one_packet():
    wire = Wire()
    answered(PlainResponse, wire, "200 OK", [JSON, ("Content-Length", "5")], [b"hello"])
    assert len(wire.packets) == 1


def test_an_answer_that_was_forced_to_close_says_so():
    wire = Wire()
    response = PlainResponse(PlainRequest("POST", "/x", {}, None), wire, Config())
    response.force_close()
    response.start_response("401 Unauthorized", [JSON, ("Content-Length", "0")])
    response.close()
    assert b"Connection: close\r\n" in wire.sent
    assert response.should_close()


@pytest.mark.parametrize("value", ["a\r\nX: b", "a\nb", "a\rb", "a\0b", "a\x7fb"])
def test_a_value_that_would_break_the_head_is_refused_and_not_repeated(value):
    with pytest.raises(InvalidResponseHeader) as error:
        answered(PlainResponse, Wire(), "200 OK", [("X-Secret", value)], [])
    assert value not in str(error.value)


def test_a_name_that_would_break_the_head_is_refused():
    with pytest.raises(InvalidResponseHeaderName):
        answered(PlainResponse, Wire(), "200 OK", [("X: a", "b")], [])


def test_a_head_is_not_said_twice():
    response = answered(PlainResponse, Wire(), "200 OK", [JSON], [])
    with pytest.raises(AssertionError):
        response.start_response("200 OK", [JSON])


EVENTS = ("200 OK", [("Content-Type", "text/event-stream")])


def streaming(wire):
    response = PlainResponse(PlainRequest("POST", "/x", {}, None), wire, Config())
    response.start_response(*EVENTS)
    return response


@pytest.mark.parametrize("room", [None, 0, 3])
def test_what_is_written_at_once_is_framed_the_same(room, monkeypatch):
    at = time.time()
    monkeypatch.setattr("time.time", lambda: at)
    ours, theirs = Wire(room), Slow()
    response = streaming(ours)
    assert not response.write_now(b"data: 0\n\n")  # the head has to go first
    for n in range(4):
        piece = f"data: {n}\n\n".encode()
        went = response.write_now(piece)
        assert went == (room is None and n > 0)
        if not went:
            response.write(piece)
    response.close()
    other = answered(Response, theirs, *EVENTS, [f"data: {n}\n\n".encode() for n in range(4)])
    assert ours.sent == theirs.sent
    assert response.sent == other.sent


def test_nothing_goes_into_the_middle_of_a_chunk():
    wire = Wire(3)
    response = streaming(wire)
    response.write(b"data: 0\n\n")
    assert not response.write_now(b"data: 1\n\n")
    assert not response.write_now(b"data: 2\n\n")
    with pytest.raises(BrokenPipeError):
        response.write(b"data: error\n\n")
    assert wire.sent.endswith(b"9\r\n")


def test_an_answer_of_a_known_length_is_not_written_at_once():
    wire = Wire()
    response = PlainResponse(PlainRequest("POST", "/x", {}, None), wire, Config())
    response.start_response("200 OK", [JSON, ("Content-Length", "5")])
    response.write(b"he")
    assert not response.write_now(b"llo")

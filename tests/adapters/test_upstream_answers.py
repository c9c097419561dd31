"""What arrives of an answer, and when."""

from __future__ import annotations

import gzip
import time

import pytest
from gevent.server import StreamServer

from pool.core.calls import Timeouts
from pool.core.faults import Broken, TimedOut
from tests.adapters.upstream_kit import both, target
from tests.upstream import (
    answer,
    array_stream,
    byte_by_byte,
    cut_after,
    early_hints_then,
    gemini_stream,
    pieces,
    raw,
    reset_after,
    sse,
    stall,
    stall_after,
)

JSON = {"text": "Hello"}


def test_a_plain_answer_arrives_whole():
    with both(answer(200, JSON, {"X-One": "1"})) as (server, engine):
        exchange = engine.start(target(server, "/v1/x?alt=sse"))
        assert exchange.wait()
        assert (exchange.status, exchange.headers["x-one"]) == (200, "1")
        assert exchange.read(1000) == b'{"text": "Hello"}'
        assert exchange.read1() == b""
        (request,) = server.requests
        assert (request.method, request.path, request.body, request.key) == (
            "POST",
            "/v1/x?alt=sse",
            b"{}",
            "AIzaSecret",
        )
        assert request.headers["host"] == f"127.0.0.1:{server.port}"
        assert request.headers["accept-encoding"] == "identity"


def test_repeated_headers_are_joined_and_names_are_lower_case():
    head = b"HTTP/1.1 200 OK\r\nVary: a\r\nVARY: b\r\nContent-Length: 0\r\n\r\n"
    with both(raw(head)) as (server, engine):
        exchange = engine.start(target(server))
        exchange.wait()
        assert exchange.headers["vary"] == "a, b"


@pytest.mark.parametrize(
    "action",
    [
        answer(200, JSON),
        sse(gemini_stream(["a", "b"])),
        sse(gemini_stream(["a", "b"]), chunked=False),
        sse(gemini_stream(["a", "b"]), gzip=True),
        array_stream(gemini_stream(["a"])),
        early_hints_then(answer(200, JSON)),
        early_hints_then(answer(200, JSON, gzip=True), status=100, times=3),
    ],
)
def test_byte_by_byte_is_the_same_answer(action):
    with both() as (server, engine):
        bodies = []
        for variant in (action, byte_by_byte(action)):
            server.script(variant)
            exchange = engine.start(target(server))
            exchange.wait()
            bodies.append((exchange.status, exchange.headers, exchange.read(10_000)))
        assert bodies[0] == bodies[1]


@pytest.mark.parametrize("status", [100, 102, 103, 199])
def test_any_1xx_answer_is_skipped_and_the_connection_still_fits_its_requests(status):
    def echo(request):
        return early_hints_then(answer(200, request.body), status=status, times=2)

    with both(echo) as (server, engine):
        for n in range(5):
            exchange = engine.start(target(server, body=b"%d" % n))
            exchange.wait()
            assert "link" not in exchange.headers
            assert exchange.read(100) == b"%d" % n
        assert len(server.connections) == 1


def test_early_hints_do_not_end_the_wait():
    with both(early_hints_then(answer(200, JSON), delay_s=0.1)) as (server, engine):
        exchange = engine.start(target(server))
        assert not exchange.wait(patience_s=0.03)
        assert exchange.status == 0
        assert exchange.wait()
        assert exchange.status == 200


@pytest.mark.alone
@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("gzip", [True, False])
def test_each_event_is_handed_on_as_it_arrives(chunked, gzip):
    stream = sse([{"n": n} for n in range(3)], chunked=chunked, gzip=gzip)
    with both(stall_after(stream, 0.3, events=2)) as (server, engine):
        exchange = engine.start(target(server))
        exchange.wait()
        came, started = b"", time.monotonic()
        while came.count(b"\n\n") < 2:
            came += exchange.read1()
        assert time.monotonic() - started < 0.2
        assert exchange.read(1000).endswith(b'data: {"n": 2}\n\n')


def test_patience_ends_without_ending_the_exchange():
    with both(stall(0.1, then=stall_after(sse(["a", "b"]), 0.1, events=1))) as (server, engine):
        exchange = engine.start(target(server))
        assert [exchange.wait(0.03), exchange.wait(0.03)] == [False, False]
        assert exchange.wait(1.0) and exchange.wait(0)
        assert exchange.read1(0.05) == b"data: a\n\n"
        assert exchange.read1(0.03) is None
        assert exchange.read1(1.0) == b"data: b\n\n"
        assert exchange.read1(1.0) == b""


@pytest.mark.alone
def test_silence_before_the_head_times_out_and_closes():
    with both(stall()) as (server, engine):
        exchange = engine.start(target(server, timeouts=Timeouts(1, 0.05, 1)))
        started = time.monotonic()
        with pytest.raises(TimedOut) as caught:
            exchange.wait()
        assert caught.value.phase == "first_byte"
        assert 0.04 < time.monotonic() - started < 0.3
        server.wait_until(lambda: server.requests[0].client_closed_at)
        assert engine.open_connections() == 0


@pytest.mark.alone
def test_a_trickling_head_does_not_move_the_deadline():
    drops = raw(*[b"HTTP/1.1 103 E\r\n\r\n"] * 3)
    slow = stall_after(early_hints_then(stall_after(drops, 0.05, size_bytes=20), delay_s=0.05), 5, size_bytes=90)
    with both(slow) as (server, engine):
        exchange = engine.start(target(server, timeouts=Timeouts(1, 0.15, 5)))
        started = time.monotonic()
        with pytest.raises(TimedOut):
            exchange.wait()
        assert time.monotonic() - started < 0.4


def test_silence_is_counted_over_several_impatient_reads():
    with both(stall_after(sse(["a", "b"]), events=1)) as (server, engine):
        exchange = engine.start(target(server, timeouts=Timeouts(1, 1, 0.1)))
        exchange.wait()
        assert exchange.read1(1) == b"data: a\n\n"
        silent_reads = 0
        with pytest.raises(TimedOut) as caught:
            while exchange.read1(0.03) is None:
                silent_reads += 1
        assert caught.value.phase == "idle"
        assert 1 <= silent_reads <= 4
        server.wait_until(lambda: server.requests[0].client_closed_at)


def test_a_stream_may_last_longer_than_its_idle_time():
    with both(sse(range(8), delay_s=0.05)) as (server, engine):
        exchange = engine.start(target(server, timeouts=Timeouts(1, 1, 0.3)))
        assert exchange.read(1000).count(b"data:") == 8


def test_what_came_while_nobody_read_is_not_silence():
    with both(sse(["a", "b"], delay_s=0.02)) as (server, engine):
        exchange = engine.start(target(server, timeouts=Timeouts(1, 1, 0.05)))
        exchange.wait()
        time.sleep(0.15)
        assert exchange.read(100) == b"data: a\n\ndata: b\n\n"


@pytest.mark.parametrize(
    "action",
    [
        cut_after(sse(["a", "b"]), events=1),
        cut_after(sse(["a", "b"]), events=2),
        reset_after(sse(["a", "b"]), events=1),
        answer(200, JSON, announce_bytes=500),
        cut_after(answer(200, {"long": "x" * 100}), size_bytes=180),
        cut_after(sse(["a", "b"], gzip=True, chunked=False), events=1),
        cut_after(sse(["a", "b"], gzip=True), events=1),
    ],
)
def test_a_cut_body_is_broken_never_short(action):
    with both(action) as (server, engine):
        exchange = engine.start(target(server))
        exchange.wait()
        with pytest.raises(Broken):
            exchange.read(1000)
        assert engine.open_connections() == 0


@pytest.mark.parametrize("size_bytes", [0, 5, 17, 40])
def test_a_cut_head_is_broken(size_bytes):
    with both(cut_after(answer(200, JSON), size_bytes=size_bytes)) as (server, engine):
        exchange = engine.start(target(server))
        with pytest.raises(Broken):
            exchange.wait()
        assert len(server.requests) == 1


def test_without_a_length_the_end_of_the_connection_is_the_end_and_is_not_reused():
    with both(sse(["a"], chunked=False)) as (server, engine):
        for _ in range(2):
            assert engine.start(target(server)).read(100) == b"data: a\n\n"
        assert engine.idle_connections() == 0
        assert len(server.connections) == 2


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_a_body_end_with_their_head(status):
    with both(answer(status, headers={"Content-Length": "5"} if status == 304 else {})) as (server, engine):
        for _ in range(2):
            exchange = engine.start(target(server))
            exchange.wait()
            assert (exchange.status, exchange.read(10)) == (status, b"")
        assert len(server.connections) == 1


def test_an_answer_to_head_has_no_body_whatever_it_announces():
    with both(answer(200, JSON)) as (server, engine):
        exchange = engine.start(target(server, method="HEAD", body=b""))
        assert exchange.read(10) == b""
        assert exchange.headers["content-length"] == "17"
        assert engine.start(target(server)).read(100) == b'{"text": "Hello"}'


def test_a_gzip_answer_is_unpacked_and_its_headers_say_so():
    with both(answer(200, JSON, gzip=True)) as (server, engine):
        exchange = engine.start(target(server, headers=(("Accept-Encoding", "gzip"),)))
        exchange.wait()
        assert not exchange.headers.keys() & {"content-encoding", "content-length"}
        assert exchange.read(1000) == b'{"text": "Hello"}'
        assert server.requests[0].headers["accept-encoding"] == "gzip"


def test_several_gzip_members_are_one_body():
    body = gzip.compress(b"one ") + gzip.compress(b"two")
    with both(answer(200, body, {"Content-Encoding": "gzip"})) as (server, engine):
        assert engine.start(target(server)).read(100) == b"one two"


def test_a_gzip_bomb_comes_in_small_pieces_and_is_stopped():
    bomb = gzip.compress(bytes(20_000_000))
    with both(answer(200, bomb, {"Content-Encoding": "gzip"}), unpacked_limit_bytes=10_000_000) as (server, engine):
        exchange = engine.start(target(server))
        sizes = []
        with pytest.raises(Broken, match="too large"):
            while piece := exchange.read1():
                sizes.append(len(piece))
        assert max(sizes) <= 65536
        assert sum(sizes) <= 10_000_000


@pytest.mark.parametrize("coding", ["br", "zstd", "deflate", "gzip, gzip", "x"])
def test_a_coding_nobody_asked_for_is_broken(coding):
    with both(answer(200, b"??", {"Content-Encoding": coding})) as (server, engine):
        with pytest.raises(Broken):
            engine.start(target(server, headers=(("Accept-Encoding", "gzip, br, zstd"),))).wait()
        assert server.requests[0].headers["accept-encoding"] == "identity"


def test_damaged_gzip_is_broken():
    with both(answer(200, b"not gzip", {"Content-Encoding": "gzip"})) as (server, engine), pytest.raises(Broken):
        engine.start(target(server)).read(100)


def test_a_body_over_the_limit_is_broken_and_closed():
    with both(answer(200, b"x" * 1000)) as (server, engine):
        assert len(engine.start(target(server)).read(1000)) == 1000
        with pytest.raises(Broken, match="too large"):
            engine.start(target(server)).read(999)


def test_a_large_body_arrives_piece_by_piece_under_backpressure():
    with both(pieces([b"x" * 100_000] * 40)) as (server, engine):
        exchange = engine.start(target(server))
        exchange.wait()
        total = 0
        while piece := exchange.read1():
            assert len(piece) <= 65536
            total += len(piece)
        assert total == 4_000_000


def test_a_large_request_body_is_sent_whole():
    body = bytes(range(256)) * 20_000
    with both(lambda request: answer(200, b"%d" % len(request.body))) as (server, engine):
        assert engine.start(target(server, body=body)).read(100) == b"5120000"
        assert server.requests[0].body == body


def test_an_early_refusal_of_a_large_request_is_read():
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbig!"

    def refuse(sock, _address):
        sock.recv(1000)
        sock.sendall(refusal)

    listener = StreamServer(("127.0.0.1", 0), refuse)
    listener.start()
    try:
        with both() as (_server, engine):
            exchange = engine.start(target(f"http://127.0.0.1:{listener.server_port}/", body=bytes(20_000_000)))
            exchange.wait()
            assert (exchange.status, exchange.read(10)) == (413, b"big!")
            assert engine.open_connections() == 0
    finally:
        listener.stop()

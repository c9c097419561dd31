"""Chunks that are dealt with in the hub, without waking whoever reads: none lost, none twice, none out of order."""

from __future__ import annotations

import time

import gevent
import pytest

from pool.core.calls import Timeouts
from pool.core.faults import Broken, TimedOut
from tests.adapters.upstream_kit import both, read_passing, target
from tests.upstream import Action, Pause, Send, pieces, reset_after, stall_after

BLOCKS = [f"data: {n}\n\n".encode() for n in range(8)]
APART_S = 0.01


def always(_piece):
    return True


def never(_piece):
    return False


def apart(*blocks):
    """A chunked body whose packets are these, each a while after the other."""
    steps = [step for block in blocks for step in (Send(block), Pause(APART_S))]
    return Action((Send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), Pause(APART_S), *steps))


def test_what_comes_alone_and_whole_is_passed_and_not_returned():
    with both(pieces(BLOCKS, APART_S)) as (server, engine):
        returned, taken = read_passing(engine.start(target(server)), always)
        assert sorted(returned + taken) == BLOCKS and taken == sorted(taken)
        assert len(taken) > 1
        # The connection is as good as after any other answer.
        assert engine.start(target(server)).read(9_999) == b"".join(BLOCKS)
        assert len(server.connections) == 1


def test_what_is_not_taken_is_returned():
    with both(pieces(BLOCKS, APART_S)) as (server, engine):
        assert read_passing(engine.start(target(server)), never) == (BLOCKS, [])
        order = []
        exchange = engine.start(target(server))

        def odd(piece):
            order.append(piece)
            return len(order) % 2 == 1

        returned, taken = read_passing(exchange, odd)
        assert sorted(returned + taken) == BLOCKS
        assert taken


@pytest.mark.parametrize(
    "packets",
    [
        (b"2\r\nab\r\n2\r\ncd\r\n", b"1\r\ne\r\n"),
        (b"2\r\n", b"ab\r\n", b"3\r\nc", b"d", b"e\r", b"\n"),
        (b"2\r\na", b"b\r\n3\r\ncde\r\n"),
        (b"02\r\nab\r\n", b"3;x=y\r\ncde\r\n"),
        (b"2\r\nab\r\n3\r\n", b"cde\r\n"),
        (b"7\r\n1\r\nab\r\n\r\n",),
    ],
)
def test_chunks_that_come_otherwise_are_read_as_ever(packets):
    with both(apart(*packets, b"0\r\n\r\n")) as (server, engine):
        whole = engine.start(target(server)).read(99)
        together = []

        def take(piece):
            together.append(piece)
            return True

        exchange = engine.start(target(server))
        while piece := exchange.read1(None, take):
            together.append(piece)
        assert b"".join(together) == whole


@pytest.mark.parametrize("size", [b"0x2", b"+2", b" 2", b"2 2", b"-2", b"_2", b"3", b"1"])
def test_a_size_that_is_none_breaks_it_off(size):
    with both(apart(b"2\r\nab\r\n", size + b"\r\ncd\r\n", b"2\r\nef\r\n", b"0\r\n\r\n")) as (server, engine):
        exchange = engine.start(target(server))
        taken = []
        with pytest.raises(Broken):
            while exchange.read1(None, lambda piece: bool(taken.append(piece)) or True):
                pass
        assert b"cd" not in taken


def test_the_last_chunk_is_never_passed():
    with both(apart(b"2\r\nab\r\n", b"0\r\n\r\n")) as (server, engine):
        returned, taken = read_passing(engine.start(target(server)), always)
        assert b"".join(returned + taken) == b"ab"


def test_a_compressed_body_is_unpacked_first():
    with both(pieces(BLOCKS, APART_S, gzip=True)) as (server, engine):
        returned, taken = read_passing(engine.start(target(server)), always)
        assert (b"".join(returned), taken) == (b"".join(BLOCKS), [])


def test_silence_counts_from_what_was_passed_last():
    script = stall_after(pieces(BLOCKS, 0.1), events=6)
    with both(script) as (server, engine):
        exchange = engine.start(target(server, timeouts=Timeouts(connect_s=2, first_byte_s=2, idle_s=0.6)))
        began = time.monotonic()
        with pytest.raises(TimedOut):
            read_passing(exchange, always)
        assert 0.6 + 0.55 <= time.monotonic() - began < 2.5


def test_patience_counts_from_what_was_passed_last():
    with both(stall_after(pieces(BLOCKS, 0.05), 0.5, events=6)) as (server, engine):
        returned, taken = read_passing(engine.start(target(server)), always, patience_s=0.2)
        assert sorted([piece for piece in returned if piece] + taken) == BLOCKS
        assert returned.count(None) == 2


def test_a_reset_between_two_chunks_is_no_end():
    with both(reset_after(pieces(BLOCKS, APART_S), events=4)) as (server, engine):
        exchange = engine.start(target(server))
        with pytest.raises(Broken):
            read_passing(exchange, always)
        assert engine.open_connections() == 0


def test_who_closes_meanwhile_is_heard():
    with both(stall_after(pieces(BLOCKS, APART_S), events=4)) as (server, engine):
        exchange = engine.start(target(server))
        gevent.spawn_later(0.2, exchange.close)
        with pytest.raises(Broken):
            read_passing(exchange, always)

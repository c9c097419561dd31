"""When a connection is made, reused, sent on again, or closed."""

from __future__ import annotations

import socket
import time

import gevent
import pytest
from gevent.monkey import get_original
from gevent.server import StreamServer

from pool.adapters.upstream import Upstream
from pool.adapters.upstream.resolver import Resolver
from pool.core.calls import Timeouts
from pool.core.faults import Broken, CannotConnect
from tests.adapters.upstream_kit import QUICK, both, target
from tests.upstream import (
    ScriptedUpstream,
    answer,
    close_before_head,
    cut_after,
    early_hints_then,
    in_turn,
    pieces,
    raw,
    sse,
    stall,
    stall_after,
    then_close,
)

OK = answer(200, b"fine")


def ask(engine, server, **changes):
    return engine.start(target(server, **changes)).read(1000)


def test_a_connection_is_reused_once_its_answer_was_read():
    with both(OK) as (server, engine):
        for _ in range(5):
            assert ask(engine, server) == b"fine"
        assert len(server.connections) == 1
        assert (engine.open_connections(), engine.idle_connections()) == (1, 1)


@pytest.mark.alone
def test_an_answer_not_read_to_its_end_takes_its_connection_along():
    with both(stall_after(sse(["a", "b"]), events=1)) as (server, engine):
        exchange = engine.start(target(server))
        exchange.wait()
        exchange.close()
        exchange.close()
        assert engine.open_connections() == 0
        server.wait_until(lambda: server.requests[0].client_closed_at, within_s=0.5)


def test_a_handle_dropped_unread_closes_its_connection():
    with both(stall_after(sse(["a", "b"]), events=1)) as (server, engine):
        exchange = engine.start(target(server))
        exchange.wait()
        del exchange
        assert engine.open_connections() == 0


def test_a_late_close_does_not_hit_the_next_request():
    with both(OK) as (server, engine):
        first = engine.start(target(server))
        assert first.read(100) == b"fine"
        second = engine.start(target(server))
        first.close()
        del first
        assert second.read(100) == b"fine"
        assert len(server.connections) == 1


def test_a_closed_exchange_cannot_be_read():
    with both(stall_after(sse(["a", "b"]), events=1)) as (server, engine):
        exchange = engine.start(target(server))
        exchange.close()
        with pytest.raises(Broken):
            exchange.wait()
        with pytest.raises(Broken):
            exchange.read1()


@pytest.mark.alone
@pytest.mark.parametrize("action", [stall(), stall_after(sse(["a"]), events=1)], ids=["head", "body"])
def test_closing_wakes_the_reader_and_the_server_hears_of_it_within_milliseconds(action):
    with both(action) as (server, engine):
        exchange = engine.start(target(server, timeouts=Timeouts(5, 60, 60)))

        def read():
            with pytest.raises(Broken):
                exchange.read(1000)
            return time.monotonic()

        reader = gevent.spawn(read)
        gevent.sleep(0.03)
        closed_at = time.monotonic()
        exchange.close()
        assert reader.get(timeout=1) - closed_at < 0.1
        server.wait_until(lambda: server.requests[0].client_closed_at)
        assert server.requests[0].client_closed_at - closed_at < 0.1


@pytest.mark.parametrize("action", [stall(), stall_after(sse(["a"]), events=1)], ids=["head", "body"])
@pytest.mark.parametrize("end", [gevent.GreenletExit, gevent.Timeout, KeyError])
def test_whatever_ends_the_reader_closes_the_connection(action, end):
    with both(action) as (server, engine):
        held = []

        def read():
            held.append(engine.start(target(server)))
            try:
                held[0].read(1000)
            except end:
                return

        reader = gevent.spawn(read)
        server.wait_until(lambda: server.requests)
        gevent.sleep(0.02)
        reader.kill(end())
        assert engine.open_connections() == 0
        server.wait_until(lambda: server.requests[0].client_closed_at)


def test_a_greenlet_killed_while_sending_closes_the_connection():
    with _listener() as listener, both() as (_server, engine):
        sender = gevent.spawn(engine.start, target(_url(listener), body=bytes(20_000_000)))
        gevent.sleep(0.05)
        assert engine.open_connections() == 1
        sender.kill()
        assert engine.open_connections() == 0


def test_a_request_the_server_does_not_take_times_out():
    with _listener() as listener, both() as (_server, engine):
        with pytest.raises(Exception, match="first_byte"):
            engine.start(target(_url(listener), body=bytes(20_000_000), timeouts=Timeouts(1, 0.1, 1)))
        assert engine.open_connections() == 0


def test_a_kept_connection_that_ended_is_not_used():
    with both(then_close(OK)) as (server, engine):
        for _ in range(3):
            assert ask(engine, server) == b"fine"
            server.wait_until(lambda: all(c.socket is None for c in server.connections))
        assert engine.resent == 0


def test_a_kept_connection_that_ends_under_the_request_is_replaced_once():
    """The server reads the second request on a connection and closes instead of answering."""

    def script(request):
        return OK if request.connection.requests == 1 else close_before_head()

    with both(script) as (server, engine):
        assert [ask(engine, server), ask(engine, server)] == [b"fine", b"fine"]
        assert engine.resent == 1
        assert [r.connection_id for r in server.requests] == [1, 1, 2]


def test_a_reset_of_a_kept_connection_is_replaced_too():
    def script(request):
        return OK if request.connection.requests == 1 else close_before_head(reset=True)

    with both(script) as (server, engine):
        assert [ask(engine, server), ask(engine, server)] == [b"fine", b"fine"]
        assert engine.resent == 1


def test_the_second_connection_gets_no_third():
    with both(in_turn(OK, close_before_head())) as (server, engine):
        assert ask(engine, server) == b"fine"
        with pytest.raises(Broken):
            ask(engine, server)
        assert len(server.requests) == 3


def test_sending_again_can_be_switched_off():
    with both(in_turn(OK, close_before_head()), resend=False) as (server, engine):
        assert ask(engine, server) == b"fine"
        with pytest.raises(Broken):
            ask(engine, server)
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    "half", [cut_after(OK, size_bytes=5), early_hints_then(close_before_head()), cut_after(OK, events=0)]
)
def test_once_a_byte_came_nothing_is_sent_again(half):
    with both(in_turn(OK, half)) as (server, engine):
        assert ask(engine, server) == b"fine"
        with pytest.raises(Broken):
            ask(engine, server)
        assert len(server.requests) == 2
        assert engine.resent == 0


def test_a_fresh_connection_that_ends_is_not_replaced():
    with both(close_before_head()) as (server, engine):
        with pytest.raises(Broken):
            ask(engine, server)
        assert len(server.requests) == 1


def test_closing_while_waiting_does_not_send_again():
    with both(in_turn(OK, stall())) as (server, engine):
        assert ask(engine, server) == b"fine"
        exchange = engine.start(target(server))
        gevent.spawn_later(0.02, exchange.close)
        with pytest.raises(Broken):
            exchange.wait()
        assert len(server.requests) == 2


def test_closing_while_connecting_again_ends_the_exchange():
    with both(in_turn(OK, close_before_head(), OK)) as (server, engine):
        assert ask(engine, server) == b"fine"
        exchange = engine.start(target(server))
        connect = engine.connections.connect

        def slowly(*given):
            exchange.close()
            return connect(*given)

        engine.connections.connect = slowly
        with pytest.raises(Broken):
            exchange.wait()
        assert engine.open_connections() == 0
        assert len(server.requests) == 2


def test_a_server_that_went_away_after_a_kept_connection_is_broken_not_unreachable():
    with both(in_turn(OK, close_before_head())) as (server, engine):
        assert ask(engine, server) == b"fine"
        exchange = engine.start(target(server))
        server._server.stop_accepting()
        server._server.socket.close()
        with pytest.raises(Broken):
            exchange.wait()


def test_an_idle_connection_is_closed_after_its_time():
    with both(OK, idle_s=0.05) as (server, engine):
        ask(engine, server)
        assert engine.idle_connections() == 1
        server.wait_until(lambda: server.requests[0].client_closed_at)
        assert (engine.open_connections(), engine.idle_connections()) == (0, 0)


def test_an_idle_connection_ended_by_the_server_is_swept_away():
    with both(OK, idle_s=0.5) as (server, engine):
        ask(engine, server)
        server.close_idle()
        server.wait_until(lambda: engine.open_connections() == 0)


def test_idle_connections_are_bounded_and_the_oldest_goes_first():
    with both(stall(0.03, then=OK), idle_per_origin=2) as (server, engine):
        gevent.joinall([gevent.spawn(ask, engine, server) for _ in range(5)], raise_error=True)
        assert (len(server.connections), engine.open_connections()) == (5, 2)


def test_origins_do_not_share_connections():
    with both(OK) as (server, engine), ScriptedUpstream(OK) as other:
        for _ in range(2):
            ask(engine, server)
            ask(engine, other)
        ask(engine, f"http://localhost:{server.port}/")
        assert [len(server.connections), len(other.connections)] == [2, 1]


def test_closing_the_engine_ends_everything():
    with both(in_turn(OK, stall())) as (server, engine):
        assert ask(engine, server) == b"fine"
        waiting = engine.start(target(server))
        engine.close()
        with pytest.raises(Broken):
            waiting.wait()
        with pytest.raises(CannotConnect):
            ask(engine, server)
        assert engine.open_connections() == 0


def test_a_refused_connection_says_so():
    with both() as (server, engine):
        url = server.url
    engine = Upstream()
    with pytest.raises(CannotConnect, match="ECONNREFUSED"):
        engine.start(target(url))
    assert engine.open_connections() == 0


def test_the_next_address_is_tried():
    resolver = Resolver(getaddrinfo=_resolving_to("127.0.0.2", "127.0.0.1"))
    with both(OK, resolver=resolver) as (server, engine):
        assert ask(engine, f"http://upstream.test:{server.port}/") == b"fine"
        assert server.requests[0].headers["host"] == f"upstream.test:{server.port}"


@pytest.mark.alone
def test_an_address_that_swallows_packets_costs_its_share_once():
    with _full_listener() as full, both(then_close(OK)) as (server, _engine):

        def getaddrinfo(*_):
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", p)) for p in (full, server.port)]

        engine = Upstream(resolver=Resolver(getaddrinfo=getaddrinfo))
        times = [time.monotonic()]
        for _ in range(2):
            assert ask(engine, "http://upstream.test/", timeouts=Timeouts(connect_s=0.2)) == b"fine"
            server.wait_until(lambda: server.connections[-1].socket is None)
            times.append(time.monotonic())
        assert times[1] - times[0] > 0.09
        assert times[2] - times[1] < 0.09


@pytest.mark.alone
def test_connecting_has_one_deadline_over_all_addresses_and_each_gets_a_share():
    with _full_listener() as port:
        resolver = Resolver(getaddrinfo=_resolving_to(*["127.0.0.1"] * 4))
        engine = Upstream(resolver=resolver)
        started = time.monotonic()
        with pytest.raises(CannotConnect):
            engine.start(target(f"http://upstream.test:{port}/", timeouts=Timeouts(connect_s=0.2)))
        assert 0.15 < time.monotonic() - started < 0.7
        assert engine.open_connections() == 0


def test_a_kill_while_connecting_leaves_nothing_open():
    with _full_listener() as port:
        engine = Upstream()
        asking = gevent.spawn(engine.start, target(f"http://127.0.0.1:{port}/", timeouts=Timeouts()))
        gevent.sleep(0.02)
        assert engine.open_connections() == 1
        asking.kill()
        assert engine.open_connections() == 0


def test_a_name_is_looked_up_once_for_all_who_ask_and_then_remembered():
    asked = []

    def getaddrinfo(host, port, *_):
        asked.append(host)
        return _resolving_to("127.0.0.1")(host, port)

    with both(OK, resolver=Resolver(getaddrinfo=getaddrinfo)) as (server, engine):
        url = f"http://upstream.test:{server.port}/"
        gevent.joinall([gevent.spawn(ask, engine, url) for _ in range(10)], raise_error=True)
        ask(engine, url)
        assert asked == ["upstream.test"]


def test_an_unknown_name_cannot_be_connected_to():
    def unknown(*_):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    engine = Upstream(resolver=Resolver(getaddrinfo=unknown))
    for _ in range(2):
        with pytest.raises(CannotConnect, match="name"):
            engine.start(target("http://upstream.test/"))


@pytest.mark.alone
def test_a_hanging_name_server_holds_up_neither_the_hub_nor_other_names():
    pause = get_original("time", "sleep")
    hung = [True]

    def getaddrinfo(host, port, *_):
        while host == "hangs.test" and hung:
            pause(0.005)
        return _resolving_to("127.0.0.1")(host, port)

    with both(OK, resolver=Resolver(threads=2, getaddrinfo=getaddrinfo)) as (server, engine):
        hanging = target(f"http://hangs.test:{server.port}/", timeouts=Timeouts(connect_s=0.15))
        waiting = [gevent.spawn(engine.start, hanging) for _ in range(20)]
        gevent.sleep(0.01)
        started = time.monotonic()
        assert ask(engine, f"http://other.test:{server.port}/") == b"fine"
        gevent.get_hub().threadpool.apply(int)
        assert time.monotonic() - started < 0.14
        gevent.joinall(waiting)
        assert all(isinstance(w.exception, CannotConnect) for w in waiting)
        hung.clear()
        gevent.sleep(0.02)
        assert ask(engine, f"http://hangs.test:{server.port}/") == b"fine"


def test_a_thousand_reads_share_one_timer(monkeypatch):
    timers = []
    with both(pieces([b"x"] * 300, delay_s=0.0005)) as (server, engine):
        exchange = engine.start(target(server))
        exchange.wait(5)
        connection = exchange._connection
        arm = connection._arm
        monkeypatch.setattr(connection, "_arm", lambda at: (timers.append(at), arm(at)))
        while exchange.read1(5):
            pass
        assert len(timers) <= 2


def test_descriptors_above_1024_can_be_waited_on():
    with both(stall(0.2, then=OK)) as (server, engine):
        spare = [socket.socketpair() for _ in range(520)]
        try:
            assert ask(engine, server, timeouts=QUICK) == b"fine"
        finally:
            for left, right in spare:
                left.close()
                right.close()


def test_what_is_sent_in_one_burst_is_not_read_ahead_without_end():
    with both(raw(b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 65536] * 400)) as (server, engine):
        exchange = engine.start(target(server))
        exchange.wait()
        exchange.read1()
        gevent.sleep(0.05)
        assert sum(map(len, exchange._message.pieces)) <= 65536


def _resolving_to(*addresses):
    def getaddrinfo(_host, port, *_):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    return getaddrinfo


def _url(listener):
    return f"http://127.0.0.1:{listener.server_port}/"


class _listener:
    """Accepts, and neither reads nor answers."""

    def __enter__(self):
        self._server = StreamServer(("127.0.0.1", 0), lambda _sock, _address: gevent.sleep(60))
        self._server.start()
        return self._server

    def __exit__(self, *_):
        self._server.stop(timeout=0)


class _full_listener:
    """A port whose backlog is full: packets to it are swallowed."""

    def __enter__(self):
        self._sockets = [socket.create_server(("127.0.0.1", 0), backlog=0)]
        where = self._sockets[0].getsockname()
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(where)
            self._sockets.append(filler)
        return where[1]

    def __exit__(self, *_):
        for each in self._sockets:
            each.close()

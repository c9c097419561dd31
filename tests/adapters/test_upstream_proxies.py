"""Exchanges through an outbound proxy keep the same promises, one connection each."""

from __future__ import annotations

import time

import gevent
import pytest
from gevent import socket

from pool.adapters.upstream.resolver import Resolver
from pool.core.calls import Timeouts
from pool.core.faults import Broken, CannotConnect, TimedOut
from tests.adapters.upstream_kit import HttpProxy, SocksProxy, both, target
from tests.upstream import (
    answer,
    cut_after,
    early_hints_then,
    reset_after,
    sse,
    stall,
    stall_after,
)

OK = answer(200, b"fine", {"X-One": "1"})


@pytest.fixture
def proxy():
    with HttpProxy() as running:
        yield running


def ask(engine, server, proxy, **changes):
    return engine.start(target(server, proxy_url=proxy.url, **changes))


def test_a_plain_request_goes_through_the_proxy(proxy):
    with both(OK) as (server, engine):
        exchange = ask(engine, server, proxy)
        assert exchange.wait()
        assert (exchange.status, exchange.headers["x-one"], exchange.read(10)) == (200, "1", b"fine")
        assert exchange.read1() == b""
        assert proxy.asked == [f"POST {server.url}/v1/x"]
        assert server.requests[0].key == "AIzaSecret"
        assert "cookie" not in server.requests[0].headers


def test_every_exchange_has_a_connection_of_its_own(proxy):
    with both(OK) as (server, engine):
        for _ in range(3):
            assert ask(engine, server, proxy).read(10) == b"fine"
        assert len(server.connections) == 3
        server.wait_until(lambda: server.open_connections == 0)


def test_the_proxys_credentials_go_to_the_proxy_only(proxy):
    with both(OK) as (server, engine):
        url = proxy.url.replace("http://", "http://me:secret@")
        assert engine.start(target(server, proxy_url=url)).read(10) == b"fine"
        assert proxy.credentials == ["Basic bWU6c2VjcmV0"]


def test_the_proxys_name_is_looked_up_by_our_own_resolver(proxy):
    asked = []

    def getaddrinfo(host, port, *_):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    with both(OK, resolver=Resolver(getaddrinfo=getaddrinfo)) as (server, engine):
        url = proxy.url.replace("http://127.0.0.1", "http://me:secret@proxy.test")
        assert engine.start(target(server, proxy_url=url)).read(10) == b"fine"
        assert asked == ["proxy.test"]
        assert proxy.credentials == ["Basic bWU6c2VjcmV0"]


def test_events_arrive_as_they_are_sent_and_patience_holds(proxy):
    with both(stall(0.1, then=stall_after(sse(["a", "b"]), 0.15, events=1))) as (server, engine):
        exchange = ask(engine, server, proxy)
        assert not exchange.wait(0.02)
        assert exchange.wait()
        assert exchange.read1() == b"data: a\n\n"
        assert exchange.read1(0.02) is None
        assert exchange.read(100) == b"data: b\n\n"


def test_gzip_is_unpacked(proxy):
    with both(answer(200, {"a": 1}, gzip=True)) as (server, engine):
        assert ask(engine, server, proxy, headers=(("Accept-Encoding", "gzip"),)).read(100) == b'{"a": 1}'


@pytest.mark.parametrize(
    "action",
    [cut_after(sse(["a", "b"]), events=1), reset_after(sse(["a"]), events=1), answer(200, b"x", announce_bytes=9)],
)
def test_a_cut_body_is_broken(proxy, action):
    with both(action) as (server, engine), pytest.raises(Broken):
        ask(engine, server, proxy).read(100)


def test_early_hints_are_never_taken_for_the_answer(proxy):
    with both(early_hints_then(OK)) as (server, engine), pytest.raises(Broken):
        ask(engine, server, proxy).read(100)


def test_a_redirect_is_an_answer(proxy):
    with both(answer(302, b"", {"Location": "http://127.0.0.1:1/"})) as (server, engine):
        exchange = ask(engine, server, proxy)
        exchange.wait()
        assert exchange.status == 302


def test_silence_times_out(proxy):
    with both(stall()) as (server, engine):
        with pytest.raises(TimedOut) as caught:
            ask(engine, server, proxy, timeouts=Timeouts(0.05, 0.1, 1)).wait()
        assert caught.value.phase == "first_byte"
        server.script(stall_after(sse(["a", "b"]), events=1))
        exchange = ask(engine, server, proxy, timeouts=Timeouts(1, 1, 0.1))
        with pytest.raises(TimedOut) as caught:
            exchange.read(100)
        assert caught.value.phase == "idle"


@pytest.mark.alone
@pytest.mark.parametrize("action", [stall(), stall_after(sse(["a"]), events=1)], ids=["head", "body"])
def test_closing_wakes_the_reader_and_reaches_the_server(proxy, action):
    with both(action) as (server, engine):
        exchange = ask(engine, server, proxy)

        def read():
            with pytest.raises(Broken):
                exchange.read(100)

        reader = gevent.spawn(read)
        server.wait_until(lambda: server.requests)
        gevent.sleep(0.02)
        closed_at = time.monotonic()
        exchange.close()
        reader.get(timeout=1)
        server.wait_until(lambda: server.requests[0].client_closed_at)
        assert server.requests[0].client_closed_at - closed_at < 0.1


def test_a_dropped_handle_closes(proxy):
    with both(stall()) as (server, engine):
        exchange = ask(engine, server, proxy)
        server.wait_until(lambda: server.requests)
        del exchange
        server.wait_until(lambda: server.requests[0].client_closed_at)


def test_a_proxy_that_is_not_there_means_no_connection(proxy):
    with both(OK) as (server, engine):
        gone = f"http://127.0.0.1:{_free_port()}"
        for url in (server.url, server.url.replace("http", "https")):
            with pytest.raises(CannotConnect) as caught:
                engine.start(target(f"{url}/v1/x?key=AIzaSecret", proxy_url=gone)).wait()
            assert "AIzaSecret" not in str(caught.value)
            assert caught.value.__suppress_context__
        assert server.requests == []


def test_a_proxy_that_refuses_the_tunnel_means_no_connection(proxy):
    proxy.refuses = True
    with both(OK) as (server, engine), pytest.raises(CannotConnect):
        ask(engine, server.url.replace("http", "https"), proxy).wait()


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_socks_proxy_carries_requests_by_the_name_of_who_asks(scheme):
    with SocksProxy() as proxy, both(OK) as (server, engine):
        for url in (f"{scheme}://{proxy.address}", f"{scheme}://me:secret@{proxy.address}"):
            exchange = engine.start(target(server, proxy_url=url))
            assert exchange.wait()
            assert (exchange.status, exchange.read(10)) == (200, b"fine")
        assert proxy.asked == [("127.0.0.1", server.port)] * 2
        assert proxy.credentials == [("me", "secret")]
        server.wait_until(lambda: server.open_connections == 0)


def test_only_socks5h_leaves_names_to_the_proxy():
    with SocksProxy() as proxy, both(OK) as (server, engine):
        url = server.url.replace("127.0.0.1", "localhost") + "/v1/x"
        for scheme, host in (("socks5", "127.0.0.1"), ("socks5h", "localhost")):
            assert engine.start(target(url, proxy_url=f"{scheme}://{proxy.address}")).read(10) == b"fine"
            assert proxy.asked[-1] == (host, server.port)


def test_a_socks_proxy_that_refuses_or_is_away_means_no_connection():
    with SocksProxy() as proxy, both(OK) as (server, engine):
        proxy.refuses = True
        for address in (proxy.address, f"127.0.0.1:{_free_port()}"):
            with pytest.raises(CannotConnect) as refused:
                engine.start(target(server, proxy_url=f"socks5://me:secret@{address}")).wait()
            assert "secret" not in str(refused.value)
        assert server.requests == []


@pytest.mark.parametrize("url", ["ftp://127.0.0.1:1", "http://", "http://127.0.0.1:x"])
def test_a_proxy_url_that_is_not_one_means_no_connection(url):
    with both(OK) as (server, engine):
        with pytest.raises(CannotConnect):
            engine.start(target(server, proxy_url=url, timeouts=Timeouts(connect_s=0.2))).wait()
        assert server.requests == []


def test_what_http_forbids_is_refused_as_without_a_proxy(proxy):
    with both(OK) as (server, engine), pytest.raises(CannotConnect):
        ask(engine, server, proxy, headers=(("x-goog-api-key", "a\r\nb"),))


def _free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]

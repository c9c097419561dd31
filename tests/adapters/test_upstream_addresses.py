"""Where no provider may be: a cloud tells its machines their secrets there, and a name must not lead to it either."""

import socket

import pytest

from pool.adapters.upstream import Upstream
from pool.adapters.upstream.resolver import Resolver
from pool.core.calls import Timeouts
from pool.core.faults import CannotConnect
from tests.adapters.upstream_kit import both, target
from tests.upstream import answer

OK = answer(200, b"fine")
METADATA = "169.254.169.254"


def naming(*answers):
    """A name server that gives each of these lists of addresses in turn."""
    rest = list(answers)

    def getaddrinfo(host, port, *_):
        found = rest.pop(0) if len(rest) > 1 else rest[0]
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port))
            for each in found
        ]

    return Resolver(getaddrinfo=getaddrinfo)


def ask(engine, url, **options):
    return engine.start(target(url, **options)).read(1000)


def refused(engine, url, **options):
    with pytest.raises(CannotConnect, match="no API has"):
        engine.start(target(url, timeouts=Timeouts(connect_s=1), **options))
    assert engine.open_connections() == 0


@pytest.mark.parametrize(
    "address",
    [METADATA, "fe80::1", "::ffff:a9fe:a9fe", "fd00:ec2::254", "100.100.100.200", "0.0.0.0", "::", "224.0.0.1"],
)
@pytest.mark.parametrize("proxy_url", [None, "http://proxy.example:3128"])
def test_a_name_that_stands_for_such_an_address_is_not_called(address, proxy_url):
    engine = Upstream(resolver=naming([address]))
    if proxy_url is None:
        refused(engine, "http://metadata.example/latest/meta-data")
    else:
        with pytest.raises(CannotConnect):
            engine.start(target("http://api.example/v1", proxy_url=proxy_url)).read(1000)
    engine.close()


@pytest.mark.parametrize(
    "host", ["2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", f"[::ffff:{METADATA}]", METADATA, "0"]
)
def test_a_number_that_stands_for_one_is_not_called_however_it_is_written(host):
    engine = Upstream()
    refused(engine, f"http://{host}/latest/meta-data")
    engine.close()


def test_of_several_addresses_only_those_an_api_may_have_are_called():
    with both(OK, resolver=naming([METADATA, "127.0.0.1"])) as (server, engine):
        assert ask(engine, f"http://upstream.test:{server.port}/", timeouts=Timeouts(connect_s=0.5)) == b"fine"
        assert len(server.connections) == 1


def test_a_name_that_changes_its_mind_is_judged_again():
    resolver = naming(["127.0.0.1"], [METADATA])
    with both(answer(200, b"fine", {"Connection": "close"}), resolver=resolver) as (server, engine):
        url = f"http://upstream.test:{server.port}/"
        assert ask(engine, url) == b"fine"
        resolver.forget("upstream.test", server.port)
        refused(engine, url)

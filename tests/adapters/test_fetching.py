"""Media by address: fetched with limits, and never from a network that is not public."""

import socket
import time

import pytest

from pool.adapters import fetching
from pool.adapters.fetching import Fetcher, PublicResolver, is_public
from pool.adapters.upstream import Upstream
from pool.core.faults import Fault
from tests.upstream import ScriptedUpstream, answer, stall, stall_after

PNG = b"\x89PNG" * 100


@pytest.fixture
def server():
    with ScriptedUpstream(answer(200, PNG, {"Content-Type": "image/png; q=1"})) as server:
        yield server


@pytest.fixture
def near():
    """A fetcher that may reach this machine: what it is to fetch from is here."""
    fetcher = Fetcher(Upstream(), within_s=1.0, most_bytes=10_000)
    yield fetcher
    fetcher.close()


@pytest.fixture
def guarded():
    fetcher = Fetcher(within_s=2.0)
    yield fetcher
    fetcher.close()


def refusal(fetcher, url):
    with pytest.raises(Fault) as refused:
        fetcher.fetch(url)
    assert (refused.value.status, refused.value.code) == (400, "invalid_media_url")
    return refused.value.message


def test_what_is_there_comes_with_its_type(server, near):
    assert near.fetch(server.url + "/a.png#here") == ("image/png", PNG)
    assert server.requests[0].path == "/a.png"
    assert "authorization" not in server.requests[0].headers


def test_what_was_fetched_is_not_asked_for_again(server, near):
    for _ in range(3):
        near.fetch(server.url + "/a.png")
    assert len(server.requests) == 1
    near._clock = lambda: time.monotonic() + fetching.KEPT_S + 1
    near.fetch(server.url + "/a.png")
    assert len(server.requests) == 2


def test_of_too_much_the_oldest_is_forgotten(server, near, monkeypatch):
    monkeypatch.setattr(fetching, "KEPT_BYTES", 3 * len(PNG))
    for n in range(5):
        near.fetch(f"{server.url}/{n}")
    near.fetch(server.url + "/4")
    near.fetch(server.url + "/0")
    assert [request.path for request in server.requests] == ["/0", "/1", "/2", "/3", "/4", "/0"]


@pytest.mark.parametrize(
    ("action", "why"),
    [
        (answer(404, b"no"), "answered 404"),
        (answer(200, b"x" * 10_001), "holds more than"),
        (answer(200, b"x" * 20_000, gzip=True), "holds more than|broke off"),
        (answer(200, b"x", announce_bytes=99), "broke off"),
        (stall(), "within 1 s"),
        (stall_after(answer(200, PNG, announce_bytes=900)), "within 1 s"),
    ],
)
def test_what_cannot_be_had_is_the_callers_mistake(server, near, action, why):
    server.script(action)
    message = refusal(near, server.url + "/x")
    assert any(each in message for each in why.split("|"))


def test_redirects_are_followed_a_few_times(server, near):
    server.for_path("/once", answer(302, b"", {"Location": "/a.png"}))
    server.for_path("/ever", answer(302, b"", {"Location": "/ever"}))
    server.script(lambda request: None if "/once" in request.path or "/ever" in request.path else answer(200, PNG))
    assert near.fetch(server.url + "/once")[1] == PNG
    assert "redirects" in refusal(near, server.url + "/ever")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/a", "file:///etc/passwd", "gopher://x", "http://", "http:///a", "http://[", "nonsense",
        "http://user:secret@example.org/a", "http://example.org:0/", "http://example.org:99999/",
        "http://" + "a" * 5000,
    ],
)  # fmt: skip
def test_what_is_no_address_is_not_asked(guarded, url):
    refusal(guarded, url)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0.0.0.0", "localhost", "10.0.0.1",
        "172.16.9.9", "192.168.1.1", "169.254.169.254", "100.64.0.1", "[::1]", "[::]",
        "[::ffff:127.0.0.1]", "[::127.0.0.1]", "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]",
        "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "224.0.0.1",
        "240.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.2.1", "192.0.0.8", "192.88.99.1",
        "[fec0::1]", "[64:ff9b:1::7f00:1]", "[5f00::1]", "[3fff::1]", "[100:0:0:1::1]",
    ],
)  # fmt: skip
def test_networks_that_are_not_public_are_never_reached(guarded, host):
    message = refusal(guarded, f"http://{host}:{9}/latest/meta-data")
    assert "not on a public network" in message or "could not be reached" in message


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses_are(address):
    assert is_public(address)


def test_a_name_is_judged_by_what_it_stands_for_and_every_one_of_its_addresses():
    def lies(host, port, *_):
        addresses = {"inside.example": ["10.0.0.7"], "both.example": ["8.8.8.8", "127.0.0.1"]}[host]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    fetcher = Fetcher(Upstream(resolver=PublicResolver(getaddrinfo=lies)))
    for host in ("inside.example", "both.example"):
        assert "not on a public network" in refusal(fetcher, f"http://{host}/x")
    fetcher.close()


def test_a_redirect_to_a_private_network_is_not_followed(server):
    def names(host, port, *_):
        # The first name is let through so that it can send us elsewhere.
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.port))]

    class Lenient(PublicResolver):
        def addresses(self, host, port, deadline):
            if host == "outside.example":
                return names(host, port) and [(socket.AF_INET, ("127.0.0.1", server.port))]
            return super().addresses(host, port, deadline)

    server.script(answer(302, b"", {"Location": f"http://127.0.0.1:{server.port}/secret"}))
    fetcher = Fetcher(Upstream(resolver=Lenient()))
    assert "not on a public network" in refusal(fetcher, "http://outside.example/x")
    assert [request.path for request in server.requests] == ["/x"]
    fetcher.close()


# -- several for one request ---------------------------------------------------------------------------------------


@pytest.mark.alone
def test_addresses_of_one_request_are_fetched_side_by_side(server, near):
    server.script(stall(0.2, answer(200, PNG, {"Content-Type": "image/png"})))
    began = time.monotonic()
    found = near.together([f"{server.url}/{n}" for n in range(8)], 1_000_000)
    assert list(found.values()) == [("image/png", PNG)] * 8
    assert time.monotonic() - began < 8 * 0.2


def test_together_they_hold_no_more_than_there_is_room_for(server, near):
    server.script(answer(200, PNG))
    near.fetch(server.url + "/0")
    found = near.together([f"{server.url}/{n}" for n in range(6)], 3 * len(PNG))
    refused = [fault for fault in found.values() if isinstance(fault, Fault)]
    assert len(refused) == 3
    assert all("the others of this request" in fault.message for fault in refused)


def test_one_that_cannot_be_had_spoils_no_other(server, near):
    server.script(lambda request: answer(404, b"") if request.path == "/1" else answer(200, PNG))
    found = near.together([f"{server.url}/{n}" for n in range(3)], 1_000_000)
    assert [isinstance(got, Fault) for got in found.values()] == [False, True, False]


def test_together_they_take_no_longer_than_one_may_wait(server, near, monkeypatch):
    monkeypatch.setattr(fetching, "TOGETHER_WITHIN_S", 0.3)
    server.script(lambda request: stall() if request.path == "/1" else answer(200, PNG))
    found = near.together([f"{server.url}/{n}" for n in range(3)], 1_000_000)
    assert "did not come within" in found[server.url + "/1"].message
    assert found[server.url + "/2"][1] == PNG

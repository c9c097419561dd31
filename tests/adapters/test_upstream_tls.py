"""TLS: who is trusted, what is sent before, and that all else holds as without it."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import time

import gevent
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from gevent.server import StreamServer

from pool.adapters.upstream import Upstream
from pool.core.calls import Timeouts
from pool.core.faults import Broken, CannotConnect
from tests.adapters.upstream_kit import HttpProxy, read_passing, target
from tests.upstream import (
    ScriptedUpstream,
    answer,
    close_before_head,
    cut_after,
    early_hints_then,
    in_turn,
    pieces,
    sse,
    stall,
    stall_after,
    then_close,
)

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
OK = answer(200, b"fine")


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(subject, key, issuer, issuer_key, *, authority=False, names=("localhost",), until=NOW + DAY):
    builder = (
        x509.CertificateBuilder(_name(issuer), _name(subject), key.public_key(), x509.random_serial_number())
        .not_valid_before(NOW - 9 * DAY)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if not authority:
        alternatives = [x509.DNSName(name) for name in names] + [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """A certificate authority made for this run: its file, and a maker of server contexts."""
    folder = tmp_path_factory.mktemp("tls")
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = _certificate("Test root", root_key, "Test root", root_key, authority=True)
    ca_file = folder / "root.pem"
    ca_file.write_bytes(root.public_bytes(serialization.Encoding.PEM))

    def server_context(**options):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate("server", key, "Test root", root_key, **options)
        file = folder / f"{certificate.serial_number}.pem"
        file.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    return str(ca_file), server_context


@pytest.fixture
def secure(authority):
    ca_file, server_context = authority
    engine = Upstream(ca_file)
    with ScriptedUpstream(OK, tls=server_context()) as server:
        yield server, engine
    engine.close()


def ask(engine, server, **changes):
    return engine.start(target(server, **changes)).read(2_000_000)


def test_a_verified_connection_is_reused(secure):
    server, engine = secure
    for _ in range(5):
        assert ask(engine, server) == b"fine"
    assert len(server.connections) == 1


def test_an_address_is_verified_as_one(secure):
    server, engine = secure
    assert ask(engine, f"https://127.0.0.1:{server.port}/") == b"fine"


@pytest.mark.parametrize("flaw", [{"names": ("other.test",)}, {"until": NOW - DAY}], ids=["name", "expired"])
def test_a_certificate_that_does_not_verify_sees_no_request(authority, flaw):
    ca_file, server_context = authority
    engine = Upstream(ca_file)
    with ScriptedUpstream(OK, tls=server_context(**flaw)) as server, _quiet_hub():
        with pytest.raises(CannotConnect, match="CERTIFICATE_VERIFY_FAILED") as caught:
            ask(engine, server)
        assert "AIzaSecret" not in str(caught.value)
        assert server.requests == [] and engine.open_connections() == 0


def test_a_tunnel_through_a_proxy_is_verified_end_to_end(authority):
    ca_file, server_context = authority
    with ScriptedUpstream(OK, tls=server_context()) as server, HttpProxy() as proxy, _quiet_hub():
        assert ask(Upstream(ca_file), server, proxy_url=proxy.url) == b"fine"
        assert proxy.asked == [f"CONNECT localhost:{server.port}"]
        with pytest.raises(CannotConnect):
            ask(Upstream(), server, proxy_url=proxy.url)
        assert len(server.requests) == 1


def test_the_environment_cannot_add_trust(authority, monkeypatch):
    ca_file, server_context = authority
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, ca_file)
    engine = Upstream()
    with ScriptedUpstream(OK, tls=server_context()) as server, _quiet_hub(), pytest.raises(CannotConnect):
        ask(engine, server)


def test_plain_http_on_the_tls_port_is_refused(authority):
    engine = Upstream(authority[0])
    with ScriptedUpstream(OK) as server, pytest.raises(CannotConnect):
        ask(engine, f"https://127.0.0.1:{server.port}/", timeouts=Timeouts(connect_s=0.1))
    assert engine.open_connections() == 0


@pytest.mark.alone
def test_a_handshake_that_hangs_is_within_the_connect_deadline():
    engine = Upstream()
    listener = StreamServer(("127.0.0.1", 0), lambda _sock, _address: gevent.sleep(60))
    listener.start()
    started = time.monotonic()
    with pytest.raises(CannotConnect):
        ask(engine, f"https://127.0.0.1:{listener.server_port}/", timeouts=Timeouts(connect_s=0.1))
    assert time.monotonic() - started < 0.3
    handshake = gevent.spawn(ask, engine, f"https://127.0.0.1:{listener.server_port}/")
    gevent.sleep(0.02)
    assert engine.open_connections() == 1
    handshake.kill()
    assert engine.open_connections() == 0
    listener.stop(timeout=0)


def test_large_bodies_pass_both_ways(secure):
    server, engine = secure
    server.script(lambda request: pieces([request.body] * 2))
    body = bytes(range(256)) * 2000
    assert ask(engine, server, body=body) == body * 2
    assert ask(engine, server) == b"{}{}"
    assert len(server.connections) == 1


@pytest.mark.alone
def test_events_arrive_as_they_are_sent(secure):
    server, engine = secure
    server.script(stall_after(sse(["a", "b"]), 0.2, events=1))
    exchange = engine.start(target(server))
    started = time.monotonic()
    assert exchange.read1() == b"data: a\n\n"
    assert time.monotonic() - started < 0.15
    assert exchange.read1(0.02) is None
    assert exchange.read(100) == b"data: b\n\n"


def test_early_hints_are_skipped(secure):
    server, engine = secure
    server.script(lambda request: early_hints_then(answer(200, request.body)))
    assert [ask(engine, server, body=b"%d" % n) for n in range(4)] == [b"0", b"1", b"2", b"3"]
    assert len(server.connections) == 1


@pytest.mark.alone
def test_closing_is_seen_within_milliseconds(secure):
    server, engine = secure
    server.script(stall())
    exchange = engine.start(target(server))
    assert not exchange.wait(0.03)
    closed_at = time.monotonic()
    exchange.close()
    server.wait_until(lambda: server.requests[0].client_closed_at)
    assert server.requests[0].client_closed_at - closed_at < 0.05


def test_a_kept_connection_that_ended_is_replaced(secure):
    server, engine = secure
    server.script(then_close(OK))
    assert ask(engine, server) == b"fine"
    server.wait_until(lambda: server.connections[0].socket is None)
    assert ask(engine, server) == b"fine"
    server.script(in_turn(OK, close_before_head(), OK))
    server.wait_until(lambda: all(c.socket is None for c in server.connections))
    assert [ask(engine, server), ask(engine, server)] == [b"fine", b"fine"]
    assert engine.resent == 1


@pytest.mark.parametrize("action", [cut_after(sse(["a", "b"]), events=1), answer(200, b"x", announce_bytes=9)])
def test_a_cut_body_is_broken(secure, action):
    server, engine = secure
    server.script(action)
    with pytest.raises(Broken):
        ask(engine, server)


def test_an_end_without_tls_farewell_does_not_count_as_the_end_of_a_body(secure):
    """Anybody on the way can end a connection; only the server can say goodbye inside TLS."""
    server, engine = secure
    server.script(sse(["a"], chunked=False))
    with pytest.raises(Broken):
        ask(engine, server)


class _quiet_hub:
    """The server's failed handshakes are expected here: gevent must not print them."""

    def __enter__(self):
        self._hub = gevent.get_hub()
        self._known = self._hub.NOT_ERROR
        self._hub.NOT_ERROR = (*self._known, ssl.SSLError, OSError)

    def __exit__(self, *_):
        gevent.sleep(0.01)
        self._hub.NOT_ERROR = self._known


def test_chunks_are_passed_on_through_tls(secure):
    server, engine = secure
    blocks = [f"data: {n}\n\n".encode() for n in range(8)]
    server.script(pieces(blocks, 0.03))
    returned, taken = read_passing(engine.start(target(server)), lambda piece: piece != blocks[5])
    assert sorted(returned + taken) == blocks
    assert taken and blocks[5] in returned
    server.script(cut_after(pieces(blocks, 0.03), events=5))
    with pytest.raises(Broken):
        read_passing(engine.start(target(server)), lambda _piece: True)


def test_records_that_come_together_are_passed_one_by_one(secure):
    server, engine = secure
    blocks = [f"data: {n}\n\n".encode() for n in range(40)]
    server.script(pieces(blocks))
    returned, taken = read_passing(engine.start(target(server)), lambda piece: piece != blocks[30])
    assert sorted(b"".join(returned + taken).split(b"\n\n")) == sorted(b"".join(blocks).split(b"\n\n"))

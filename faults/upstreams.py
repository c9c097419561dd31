"""What goes wrong with an upstream: each a row of a table, played by a provider and a pool of its own."""

from __future__ import annotations

import datetime
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from gevent.pool import Pool
from gevent.server import StreamServer

from faults.asking import GEMINI, OPENAI, OPENAI_OF_GEMINI, TEXT, Dialect, ask_all
from faults.figures import Figures
from faults.rig import QUICK, Admin, blamed, instance, keys, of_sqlite, rows_lost
from tests.server import Server
from tests.upstream import (
    SAYS,
    Action,
    Behaviour,
    Pause,
    Request,
    ScriptedUpstream,
    Send,
    answer,
    byte_by_byte,
    close_before_head,
    cut_after,
    gemini_error,
    gemini_error_body,
    gemini_stream,
    gemini_text,
    openai_error,
    openai_stream,
    openai_text,
    pieces,
    raw,
    reset_after,
    sse,
    stall,
    stall_after,
)

NONE, ALL = "none", "all"
PLACES = {"openai": "/v1", "gemini": "/v1beta"}
FOUR = 4
MANY_EVENTS = 100_000
DRIPPING = Action(
    tuple(chain.from_iterable((Send(bytes([each])), Pause(0.1)) for each in b"HTTP/1.1 200 OK\r\nX: " + b"y" * 999))
)
AT_ONCE = 5
"""So many faults play at the same time: each waits more than it works."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`play`: what the provider does. `at`: who listens there instead.

    `spare`: four keys of a provider that is well stand behind. `guilty`: is this key to blame itself? `most`: requests.
    """

    name: str
    play: Action | Behaviour | None = None
    at: Callable[[ExitStack, Path], str] | None = None
    spare: bool = True
    stream: bool | None = None
    must_fail: str = NONE
    guilty: Callable[[str], bool] = lambda secret: False
    bad_keys: int = FOUR
    text: str = TEXT
    most: int = 1000
    at_once: int = 20
    asked: Dialect = OPENAI
    spoken: str = "openai"
    """The dialects of the client and of the provider."""


def _refused(stack: ExitStack, _folder: Path) -> str:
    sock = stack.enter_context(socket.socket())
    sock.bind(("127.0.0.1", 0))  # held, and nobody listens
    return f"http://127.0.0.1:{sock.getsockname()[1]}/v1"


def _unknown(_stack: ExitStack, _folder: Path) -> str:
    return "http://nobody.invalid/v1"


def _black_hole(stack: ExitStack, _folder: Path) -> str:
    """Whose queue of connections is full: the kernel drops what else comes."""
    sock = stack.enter_context(socket.socket())
    sock.bind(("127.0.0.1", 0))
    sock.listen(0)
    for _ in range(4):
        filler = stack.enter_context(socket.socket())
        filler.setblocking(False)
        filler.connect_ex(sock.getsockname())
    return f"http://127.0.0.1:{sock.getsockname()[1]}/v1"


def _self_signed(stack: ExitStack, folder: Path) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1)).sign(key, hashes.SHA256())
    private = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "self-signed.pem"
    pem = serialization.Encoding.PEM
    file.write_bytes(made.public_bytes(pem) + key.private_bytes(pem, *private))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)

    def greet(sock: socket.socket, _address: object) -> None:
        with suppress(OSError):
            context.wrap_socket(sock, server_side=True).recv(1)

    server = StreamServer(("127.0.0.1", 0), greet)
    server.start()
    stack.callback(server.stop)
    return f"https://localhost:{server.server_port}/v1"


def _json(content: bytes, **headers: str) -> Action:
    return answer(200, content, {"Content-Type": "application/json", **headers})


HTML = answer(200, "<html>Sign in to the Wi-Fi</html>", {"Content-Type": "text/html"})
WELL = sse(openai_stream(SAYS), done=True)
DOWN = openai_error(503, "overloaded", "The engine is overloaded.", type="server_error")
INVALID = openai_error(401, "invalid_api_key", "Incorrect API key provided.")
SPENT = openai_error(429, "insufficient_quota", "You exceeded your current quota.", type="insufficient_quota")
MINUTE = openai_error(429, "rate_limit_exceeded", "Rate limit reached.", headers={"Retry-After": "60"})
FIRST_IS_ERROR = sse([{"error": {"message": "Overloaded.", "type": "server_error", "code": "overloaded"}}])


def _every(secret: str) -> bool:
    return True


def _number(secret: str) -> int:
    return int(secret[-4:])


def _nine_of_ten(secret: str) -> bool:
    return _number(secret) % 10 != 0


def _three_refusals(request: Request) -> Action | None:
    key = request.key or "0000"
    return (INVALID, MINUTE, SPENT)[_number(key) % 3] if _nine_of_ten(key) else None


def _every_fourth_fails(request: Request) -> Action | None:
    return DOWN if _number(request.key or "0001") % 4 == 0 else None


def _many_events() -> Action:
    """A hundred in a piece: who plays this must not starve the others that play in its process."""
    blocks = [b"data: " + orjson.dumps(event) + b"\n\n" for event in openai_stream(["x"] * MANY_EVENTS)]
    parts = [b"".join(blocks[at : at + 100]) for at in range(0, len(blocks), 100)]
    return pieces([*parts, b"data: [DONE]\n\n"], headers={"Content-Type": "text/event-stream"})


GEMINI_WELL, GEMINI_TEXT = sse(gemini_stream(SAYS), crlf=True), gemini_text(TEXT)
GEMINI_DOWN = gemini_error(503, message="The model is overloaded.")
GEMINI_FIRST_IS_ERROR = sse([gemini_error_body(503, "UNAVAILABLE", "The model is overloaded.")], crlf=True)
GEMINI_INVALID = gemini_error(400, message="API key not valid. Please pass a valid key.", reason="API_KEY_INVALID")
GEMINI_MINUTE = gemini_error(
    429, quota_id="GenerateRequestsPerMinutePerProjectPerModel-FreeTier", retry_delay="60s"
)  # fmt: skip


def of_gemini(name: str, asked: Dialect) -> tuple[Fault, ...]:
    """What can go wrong with Gemini: asked in its own words the bytes go through, in others they are converted."""
    both: dict[str, Any] = {"asked": asked, "spoken": "gemini"}
    only: dict[str, Any] = {**both, "spare": False, "stream": True, "must_fail": ALL}
    return (
        Fault(f"{name}: gzip", answer(200, GEMINI_TEXT, gzip=True), **both, spare=False, stream=False),
        Fault(f"{name}: events byte by byte", byte_by_byte(GEMINI_WELL), **both, spare=False, stream=True),
        Fault(f"{name}: 503 of everything", GEMINI_DOWN, **both),
        Fault(f"{name}: RST before the first byte", close_before_head(reset=True), **both),
        Fault(f"{name}: no head in time", stall(), **both, stream=True),
        Fault(f"{name}: truncated JSON", answer(200, GEMINI_TEXT, announce_bytes=9_999), **both, stream=False),
        Fault(f"{name}: HTML with status 200", HTML, **both),
        Fault(f"{name}: error as the first event", GEMINI_FIRST_IS_ERROR, **both, stream=True),
        Fault(f"{name}: every key but the spare refused", GEMINI_INVALID, **both, guilty=_every),
        Fault(f"{name}: every key but the spare at its minute's limit", GEMINI_MINUTE, **both, guilty=_every),
        Fault(f"{name}: stall mid-stream", stall_after(GEMINI_WELL, events=2), **only),
        Fault(f"{name}: RST mid-stream", reset_after(GEMINI_WELL, events=2), **only),
        Fault(f"{name}: end mid-stream", cut_after(GEMINI_WELL, events=2), **only),
        Fault(f"{name}: stream without its end", sse(gemini_stream(SAYS, finish=None), crlf=True), **only),
    )


FAULTS = (
    Fault("connection refused", at=_refused),
    Fault("name that does not resolve", at=_unknown),
    Fault("TLS certificate nobody vouches for", at=_self_signed),
    Fault("connect timeout", at=_black_hole),
    Fault("no head in time", stall(), stream=True),
    Fault("a head that comes a byte at a time, without an end", DRIPPING, stream=True),
    Fault("hangs for good", stall(), stream=False),
    Fault("RST before the first byte", close_before_head(reset=True)),
    Fault("end before the first byte", close_before_head()),
    Fault("not HTTP at all", raw(b"SSH-2.0-OpenSSH_9.9\r\n")),
    Fault("truncated JSON", answer(200, openai_text(TEXT), announce_bytes=9_999), stream=False),
    Fault("invalid JSON", _json(b'{"id": "chatcmpl-1", "choices": [{]'), stream=False),
    Fault("HTML with status 200", HTML),
    Fault("brotli nobody asked for", _json(b"\x0b\x02\x80{}\x03", **{"Content-Encoding": "br"}), stream=False),
    Fault("gzip that is none", _json(b"{}", **{"Content-Encoding": "gzip"}), stream=False),
    Fault("error as the first event", FIRST_IS_ERROR, stream=True),
    Fault("503 of everything", DOWN),
    # One at a time: keys take turns, and of three attempts, which is all that trouble of nobody's keys may cost, the
    # third would now and then meet another of the five where others' requests turn the round meanwhile.
    Fault("500 of every fourth key", _every_fourth_fails, spare=False, bad_keys=20, at_once=1),
    Fault("90 of 100 keys refused, in three ways", _three_refusals, spare=False, guilty=_nine_of_ten, bad_keys=100),
    Fault("every key but the spare out of credit", SPENT, guilty=_every),
    Fault("every key but the spare at its minute's limit", MINUTE, guilty=_every),
    Fault("gzip", answer(200, openai_text(TEXT), gzip=True), spare=False, stream=False),
    Fault("gzip, streamed", sse(openai_stream(SAYS), done=True, gzip=True), spare=False, stream=True),
    Fault("events byte by byte", byte_by_byte(WELL), spare=False, stream=True),
    Fault(
        "100,000 events", _many_events(), spare=False, stream=True, text="x" * MANY_EVENTS, most=3,
    ),
    Fault("stall mid-stream", stall_after(WELL, events=2), spare=False, stream=True, must_fail=ALL),
    Fault("RST mid-stream", reset_after(WELL, events=2), spare=False, stream=True, must_fail=ALL),
    Fault("end mid-stream", cut_after(WELL, events=2), spare=False, stream=True, must_fail=ALL),
    Fault("stream without its end", sse(openai_stream(SAYS, finish=None)), spare=False, stream=True, must_fail=ALL),
    Fault("all keys refused", INVALID, spare=False, must_fail=ALL, guilty=_every),
    Fault("all keys at their minute's limit", MINUTE, spare=False, must_fail=ALL, guilty=_every),
    Fault("all keys of a provider that hangs", stall(), spare=False, must_fail=ALL, most=20),
    Fault("all keys of a provider that is down", DOWN, spare=False, must_fail=ALL),
    *of_gemini("Gemini", GEMINI),
    *of_gemini("OpenAI to Gemini", OPENAI_OF_GEMINI),
)  # fmt: skip


@dataclass(slots=True)
class Rig:
    """A server, its admin, and a provider that is well."""

    server: Server
    admin: Admin
    spare: ScriptedUpstream
    folder: Path


@contextmanager
def rig(template: Path, folder: Path) -> Iterator[Rig]:
    with ScriptedUpstream() as spare, Server(instance(template, folder)) as server:
        admin = Admin(server.url)
        admin.set(**QUICK)
        for spoken, place in PLACES.items():
            admin.add_provider(f"spare-{spoken}", spare.url + place, spoken)
        yield Rig(server, admin, spare, folder)


@dataclass(slots=True)
class Played:
    """One fault while it plays: its pool, whose keys those are, and what clients saw."""

    fault: Fault
    pool_id: int
    culprits: list[str]
    sent: int
    told: int
    silent: int
    calls: int
    words: set[str]


def play(house: Rig, number: int, fault: Fault, count: int) -> Played:
    """Send `count` requests to a pool whose provider fails like this."""
    with ExitStack() as stack:
        upstream = stack.enter_context(ScriptedUpstream(fault.play))
        slug, name = f"fault-{number}", f"pool of fault {number}"
        address = fault.at(stack, house.folder) if fault.at else upstream.url + PLACES[fault.spoken]
        house.admin.add_provider(slug, address, fault.spoken)
        pool_id, auth = house.admin.add_pool(name)
        bad, well = keys("bad", fault.bad_keys), keys("well", FOUR) if fault.spare else []
        house.admin.add_keys(name, slug, bad)
        if well:
            house.admin.add_keys(name, f"spare-{fault.spoken}", well)
        count = min(count, fault.most)
        how = {"stream": fault.stream, "text": fault.text, "dialect": fault.asked}
        tally = ask_all([house.server.port], auth, count, fault.at_once, **how)
        calls = len(upstream.requests) + sum(request.key in well for request in house.spare.requests)
    culprits = list(filter(fault.guilty, bad))
    return Played(fault, pool_id, culprits, tally.sent, tally.told, tally.silent, calls, tally.words)


def figures(house: Rig, played: Played) -> Figures:
    rows, fault = of_sqlite(house.server), played.fault
    broken: tuple[str, ...] = ("Traceback in the log",) if "Traceback" in house.server.log else ()
    must_fail = played.sent if fault.must_fail == ALL else 0
    if played.told != must_fail or played.silent:
        broken += tuple(played.words)
    return Figures(
        fault.name, played.sent, played.calls, played.told, played.silent,
        rows_lost(rows, played.pool_id, played.sent), blamed(rows, played.pool_id, played.culprits), must_fail, broken,
    )  # fmt: skip


def run(template: Path, folder: Path, count: int, faults: tuple[Fault, ...] = FAULTS) -> list[Figures]:
    """Every fault with so many requests, on one server; a few of them at a time."""
    with rig(template, folder) as house:
        pool = Pool(AT_ONCE)
        playing: list[Any] = [pool.spawn(play, house, number, fault, count) for number, fault in enumerate(faults)]
        pool.join(raise_error=True)
        return [figures(house, each.value) for each in playing]

"""What a client asked (`Call`), what we ask an upstream (`Ask`), and what came of it (`Reply`, `Usage`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

OPENAI = "openai"
GEMINI = "gemini"
ANTHROPIC = "anthropic"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer.

    `output` includes `thinking` (OpenAI's meaning of completion_tokens); `cached` is a part of `input`.
    `estimated` says that no upstream told us and the figures are our own guess.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    thinking: int = 0
    estimated: bool = False

    @property
    def total(self) -> int:
        return self.input + self.output


NO_USAGE = Usage()


class Upload(Protocol):
    """A request's body that is too large for memory, to be sent as often as it takes."""

    def __len__(self) -> int: ...

    def pieces(self) -> Iterator[bytes]:
        """All of it from the beginning, every time it is asked for."""
        ...

    def spliced(self, start: int, end: int, middle: bytes) -> Upload:
        """The same with other bytes between two offsets."""
        ...


@dataclass(frozen=True, slots=True)
class Pin:
    """The one key that can serve a request, because it made the object `name`. No other key is ever asked."""

    key_id: int
    name: str


@dataclass(slots=True)
class Native:
    """What a call needs whose route nobody here knows: it is passed through, and its answer goes back as it came.

    `upload` is the body where that is too large for memory; `model_at` where the model's name stands in a body that
    is not JSON. `topic` names what quotas are kept apart by where there is no model. `once`: it makes or changes
    something, so that nothing that may have arrived is sent again. `prefers` tells the key of a provider to try first,
    and `chose` hears which one is asked. `lists` is the collection whose objects are asked for, which no single key has
    all of. `learn` hears which key of which provider gave a 2xx, its headers, and its JSON or first events, before the
    client does.
    """

    upload: Upload | None = None
    model_at: tuple[int, int] | None = None
    topic: str = ""
    once: bool = False
    prefers: Callable[[str], int | None] | None = None
    chose: Callable[[int, str], None] | None = None
    lists: str = ""
    learn: Callable[[int, str, Mapping[str, str], bytes], None] | None = None


@dataclass(slots=True)
class Call:
    """One client request, after its credential was checked and before any key was chosen.

    `operation` is what is wanted, in words no dialect owns:
    chat | embeddings | messages | count_messages |
    generate | stream_generate | count_tokens | embed | batch_embed |
    responses | images | speech | raw, and what else passes an API through under a name of its own (`native`)
    `payload` is the parsed JSON body where the operation needs one; `body` the bytes as they came.
    `version` is the API version a Gemini-style URL named ("v1beta"), None for the provider's own.
    `provider` pins the provider where the route names it. A call without `request_id` is our own and leaves no record.
    `created` is the Unix second the request came in, for answers that must state one. `metered` says that the
    client key has token or cost limits, so that a streamed answer must tell its usage.
    """

    request_id: str
    dialect: str
    operation: str
    model: str
    stream: bool
    body: bytes
    payload: dict[str, Any] | None = None
    method: str = "POST"
    path: str = ""
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    version: str | None = None
    provider: str | None = None
    created: int = 0
    metered: bool = False
    native: Native | None = None
    pin: Pin | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """What to send upstream; everything but the provider's base URL and the key.

    `path` begins with "/" and is joined to the base URL; `headers` carry no credential. `version` takes the place of
    the one the base URL ends in; "" takes that away, for paths that begin before it.
    """

    method: str
    path: str
    body: bytes | Upload
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A plain (not streamed) 2xx answer, already in the client's dialect.

    `useful`: it holds content, or a block or finish reason that is an answer in itself.
    False means a 200 without any content (SPEC: another key is tried, once).
    """

    body: bytes
    usage: Usage = NO_USAGE
    useful: bool = True
    content_type: str = "application/json"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


class StreamReader(Protocol):
    """Turns the bytes of one streamed 2xx answer into whole events for the client.

    Life: `feed()` for every piece of decoded body, then `end()` once after the upstream's clean end.
    Every attempt has its own reader; bytes returned by `feed` may be held back by the caller until
    `useful` becomes true (the commit point), and are thrown away if another key is tried.
    """

    @property
    def useful(self) -> bool:
        """True from the first event that commits: text, thought, call, media, grounding, finish or block
        reason. Role-only, usage-only and empty-text events do not count."""
        ...

    @property
    def finished(self) -> bool:
        """True once the upstream said that the answer is complete (finish reason, block reason, [DONE])."""
        ...

    @property
    def failure(self) -> bytes | None:
        """The JSON of an error event (as bytes), once one came; reading stops there."""
        ...

    @property
    def usage(self) -> Usage: ...

    def feed(self, piece: bytes) -> bytes:
        """Bytes for the client: whole events only, b"" while an event is unfinished."""
        ...

    def end(self) -> bytes:
        """The closing bytes (finish chunk, usage chunk, [DONE]) after a clean upstream end.

        Check `finished` first: a stream that ended without it was cut, and must not end cleanly.
        """
        ...


class Codec(Protocol):
    """How one operation travels from a client's dialect to a provider's and back. Stateless."""

    def ask(self, call: Call, model: str) -> Ask:
        """The upstream request for `model` (the upstream's name for it).

        Raises `Fault` (400, with `param`) for what cannot be carried over; called before any key is used.
        """
        ...

    def reply(self, call: Call, headers: dict[str, str], body: bytes) -> Reply:
        """A 2xx body in the client's dialect. Raises `ValueError` where it is not what was asked for
        (HTML, truncated or invalid JSON): that answer counts as a 502."""
        ...

    def reader(self, call: Call, headers: dict[str, str]) -> StreamReader:
        """A fresh reader for one streamed 2xx answer. `headers` are lower-case."""
        ...


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: `connect_s` over all addresses, `first_byte_s` from the sent request to the head of the
    answer, `idle_s` between two pieces of the body."""

    connect_s: float = 5.0
    first_byte_s: float = 120.0
    idle_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Target:
    """One upstream HTTP request, complete: `headers` include the credential and are in sending order."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | Upload = field(repr=False)
    timeouts: Timeouts = Timeouts()
    proxy_url: str | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"Target({self.method} {self.url.partition('?')[0]})"

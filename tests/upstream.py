"""A real HTTP server that plays a script: what providers answer, and every way in which they fail.

    with ScriptedUpstream() as upstream:            # answers like Gemini and OpenAI, no script needed
        upstream.for_key("AIzaDead", gemini_error(429, "RESOURCE_EXHAUSTED"))
        upstream.script(lambda request: cut_after(sse(gemini_stream(["Hel", "lo"])), events=1))

An action is what is done with one request; functions that take an action spoil it in one more way.
`python -m tests.upstream --port 9999` runs it as a process of its own.
"""

from __future__ import annotations

import argparse
import base64
import gzip as gzip_format
import itertools
import json
import re
import socket as stdlib_socket
import struct
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import gevent
from gevent import socket
from gevent.server import StreamServer

FOREVER_S = 3600.0

# What is done on the wire -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Send:
    data: bytes
    part: str = "body"
    """head | event | body | end"""


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


@dataclass(frozen=True, slots=True)
class Close:
    reset: bool = False


Step = Send | Pause | Close


@dataclass(frozen=True, slots=True)
class Action:
    """What is done with one request, step by step; without `Close` the connection lives on."""

    steps: tuple[Step, ...]


Behaviour = Callable[["Request"], Action | None]
"""Chooses an action; None leaves the choice to the next one asked."""


def answer(
    status: int = 200,
    body: Any = b"",
    headers: dict[str, str] | None = None,
    *,
    gzip: bool = False,
    announce_bytes: int | None = None,
) -> Action:
    """A plain answer. `announce_bytes` lies about its length: more than there is, and it is truncated."""
    content, content_type = _content(body)
    all_headers = {"Content-Type": content_type} if content else {}
    if gzip:
        content = gzip_format.compress(content, mtime=0)
        all_headers["Content-Encoding"] = "gzip"
    if status not in (204, 304):
        all_headers["Content-Length"] = str(len(content) if announce_bytes is None else announce_bytes)
    steps: list[Step] = [Send(_head(status, all_headers | (headers or {})), "head")]
    if content:
        steps.append(Send(content))
    if announce_bytes is not None and announce_bytes > len(content):
        steps.append(Close())
    return Action(tuple(steps))


def sse(
    events: Iterable[Any],
    delay_s: float = 0,
    crlf: bool = False,
    done: bool = False,
    chunked: bool = True,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    gzip: bool = False,
) -> Action:
    """Server-sent events, `delay_s` before each. Not chunked: the end of the connection ends it."""
    end = "\r\n" if crlf else "\n"
    blocks = [f"data: {_text(event)}{end}{end}".encode() for event in events]
    if done:
        blocks.append(f"data: [DONE]{end}{end}".encode())
    content_type = {"Content-Type": "text/event-stream"}
    return pieces(blocks, delay_s, chunked, status=status, headers=content_type | (headers or {}), gzip=gzip)


def array_stream(chunks: Sequence[Any], delay_s: float = 0, *, chunked: bool = True) -> Action:
    """What streamGenerateContent sends without `alt=sse`: one JSON array, piece by piece."""
    blocks = [("[" if n == 0 else ",\r\n") + _text(chunk) for n, chunk in enumerate(chunks)]
    content_type = {"Content-Type": "application/json; charset=UTF-8"}
    return pieces([*(b.encode() for b in blocks), b"]"], delay_s, chunked, headers=content_type)


def pieces(
    blocks: Iterable[bytes],
    delay_s: float = 0,
    chunked: bool = True,
    *,
    status: int = 200,
    headers: dict[str, str] | None = None,
    gzip: bool = False,
) -> Action:
    """A body that comes in these pieces, each counted as one event."""
    framing = {"Transfer-Encoding": "chunked"} if chunked else {"Connection": "close"}
    if gzip:
        framing["Content-Encoding"] = "gzip"
        blocks = _gzip_pieces(blocks)
    steps: list[Step] = [Send(_head(status, framing | (headers or {})), "head")]
    for block in blocks:
        if delay_s:
            steps.append(Pause(delay_s))
        steps.append(Send(b"%x\r\n%b\r\n" % (len(block), block) if chunked else block, "event"))
    steps.append(Send(b"0\r\n\r\n", "end") if chunked else Close())
    return Action(tuple(steps))


def raw(*blocks: bytes, close: bool = True) -> Action:
    """Exactly these bytes, HTTP or not."""
    return Action((*(Send(block) for block in blocks), *([Close()] if close else [])))


def close_before_head(reset: bool = False) -> Action:
    return Action((Close(reset),))


def stall(seconds: float = FOREVER_S, then: Action | None = None) -> Action:
    """Silence before the head; nothing follows but the end, unless `then` is given."""
    return Action((Pause(seconds), *(then.steps if then else (Close(),))))


def stall_after(action: Action, seconds: float = FOREVER_S, **point: int) -> Action:
    """Silence after so many `events` or `size_bytes`, then the rest."""
    before, after = _split(action, **point)
    return Action((*before, Pause(seconds), *after))


def cut_after(action: Action, **point: int) -> Action:
    """The connection ends after so many `events` or `size_bytes` (head included)."""
    return Action((*_split(action, **point)[0], Close()))


def reset_after(action: Action, **point: int) -> Action:
    """The same, with a TCP reset."""
    # A reset overtakes what was not read yet: let the other side read first.
    return Action((*_split(action, **point)[0], Pause(0.01), Close(reset=True)))


def then_close(action: Action) -> Action:
    """Closes after an answer that promised to keep the connection."""
    return Action((*action.steps, Close()))


def early_hints_then(action: Action, status: int = 103, times: int = 1, delay_s: float = 0) -> Action:
    """1xx answers first, as HTTP allows before any final one."""
    hint = Send(f"HTTP/1.1 {status} Early\r\nLink: </style.css>; rel=preload\r\n\r\n".encode(), "head")
    return Action((*([hint] * times), *([Pause(delay_s)] if delay_s else []), *action.steps))


def byte_by_byte(action: Action) -> Action:
    """Every byte in a packet of its own."""
    steps: list[Step] = []
    for step in action.steps:
        if isinstance(step, Send):
            steps += [replace(step, data=bytes([byte])) for byte in step.data]
        else:
            steps.append(step)
    return Action(tuple(steps))


def in_turn(*actions: Action) -> Behaviour:
    """One action a request; the last one for all that follow."""
    left = list(actions)
    return lambda _request: left.pop(0) if len(left) > 1 else left[0]


def _split(
    action: Action, *, events: int | None = None, size_bytes: int | None = None
) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    before: list[Step] = []
    left = events if events is not None else size_bytes or 0
    for n, step in enumerate(action.steps):
        if not isinstance(step, Send):
            before.append(step)
        elif events is not None:
            if left <= 0 and step.part != "head":
                return tuple(before), action.steps[n:]
            before.append(step)
            left -= step.part == "event"
        else:
            if len(step.data) >= left:
                rest = replace(step, data=step.data[left:])
                return (*before, replace(step, data=step.data[:left])), (rest, *action.steps[n + 1 :])
            before.append(step)
            left -= len(step.data)
    return tuple(before), ()


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Scripted\r\n{lines}\r\n".encode("latin-1")


def _content(body: Any) -> tuple[bytes, str]:
    if isinstance(body, bytes):
        return body, "application/octet-stream" if body[:1] not in (b"{", b"[") else "application/json"
    if isinstance(body, str):
        return body.encode(), "text/plain; charset=utf-8"
    return json.dumps(body).encode(), "application/json; charset=UTF-8"


def _text(event: Any) -> str:
    if isinstance(event, bytes):
        return event.decode()
    return event if isinstance(event, str) else json.dumps(event)


def _gzip_pieces(blocks: Iterable[bytes]) -> list[bytes]:
    packer = zlib.compressobj(wbits=31)
    packed = [packer.compress(block) + packer.flush(zlib.Z_SYNC_FLUSH) for block in blocks]
    return [*packed, packer.flush()]


# Bodies in the providers' shapes ----------------------------------------------------------------------


def gemini_text(text: str = "Hello", *, model: str = "gemini-2.5-flash", finish: str | None = "STOP") -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {
        "candidates": [candidate],
        "usageMetadata": {
            "promptTokenCount": 7,
            "candidatesTokenCount": _tokens(text),
            "totalTokenCount": 7 + _tokens(text),
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 7}],
        },
        "modelVersion": model,
        "responseId": "scripted-0001",
    }


def gemini_stream(
    texts: Sequence[str] = ("Hel", "lo"), *, model: str = "gemini-2.5-flash", finish: str | None = "STOP"
) -> list[dict[str, Any]]:
    """One chunk a text; the last one says why it ended, unless `finish` is None."""
    chunks = [gemini_text(text, model=model, finish=None) for text in texts]
    total = 0
    for text, chunk in zip(texts, chunks, strict=True):
        total += _tokens(text)
        chunk["usageMetadata"] |= {"candidatesTokenCount": total, "totalTokenCount": 7 + total}
    if finish and chunks:
        chunks[-1]["candidates"][0]["finishReason"] = finish
    return chunks


def openai_text(text: str = "Hello", *, model: str = "gpt-4o-mini", finish: str = "stop") -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    return {
        "id": "chatcmpl-scripted0001",
        "object": "chat.completion",
        "created": 1780000000,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
        "usage": _openai_usage(text),
        "service_tier": "default",
        "system_fingerprint": "fp_scripted",
    }


def openai_stream(
    texts: Sequence[str] = ("Hel", "lo"),
    *,
    model: str = "gpt-4o-mini",
    finish: str | None = "stop",
    usage: bool = False,
) -> list[dict[str, Any]]:
    """Role, texts, finish and, if asked for, usage. `[DONE]` is `sse(..., done=True)`."""
    chunks = [_openai_chunk(model, {"role": "assistant", "content": "", "refusal": None})]
    chunks += [_openai_chunk(model, {"content": text}) for text in texts]
    if finish:
        chunks.append(_openai_chunk(model, {}, finish))
    if usage:
        for chunk in chunks:
            chunk["usage"] = None
        chunks.append(_openai_chunk(model, {}) | {"choices": [], "usage": _openai_usage("".join(texts))})
    return chunks


def gemini_error_body(
    status: int, name: str, message: str = "Scripted failure.", details: Sequence[Any] = ()
) -> dict[str, Any]:
    error: dict[str, Any] = {"code": status, "message": message, "status": name}
    if details:
        error["details"] = list(details)
    return {"error": error}


def gemini_error(
    status: int,
    name: str | None = None,
    message: str = "Scripted failure.",
    *,
    reason: str | None = None,
    quota_id: str | None = None,
    quota_value: str = "15",
    retry_delay: str | None = None,
    model: str = "gemini-2.5-flash",
    headers: dict[str, str] | None = None,
) -> Action:
    """An error as Google sends it: `reason` in an ErrorInfo, `quota_id` in a QuotaFailure, a RetryInfo."""
    name = name or _GOOGLE_STATUS.get(status, "UNKNOWN")
    details: list[Any] = []
    if reason:
        details.append(_google_detail("ErrorInfo", reason=reason, domain="googleapis.com"))
    if quota_id:
        violation = {
            "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_requests",
            "quotaId": quota_id,
            "quotaDimensions": {"location": "global", "model": model},
            "quotaValue": quota_value,
        }
        details.append(_google_detail("QuotaFailure", violations=[violation]))
    if retry_delay:
        details.append(_google_detail("RetryInfo", retryDelay=retry_delay))
    return answer(status, gemini_error_body(status, name, message, details), headers)


def openai_error(
    status: int,
    code: str | None = None,
    message: str = "Scripted failure.",
    *,
    type: str = "invalid_request_error",
    param: str | None = None,
    headers: dict[str, str] | None = None,
) -> Action:
    error = {"message": message, "type": type, "param": param, "code": code}
    return answer(status, {"error": error}, headers)


_GOOGLE_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def _google_detail(kind: str, **members: Any) -> dict[str, Any]:
    return {"@type": f"type.googleapis.com/google.rpc.{kind}", **members}


def _openai_chunk(model: str, delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {
        "id": "chatcmpl-scripted0001",
        "object": "chat.completion.chunk",
        "created": 1780000000,
        "model": model,
        "service_tier": "default",
        "system_fingerprint": "fp_scripted",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
    }


def _openai_usage(text: str) -> dict[str, Any]:
    return {
        "prompt_tokens": 7,
        "completion_tokens": _tokens(text),
        "total_tokens": 7 + _tokens(text),
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _tokens(text: str) -> int:
    return -(-len(text) // 4)


# What was asked ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class ClientConnection:
    number: int
    opened_at: float
    closed_at: float | None = None
    """When the client was seen to close or reset it (`time.monotonic()`); None while it is open."""
    requests: int = 0
    idle: bool = True
    socket: Any = field(default=None, repr=False)


@dataclass(slots=True)
class Request:
    method: str
    path: str
    """With the query."""
    headers: dict[str, str]
    """Names in lower case; repeated ones joined by ", "."""
    body: bytes
    connection: ClientConnection
    at: float

    @property
    def route(self) -> str:
        """The path without the query."""
        return urlsplit(self.path).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def key(self) -> str | None:
        bearer = self.headers.get("authorization", "").removeprefix("Bearer ")
        return self.headers.get("x-goog-api-key") or bearer or self.query.get("key")

    @property
    def connection_id(self) -> int:
        return self.connection.number

    @property
    def client_closed_at(self) -> float | None:
        return self.connection.closed_at


# A small provider -------------------------------------------------------------------------------------

MODELS = (
    "gemini-2.5-pro",
    "gemini-2.5-flash",
    "gemini-2.5-flash-lite",
    "gemini-2.0-flash",
    "gemma-3-27b-it",
    "gemini-embedding-001",
)
OPENAI_MODELS = ("gpt-4o", "gpt-4o-mini", "text-embedding-3-small")
MODELS_A_PAGE = 4
SAYS = ("Hello", " from", " the scripted", " upstream.")


def gemini_like(request: Request) -> Action:
    """Answers like the Gemini API and like OpenAI, depending on the path."""
    if match := re.search(r"/models/([^/:]+):(\w+)$", request.route):
        return _gemini_call(request, *match.groups())
    if request.route.endswith("/chat/completions"):
        return _openai_chat(request)
    if request.route.endswith("/embeddings"):
        return _openai_embeddings(request)
    if match := re.search(r"/models(?:/([^/]+))?$", request.route):
        listing = _openai_models if _speaks_openai(request) else _gemini_models
        return listing(request, match[1])
    return gemini_error(404, message="No such route.")


def _speaks_openai(request: Request) -> bool:
    return "authorization" in request.headers or "/openai/" in request.route


def _gemini_call(request: Request, model: str, verb: str) -> Action:
    body = request.json
    match verb:
        case "generateContent":
            return answer(200, gemini_text("".join(SAYS), model=model))
        case "streamGenerateContent":
            chunks = gemini_stream(SAYS, model=model)
            return sse(chunks, crlf=True) if request.query.get("alt") == "sse" else array_stream(chunks)
        case "countTokens":
            details = [{"modality": "TEXT", "tokenCount": 7}]
            return answer(200, {"totalTokens": 7, "promptTokensDetails": details})
        case "embedContent":
            return answer(200, {"embedding": {"values": _vector(0, body.get("outputDimensionality"))}})
        case "batchEmbedContents":
            vectors = [_vector(n, r.get("outputDimensionality")) for n, r in enumerate(body["requests"])]
            return answer(200, {"embeddings": [{"values": vector} for vector in vectors]})
    return gemini_error(404, message="No such method.")


def _gemini_models(request: Request, name: str | None) -> Action:
    if name:
        return answer(200, _gemini_model(name)) if name in MODELS else gemini_error(404, message="No such model.")
    size = min(int(request.query.get("pageSize", 50)), MODELS_A_PAGE)
    start = int(request.query.get("pageToken") or 0)
    page: dict[str, Any] = {"models": [_gemini_model(m) for m in MODELS[start : start + size]]}
    if start + size < len(MODELS):
        page["nextPageToken"] = str(start + size)
    return answer(200, page)


def _gemini_model(name: str) -> dict[str, Any]:
    methods = ["embedContent"] if "embedding" in name else ["generateContent", "countTokens"]
    return {
        "name": f"models/{name}",
        "version": "001",
        "displayName": name,
        "inputTokenLimit": 1048576,
        "outputTokenLimit": 65536,
        "supportedGenerationMethods": methods,
    }


def _openai_chat(request: Request) -> Action:
    body = request.json
    model = body.get("model", "gpt-4o-mini")
    if not body.get("stream"):
        return answer(200, openai_text("".join(SAYS), model=model))
    usage = bool((body.get("stream_options") or {}).get("include_usage"))
    return sse(openai_stream(SAYS, model=model, usage=usage), done=True)


def _openai_embeddings(request: Request) -> Action:
    body = request.json
    inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
    vectors: list[Any] = [_vector(n, body.get("dimensions")) for n in range(len(inputs))]
    if body.get("encoding_format") == "base64":
        vectors = [base64.b64encode(struct.pack(f"<{len(v)}f", *v)).decode() for v in vectors]
    rows = [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(vectors)]
    usage = {"prompt_tokens": 3 * len(inputs), "total_tokens": 3 * len(inputs)}
    return answer(200, {"object": "list", "data": rows, "model": body.get("model"), "usage": usage})


def _openai_models(request: Request, name: str | None) -> Action:
    known = MODELS if "/openai/" in request.route else OPENAI_MODELS
    rows = {m: {"id": m, "object": "model", "created": 1780000000, "owned_by": "system"} for m in known}
    if name is None:
        return answer(200, {"object": "list", "data": list(rows.values())})
    if name not in rows:
        return openai_error(404, "model_not_found", "No such model.", param="model")
    return answer(200, rows[name])


def _vector(number: int, size: int | None) -> list[float]:
    return [round(0.01 * (number + 1) * (-1) ** n * (n + 1), 4) for n in range(size or 8)]


def refuse_key(request: Request) -> Action:
    """What a provider says to a key that is not valid (any more)."""
    if _speaks_openai(request) and "/openai/" not in request.route:
        return openai_error(401, "invalid_api_key", "Incorrect API key provided.")
    message = "API key not valid. Please pass a valid API key."
    return gemini_error(400, message=message, reason="API_KEY_INVALID")


# The server -------------------------------------------------------------------------------------------


class ScriptedUpstream:
    """Listens on a free local port while the `with` block runs.

    Who decides about a request: `script`, then `for_key`, `dead_keys`, `for_path`, then `gemini_like`.
    """

    def __init__(self, script: Behaviour | Action | None = None, *, port: int = 0, tls: Any = None) -> None:
        self.requests: list[Request] = []
        self.connections: list[ClientConnection] = []
        self.dead_keys: set[str] = set()
        self._script: Behaviour | None = None
        self._by_key: dict[str, Behaviour] = {}
        self._by_path: list[tuple[str, Behaviour]] = []
        self._numbers = itertools.count(1)
        self._tls = tls
        options = {"ssl_context": tls} if tls else {}
        self._server = StreamServer(("127.0.0.1", port), self._serve, **options)
        if script is not None:
            self.script(script)

    def __enter__(self) -> ScriptedUpstream:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(timeout=0)

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}" if self._tls else f"http://127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> int:
        return sum(c.closed_at is None and c.socket is not None for c in self.connections)

    def script(self, behaviour: Behaviour | Action | None) -> None:
        """Decides about every request; a behaviour may return None to leave one alone."""
        self._script = _behaviour(behaviour) if behaviour is not None else None

    def for_key(self, key: str, behaviour: Behaviour | Action) -> None:
        self._by_key[key] = _behaviour(behaviour)

    def for_path(self, fragment: str, behaviour: Behaviour | Action) -> None:
        """For paths that contain `fragment`."""
        self._by_path.insert(0, (fragment, _behaviour(behaviour)))

    def requests_of(self, key: str) -> list[Request]:
        return [request for request in self.requests if request.key == key]

    def close_idle(self) -> None:
        """End every connection that waits for a request, as servers do after their keep-alive time."""
        for connection in self.connections:
            if connection.idle and connection.socket is not None:
                connection.socket.shutdown(stdlib_socket.SHUT_RDWR)

    def wait_until(self, claim: Callable[[], Any], within_s: float = 2.0) -> Any:
        """Wait for what the other side does; fails loudly when it does not."""
        ends = time.monotonic() + within_s
        while not (found := claim()):
            assert time.monotonic() < ends, "it did not happen in time"
            gevent.sleep(0.002)
        return found

    def _decide(self, request: Request) -> Action:
        for behaviour in self._behaviours(request):
            action = behaviour(request)
            if action is not None:
                return action
        return gemini_like(request)

    def _behaviours(self, request: Request) -> Iterable[Behaviour]:
        if self._script:
            yield self._script
        if request.key in self._by_key:
            yield self._by_key[request.key]
        if request.key in self.dead_keys:
            yield refuse_key
        yield from (behaviour for fragment, behaviour in self._by_path if fragment in request.path)

    def _serve(self, sock: Any, _address: Any) -> None:
        connection = ClientConnection(next(self._numbers), time.monotonic(), socket=sock)
        self.connections.append(connection)
        if not self._tls:
            sock.setsockopt(stdlib_socket.IPPROTO_TCP, stdlib_socket.TCP_NODELAY, 1)
        reader = _Reader(sock)
        try:
            while (request := reader.next_request(connection)) is not None:
                connection.idle = False
                connection.requests += 1
                self.requests.append(request)
                if not _play(self._decide(request), request, sock):
                    return
                connection.idle = True
            connection.closed_at = time.monotonic()
        except OSError:
            connection.closed_at = time.monotonic()
        finally:
            connection.socket = None
            sock.close()


def _behaviour(given: Behaviour | Action) -> Behaviour:
    return (lambda _request: given) if isinstance(given, Action) else given


def _play(action: Action, request: Request, sock: Any) -> bool:
    """Whether the connection lives on. Raises OSError when the client is gone."""
    for step in action.steps:
        match step:
            case Send(data, part):
                if request.method != "HEAD" or part == "head":
                    sock.sendall(data)
            case Pause(seconds):
                _pause(sock, seconds)
            case Close(reset):
                if reset:
                    linger = struct.pack("ii", 1, 0)
                    sock.setsockopt(stdlib_socket.SOL_SOCKET, stdlib_socket.SO_LINGER, linger)
                return False
    return True


def _pause(sock: Any, seconds: float) -> None:
    """Sleep, but notice a client that goes away."""
    try:
        socket.wait_read(sock.fileno(), timeout=seconds)
    except TimeoutError:
        return
    if not (sock.recv(1) if hasattr(sock, "cipher") else sock.recv(1, stdlib_socket.MSG_PEEK)):
        raise ConnectionResetError("the client is gone")
    gevent.sleep(seconds)  # it sent another request meanwhile


class _Reader:
    """Requests from a socket, one after another."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._kept = b""

    def next_request(self, connection: ClientConnection) -> Request | None:
        """None at a clean end between two requests."""
        head = self._until(b"\r\n\r\n")
        if head is None:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ", 2)
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            name = name.lower()
            headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
        return Request(method, path, headers, self._body(headers), connection, time.monotonic())

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return self._exactly(int(headers.get("content-length", 0)))
        blocks = []
        while size := int(self._until(b"\r\n") or b"0", 16):
            blocks.append(self._exactly(size + 2)[:-2])
        self._until(b"\r\n")
        return b"".join(blocks)

    def _until(self, mark: bytes) -> bytes | None:
        while mark not in self._kept:
            data = self._sock.recv(65536)
            if not data:
                if self._kept:
                    raise ConnectionResetError("the client is gone")
                return None
            self._kept += data
        found, self._kept = self._kept.split(mark, 1)
        return found

    def _exactly(self, size: int) -> bytes:
        blocks, have = [self._kept], len(self._kept)
        while have < size:
            data = self._sock.recv(65536)
            if not data:
                raise ConnectionResetError("the client is gone")
            blocks.append(data)
            have += len(data)
        everything = b"".join(blocks)
        self._kept = everything[size:]
        return everything[:size]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=9999)
    parser.add_argument("--dead-key", action="append", default=[], help="refused as not valid; may be repeated")
    parser.add_argument("--limited-key", action="append", default=[], help="refused with a minute quota")
    parser.add_argument("--latency-s", type=float, default=0.0, help="silence before every answer")
    options = parser.parse_args()
    upstream = ScriptedUpstream(port=options.port)
    upstream.dead_keys.update(options.dead_key)
    quota = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
    for key in options.limited_key:
        upstream.for_key(key, gemini_error(429, quota_id=quota, retry_delay="38s"))
    if options.latency_s:
        upstream.for_path("/", lambda request: stall(options.latency_s, then=gemini_like(request)))
    with upstream:
        print(f"scripted upstream on {upstream.url}", flush=True)
        gevent.sleep(10**9)


if __name__ == "__main__":
    main()

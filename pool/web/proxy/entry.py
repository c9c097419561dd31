"""The door of the proxy: a WSGI callable that turns an HTTP request into a `Call` and a Flask-free answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import replace
from typing import Any

from pool.admission import Admission, Entry
from pool.affinity import Affinity
from pool.core.calls import GEMINI, NO_USAGE, OPENAI, Call
from pool.core.catalogue import Catalogue
from pool.core.dialects import render_fault
from pool.core.faults import Fault
from pool.core.providers import Provider
from pool.core.tokens import estimate_prompt
from pool.listing import Listing
from pool.models import ModelList
from pool.permitting import check_model, named_model, named_policy
from pool.pinning import Pinning
from pool.relay import Answer, Caller, Relay
from pool.settings import Settings
from pool.web.access import Access, google_style, presented, without_credentials
from pool.web.request_ids import begin_request

from . import provider as of_provider
from .body import parse_object, read_body
from .raw import Raw
from .routes import Match, googles_own, match
from .sending import send
from .watch import ClientGone, Watch

log = logging.getLogger(__name__)

StartResponse = Callable[..., Any]
WSGI = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

_EXPOSED = (
    "X-Keypool-Request-Id",
    "Retry-After",
    "X-Should-Retry",
    "X-Goog-Upload-Url",
    "X-Goog-Upload-Status",
    *(f"X-Ratelimit-{what}-{of}" for of in ("Requests", "Tokens") for what in ("Limit", "Remaining", "Reset")),
)
_COMMON = [
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Expose-Headers", ", ".join(_EXPOSED)),
    ("X-Content-Type-Options", "nosniff"),
    ("Content-Security-Policy", "sandbox; default-src 'none'"),
]
_PREFLIGHT = [
    ("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE, OPTIONS"),
    ("Access-Control-Allow-Headers", "*, Authorization"),
    ("Access-Control-Max-Age", "86400"),
]
_PASSED_UP = {"HTTP_OPENAI_BETA": "OpenAI-Beta", "HTTP_X_GOOG_API_CLIENT": "X-Goog-Api-Client"}
MOST_MODEL_CHARS = 500
_STREAMING = frozenset({"stream_generate"})
_WITH_PAYLOAD = frozenset({"chat", "embeddings", "messages", "count_messages"})
_MAY_STREAM = frozenset({"chat", "messages"})


class Proxy:
    """Serves the client routes. Handed everything it needs; knows no Flask, no request globals."""

    def __init__(
        self,
        access: Access,
        relay: Relay,
        models: ModelList,
        admission: Admission,
        catalogue: Catalogue,
        affinity: Affinity,
        settings: Callable[[], Settings],
        clock: Callable[[], float],
    ) -> None:
        self._access = access
        self._relay = relay
        self._admission = admission
        self._models = models
        self._settings = settings
        self._clock = clock
        self._catalogue = catalogue
        self._affinity = affinity
        self._pinning = Pinning(affinity, lambda: catalogue.providers)
        listing = Listing(affinity, relay)
        self._raw = Raw(affinity, self._pinning, listing, catalogue, settings, clock)

    def heard_by(self, hear: Callable[[bytes], object]) -> Proxy:
        """The same door, whose requests tell `hear` what they tell the journal."""
        door, relay = copy(self), copy(self._relay)
        remember = relay.remember

        def both(line: bytes) -> None:
            remember(line)
            hear(line)

        relay.remember = both
        door._relay = relay
        return door

    def first(self, pages: WSGI) -> WSGI:
        """A WSGI app that serves client routes itself and hands everything else to `pages`.

        Flask's own matching, hooks and contexts cost more than the rest of a proxied request.
        """

        def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
            found = match(environ["REQUEST_METHOD"], _path(environ))
            if found is None:
                return pages(environ, _naming(start_response))
            return self.serve(found, environ, start_response)

        return app

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Serve a path that the blueprint matched."""
        found = match(environ["REQUEST_METHOD"], _path(environ))
        return self.serve(found or Match("unknown", OPENAI), environ, start_response)

    def serve(self, found: Match, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Answer one client request; errors are rendered in the dialect its path (and credential) decides."""
        request_id = begin_request()
        if found.provider:
            found = of_provider.resolved(found, environ["REQUEST_METHOD"], self._catalogue)
        elif found.operation == "native" and google_style(environ):
            found = googles_own(found)
        dialect = _dialect(found, environ)
        headers = [("X-Keypool-Request-Id", request_id), *_COMMON]
        if environ["REQUEST_METHOD"] == "OPTIONS":
            start_response("204 No Content", headers + _PREFLIGHT)
            return ()
        try:
            answer = self._answer(found, environ, request_id, dialect)
        except Fault as fault:
            if not environ.get("keypool.body_read") and _has_body(environ):
                _close_after(start_response)
            answer = _refusal(found, dialect, fault, environ)
            fault.told()
        except ClientGone:
            raise
        except Exception:  # the last handler: whatever broke, a client gets an answer in its own shape
            log.exception("the request failed")
            message = f"Keypool failed; its log knows more of {request_id}."
            answer = _refusal(found, dialect, Fault(500, "internal_error", message), environ)
        return send(answer, dialect, headers, environ, start_response)

    def _answer(self, found: Match, environ: dict[str, Any], request_id: str, dialect: str) -> Answer:
        if found.allow:
            raise _NotAllowed(environ["REQUEST_METHOD"], found.allow)
        if found.operation == "unknown":
            raise Fault(404, "not_found", "There is no such route.", retryable=False)
        caller, own = self._caller(found, environ, dialect)
        if found.provider and own is None:
            of_provider.check(found, caller, self._catalogue)
        policy = of_provider.policy_of(environ) if found.provider else _policy(environ)
        if policy:
            caller = replace(caller, policy=policy)
        if found.operation == "native":
            return self._raw.answer(
                found, environ, request_id, caller, own is not None,
                lambda call, caller: self._served(environ, call, caller, own),
            )  # fmt: skip
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            environ["keypool.body_read"] = True
            page = _page(environ)
            return _watched(
                environ,
                lambda: self._models.answer(found.operation, found.model, dialect, caller, page, found.provider),
            )
        body = read_body(environ, self._settings().max_body_mb * 1_000_000)
        environ["keypool.body_read"] = True
        if found.operation == "completed":
            return Answer(200, _JSON, b'{"success":true,"message":"Chat completed"}')
        call = self._call(found, environ, request_id, dialect, body)
        check_model(call.model, caller, self._catalogue)
        if found.operation == "count_messages" and not self._relay.counts_tokens(call, caller):
            return Answer(200, _JSON, b'{"input_tokens":%d}' % estimate_prompt(call))
        if self._affinity and own is None:
            self._pinning.pin(call, caller)
        return self._served(environ, call, caller, own)

    def _caller(
        self, found: Match, environ: Mapping[str, Any], dialect: str
    ) -> tuple[Caller, tuple[str, Provider] | None]:
        """Who calls. An upload goes on without a credential, as Google's own SDK does it: its address is one."""
        if found.operation == "native" and not presented(environ):
            session = self._raw.session(environ, found)
            if session is not None:
                return self._access.holder(session.holder, environ, dialect), None
        return self._access.caller(environ, dialect)

    def _served(
        self, environ: Mapping[str, Any], call: Call, caller: Caller, own: tuple[str, Provider] | None
    ) -> Answer:
        """Under the caller's limits, unless it brings a key of its own."""
        if own is not None:
            relay = self._relay.with_key(*own, caller.pool.id)
            return _watched(environ, lambda: relay.answer(call, caller))
        ask = self._raw.list_of if call.native is not None and call.native.lists else self._relay.answer
        entry = self._admission.enter(call, caller)
        if entry is None:
            return _watched(environ, lambda: ask(call, caller))
        return self._limited(environ, lambda: ask(call, replace(caller, entry=entry)), entry)

    def _limited(self, environ: Mapping[str, Any], ask: Callable[[], Answer], entry: Entry) -> Answer:
        """An answer under limits says what is left of them, also where it is an error."""
        try:
            answer = _watched(environ, ask)
        except BaseException as error:
            entry.settle(NO_USAGE)
            if isinstance(error, Fault):
                error.headers += entry.headers
            raise
        if isinstance(answer.body, bytes):
            entry.settle(NO_USAGE)  # a list of nothing asked nobody
        answer.headers += entry.headers
        return answer

    def _call(self, found: Match, environ: Mapping[str, Any], request_id: str, dialect: str, body: bytes) -> Call:
        payload: dict[str, Any] | None = None
        model, stream = found.model.removeprefix("models/"), found.operation in _STREAMING
        if found.operation in _WITH_PAYLOAD:
            payload = parse_object(body)
            model = named_model(payload, self._settings())
            stream = found.operation in _MAY_STREAM and _flag(payload, "stream")
        elif body[:1] not in (b"{", b" ", b"\n", b"\r", b"\t", b"\xef", b"["):
            parse_object(body)
        if len(model) > MOST_MODEL_CHARS:
            message = f"A model's name has at most {MOST_MODEL_CHARS} characters."
            raise Fault(400, "invalid_model", message, param="model")
        return Call(
            request_id,
            dialect,
            found.operation,
            model,
            stream,
            body,
            payload,
            environ["REQUEST_METHOD"],
            _path(environ),
            tuple(pair for pair in without_credentials(environ.get("QUERY_STRING", "")) if pair[0] != "strategy"),
            tuple((name, environ[field]) for field, name in _PASSED_UP.items() if field in environ),
            # OpenAI's clients say v1 and mean the usual one.
            found.version if dialect == GEMINI or found.version != "v1" else None,
            found.provider or None,
            created=int(self._clock()),
        )


class _NotAllowed(Fault):
    def __init__(self, method: str, allow: str) -> None:
        super().__init__(405, "method_not_allowed", f"{method} is not possible here; use {allow}.", retryable=False)
        self.allow = allow


_JSON = [("Content-Type", "application/json")]


def _dialect(found: Match, environ: Mapping[str, Any]) -> str:
    """Path and credential decide; a list of models is Google's for who presents itself Google's way."""
    if found.operation in ("models", "model") and not found.only_openai and google_style(environ):
        return GEMINI
    return found.dialect


def _policy(environ: Mapping[str, Any]) -> str | None:
    """`X-Pool-Strategy`, or None. Raises `Fault` 400 with the list for an unknown one."""
    name = environ.get("HTTP_X_POOL_STRATEGY")
    if not name and "strategy=" in environ.get("QUERY_STRING", ""):
        name = dict(without_credentials(environ["QUERY_STRING"])).get("strategy")
    return named_policy(name) if name else None


def _page(environ: Mapping[str, Any]) -> dict[str, str]:
    return dict(without_credentials(environ.get("QUERY_STRING", "")))


def _flag(payload: Mapping[str, Any], name: str) -> bool:
    value = payload.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise Fault(400, "invalid_type", f"`{name}` must be true or false.", param=name)
    return value


def _watched(environ: Mapping[str, Any], serve: Callable[[], Answer]) -> Answer:
    """Serve while the client's socket is watched; for a stream the watch goes on until its end."""
    sock = environ.get("gunicorn.socket")
    watch = Watch(sock, environ.get("keypool.arrivals")) if sock is not None else None
    answer: Answer | None = None
    try:
        answer = serve()
        return answer
    finally:
        if watch is not None:
            if answer is None or isinstance(answer.body, bytes):
                watch.stop()
            else:
                answer.close = _both(watch.stop, answer.close)


def _both(first: Callable[[], None], then: Callable[[], None]) -> Callable[[], None]:
    def close() -> None:
        first()
        then()

    return close


def _path(environ: Mapping[str, Any]) -> str:
    """The path as its sender meant it: WSGI hands UTF-8 on as if it were Latin-1."""
    path: str = environ["PATH_INFO"]
    return path if path.isascii() else path.encode("latin-1").decode("utf-8", "replace")


def _naming(start_response: StartResponse) -> StartResponse:
    """Every answer names its request, a page's too."""
    request_id = begin_request()

    def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
        return start_response(status, [*headers, ("X-Keypool-Request-Id", request_id)], *error)

    return start


def _refusal(found: Match, dialect: str, fault: Fault, environ: Mapping[str, Any]) -> Answer:
    if found.provider:
        return of_provider.refusal(fault, found.provider, environ)
    status, headers, body = render_fault(dialect, fault)
    headers += fault.headers
    if isinstance(fault, _NotAllowed):
        headers.append(("Allow", fault.allow))
    return Answer(status, headers, body)


def _has_body(environ: Mapping[str, Any]) -> bool:
    return environ.get("CONTENT_LENGTH", "0") not in ("", "0") or "HTTP_TRANSFER_ENCODING" in environ


def _close_after(start_response: StartResponse) -> None:
    """The body was not read: nothing may follow on this connection."""
    response = getattr(start_response, "__self__", None)
    if response is not None and hasattr(response, "force_close"):
        response.force_close()

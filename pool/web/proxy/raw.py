"""Routes that are passed through: what a request is about, who may ask it, which key it needs, what its answer made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from pool.affinity import FOREVER, NOBODY, Affinity, Made, holder_of
from pool.core.calls import GEMINI, OPENAI, Call, Native, Pin
from pool.core.catalogue import Catalogue, Pool
from pool.core.dialects.passing import passed_headers
from pool.core.faults import Fault
from pool.core.native import INFERENCE, LIST, MAKING, OBJECT, OTHER, Route, RouteUnknown, route_of
from pool.core.native.names import life_s, made_in
from pool.core.providers import route_model
from pool.listing import Listing
from pool.permitting import check_model, unauthenticated
from pool.pinning import Pinning, not_yours
from pool.relay import Answer, Caller
from pool.settings import Settings
from pool.web.access import without_credentials

from . import uploads
from .multipart import Form, boundary_of
from .routes import Match
from .spooling import Spooled, spool

RAW = "raw"
"""The permission of a user key for routes nobody here knows: they may cost anything and change anything."""

MOST_MODEL_CHARS = 500
_FIELDS = frozenset({"model", "stream", "stream_format"})
_HEADERS = {"CONTENT_TYPE": "Content-Type", "HTTP_ACCEPT": "Accept"}

Serve = Callable[[Call, Caller], Answer]


@dataclass(slots=True)
class Body:
    """A request's body as far as it was understood."""

    sent: bytes = b""
    upload: Spooled | None = None
    payload: dict[str, Any] | None = None
    model: str = ""
    model_at: tuple[int, int] | None = None
    stream: bool = False

    def close(self) -> None:
        if self.upload is not None:
            self.upload.close()


class Raw:
    """Handed the door's own way to serve a call, limits and all."""

    def __init__(
        self,
        affinity: Affinity,
        pinning: Pinning,
        listing: Listing,
        catalogue: Catalogue,
        settings: Callable[[], Settings],
        clock: Callable[[], float],
    ) -> None:
        self._affinity = affinity
        self._pinning = pinning
        self._listing = listing
        self._catalogue = catalogue
        self._settings = settings
        self._clock = clock

    def answer(
        self, found: Match, environ: dict[str, Any], request_id: str, caller: Caller, own_key: bool, serve: Serve
    ) -> Answer:
        """Answer a passed-through route. `own_key`: the caller brings its upstream key. Raises `Fault`."""
        method = environ["REQUEST_METHOD"]
        session = self.session(environ, found)
        try:
            route = session_route(session) if session else route_of(found.dialect, method, found.path)
        except RouteUnknown:
            raise Fault(404, "not_found", "There is no such route.", retryable=False) from None
        made = session or (None if own_key else self._permitted(route, found.dialect, caller))
        if session and session.holder != holder_of(caller) and not own_key:
            raise not_yours(session.name, found.dialect)
        body = self._read(environ, route, found)
        environ["keypool.body_read"] = True
        try:
            call = self._call(found, environ, request_id, route, body)
            if not own_key:
                self._prepare(call, route, made, caller)
            answer = serve(call, caller)
        except BaseException:
            body.close()
            raise
        return self._finished(answer, call, environ, body)

    def list_of(self, call: Call, caller: Caller) -> Answer:
        """The answer to a call for a list of objects, which no single key has. Raises `Fault`."""
        assert call.native is not None
        providers = {slug: each for slug, each in self._catalogue.providers.items() if each.dialect == call.dialect}
        if call.provider is not None:
            providers = {slug: each for slug, each in providers.items() if slug == call.provider}
        return self._listing.answer(call, caller, call.native.lists, providers)

    # -- before ---------------------------------------------------------------------------------------------

    def session(self, environ: Mapping[str, Any], found: Match) -> Made | None:
        """The upload a request goes on with, whose address only its maker knows."""
        if found.dialect != GEMINI or not found.path.startswith("/upload/"):
            return None
        name = uploads.session_name(found.path, environ.get("QUERY_STRING", ""))
        return self._affinity.find(name, self._catalogue.providers)

    def _permitted(self, route: Route, dialect: str, caller: Caller) -> Made | None:
        """May the caller ask this at all? The object the path names, where it was made here. Raises `Fault`."""
        if route.kind != INFERENCE and not self._speaks(caller.pool, dialect):
            raise Fault(404, "not_found", "No provider of this pool has this route.", retryable=False)
        if dialect == OPENAI and route.kind == OTHER and not (caller.client and RAW in caller.client.permissions):
            message = f"This route needs a user key with the permission `{RAW}`."
            raise Fault(403, "permission_required", message, type="permission_error", retryable=False)
        if route.kind in (MAKING, OBJECT, LIST) and holder_of(caller) == NOBODY:
            # Nobody holds what anybody made: it would be everybody's.
            raise unauthenticated(dialect, False)
        if route.kind != OBJECT:
            return None
        made = self._pinning.owned(route.name, caller, dialect)
        if made is None and dialect == OPENAI:
            raise not_yours(route.name, dialect)
        return made

    def _speaks(self, pool: Pool, dialect: str) -> bool:
        """Has a pool, or the one it falls back to, a provider that speaks a dialect itself?"""
        candidates = (self._catalogue.candidates(pool_id) for pool_id in (pool.id, pool.fallback_pool_id or 0))
        return any(each.speaking(dialect).dialect == dialect for found in candidates for each in found.values())

    def _goes_as_it_is(self, call: Call, pool: Pool) -> bool:
        """Does a provider that the call may go to speak its dialect, so that it is not converted?"""
        candidates = self._catalogue.candidates(pool.id) or self._catalogue.candidates(pool.fallback_pool_id or 0)
        route = route_model(call.model, candidates, pool.aliases)
        slugs = route.providers if call.model else tuple(candidates)
        return any(candidates[slug].speaking(call.dialect).dialect == call.dialect for slug in slugs)

    def _prepare(self, call: Call, route: Route, made: Made | None, caller: Caller) -> None:
        """Allow-lists, the key that the request needs, and the one it would rather have. Raises `Fault`."""
        assert call.native is not None
        if call.model:
            check_model(call.model, caller, self._catalogue)
        elif not route.free and _restricted(caller):
            message = "This key is limited to some models or to a budget, and the request does not say which model."
            raise Fault(403, "model_unreadable", message, type="permission_error", param="model", retryable=False)
        if made is not None:
            call.pin = Pin(made.key_id, route.name or made.name)
            call.provider = made.provider
        self._pinning.pin(call, caller, lambda: self._goes_as_it_is(call, caller.pool))
        holder = holder_of(caller)
        if route.kind == LIST:
            call.native.lists = route.collection
        elif route.kind == MAKING:
            # Kept at the choice, not at the answer: uploads at the same time go to one key, too.
            call.native.prefers = lambda provider: self._affinity.sticky(holder, provider)
            call.native.chose = lambda key_id, provider: self._affinity.stick(holder, provider, key_id)
        if holder != NOBODY and route.kind != LIST:
            call.native.learn = self._learner(call, route, made, holder)

    # -- the request ----------------------------------------------------------------------------------------

    def _read(self, environ: Mapping[str, Any], route: Route, found: Match) -> Body:
        content_type = environ.get("CONTENT_TYPE", "")
        limit_bytes = self._settings().max_body_mb * 1_000_000
        uploading = found.path.startswith("/upload/")
        boundary = None if uploading else boundary_of(content_type)
        if boundary is not None:
            return _read_form(environ, limit_bytes, boundary)
        taken = spool(environ, limit_bytes)
        if uploading or not taken:
            return Body(taken) if isinstance(taken, bytes) else Body(upload=taken)
        if "json" in content_type or not content_type or found.dialect == GEMINI:
            return _read_json(taken, strict=route.kind != OTHER, asks=route.kind == INFERENCE)
        return Body(taken) if isinstance(taken, bytes) else Body(upload=taken)

    def _call(self, found: Match, environ: Mapping[str, Any], request_id: str, route: Route, body: Body) -> Call:
        model = (route.model or body.model).removeprefix("models/")
        if len(model) > MOST_MODEL_CHARS:
            message = f"A model's name has at most {MOST_MODEL_CHARS} characters."
            raise Fault(400, "invalid_model", message, param="model")
        pairs = without_credentials(environ.get("QUERY_STRING", ""))
        query = tuple(pair for pair in pairs if pair[0] != "strategy")
        return Call(
            request_id,
            found.dialect,
            route.operation,
            model,
            body.stream or (("alt", "sse") if found.dialect == GEMINI else ("stream", "true")) in query,
            body.sent,
            body.payload,
            environ["REQUEST_METHOD"],
            quote(found.path, safe="/:@!$&'()*+,;=~-._"),
            query,
            _headers(environ),
            found.version if found.dialect == GEMINI else None,
            found.provider or None,
            created=int(self._clock()),
            native=Native(body.upload, body.model_at, route.topic, route.once),
        )

    # -- after ----------------------------------------------------------------------------------------------

    def _learner(
        self, call: Call, route: Route, made: Made | None, holder: int
    ) -> Callable[[int, str, Mapping[str, str], bytes], None]:
        """Remembers what an answer made, for whom and by which key, before the client hears of it."""
        # Not by way of the call, which will hold what is made here: its body would wait for the collector.
        dialect, method, path = call.dialect, call.method, call.path

        def learn(key_id: int, provider: str, headers: Mapping[str, str], said: bytes) -> None:
            if route.kind == OBJECT and made is None:
                return  # not made here: whose it is stays the upstream's affair
            if method == "DELETE" and made is not None and path.endswith("/" + made.name):
                self._affinity.forget(provider, made.name)
                return
            if made is not None and made.name.startswith(uploads.SESSIONS) and uploads.is_over(headers):
                self._affinity.forget(provider, made.name)
            address = uploads.address_in(headers)
            if address:
                self._note(provider, uploads.name_of(address), key_id, holder, None)
            if route.collection or made is not None:
                for mention in made_in(dialect, route.collection, said):
                    self._note(provider, mention.name, key_id, holder, mention.expires_at)

        return learn

    def _note(self, provider: str, name: str, key_id: int, holder: int, expires_at: float | None) -> None:
        known = self._affinity.find(name, (provider,))
        if known is not None and (known.holder != holder or known.key_id != key_id or expires_at is None):
            return
        if expires_at is None:
            dialect = self._catalogue.providers[provider].dialect if provider in self._catalogue.providers else OPENAI
            life = uploads.LIFE_S if name.startswith(uploads.SESSIONS) else life_s(dialect, name)
            expires_at = FOREVER if life is None else self._clock() + life
        self._affinity.note(Made(provider, name, key_id, holder, expires_at))

    def _finished(self, answer: Answer, call: Call, environ: Mapping[str, Any], body: Body) -> Answer:
        """The body is let go of, and the upstream's addresses in the answer become our own."""
        if isinstance(answer.body, bytes):
            body.close()
        elif body.upload is not None:
            answer.close = _both(answer.close, body.close)
        roots = [each.root for each in self._catalogue.providers.values() if each.dialect == call.dialect]
        answer.headers = uploads.with_own_addresses(answer.headers, environ, roots)
        return answer


def session_route(session: Made) -> Route:
    """What goes on is the making of a file, by the key that began it."""
    return Route(OBJECT, "object", "files", session.name, once=True, free=True)


def _restricted(caller: Caller) -> bool:
    """Is a caller held to some models, or to a budget? Then nothing may be asked of a model nobody can name."""
    client = caller.client
    if caller.pool.allowed_models or (client is not None and client.allowed_models):
        return True
    limits = [*caller.pool.limits, *(client.limits if client is not None else ())]
    return any(name.startswith("budget") for name in limits)


def _read_form(environ: Mapping[str, Any], limit_bytes: int, boundary: bytes) -> Body:
    form = Form(boundary, _FIELDS)
    taken = spool(environ, limit_bytes, form.feed)
    body = Body(taken) if isinstance(taken, bytes) else Body(upload=taken)
    try:
        form.end()
    except Fault:
        body.close()
        raise
    model, stream = form.fields.get("model"), form.fields.get("stream")
    if model is not None:
        body.model, body.model_at = model.value, (model.start, model.end)
    kind = form.fields.get("stream_format")
    body.stream = (stream is not None and stream.value.lower() in ("true", "1")) or (
        kind is not None and kind.value == "sse"
    )
    return body


def _read_json(taken: bytes | Spooled, strict: bool, asks: bool) -> Body:
    """A JSON body is read whole, as it is anywhere else. `asks`: it asks a model, and may ask for a stream."""
    if not isinstance(taken, bytes):
        whole = b"".join(taken.pieces())
        taken.close()
        taken = whole
    try:
        payload = orjson.loads(taken)
    except orjson.JSONDecodeError as error:
        if strict:
            raise Fault(400, "invalid_json", f"The request body is not valid JSON: {error}") from None
        return Body(taken)
    if not isinstance(payload, dict):
        if strict:
            raise Fault(400, "invalid_json", "The request body must be a JSON object.")
        return Body(taken)
    model = payload.get("model")
    if model is not None and not isinstance(model, str):
        raise Fault(400, "invalid_type", "`model` must be a string.", param="model")
    if asks and not isinstance(payload.get("stream"), bool | None):
        raise Fault(400, "invalid_type", "`stream` must be true or false.", param="stream")
    stream = payload.get("stream") is True or payload.get("stream_format") == "sse"
    return Body(taken, None, payload, model or "", None, stream)


def _headers(environ: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The request's headers that may go on, in plain ASCII."""
    named = {
        field[5:].replace("_", "-").title(): value
        for field, value in environ.items()
        if field.startswith("HTTP_") and isinstance(value, str)
    }
    named |= {name: environ[field] for field, name in _HEADERS.items() if environ.get(field)}
    passed = passed_headers(tuple(named.items()))
    return tuple((name, value if value.isascii() else quote(value.encode("latin-1"))) for name, value in passed)


def _both(first: Callable[[], None], then: Callable[[], None]) -> Callable[[], None]:
    def close() -> None:
        first()
        then()

    return close

"""A small provider: answers like the Gemini API and like OpenAI, depending on the path."""

from __future__ import annotations

import base64
import json
import re
import struct
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.upstream_actions import Action, answer, array_stream, sse
from tests.upstream_bodies import gemini_error, gemini_stream, gemini_text, openai_error, openai_stream, openai_text


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

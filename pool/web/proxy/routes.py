"""The map of client routes: which path and method mean which operation, in which dialect."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from pool.core.calls import ANTHROPIC, GEMINI, OPENAI
from pool.core.native.gemini import COLLECTIONS
from pool.core.providers import RESERVED_SLUGS

GEMINI_VERBS = {
    "generateContent": "generate",
    "streamGenerateContent": "stream_generate",
    "countTokens": "count_tokens",
    "embedContent": "embed",
    "batchEmbedContents": "batch_embed",
}

OPENAI_PREFIXES = ("/v1", "", "/api", "/v1beta/openai", "/<version:version>")
ANTHROPIC_PREFIXES = ("/v1", "/anthropic/v1")
"""The second one for clients whose base URL is to name whose dialect they speak."""

GEMINI_PREFIXES = ("/v1beta", "/v1", "", "/<version:version>")

RULES: tuple[tuple[str, str, str], ...] = (
    *((f"{prefix}/chat/completions", "POST", "chat") for prefix in OPENAI_PREFIXES),
    *((f"{prefix}/embeddings", "POST", "embeddings") for prefix in OPENAI_PREFIXES),
    *((f"{prefix}/models", "GET", "models") for prefix in OPENAI_PREFIXES),
    *((f"{prefix}/models/<path:model>", "GET", "model") for prefix in OPENAI_PREFIXES),
    *((f"{prefix}/models/<path:model_and_verb>", "POST", "native") for prefix in GEMINI_PREFIXES),
    *((f"{prefix}/messages", "POST", "messages") for prefix in ANTHROPIC_PREFIXES),
    *((f"{prefix}/messages/count_tokens", "POST", "count_messages") for prefix in ANTHROPIC_PREFIXES),
    ("/api/chat/completed", "POST", "completed"),
)
"""(rule, method, operation), as the blueprint mounts them. `version` is `v`, a digit, then letters or digits."""

VERSION = r"v\d[0-9a-z]*"

_OPENAI = re.compile(
    rf"(?:/v1beta/openai|/api|/(?P<version>{VERSION}))?/(?:(?P<post>chat/completions|embeddings)|models(?:/(?P<model>.+))?)"
)
_NATIVE = re.compile(rf"(?:/(?P<version>{VERSION}))?/(?P<kind>models|tunedModels)/(?P<model>[^:]+):(?P<verb>[A-Za-z]+)")
_OPERATIONS = re.compile(rf"/(?P<version>{VERSION})/models/[^/]+/operations(?:/.+)?")
_SLUG = re.compile(r"[A-Za-z0-9][\w.-]*")
_BEGINS_WITH_VERSION = re.compile(rf"/{VERSION}/")
USUAL_PREFIXES = {OPENAI: "/v1", GEMINI: "/v1beta"}
_FAST = {
    prefix + path: operation
    for prefix in ("/v1", "", "/api", "/v1beta/openai")
    for path, operation in (("/chat/completions", "chat"), ("/embeddings", "embeddings"))
}


@dataclass(frozen=True, slots=True)
class Match:
    """What a path and method ask for. `allow` names the methods where the method is the wrong one.

    `path` is what follows the version, where a route is passed through. `provider` is the one a path below `/api/`
    names.
    """

    operation: str
    dialect: str
    model: str = ""
    version: str | None = None
    allow: str | None = None
    only_openai: bool = False
    path: str = ""
    provider: str = ""


_CHAT = Match("chat", OPENAI)
_MESSAGES = {
    f"{prefix}/messages{rest}": Match(operation, ANTHROPIC)
    for prefix in ANTHROPIC_PREFIXES
    for rest, operation in (("", "messages"), ("/count_tokens", "count_messages"))
}
_EMBEDDINGS = Match("embeddings", OPENAI)


def match(method: str, path: str) -> Match | None:
    """The client route of a path; None where the path belongs to nobody here (pages, management)."""
    operation = _FAST.get(path)
    if operation is not None and method == "POST":
        return _CHAT if operation == "chat" else _EMBEDDINGS
    if len(path) > 1:
        path = path.rstrip("/")
    if path in _MESSAGES:
        return _only(method, "POST", _MESSAGES[path])
    if path == "/api/chat/completed":
        return _only(method, "POST", Match("completed", OPENAI))
    native = _NATIVE.fullmatch(path)
    if native and native["verb"] in GEMINI_VERBS:
        model = native["model"] if native["kind"] == "models" else f"{native['kind']}/{native['model']}"
        return _only(method, "POST", Match(GEMINI_VERBS[native["verb"]], GEMINI, model, native["version"]))
    if native and method == "POST":
        return _native(GEMINI, path, native["version"])
    operation_of_model = _OPERATIONS.fullmatch(path)
    if operation_of_model:
        return _native(GEMINI, path, operation_of_model["version"])
    found = _OPENAI.fullmatch(path)
    if not found:
        return _passed(path)
    if method == "DELETE" and found["model"] and path.startswith("/v1/"):
        return Match("native", OPENAI, path=path[3:])
    if found["post"]:
        meant = _CHAT if found["post"].startswith("chat") else _EMBEDDINGS
        return _only(method, "POST", replace(meant, version=found["version"]) if found["version"] else meant)
    operation = "model" if found["model"] else "models"
    only_openai = path.startswith(("/v1beta/openai", "/api"))
    return _only(method, "GET", Match(operation, OPENAI, found["model"] or "", found["version"], None, only_openai))


def _only(method: str, allowed: str, found: Match) -> Match:
    if method == allowed or (method == "HEAD" and allowed == "GET"):
        return found
    return Match(found.operation, found.dialect, found.model, found.version, allow=allowed)


def _passed(path: str) -> Match | None:
    """Below the API prefixes every path is passed through, and answered in an API's dialect, never with a page."""
    if path.startswith("/anthropic/"):
        return Match("unknown", ANTHROPIC)
    if path.startswith("/api/"):
        return _of_provider(path)
    for prefix in ("/v1/", "/v1beta/openai/"):
        if path.startswith(prefix):
            return Match("native", OPENAI, path=path[len(prefix) - 1 :], only_openai=prefix != "/v1/")
    if path == "/v1":
        return Match("unknown", OPENAI)
    if path.startswith(("/v1beta/", "/v1alpha/")):
        return _native(GEMINI, path, path.split("/")[1])
    if path.startswith(("/upload/", "/download/")):
        # These begin before the version, which is a part of them.
        return Match("native", GEMINI, path=path, version="")
    return None


def googles_own(found: Match) -> Match:
    """The same path for a caller who presents itself Google's way: its SDK looks for files, caches and the like below
    `/v1`, where OpenAI's files and batches are, too."""
    theirs = found.operation == "native" and found.dialect == OPENAI and not found.only_openai
    if theirs and found.path.split("/")[1] in COLLECTIONS:
        return replace(found, dialect=GEMINI, version="v1")
    return found


def _native(dialect: str, path: str, version: str | None) -> Match:
    return Match("native", dialect, path=path[len(version) + 1 :] if version else path, version=version)


def _of_provider(path: str) -> Match | None:
    """`/api/{provider}/{path}`; nobody's where the word is one that can name no provider."""
    slug, _, rest = path.removeprefix("/api/").partition("/")
    if slug in RESERVED_SLUGS or not _SLUG.fullmatch(slug):
        return None
    return Match("provider", OPENAI, path="/" + rest, provider=slug)


def below_provider(method: str, found: Match, dialect: str) -> Match:
    """What a path below a provider of `dialect` asks for: the same as below this pool's own prefix of that dialect."""
    path = found.path
    versioned = _BEGINS_WITH_VERSION.match(path)
    prefix = "" if versioned or path.startswith(("/upload/", "/download/")) else USUAL_PREFIXES[dialect]
    meant = match(method, prefix + path)
    if meant is not None and meant.operation in ("models", "model"):
        meant = replace(meant, dialect=dialect, only_openai=True)
    if meant is None or meant.dialect != dialect or meant.operation in ("unknown", "provider", "completed"):
        meant = Match("native", dialect, path=path)
    if prefix:
        meant = replace(meant, version=None)
    return replace(meant, provider=found.provider)

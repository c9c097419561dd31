"""OpenAI's routes beyond chat and embeddings, and those its imitators added."""

from __future__ import annotations

from pool.core.native.routes import (
    DAY_S,
    INFERENCE,
    LIST,
    MAKING,
    OBJECT,
    OTHER,
    Collection,
    Route,
    segments,
)

INFERENCES = {
    "responses": "responses",
    "responses/input_tokens": "raw",
    "responses/compact": "raw",
    "completions": "completions",
    "fim/completions": "completions",
    "images/generations": "images",
    "images/edits": "image_edits",
    "images/variations": "image_edits",
    "audio/speech": "speech",
    "audio/transcriptions": "transcriptions",
    "audio/translations": "transcriptions",
    "moderations": "moderations",
    "chat/moderations": "moderations",
    "rerank": "rerank",
    "score": "rerank",
    "classify": "raw",
    "classifications": "raw",
    "ocr": "raw",
    "edits": "raw",
    "tokenize": "raw",
    "detokenize": "raw",
    "embeddings/multimodal": "raw",
}
"""What a POST asks a model for, and the operation it is written down as."""

COLLECTIONS = {
    "files": Collection(free=True),
    "uploads": Collection(DAY_S, free=True),
    "batches": Collection(),
    "responses": Collection(30 * DAY_S),
    "conversations": Collection(),
    "vector_stores": Collection(),
    "assistants": Collection(),
    "threads": Collection(60 * DAY_S, words=frozenset({"runs"})),
    "containers": Collection(30 * DAY_S),
    "evals": Collection(),
    "videos": Collection(30 * DAY_S, words=frozenset({"edits", "extensions"})),
    "fine_tuning/jobs": Collection(),
    "chat/completions": Collection(30 * DAY_S),
}

KINDS = {
    "file": "files",
    "upload": "uploads",
    "batch": "batches",
    "response": "responses",
    "conversation": "conversations",
    "vector_store": "vector_stores",
    "assistant": "assistants",
    "thread": "threads",
    "container": "containers",
    "eval": "evals",
    "video": "videos",
    "fine_tuning.job": "fine_tuning/jobs",
}
"""What an answer calls itself in `object`, and the collection its id belongs to."""

ENDS = frozenset({"cancel", "complete", "pause", "resume"})
"""What is said to an object in the end and asks no model for anything."""

_READS = ("GET", "HEAD")


def route(method: str, path: str) -> Route:
    """What a method and a path below `/v1` mean. Raises `RouteUnknown`."""
    parts = segments(path)
    whole = "/".join(parts)
    if method == "POST" and whole in INFERENCES:
        # A response is kept by the key that gave it.
        collection = "responses" if whole == "responses" else ""
        return Route(INFERENCE, INFERENCES[whole], collection)
    collection, rest = _collection(parts)
    if not collection:
        return Route(OTHER, once=method not in _READS)
    kind = COLLECTIONS[collection]
    if not rest and method in _READS:
        return Route(LIST, "object", collection, free=True)
    if method == "POST" and (not rest or rest[0] in kind.words):
        return Route(MAKING, "object", collection, once=True, free=kind.free)
    if not rest or rest[0] in kind.words:
        return Route(OTHER, once=method not in _READS)
    changes = method not in (*_READS, "DELETE")
    free = kind.free or not changes or rest[-1] in ENDS
    return Route(OBJECT, "object", collection, f"{collection}/{rest[0]}", once=changes, free=free)


def _collection(parts: list[str]) -> tuple[str, list[str]]:
    """The collection a path begins with, and what follows; "" where it begins with none."""
    for size in (2, 1):
        name = "/".join(parts[:size])
        if name in COLLECTIONS:
            return name, parts[size:]
    return "", parts

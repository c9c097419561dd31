"""Google's routes beyond the verbs of a model that are known by name."""

from __future__ import annotations

import re

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

COLLECTIONS = {
    "files": Collection(2 * DAY_S, free=True),
    "generatedFiles": Collection(2 * DAY_S, free=True),
    "cachedContents": Collection(DAY_S),
    "operations": Collection(30 * DAY_S),
    "batches": Collection(30 * DAY_S),
    "interactions": Collection(55 * DAY_S),
    "tunedModels": Collection(),
    "corpora": Collection(),
    "fileSearchStores": Collection(),
}

MAKES_OPERATION = frozenset({"predictLongRunning", "batchGenerateContent", "asyncBatchEmbedContent"})
"""Verbs of a model that begin something which goes on after the answer."""

ENDS = frozenset({"cancel", "delete"})

_READS = ("GET", "HEAD")
_MEDIA = ("upload", "download")
_VERSION = re.compile(r"v\d[0-9a-z]*")


def route(method: str, path: str) -> Route:
    """What a method and a path below the version mean, or one that begins before it (`/upload/v1beta/files`).

    Raises `RouteUnknown`.
    """
    parts = segments(path)
    if parts[0] in _MEDIA:
        parts = parts[1:]
        if parts and _VERSION.fullmatch(parts[0]):
            parts = parts[1:]
        if not parts:
            return Route(OTHER)
    last, _, verb = parts[-1].partition(":")
    parts = [*parts[:-1], last]
    if parts[0] == "models":
        return _of_model(method, parts, verb)
    collection = parts[0]
    if collection not in COLLECTIONS:
        return Route(OTHER, once=method not in _READS)
    if len(parts) == 1:
        return _of_collection(method, collection, verb)
    changes = method not in (*_READS, "DELETE")
    free = COLLECTIONS[collection].free or not changes or verb in ENDS
    return Route(OBJECT, "object", collection, "/".join(parts[:2]), once=changes, free=free)


def _of_model(method: str, parts: list[str], verb: str) -> Route:
    if "operations" in parts[2:]:
        at = parts.index("operations", 2)
        if len(parts) == at + 1:
            return Route(LIST, "object", "/".join(parts), free=True)
        return Route(OBJECT, "object", "operations", "/".join(parts[: at + 2]), free=True)
    model = "/".join(parts[1:])
    if not verb or not model:
        return Route(OTHER, model=model)
    makes = verb in MAKES_OPERATION
    return Route(INFERENCE, "raw", "operations" if makes else "", model=model, once=makes)


def _of_collection(method: str, collection: str, verb: str) -> Route:
    if method in _READS and not verb:
        return Route(LIST, "object", collection, free=True)
    if method != "POST":
        return Route(OTHER)
    if collection == "interactions":
        return Route(INFERENCE, "raw", collection)
    return Route(MAKING, "object", collection, once=True, free=COLLECTIONS[collection].free)

"""The names of upstream objects, wherever they stand: in requests that use them, in answers that make them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from pool.core import sse
from pool.core.calls import GEMINI
from pool.core.native import gemini, openai

MOST_NODES = 20_000
"""Objects and lists looked at in one document."""

MOST_NAME_CHARS = 300
MOST_NAMES = 200

_OWN_WORDS = frozenset("metadata parameters schema json_schema input_schema arguments headers example examples".split())
"""Members whose content is the caller's own: what looks like an id in there is none."""

_FIELDS = {
    "previous_response_id": "responses",
    "response_id": "responses",
    "conversation": "conversations",
    "conversation_id": "conversations",
    "file_id": "files",
    "input_file_id": "files",
    "output_file_id": "files",
    "error_file_id": "files",
    "training_file": "files",
    "validation_file": "files",
    "file_ids": "files",
    "input_files": "files",
    "result_files": "files",
    "vector_store_id": "vector_stores",
    "vector_store_ids": "vector_stores",
    "assistant_id": "assistants",
    "thread_id": "threads",
    "container": "containers",
    "container_id": "containers",
    "eval_id": "evals",
    "batch_id": "batches",
    "video_id": "videos",
}
"""Members of OpenAI's documents that hold an id (or a list of them), and of what."""


@dataclass(frozen=True, slots=True)
class Mention:
    """An object's name, and the member that held it. `expires_at` where the document told."""

    name: str
    param: str = ""
    expires_at: float | None = None


# -- OpenAI -----------------------------------------------------------------------------------------------------


def used(document: Any) -> list[Mention]:
    """The objects an OpenAI-style document refers to."""
    found: dict[str, Mention] = {}
    for node in _objects(document):
        for param, collection in _FIELDS.items():
            value = node.get(param)
            if value is None:
                continue
            if param == "conversation" and isinstance(value, dict):
                value = value.get("id")
            for each in value if isinstance(value, list) else (value,):
                if _is_id(each) and len(found) < MOST_NAMES:
                    found.setdefault(f"{collection}/{each}", Mention(f"{collection}/{each}", param))
    return list(found.values())


def _is_id(value: Any) -> bool:
    """Names of Google's files have slashes, and are looked for in another way (`google_names`)."""
    return isinstance(value, str) and 0 < len(value) <= MOST_NAME_CHARS and "/" not in value


def made(document: Any, collection: str) -> list[Mention]:
    """The objects an OpenAI-style answer made or leads to: itself, and what it names."""
    if not isinstance(document, dict):
        return []
    own = _itself(document, collection)
    inner = [_itself(each, "") for each in document.values() if isinstance(each, dict) and each.get("object")]
    return [mention for mention in (own, *inner) if mention] + used(document)


def _itself(document: Mapping[str, Any], collection: str) -> Mention | None:
    stated, object_id = document.get("object"), document.get("id")
    # "thread.run", "file.deleted" and their like are no objects to come back to by that id alone.
    other = isinstance(stated, str) and "." in stated
    kind = openai.KINDS.get(str(stated), "" if other else collection)
    if not kind or not _is_id(object_id):
        return None
    expires_at = document.get("expires_at")
    return Mention(f"{kind}/{object_id}", expires_at=float(expires_at) if type(expires_at) is int else None)


# -- Google -----------------------------------------------------------------------------------------------------

_COLLECTION = "|".join(gemini.COLLECTIONS)
_NAME = re.compile(
    rf"(?:https?://[^\s\"]*/)?((?:models/[^/\s\"]+/operations|{_COLLECTION})/[\w.~-]+)(?:[:/?#][^\s\"]*)?"
)
_IN_BYTES = re.compile(
    rb'[/"]((?:files|cachedContents|fileSearchStores|generatedFiles)\\?/[\w.~-]{1,300})(?=[":?#]|\\?/|$)'
)
_MARKS = (b"iles/", b"iles\\/", b"cachedContents", b"fileSearchStores")


def google_names(body: bytes) -> list[str]:
    """The names of Google's objects in a body that nobody parsed, each once."""
    if not any(mark in body for mark in _MARKS):
        return []
    found = dict.fromkeys(name.replace(b"\\", b"") for name in _IN_BYTES.findall(body))
    return [name.decode("ascii", "replace") for name in found][:MOST_NAMES]


def google_made(document: Any, collection: str) -> list[Mention]:
    """The objects one of Google's answers made or leads to: files, caches, operations, and videos at their end."""
    found: dict[str, Mention] = {}
    if collection == "interactions" and isinstance(document, dict):
        begun = document.get("interaction")
        name = (begun if isinstance(begun, dict) else document).get("id")
        if _is_id(name):
            found[f"interactions/{name}"] = Mention(f"interactions/{name}")
    for node in _objects(document):
        expires_at = _moment(node.get("expirationTime") or node.get("expireTime"))
        for value in node.values():
            if not isinstance(value, str) or len(value) > 2 * MOST_NAME_CHARS or len(found) >= MOST_NAMES:
                continue
            match = _NAME.fullmatch(value)
            if match:
                found.setdefault(match[1], Mention(match[1], expires_at=expires_at))
    return list(found.values())


def _moment(text: Any) -> float | None:
    """Unix seconds of Google's RFC 3339, which has nine digits of a second."""
    if not isinstance(text, str):
        return None
    try:
        return datetime.fromisoformat(re.sub(r"\.\d+", "", text)).timestamp()
    except (ValueError, OverflowError):
        return None


# -- both -------------------------------------------------------------------------------------------------------


def made_in(dialect: str, collection: str, said: bytes) -> list[Mention]:
    """What a 2xx answer of a route made, from its JSON or its first events."""
    find = google_made if dialect == GEMINI else made
    found: dict[str, Mention] = {}
    for document in documents(said):
        for mention in find(document, collection):
            found.setdefault(mention.name, mention)
    return list(found.values())


def documents(said: bytes) -> Iterator[Any]:
    """The JSON of an answer, or of each of its events; what is none is left out."""
    whole = said.lstrip()[:1] in (b"{", b"[")
    for text in [said] if whole else [event.data for event in sse.events(said)]:
        try:
            document = orjson.loads(text)
        except orjson.JSONDecodeError:
            continue
        # An event of the Responses API holds the response.
        inner = document.get("response") if isinstance(document, dict) and "type" in document else None
        yield inner if isinstance(inner, dict) else document


def life_s(dialect: str, name: str) -> float | None:
    """How long an object is known where nobody said; None: for ever."""
    collections = gemini.COLLECTIONS if dialect == GEMINI else openai.COLLECTIONS
    parts = name.split("/")
    if "operations" in parts:
        return gemini.COLLECTIONS["operations"].life_s
    kind = collections.get("/".join(parts[:-1])) or collections.get(parts[0])
    return kind.life_s if kind else None


def _objects(document: Any) -> Iterator[Mapping[str, Any]]:
    """Every object in a document, but for those below a caller's own words."""
    waiting, seen = [document], 0
    while waiting and seen < MOST_NODES:
        node = waiting.pop()
        seen += 1
        if isinstance(node, dict):
            yield node
            waiting += [
                inner for name, inner in node.items() if isinstance(inner, dict | list) and name not in _OWN_WORDS
            ]
        elif isinstance(node, list):
            waiting += [inner for inner in node if isinstance(inner, dict | list)]

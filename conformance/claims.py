"""The language of pairs: where a claim looks, what it wants there, and where what we make is otherwise."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from conformance.cases import Unmet

MISSING = "‹missing›"
"""Stands for what is not there."""

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SNAKE = re.compile(r"_([a-z0-9])")

Path = tuple[Any, ...]
Stream = list[dict[str, Any]]


@dataclass(frozen=True)
class Difference:
    """At `path` stands `found` where a peer wants something else: `wanted` by the `verb` of a claim."""

    path: Path
    verb: str
    wanted: Any
    found: Any

    def __str__(self) -> str:
        where = ".".join(str(step) for step in self.path)
        return f"{where}: {self.verb} {json.dumps(self.wanted)[:90]}, but {json.dumps(self.found, default=str)[:90]}"


def look(document: Any, path: Any) -> Any:
    """What stands at a path of keys and indices; a key in snake_case finds its camelCase twin, as Google does."""
    for step in path:
        document = _step(document, step)
    return document


def _step(document: Any, step: Any) -> Any:
    if isinstance(document, list) and isinstance(step, int):
        return document[step] if -len(document) <= step < len(document) else MISSING
    if not isinstance(document, dict):
        return MISSING
    if step in document:
        return document[step]
    return document.get(camel(step), MISSING) if isinstance(step, str) else MISSING


def camel(name: str) -> str:
    return _SNAKE.sub(lambda found: found[1].upper(), name)


# -- verbs -----------------------------------------------------------------------------------------------------

VERBS: dict[str, Callable[[Any, Any], bool]] = {
    "equals": lambda found, wanted: alike(wanted, found),
    "equals_ci": lambda found, wanted: str(found).lower() == str(wanted).lower(),
    "one_of": lambda found, wanted: any(alike(one, found) for one in wanted),
    "absent": lambda found, wanted: (found is MISSING) is bool(wanted),
    "absent_or_null": lambda found, wanted: (found is MISSING or found is None) is bool(wanted),
    "present": lambda found, wanted: (found is not MISSING) is bool(wanted),
    "length": lambda found, wanted: hasattr(found, "__len__") and found is not MISSING and len(found) == wanted,
    "contains_text": lambda found, wanted: str(wanted) in _text(found),
    "not_contains_text": lambda found, wanted: found is not MISSING and str(wanted) not in _text(found),
    "json_equals": lambda found, wanted: _parsed(found) == wanted,
}
COLLECTED: dict[str, Callable[[list[Any], Any], bool]] = {
    "equals": lambda found, wanted: "".join(str(value) for value in found) == wanted,
    "equals_list": lambda found, wanted: found == wanted,
    "length": lambda found, wanted: len(found) == wanted,
    "all_distinct": lambda found, wanted: (len({_text(value) for value in found}) == len(found)) is bool(wanted),
    "each_contains": lambda found, wanted: (
        len(found) == len(wanted) and all(part in str(value) for part, value in zip(wanted, found, strict=True))
    ),
}
PLACES = frozenset({"path", "find", "path_in_part", "chunk", "collect", "collect_json", "note", "error", "why"})


def alike(wanted: Any, found: Any) -> bool:
    """Equal, keys in snake_case and camelCase being the same, and 1 the same as 1.0."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        names = {name if name in found else camel(name): value for name, value in wanted.items()}
        return names.keys() == found.keys() and all(alike(value, found[name]) for name, value in names.items())
    if isinstance(wanted, list) and isinstance(found, list):
        return len(wanted) == len(found) and all(alike(one, other) for one, other in zip(wanted, found, strict=True))
    return isinstance(wanted, bool) == isinstance(found, bool) and wanted == found


def _text(value: Any) -> str:
    return json.dumps(None if value is MISSING else value, ensure_ascii=False)


def _parsed(value: Any) -> Any:
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return MISSING


def _verbs(claim: dict[str, Any], known: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for verb, wanted in claim.items():
        if verb in known:
            yield verb, wanted
        elif verb not in PLACES:
            raise Unmet(f"nobody here knows the claim {verb!r}")


# -- claims ----------------------------------------------------------------------------------------------------


def differences(claim: dict[str, Any], document: Any, stream: Stream | None = None) -> list[Difference]:
    """What a claim wants in vain. `stream` are the chunks where the claim is about a stream."""
    if "collect_json" in claim:
        found = _parsed("".join(str(piece) for piece in collect(stream or [], claim["collect_json"])))
        if found == claim.get("equals"):
            return []
        return [Difference((claim["collect_json"],), "equals", claim.get("equals"), found)]
    if "collect" in claim:
        values = collect(stream or [], claim["collect"])
        return [
            Difference((claim["collect"],), verb, wanted, values)
            for verb, wanted in _verbs(claim, COLLECTED)
            if not COLLECTED[verb](values, wanted)
        ]
    if "chunk" in claim:
        document = _chunk(stream or [], claim["chunk"])
    path, value = _found(document, claim) if "find" in claim else (tuple(claim["path"]), look(document, claim["path"]))
    return [
        Difference(path, verb, wanted, value) for verb, wanted in _verbs(claim, VERBS) if not VERBS[verb](value, wanted)
    ]


def _chunk(stream: Stream, which: Any) -> Any:
    match which:
        case "last":
            return stream[-1] if stream else MISSING
        case "last_with_choice":
            return next((chunk for chunk in reversed(stream) if chunk.get("choices")), MISSING)
    return stream[which] if isinstance(which, int) and -len(stream) <= which < len(stream) else MISSING


def _found(request: dict[str, Any], claim: dict[str, Any]) -> tuple[Path, Any]:
    """The part, or the object inside it, that a `find` speaks of."""
    kind = claim["find"]
    for place, content in enumerate(request.get("contents") or ()):
        for index, part in enumerate(content.get("parts") or ()):
            if ("text" in part and content.get("role") == "model") if kind == "text_in_model" else kind in part:
                where: Path = ("contents", place, "parts", index)
                if "path_in_part" in claim:
                    return (*where, *claim["path_in_part"]), look(part, claim["path_in_part"])
                inside = () if kind == "text_in_model" else (kind,)
                return (*where, *inside, *claim["path"]), look(part, (*inside, *claim["path"]))
    return (kind,), MISSING


def collect(stream: Stream, path: str) -> list[Any]:
    """The values of `delta.a.b` over all chunks of a stream, lists opened, nulls left out."""
    first, *rest = path.split(".")
    values: list[Any] = []
    for chunk in stream:
        roots = [chunk] if first != "delta" else [choice.get("delta") for choice in chunk.get("choices") or ()]
        for root in roots:
            values += _walk(root, rest if first == "delta" else [first, *rest])
    return [value for value in values if value is not None]


def _walk(value: Any, steps: list[str]) -> list[Any]:
    if isinstance(value, list):
        return [inner for one in value for inner in _walk(one, steps)]
    if not steps:
        return [value]
    return _walk(value[steps[0]], steps[1:]) if isinstance(value, dict) and steps[0] in value else []


# -- whole documents -------------------------------------------------------------------------------------------


def compared(wanted: Any, found: Any, path: Path = (), subset: bool = False) -> Iterator[Difference]:
    """Where a document is not the one a peer makes, but for what says nothing, and for ids and times.

    `subset`: what stands beside what the peer names is nobody's business.
    """
    if wanted in ("[id]", "[date]") or (_says_nothing(wanted) and _says_nothing(found)):
        return
    if isinstance(wanted, str) and _UUID.fullmatch(wanted) and found not in (MISSING, None):
        return
    if isinstance(wanted, dict) and isinstance(found, dict):
        names = {camel(name) if name not in found and camel(name) in found else name: wanted[name] for name in wanted}
        for name in [*names, *(name for name in found if name not in names and not subset)]:
            if name not in ("id", "created") or (path and name in names):
                yield from compared(names.get(name, MISSING), found.get(name, MISSING), (*path, name), subset)
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for place, (one, other) in enumerate(zip(wanted, found, strict=True)):
            yield from compared(one, other, (*path, place), subset)
    elif not alike(wanted, found):
        yield Difference(path, "equals", wanted, found)


def _says_nothing(value: Any) -> bool:
    """OpenAI's own members are null, empty or zero where they say nothing, and so is what a peer leaves out."""
    if value is MISSING or not value:
        return True
    return isinstance(value, dict) and all(_says_nothing(inner) for inner in value.values())

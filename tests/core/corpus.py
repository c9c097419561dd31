"""Where recorded traffic lies, how a stream of it is put back on the wire, and the language of its pairs."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import orjson
import pytest

FOLDER = Path(os.environ.get("KEYPOOL_CORPUS") or Path(__file__).parents[3] / "shared" / "corpus")
MISSING = object()
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

present = pytest.mark.skipif(not FOLDER.is_dir(), reason="no recorded traffic: set KEYPOOL_CORPUS")


def files(kind: str) -> list[Path]:
    """The exchanges of a folder; notes about it begin with an underscore."""
    return sorted(path for path in (FOLDER / kind).glob("*.json") if not path.name.startswith("_"))


def load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def split(body: bytes, size: int) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]


def look(document: Any, path: list[Any]) -> Any:
    """What stands at a path of keys and indices, MISSING where nothing does."""
    for step in path:
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            return MISSING
    return document


def parts_of(request: dict[str, Any]) -> list[dict[str, Any]]:
    return [part for content in request["contents"] or () for part in content["parts"]]


def found(request: dict[str, Any], claim: dict[str, Any]) -> Any:
    """The part, or the object inside it, that a `find` speaks of."""
    kind = claim["find"]
    if kind == "text_in_model":
        turns = [content for content in request["contents"] if content["role"] == "model"]
        candidates = [part for content in turns for part in content["parts"] if "text" in part]
    else:
        candidates = [part for part in parts_of(request) if kind in part]
    assert candidates, f"no part has {kind}"
    if "path_in_part" in claim:
        return look(candidates[0], claim["path_in_part"])
    return look(candidates[0] if kind == "text_in_model" else candidates[0][kind], claim["path"])


def collect(stream: list[dict[str, Any]], path: str) -> list[Any]:
    """The values of `delta.a.b` over all chunks of a stream, lists opened."""
    steps = path.split(".")
    values: list[Any] = []
    for chunk in stream:
        roots = [chunk] if steps[0] != "delta" else [choice["delta"] for choice in chunk["choices"]]
        for root in roots:
            values += _walk(root, steps[1:] if steps[0] == "delta" else steps)
    return [value for value in values if value is not None]


def _walk(value: Any, steps: list[str]) -> list[Any]:
    if isinstance(value, list):
        return [inner for one in value for inner in _walk(one, steps)]
    if not steps:
        return [value]
    return _walk(value[steps[0]], steps[1:]) if isinstance(value, dict) and steps[0] in value else []


def check(claim: dict[str, Any], document: Any, stream: list[dict[str, Any]] | None = None) -> None:
    """Asserts one object of the language; `stream` are the chunks where the claim is about a stream."""
    where = {key: claim[key] for key in ("path", "find", "chunk", "collect", "collect_json") if key in claim}
    if "collect_json" in claim:
        assert json.loads("".join(collect(stream or [], claim["collect_json"]))) == claim["equals"], where
        return
    if "collect" in claim:
        _check_collected(claim, collect(stream or [], claim["collect"]))
        return
    if "chunk" in claim:
        document = _chunk(stream or [], claim["chunk"])
    value = found(document, claim) if "find" in claim else look(document, claim["path"])
    _check_value(claim, value, where)


def _chunk(stream: list[dict[str, Any]], which: Any) -> dict[str, Any]:
    match which:
        case "last":
            return stream[-1]
        case "last_with_choice":
            return [chunk for chunk in stream if chunk["choices"]][-1]
    return stream[which]


def _check_value(claim: dict[str, Any], value: Any, where: Any) -> None:
    text = json.dumps(value if value is not MISSING else None, ensure_ascii=False)
    for verb, wanted in claim.items():
        match verb:
            case "equals":
                assert value == wanted, where
            case "equals_ci":
                assert str(value).lower() == wanted.lower(), where
            case "one_of":
                assert value in wanted, where
            case "absent":
                assert value is MISSING, where
            case "absent_or_null":
                assert value is MISSING or value is None, where
            case "present":
                assert value is not MISSING, where
            case "length":
                assert len(value) == wanted, where
            case "contains_text":
                assert wanted in text, where
            case "not_contains_text":
                assert value is not MISSING, where
                assert wanted not in text, where
            case "json_equals":
                assert json.loads(value) == wanted, where


def _check_collected(claim: dict[str, Any], values: list[Any]) -> None:
    where = claim["collect"]
    for verb, wanted in claim.items():
        match verb:
            case "equals":
                assert "".join(values) == wanted, where
            case "equals_list":
                assert values == wanted, where
            case "length":
                assert len(values) == wanted, where
            case "all_distinct":
                assert len({orjson.dumps(value) for value in values}) == len(values), where
            case "each_contains":
                assert all(part in value for part, value in zip(wanted, values, strict=True)), where


def agrees(expected: Any, actual: Any, path: str = "") -> None:
    """Equal, but for what we say beyond it: OpenAI's own members that are null, empty or zero there,
    and ids and times, which every answer has of its own."""
    if expected in ("[id]", "[date]") or (_says_nothing(expected) and _says_nothing(actual)):
        return
    if isinstance(expected, str) and _UUID.fullmatch(expected):
        assert actual, path
        return
    if isinstance(expected, dict):
        assert isinstance(actual, dict), path
        for key, value in expected.items():
            if key in ("id", "created") and path in ("", "[]"):
                continue
            agrees(value, actual.get(key), f"{path}.{key}")
        extra = {key: value for key, value in actual.items() if key not in expected and not _says_nothing(value)}
        assert set(extra) <= {"id", "created"}, f"{path}: {extra}"
    elif isinstance(expected, list):
        assert isinstance(actual, list), path
        assert len(actual) == len(expected), path
        for one, other in zip(expected, actual, strict=True):
            agrees(one, other, f"{path}[]")
    else:
        assert actual == expected, path


def _says_nothing(value: Any) -> bool:
    return not value or (isinstance(value, dict) and all(_says_nothing(inner) for inner in value.values()))

"""Imports that have a structure: JSON of any layout, and tables (CSV, spreadsheets) with a header."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from .importing_words import NO_KEY, Row

COLUMNS = {
    "secret": ("key", "api_key", "apikey", "api key", "api-key", "keys", "api_keys", "secret", "token", "key_value",
               "value", "密钥", "令牌"),
    "email": ("email", "e-mail", "mail", "gmail", "gmail_email", "account", "邮箱", "账号"),
    "weight": ("weight", "权重"),
    "name": ("name", "label", "title", "alias", "名称"),
    "note": ("note", "notes", "remark", "remarks", "comment", "description", "备注"),
    "project": ("project", "project_id", "项目"),
    "provider": ("provider", "type", "vendor", "service", "channel_type", "类型"),
    "tags": ("tags", "tag", "labels", "标签"),
}  # fmt: skip
"""What a field may be called, in a header or as a member of an object."""

NO_UPSTREAMS = frozenset(
    "allowed_tokens auth_token proxy_keys proxy_key auth_key authkey master_key admin_key salt_key".split()
)
"""What other gateways call the keys that their own clients present."""

_FIELD = {name: field for field, names in COLUMNS.items() for name in names}
_LOOKS_LIKE_A_KEY = re.compile(r"(?:AIza|AQ\.|sk-)\S{12,}")
_LIST = re.compile(r"[\s,;]+")
_LITELLM = re.compile(r"^\s*(?:- )?litellm_params\s*:", re.M)
_YAML = re.compile(r"\s*(?:- )?(model_name|api_key)\s*:\s*(?:\"([^\"]*)\"|'([^']*)'|([^#\s]+))")
_ELSEWHERE = ("os.environ/", "${")
_GUARD = re.compile(r"^'(?= *[=+\-@\t\r\n＝＋－＠])")
"""What exports put before a cell that a spreadsheet would run."""

_RULE = re.compile(r"[\s:|-]*")


def read_json(text: str, line: int = 0) -> list[Row] | None:
    """The keys of a JSON text; None where it is none. `line` numbers its rows, else they are counted."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        value = orjson.loads(text.strip())
    except orjson.JSONDecodeError:
        return None
    rows = [
        Row.of(line or number, secret, said) for number, (secret, said) in enumerate(_walk(value, True), 1)
    ]  # fmt: skip
    return rows or [Row(line or 1, "", problem=NO_KEY)]


def _walk(value: Any, keys_expected: bool) -> Iterator[tuple[str, dict[str, str]]]:
    """(key, what is said beside it) of everything that is a key by its place or by its shape."""
    match value:
        case str():
            for piece in _LIST.split(value.strip()):
                if piece and (keys_expected or _LOOKS_LIKE_A_KEY.fullmatch(piece)):
                    secret, _, weight = piece.partition("|")
                    yield secret, {"weight": weight}
        case list():
            for item in value:
                yield from _walk(item, keys_expected)
        case dict():
            yield from _object(value)


def _object(value: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    said: dict[str, str] = {}
    for name, member in value.items():
        field = _field(name)
        if field == "tags" and isinstance(member, list):
            member = ",".join(each for each in member if isinstance(each, str))
        if field and field != "secret" and isinstance(member, str | int | float) and field not in said:
            said[field] = str(member)
    for name, member in value.items():
        if name.lower() not in NO_UPSTREAMS:
            yield from _member(name, member, said)


def _member(name: str, member: Any, said: dict[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The keys of one member of an object: its name may be one, too."""
    field = _field(name)
    if _LOOKS_LIKE_A_KEY.fullmatch(name):
        yield name, {}
    elif isinstance(member, list | dict):
        yield from _walk(member, field == "secret" or name.lower().endswith(("keys", "tokens")))
    elif isinstance(member, str) and (field == "secret" or (not field and _LOOKS_LIKE_A_KEY.fullmatch(member))):
        for secret, more in _walk(member, True):
            yield secret, {**said, **{key: text for key, text in more.items() if text}}


def _field(name: str) -> str:
    return _FIELD.get(name.lower().replace("apikey", "api_key"), "")


def read_litellm(text: str) -> list[Row] | None:
    """The keys of LiteLLM's configuration, each named for its model; None where it is another text. Those that stand
    in the environment are not there to be read."""
    if not _LITELLM.search(text):
        return None
    rows, model = [], ""
    for number, line in enumerate(text.split("\n"), 1):
        found = _YAML.match(line)
        value = (found[2] or found[3] or found[4] or "") if found else ""
        if found and found[1] == "model_name":
            model = value
        elif value and not value.startswith(_ELSEWHERE):
            rows.append(Row.of(number, value, {"name": model}))
    return rows


def read_table(text: str) -> list[Row] | None:
    """The keys of a table whose first line names its columns; None where there is no such header."""
    first = next((line for line in text.split("\n") if line.strip()), "")
    delimiter = next((mark for mark in "\t,;|" if mark in first), ",")
    names = [cell.strip().strip("\"'").lower() for cell in first.split(delimiter)]
    fields = [_FIELD.get(name, "") for name in names]
    if "secret" not in fields or (len(names) == 1 and names[0] not in ("key", "api_key", "apikey", "api key")):
        return None
    rows = []
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, skipinitialspace=True)
    try:
        for cells in reader:
            if [cell.strip().lower() for cell in cells] != names and not all(map(_RULE.fullmatch, cells)):
                rows.append(_record(reader.line_num, fields, cells))
    except csv.Error:
        return None
    return rows


def _record(line: int, fields: list[str], cells: list[str]) -> Row:
    said: dict[str, str] = {}
    for field, cell in zip(fields, cells, strict=False):
        if field and cell.strip():
            said.setdefault(field, _GUARD.sub("", cell.strip()))
    return Row.of(line, said.get("secret", "").strip("\"'"), said)

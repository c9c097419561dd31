"""Pasted text → keys: lines, lists, spreadsheets, CSV, JSON, `.env`, `email:key`, prose. Nothing is thrown away."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .importing_tables import read_json, read_litellm, read_table
from .importing_words import NO_KEY, SHORTEST, Row, judge

__all__ = ["NO_KEY", "Parsed", "Row", "parse"]

_ONE_KEY = re.compile(r"AIza[\w-]{35}|AQ\.[\w.-]{20,200}|sk-(?!pool-)[\w-]{20,250}", re.ASCII)
_IN_PROSE = re.compile(
    r"(?<![\w.-])(?:AIza[\w-]{35}|AQ\.[\w-]{20,}(?:\.[\w-]+)*|(?:sk-|gsk_|xai-)[\w-]{20,})(?![\w-])", re.ASCII
)
_ASSIGNED = re.compile(r"(?:export\s+|set\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)", re.ASCII)
_OF_KEYS = re.compile(r"key|token|secret", re.I)
_EMAIL = re.compile(r"[^\s@:,;|]+@[^\s@:,;|]+\.[^\s@:,;|]+")
_EMAIL_AND_KEY = re.compile(r"([^\s@:,;|]+@[^\s@:,;|]+?)\s*:\s*(\S+)")
_LABELLED = re.compile(r"([^:,;|]{1,80}?)\s*[:：]\s*(\S+)")
_SHAPED = re.compile(r"(?:AIza|AQ\.|sk-|gsk_|xai-)\S{12,}")
_PLAUSIBLE = re.compile(r"(?=\S*\d)(?=\S*[A-Za-z])[\w.+/=~-]{20,}", re.ASCII)
_LIST = re.compile(r"[\s,;]+")
_SEPARATORS = re.compile(r"[\t,;，；、]")
_BULLET = re.compile(r"(?:[-*•]|\d{1,6}[.)])\s+(?=\S)")
_BAR = re.compile(r"\s*\|\s*")
_WEIGHT = re.compile(r"0*(?:100|\d{1,2})", re.ASCII)
_COMMENT = re.compile(r"\s+#.*$")
_OF_JSON = re.compile(r"[{}\[\]\"]")
_BULLETS = "-*•0123456789"
_PUNCTUATION = re.compile(r"[\W_]+")
_QUOTES = "\"'`“”‘’"
_WRAPPED = _QUOTES + "<>()[]"

OWN_VARIABLES = frozenset({"ADMIN_KEY", "PROXY_API_KEY", "SECRET_KEY", "KEY_ENCRYPTION_SECRET", "ADMIN_PASSWORD"})
"""Lines of a predecessor's `.env` that hold no upstream key."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """Every row found, in the order of the text; a problem marks those that cannot be taken."""

    rows: list[Row] = field(default_factory=list)

    @property
    def usable(self) -> list[Row]:
        """What can be taken in: not impossible, and each key once."""
        return [row for row in self.rows if row.usable]

    def counts(self) -> Counter[str]:
        """How many rows there are of each kind: good, unsure, twice, impossible."""
        return Counter(row.kind for row in self.rows)


def parse(text: str) -> Parsed:
    """Every key in a text somebody pasted, whatever form it has. Never raises; 100,000 lines take about a second."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    for read in (read_json, read_table, read_litellm):
        if (found := read(text)) is not None:
            break
    return Parsed(_once(_lines(text) if found is None else found))


def _once(rows: Iterable[Row]) -> list[Row]:
    """Judge every row by its shape, and mark what stood in the text before."""
    seen: set[str] = set()
    judged = []
    for row in rows:
        judged.append(judge(row, twice=row.secret in seen))
        seen.add(row.secret)
    return judged


def _lines(text: str) -> Iterator[Row]:
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip().rstrip(",;")
        if _ONE_KEY.fullmatch(line):  # what most lines are
            yield Row(number, line)
        elif line and not line.startswith(("#", "//")) and not _PUNCTUATION.fullmatch(line):
            yield from _line(number, line)


def _line(number: int, line: str) -> Iterable[Row]:
    if line.startswith("{"):
        found = read_json(line, number)
        if found is not None:
            return found
    if "#" in line:
        line = _COMMENT.sub("", line)
    if line[0] in _BULLETS:
        line = _BULLET.sub("", line, count=1)
    assigned = _ASSIGNED.fullmatch(line) if "=" in line else None
    if assigned and (assigned[1].isupper() or _OF_KEYS.search(assigned[1])):
        return _assignment(number, assigned[1], assigned[2])
    with_email = _EMAIL_AND_KEY.fullmatch(line) if ":" in line else None
    if with_email:
        return [_weighted(number, with_email[2], email=with_email[1])]
    if "----" in line:  # e-mail, password, key: the password is nobody's business here
        cells = line.split("----")
        return _cells(number, [cell for cell in cells if _SHAPED.match(cell.strip()) or "@" in cell] or cells)
    if "|" in line:
        line = _BAR.sub("|", line)
        if line.count("|") > 1:
            return _cells(number, line.split("|"))
    if _SEPARATORS.search(line):
        return _cells(number, _SEPARATORS.split(line))
    if " " in line or "\t" in line:
        return _words(number, line)
    labelled = _LABELLED.fullmatch(line)
    if labelled and _SHAPED.fullmatch(labelled[2]):
        return [_weighted(number, labelled[2], name=_bare(labelled[1]))]
    return [_weighted(number, line)]


def _assignment(number: int, name: str, value: str) -> Iterable[Row]:
    """A line of a `.env`: `NAME=key,key`. Variables that are not about keys are passed over."""
    pieces = [bare for bare in map(_bare, _LIST.split(value.strip().strip(_QUOTES))) if bare]
    if name.upper() in OWN_VARIABLES or not (_OF_KEYS.search(name) or any(map(_SHAPED.fullmatch, pieces))):
        return []
    provider = "openai" if "OPENAI" in name.upper() else "gemini" if re.search("GEMINI|GOOGLE", name.upper()) else ""
    return [_weighted(number, piece, provider=provider) for piece in pieces]


def _cells(number: int, cells: list[str]) -> Iterable[Row]:
    """Cells of a line: several keys, or one key with an e-mail address, a weight and notes beside it."""
    cells = [plain for plain in (cell.strip().strip(_QUOTES).strip() for cell in cells) if plain]
    shaped = [cell for cell in cells if _SHAPED.match(cell) and " " not in cell]
    keys = shaped or [cell for cell in cells if _PLAUSIBLE.fullmatch(cell) and not _EMAIL.fullmatch(cell)]
    if len(keys) == 1:
        said = _beside(cell for cell in cells if cell is not keys[0])
        note = said.get("note", "")
        if len(note) > SHORTEST and _IN_PROSE.search(note):  # a second key, among words
            return _words(number, " ".join(cells))
        return [_weighted(number, keys[0], **said)]
    if len(keys) == len(cells) or (len(keys) > 1 and not any(" " in cell for cell in cells)):
        rest = [cell for cell in cells if cell not in keys and not _EMAIL.fullmatch(cell)]
        return [_weighted(number, cell) for cell in keys + rest]
    return _words(number, " ".join(cells)) if any(" " in cell for cell in cells) else _each(number, cells)


def _each(number: int, cells: list[str]) -> list[Row]:
    """Each cell for a key; where it is a piece of JSON, as of a text that broke off, the keys in it."""
    rows = []
    for cell in cells:
        if _OF_JSON.search(cell):
            rows += [Row(number, secret) for secret in _IN_PROSE.findall(cell)]
        elif not _EMAIL.fullmatch(cell):
            rows.append(_weighted(number, cell))
    return rows or [Row(number, "", problem=NO_KEY)]


def _beside(cells: Iterable[str], joint: str = " · ") -> dict[str, str]:
    """What stands beside a key in its line, by what it looks like."""
    said: dict[str, str] = {}
    notes = []
    for cell in cells:
        if "email" not in said and _EMAIL.fullmatch(cell):
            said["email"] = cell
        elif "weight" not in said and _WEIGHT.fullmatch(cell):
            said["weight"] = cell
        else:
            notes.append(cell)
    if notes:
        said["note"] = joint.join(notes)
    return said


def _words(number: int, line: str) -> Iterable[Row]:
    """A line with spaces: a list of keys, `name: key`, a key and words about it, or prose with keys in it."""
    words = [bare for bare in (_bare(word) for word in line.split()) if bare]
    if words and all(map(_SHAPED.fullmatch, words)):
        return [_weighted(number, word) for word in words]
    shaped = _IN_PROSE.findall(line)
    labelled = _LABELLED.fullmatch(line)
    if len(shaped) == 1 and labelled and _bare(labelled[2]).startswith(shaped[0]):
        return [_weighted(number, _bare(labelled[2]), name=_bare(labelled[1]))]
    if len(shaped) == 1 and words[0].startswith(shaped[0]):
        return [_weighted(number, words[0], **_beside(words[1:], " "))]
    if shaped:
        return [Row(number, secret) for secret in shaped]
    plausible = [word for word in words if _PLAUSIBLE.fullmatch(word) and not _EMAIL.fullmatch(word)]
    if len(plausible) == len(words) and words:
        return [_weighted(number, word) for word in words]
    if len(plausible) == 1 and words[0] == plausible[0]:
        return [_weighted(number, words[0], **_beside(words[1:], " "))]
    return [Row(number, "", problem=NO_KEY)]


def _weighted(number: int, text: str, **said: str) -> Row:
    """A row of `key` or `key|weight`."""
    secret, bar, weight = _bare(text).partition("|")
    if bar:
        if weight.strip().isdecimal():
            said["weight"] = weight.strip()
        elif weight.strip():
            said["note"] = weight.strip()
    return Row.of(number, secret.strip(), said)


def _bare(text: str) -> str:
    return text.strip().strip(_WRAPPED).strip().rstrip(".,;:").strip(_WRAPPED)

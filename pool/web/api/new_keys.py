"""Adding keys, one or many: `POST /admin/keys` and `/batch`, in two predecessors' shapes and in one of our own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from flask import Response
from pydantic import AfterValidator, Field

from pool.core import lengths
from pool.core.faults import Fault
from pool.core.importing_words import UNKNOWN, Row, guess, impossible
from pool.core.masking import mask
from pool.web.api.answers import answer
from pool.web.api.key_edits import KeyWords, Metadata, Secret, Tags, Tier, Weight, Whole, edit, hold, said
from pool.web.api.key_shapes import PROBLEMS, KeyTold, Line, Note, Reference, key_of, key_told, plainly, pool_of
from pool.web.api.keys import TAG
from pool.web.api.operations import Asked, Shapes, Told, operation
from pool.web.here import aside, audit, keypool, now

MOST_ROWS = 100_000
MOST_BYTES = 50_000_000

DUPLICATE, EXISTS = "API Key已存在", "This API key is here already."
NEEDED_000, NEEDED_003 = "api_key 和 gmail_email 是必填字段", "Provider and apiKey are required"
USUAL_003 = 1_000
"""What a key of that predecessor may be used for where nobody says."""


class NewKey(KeyWords):
    """A key, and what is said of it."""

    key: Secret
    provider: str | None = Field(None, max_length=60, description="A slug; else it is told by the key's shape.")
    pool: Reference | None = Field(None, description="`default`, where nothing is said.")


class NewKey000(Asked):
    """As a predecessor's clients send it: with an e-mail address, and for Gemini."""

    api_key: Secret | None = None
    gmail_email: Line | None = None
    notes: Note | None = None
    provider: str = Field("gemini", max_length=60)
    pool: Reference | None = None
    weight: Weight | None = None
    tags: Tags | None = None


class NewKey003(Asked):
    """As another predecessor's clients send it: with a cap of 1,000 attempts unless they say another."""

    provider: Annotated[str, Field(max_length=60)] | None = None
    apiKey: Secret | None = None
    maxRequests: Whole | None = USUAL_003
    metadata: Metadata | None = None
    pool: Reference | None = None
    weight: Weight | None = None
    tier: Tier | None = None
    isActive: bool = True


class AddedId(Told):
    id: int


class AddedTold(Told):
    success: bool
    message: str
    id: int
    keyId: str
    provider: str
    result: str = Field(description="added; linked: it was in other pools; restored: it was in the bin.")
    warnings: list[str]
    data: AddedId
    key: KeyTold


def _shape(given: Mapping[str, Any]) -> type[NewKey] | type[NewKey000] | type[NewKey003]:
    if "key" in given:
        return NewKey
    if "apiKey" in given or ("provider" in given and "api_key" not in given):
        return NewKey003
    return NewKey000 if given.keys() & {"api_key", "gmail_email"} else NewKey


@operation(
    "POST", "/admin/keys", tag=TAG, summary="Add a key", body=Shapes((NewKey, NewKey000, NewKey003), _shape),
    answers={201: AddedTold}, example={"key": "AIzaSy…", "pool": "default", "tags": ["paid"], "note": "the team's"},
)  # fmt: skip
def add_key(body: NewKey | NewKey000 | NewKey003) -> Response:
    """One key into one pool. A key of another pool joins this one as well; one in the bin comes back; one that is in
    this pool already is 409."""
    match body:
        case NewKey003():
            return _add_003(body)
        case NewKey000():
            return _add_000(body)
    given, secret = said(None, body), body.key.strip()
    given.pop("key", None)
    provider = _provider(secret, given.pop("provider", None))
    problem = impossible(secret) or ("own_key" if _own(secret) else "")
    if problem:
        raise Fault(400, "invalid_value", f"`key`: {PROBLEMS[problem]}", param="key", retryable=False)
    pool_id = pool_of(body.pool) if body.pool is not None else None
    given.pop("pool", None)
    key_id, fate = _take(secret, provider, pool_id, given)
    if fate == "duplicate":
        raise Fault(409, "key_exists", EXISTS, param="key", retryable=False, details={"id": key_id})
    return _added(key_id, fate, "Key added successfully", secret)


def _add_000(body: NewKey000) -> Response:
    secret = (body.api_key or "").strip()
    if not secret or not body.gmail_email:
        plainly(NEEDED_000, 400)
    _refuse_plainly(secret, body.provider)
    given = {"email": body.gmail_email, "note": body.notes or "", "weight": body.weight, "tags": body.tags or []}
    key_id, fate = _take(secret, body.provider, pool_of(body.pool) if body.pool else None, given)
    if fate == "duplicate":
        plainly(DUPLICATE, 409)
    return _added(key_id, fate, "API Key添加成功", secret)


def _add_003(body: NewKey003) -> Response:
    secret = (body.apiKey or "").strip()
    if not secret or not body.provider:
        plainly(NEEDED_003, 400)
    _refuse_plainly(secret, body.provider)
    noted = said(None, KeyWords.model_validate({"metadata": body.metadata or {}}))
    given = {
        **noted, "max_requests": body.maxRequests, "weight": body.weight, "tier": body.tier, "enabled": body.isActive
    }  # fmt: skip
    key_id, fate = _take(secret, body.provider, pool_of(body.pool) if body.pool else None, given)
    if fate == "duplicate":
        plainly(EXISTS, 409)
    return _added(key_id, fate, "Key added successfully", secret)


def _refuse_plainly(secret: str, provider: str) -> None:
    problem = impossible(secret) or ("own_key" if _own(secret) else "")
    if problem:
        plainly(PROBLEMS[problem], 400)
    if provider not in keypool().catalogue.providers:
        plainly(f"Unsupported provider: {provider}", 400)


def _own(secret: str) -> bool:
    """Is it a client key of ours?"""
    return keypool().vault.digest(secret) in keypool().catalogue.credentials


def _provider(secret: str, named: str | None) -> str:
    """Raises `Fault` 400 for one there is not, and where the key's shape says nothing."""
    provider, known = named or guess(secret)[0], keypool().catalogue.providers
    if provider in known:
        return provider
    message = f"There is no provider {provider!r}." if provider != UNKNOWN else "Whose key is this? Its shape says not."
    details = {"allowed": sorted(known)}
    raise Fault(400, "invalid_value", f"`provider`: {message}", param="provider", retryable=False, details=details)


def _take(secret: str, provider: str, pool_id: int | None, given: Mapping[str, Any]) -> tuple[int, str]:
    """Take one key in, with all that is said of it: its id, and what became of it."""
    pool_id = pool_id or keypool().catalogue.default_pool_id
    said_of_it = {name: value for name, value in given.items() if value not in (None, "", [])}
    hold(said_of_it)
    new = Row(0, secret, provider, weight=said_of_it.pop("weight", 1))
    (taken,) = keypool().inventory.add_keys([new], pool_id, "api", "admin")
    if taken.fate == "duplicate":
        return taken.key_id, taken.fate
    row = key_of(str(taken.key_id))
    edit(row, said_of_it, trail=False)
    audit("key.add", f"key {taken.key_id}", after={"key": row.hint, "result": taken.fate, "pool": pool_id})
    return taken.key_id, taken.fate


def _added(key_id: int, fate: str, message: str, secret: str) -> Response:
    row = key_of(str(key_id))
    told = {"success": True, "message": message, "id": key_id, "keyId": row.public_id, "provider": row.provider}
    warning = guess(secret)[1]
    told |= {"result": fate, "warnings": [warning] if warning else [], "data": {"id": key_id}}
    return answer({**told, "key": key_told(row, now())}, 201)


# -- many at once -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rows:
    """What is looked at away from the hub: ten thousand rows take long."""

    given: list[Any]


Many = Annotated[list[Any], Field(max_length=MOST_ROWS), AfterValidator(Rows)]


class BatchAsked(Asked):
    """Rows are keys, or objects with a key and words beside it, by any of the names that one key alone is added by."""

    api_keys: Many | None = Field(None, description="As a predecessor sends them.")
    keys: Many | None = None
    pool: Reference | None = None
    provider: str | None = Field(None, max_length=60)


class BatchRow(Told):
    index: int = Field(description="From 1.")
    id: int
    api_key: str = Field(description="Its mask.")
    gmail_email: str
    notes: str | None = None
    result: str


class BatchError(Told):
    index: int
    data: dict[str, Any]
    error: str
    code: str


class BatchParts(Told):
    success: list[BatchRow]
    errors: list[BatchError]
    duplicates: list[BatchRow]
    total: int


class BatchTold(Told):
    success: bool
    message: str
    data: BatchParts


@operation(
    "POST", "/admin/keys/batch", tag=TAG, summary="Add many keys", body=BatchAsked, answers={201: BatchTold},
    most_bytes=MOST_BYTES, example={"api_keys": [{"api_key": "AIzaSy…", "gmail_email": "ana@example.com"}]},
)  # fmt: skip
def add_batch(body: BatchAsked) -> Response:
    """Each row is taken in or refused by itself; those that are here already are told as errors and as duplicates."""
    rows: list[Any] = next((each.given for each in (body.api_keys, body.keys) if each and each.given), [])  # type: ignore[attr-defined]
    if not rows:
        plainly("api_keys 必须是非空数组", 400)
    pool_id = pool_of(body.pool) if body.pool is not None else keypool().catalogue.default_pool_id
    usual = body.provider or ""
    good, errors = aside(_sorted, rows, usual, frozenset(keypool().catalogue.providers))
    taken = keypool().inventory.add_keys([row for row, _ in good], pool_id, "api", "admin") if good else []
    parts = aside(_parts, good, errors, taken, len(rows))
    done, failed = len(parts["success"]), len(parts["errors"])
    if done:
        audit("key.import", f"pool {pool_id}", after={"added": done, "refused": failed})
    return answer({"success": True, "message": f"批量添加完成: 成功{done}个, 失败{failed}个", "data": parts}, 201)


Good = tuple[Row, dict[str, Any]]


def _sorted(rows: Sequence[Any], usual: str, providers: frozenset[str]) -> tuple[list[Good], list[dict[str, Any]]]:
    """Rows that can be taken in, each with what is told of it, and what is wrong with the others. Runs aside."""
    good, errors = [], []
    for index, given in enumerate(rows, 1):
        row, wrong = _row(index, given, usual, providers)
        told = {"api_key": mask(row.secret) if row.secret else "", "gmail_email": row.email, "notes": row.note or None}
        if wrong:
            code, message = wrong
            errors.append({"index": index, "data": told, "error": message, "code": code})
        else:
            good.append((row, {"index": index, **told}))
    return good, errors


def _row(index: int, given: Any, usual: str, providers: frozenset[str]) -> tuple[Row, tuple[str, str] | None]:
    if isinstance(given, str):
        given = {"key": given}
    if not isinstance(given, dict):
        return Row(index, ""), ("invalid_type", NEEDED_000)
    texts = {name: value.strip() for name, value in given.items() if isinstance(value, str)}
    secret = texts.get("api_key") or texts.get("key") or texts.get("apiKey") or ""
    email = texts.get("gmail_email") or texts.get("email") or ""
    words = {"email": email, "note": texts.get("notes") or texts.get("note") or "", "name": texts.get("name", ""),
             "project": texts.get("project", "")}  # fmt: skip
    row = Row.of(index, secret, {name: value for name, value in words.items() if value})
    row.provider = texts.get("provider") or usual or ("gemini" if "api_key" in given else guess(secret)[0])
    tags = given.get("tags")
    row.tags = tuple(str(tag).strip()[: lengths.LINE] for tag in tags if tag)[:50] if isinstance(tags, list) else ()
    weight, cap = given.get("weight"), given.get("max_requests", given.get("maxRequests"))
    row.weight = weight if type(weight) is int and 0 <= weight <= 100 else 1
    row.max_requests = cap if type(cap) is int and 0 <= cap < 2**31 else None
    return row, _wrong(row, "api_key" in given, providers)


def _wrong(row: Row, as_000: bool, providers: frozenset[str]) -> tuple[str, str] | None:
    if not row.secret or (as_000 and not row.email):
        return "missing_required_parameter", NEEDED_000 if as_000 or not row.secret else PROBLEMS["no_key"]
    if "\0" in f"{row.email}{row.note}{row.name}{row.project}{''.join(row.tags)}":
        return "invalid_value", "A NUL cannot be stored."
    problem = impossible(row.secret)
    if problem:
        return problem, PROBLEMS[problem]
    return None if row.provider in providers else ("unknown_provider", f"Unsupported provider: {row.provider}")


def _parts(good: list[Good], errors: list[dict[str, Any]], taken: Sequence[Any], total: int) -> dict[str, Any]:
    """What became of each row. Runs aside."""
    success, duplicates = [], []
    for (_, told), each in zip(good, taken, strict=True):
        told = {**told, "id": each.key_id, "result": each.fate}
        if each.fate == "duplicate":
            duplicates.append(told)
            data = {name: told[name] for name in ("api_key", "gmail_email", "notes")}
            errors.append({"index": told["index"], "data": data, "error": DUPLICATE, "code": "duplicate"})
        else:
            success.append(told)
    errors.sort(key=lambda error: error["index"])
    return {"success": success, "errors": errors, "duplicates": duplicates, "total": total}

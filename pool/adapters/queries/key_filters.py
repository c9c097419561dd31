"""Which keys a list, or an action on many, is about, and in which order they come: conditions of SQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import (
    Boolean,
    ColumnElement,
    Double,
    String,
    and_,
    bindparam,
    case,
    cast,
    exists,
    false,
    func,
    not_,
    or_,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from pool.adapters.tables import Key, KeyHealth, Membership, Provider

HEALTHY, COOLING, DISABLED, DEAD = STANDINGS = ("healthy", "cooling", "disabled", "dead")
"""Each key stands in one of these ways."""

LIMITED, UNTESTED = "limited", "untested"
STATES = (*STANDINGS, LIMITED, UNTESTED)
"""What a list may be narrowed to. Those at a limit of their own, or never tried, are among the others as well."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which keys: what is empty leaves none out. `now` is the moment a state is told of.

    `code` is a status (429) or a word (overloaded) of the last error, or of what the key rests for. `limited` are the
    keys at a limit of their own, which only memory knows. `import_id`: what an import made, brought back or linked.
    `model`: those that rest for it now, or for every model. `added_since`: Unix seconds. `ids`: of these at most.
    """

    now: float = 0.0
    search: str = ""
    state: str = ""
    code: str = ""
    tag: str = ""
    project: str = ""
    provider: str = ""
    pool_id: int | None = None
    binned: bool = False
    limited: Collection[int] = ()
    import_id: int | None = None
    model: str = ""
    added_since: float | None = None
    ids: Sequence[int] | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """What keys are sorted by; those alike follow by their ids."""

    by: str = "id"
    falling: bool = False


_RATE = case((Key.requests == 0, 1.0), else_=cast(Key.successes, Double) / cast(Key.requests, Double))

SORTS: dict[str, Any] = {
    "id": Key.id,
    "created_at": Key.created_at,
    "last_used_at": func.coalesce(Key.last_used_at, 0.0),
    "requests": Key.requests,
    "errors": Key.errors,
    "tokens": Key.tokens,
    "cost_usd": Key.cost_nano,
    "success_rate": _RATE,
    "deleted_at": func.coalesce(Key.deleted_at, 0.0),
}


def conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    found = of_pool_and_search(wanted.pool_id, wanted.search, wanted.binned)
    if wanted.ids is not None:
        found.append(Key.id.in_(wanted.ids))
    if wanted.state:
        found.append(state(wanted))
    if wanted.code:
        found.append(_failed_with(wanted.code, wanted.now))
    if wanted.tag:
        found.append(_tagged(wanted.tag))
    if wanted.project:
        found.append(Key.project == wanted.project)
    if wanted.import_id is not None:
        linked = select(Membership.key_id).where(Membership.import_id == wanted.import_id)
        found.append(or_(Key.import_id == wanted.import_id, Key.restored_by == wanted.import_id, Key.id.in_(linked)))
    if wanted.model:
        names = {wanted.model, wanted.model.removeprefix("models/"), ""}
        rests = select(KeyHealth.key_id).where(KeyHealth.model.in_(names), in_force(wanted.now))
        found.append(Key.id.in_(rests))
    if wanted.added_since is not None:
        found.append(Key.created_at >= wanted.added_since)
    if wanted.provider:
        provider_id = select(Provider.id).where(Provider.slug == wanted.provider).scalar_subquery()
        # + 0: SQLite would rather read all keys of the provider by that index, and sort them, than the next fifty.
        found.append(Key.provider_id + 0 == provider_id)
    return found


def beyond(order: Order, value: Any, key_id: int) -> ColumnElement[bool]:
    """What comes after a place: after the key `key_id`, which is sorted by `value`."""
    column = SORTS[order.by]
    after = Key.id < key_id if order.falling else Key.id > key_id
    if order.by == "id":
        return after
    return or_(column < value if order.falling else column > value, and_(column == value, after))


def sorting(order: Order) -> list[Any]:
    # + 0: for the second of them SQLite takes an index of any column, and looks every key up in its order.
    columns = [Key.id] if order.by == "id" else [SORTS[order.by], Key.id + 0]
    return [column.desc() if order.falling else column.asc() for column in columns]


def of_pool_and_search(pool_id: int | None, search: str, binned: bool = False) -> list[ColumnElement[bool]]:
    """Keys of a pool, and that a search finds: those in the bin, or those that are not."""
    # coalesce: SQLite would rather walk through an index of all live keys, and look up one by one what it found there.
    live = func.coalesce(Key.deleted_at, 0.0) == 0.0
    found: list[ColumnElement[bool]] = [Key.deleted_at.is_not(None) if binned else live]
    if binned:
        # The row of a purged key stays, and is nobody's any more.
        found.append(Key.secret.is_not(None))
    if pool_id is not None:
        seat = select(Membership.key_id).where(Membership.pool_id == pool_id, Membership.removed_at.is_(None))
        found.append(Key.id.in_(seat))
    if search:
        own = (Key.hint_prefix, Key.hint_suffix, Key.name, Key.note, Key.email, Key.last_error, Key.project)
        columns = [*own, cast(Key.tags, String)]
        found.append(or_(*(_Holds(column, _pattern(search)) for column in columns), *_as_shown(search)))
    return found


class _Holds(FunctionElement[bool]):
    """Does a text match a pattern, whatever the case of its letters? SQLite's LIKE is that already: the two `lower`
    that `icontains` puts round it treble the time of a search."""

    inherit_cache = True
    type = Boolean()


@compiles(_Holds)
def _holds(element: _Holds, compiler: Any, **words: Any) -> str:
    text, pattern = (compiler.process(each, **words) for each in element.clauses)
    return f"({text} {'LIKE' if compiler.dialect.name == 'sqlite' else 'ILIKE'} {pattern} ESCAPE '/')"


def _pattern(search: str) -> str:
    plain = search.replace("/", "//").replace("%", "/%").replace("_", "/_")
    return f"%{plain}%"


def _as_shown(search: str) -> list[ColumnElement[bool]]:
    """A key by its mask, or by a part of that: `AIzaSyDe...9BgL`."""
    begin, *rest = (part.strip() for part in search.replace("…", "...").split("...", 1))
    if not rest or not (begin or rest[0]):
        return []
    end = rest[0]
    columns = Key.hint_prefix.iendswith(begin, autoescape=True), Key.hint_suffix.istartswith(end, autoescape=True)
    return [and_(Key.hint_prefix != "", *columns)]


def state(wanted: Wanted) -> ColumnElement[bool]:
    if wanted.state == UNTESTED:
        return and_(Key.checked_at.is_(None), Key.requests == 0)
    if wanted.state == LIMITED:
        return one_of(wanted.limited)
    return stands(wanted.state, wanted.now)


def one_of(key_ids: Collection[int]) -> ColumnElement[bool]:
    """However many they are: written into the statement, for parameters are few."""
    if not key_ids:
        return false()
    return Key.id.in_(bindparam("one_of", value=sorted(key_ids), expanding=True, literal_execute=True))


def stands(standing: str, now: float) -> ColumnElement[bool]:
    """One standing a key; the later words of `STANDINGS` outdo the earlier ones."""
    dead = Key.dead_at.is_not(None)
    disabled = and_(Key.disabled_at.is_not(None), or_(Key.disabled_until.is_(None), Key.disabled_until > now))
    benched = exists().where(KeyHealth.key_id == Key.id, in_force(now))
    match standing:
        case "dead":
            return dead
        case "disabled":
            return and_(disabled, not_(dead))
        case "cooling":
            return and_(benched, not_(disabled), not_(dead))
    return and_(not_(benched), not_(disabled), not_(dead))


def in_force(now: float) -> ColumnElement[bool]:
    return or_(KeyHealth.until.is_(None), KeyHealth.until > now)


def _failed_with(code: str, now: float) -> ColumnElement[bool]:
    """The log writes "503 overloaded The model is overloaded."."""
    rests = exists().where(KeyHealth.key_id == Key.id, in_force(now))
    if code.isdecimal() and len(code) <= 3:
        said = Key.last_error.startswith(code, autoescape=True)
        return or_(said, rests.where(KeyHealth.status == int(code)))
    said = or_(
        Key.last_error.startswith(code, autoescape=True),
        and_(Key.last_error.like("___ %"), func.substr(Key.last_error, 5).startswith(code, autoescape=True)),
    )
    return or_(said, rests.where(KeyHealth.reason == code), and_(Key.dead_at.is_not(None), Key.dead_reason == code))


def _tagged(tag: str) -> ColumnElement[bool]:
    """As JSON writes it: a whole tag, not a part of one."""
    return cast(Key.tags, String).contains(orjson.dumps(tag).decode(), autoescape=True)

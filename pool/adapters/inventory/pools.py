"""Writing providers and pools. Each function is one transaction and moves the revision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from secrets import token_hex
from typing import Any

from sqlalchemy import bindparam, exists, insert, not_, select, update
from sqlalchemy.orm import Session, aliased

from pool.adapters import tables
from pool.adapters.database import next_revision
from pool.adapters.queries.pool_figures import figures_of, hour_figures
from pool.adapters.vault import Vault
from pool.core.masking import mask
from pool.core.providers import PROVIDERS
from pool.core.twice import NameTaken

from . import keys
from .forms import begin, keep_answer
from .reading import default_pool

HOUSED = 500
"""Keys of a deleted pool that one transaction finds another place for."""


def found(session: Session, vault: Vault, urls: dict[str, str], now: float) -> None:
    known = {row.slug: row for row in session.scalars(select(tables.Provider))}
    for position, (slug, provider) in enumerate(PROVIDERS.items()):
        url = urls.get(slug) or provider.base_url
        if slug not in known:
            session.add(
                tables.Provider(slug=slug, dialect=provider.dialect, base_url=url, builtin=True, position=position)
            )
        elif urls.get(slug) or known[slug].base_url == "":
            known[slug].base_url = url
    if session.scalar(select(tables.Pool.id).where(tables.Pool.is_default)) is None:
        _new_pool(session, vault, "default", {"is_default": True}, now)
    next_revision(session)


def _new_pool(session: Session, vault: Vault, name: str, fields: dict[str, Any], now: float) -> tuple[int, str]:
    token = "sk-pool-" + token_hex(16)
    pool = tables.Pool(
        public_id="pool-" + token_hex(16), name=name, auth_digest=vault.digest(token),
        auth_sealed=vault.encrypt(token), auth_hint=mask(token), created_at=now, updated_at=now, **fields,
    )  # fmt: skip
    session.add(pool)
    session.flush()
    return pool.id, token


def create_pool(
    session: Session, vault: Vault, name: str, fields: dict[str, Any], now: float, form: str = ""
) -> tuple[int, str]:
    begin(session, form, now)
    _free_name(session, name)
    pool_id, token = _new_pool(session, vault, name, fields, now)
    keep_answer(session, vault, form, (pool_id,), now)
    return pool_id, token


def update_pool(session: Session, pool_id: int, fields: dict[str, Any], now: float) -> None:
    next_revision(session)
    if "name" in fields:
        _free_name(session, fields["name"], pool_id)
    session.execute(update(tables.Pool).where(tables.Pool.id == pool_id).values(**fields, updated_at=now))


def regenerate_auth(session: Session, vault: Vault, pool_id: int, grace_s: float, now: float, form: str = "") -> str:
    """Keys that were given a grace before go on until theirs ends, unless the one before this one has none."""
    begin(session, form, now)
    pool = session.get_one(tables.Pool, pool_id)
    older = dict(pool.older_auth or {})
    if pool.previous_auth_digest and pool.previous_auth_until:
        older[pool.previous_auth_digest.hex()] = pool.previous_auth_until
    pool.older_auth = {digest: until for digest, until in older.items() if until > now} if grace_s else None
    token = "sk-pool-" + token_hex(16)
    pool.previous_auth_digest = pool.auth_digest if grace_s else None
    pool.previous_auth_until = now + grace_s if grace_s else None
    pool.auth_digest, pool.auth_sealed, pool.auth_hint = vault.digest(token), vault.encrypt(token), mask(token)
    pool.updated_at = now
    keep_answer(session, vault, form, (token, pool.previous_auth_until or 0), now)
    return token


def house_some(session: Session, pool_id: int, after: int, now: float) -> int | None:
    """Seat some keys of this pool, by id after `after`, in `default` as well where they are in no other one. Where to
    go on; None at the end. Raises ValueError for `default` itself."""
    revision, default_id = next_revision(session), default_pool(session)
    if pool_id == default_id:
        raise ValueError("the pool `default` cannot be deleted")
    member, other = tables.Membership, aliased(tables.Membership)
    elsewhere = exists().where(
        other.key_id == member.key_id, other.pool_id != pool_id, other.removed_at.is_(None)
    )  # fmt: skip
    mine = select(member.key_id).where(member.pool_id == pool_id, member.removed_at.is_(None), member.key_id > after)
    homeless = list(session.scalars(mine.where(not_(elsewhere)).order_by(member.key_id).limit(HOUSED)))
    before = keys.seats_in(session, default_id, homeless)
    for key_id, seat in before.items():
        keys.put_in(session, seat, default_id, key_id, 1, revision, now)
    common = {"pool_id": default_id, "weight": 1, "revision": revision, "created_at": now}
    fresh = [{**common, "key_id": key_id} for key_id in homeless if key_id not in before]
    if fresh:
        session.execute(insert(member), fresh)
    return homeless[-1] if homeless else None


def delete_pool(session: Session, pool_id: int, now: float) -> None:
    """What came into the pool since its keys were housed is housed first."""
    after: int | None = 0
    while after is not None:
        after = house_some(session, pool_id, after, now)
        session.flush()
    pool, figures = session.get(tables.Pool, pool_id), session.get(tables.Meta, figures_of(pool_id))
    for row in (pool, figures):
        if row is not None:
            session.delete(row)


def settle_members(
    session: Session,
    pool_id: int,
    seats: Mapping[int, Mapping[str, Any]],
    names: Mapping[int, str],
    gone: Sequence[int],
    now: float,
) -> tuple[list[int], list[int]]:
    """Change seats (`weight`, `enabled`) and names of keys of a pool, and take the gone ones out of it: those that
    were nowhere else are binned. The ids of the binned, and of those that stay elsewhere."""
    revision = next_revision(session)
    for column in ("weight", "enabled"):
        wanted = {key_id: columns[column] for key_id, columns in seats.items() if column in columns}
        _put_each(session, tables.Membership, "key_id", column, wanted, {"pool_id": pool_id}, {"revision": revision})
    _put_each(session, tables.Key, "id", "name", names, {}, {"updated_at": now})
    session.execute(update(tables.Pool).where(tables.Pool.id == pool_id).values(updated_at=now))
    return _take_out(session, pool_id, list(gone), revision, now)


def _put_each(
    session: Session,
    model: Any,
    key: str,
    column: str,
    values: Mapping[int, Any],
    within: Mapping[str, int],
    also: Mapping[str, Any],
) -> None:
    """Give a column of many rows a value each, in one go: a statement a row takes a hundred times as long."""
    columns = model.__table__.c
    statement = update(model.__table__).where(columns[key] == bindparam("at_key"))
    for name, value in within.items():
        statement = statement.where(columns[name] == value)
    rows = [{"at_key": key_id, "wanted": value} for key_id, value in values.items()]
    if rows:
        session.connection().execute(statement.values(**{column: bindparam("wanted")}, **also), rows)


def _take_out(
    session: Session, pool_id: int, gone: list[int], revision: int, now: float
) -> tuple[list[int], list[int]]:  # fmt: skip
    member, shared = tables.Membership, set[int]()
    for piece in keys.pieces(gone):
        others = select(member.key_id).where(
            member.key_id.in_(piece), member.pool_id != pool_id, member.removed_at.is_(None)
        )  # fmt: skip
        shared.update(session.scalars(others))
    for piece in keys.pieces(sorted(shared)):
        here = update(member).where(member.pool_id == pool_id, member.key_id.in_(piece))
        session.execute(here.values(removed_at=now, revision=revision))
    binned = [key_id for key_id in gone if key_id not in shared]
    keys.update_keys(session, binned, {"deleted_at": now, "revision": revision})
    return binned, sorted(shared)


def begin_figures(session: Session, pool_id: int, now: float) -> None:
    """Count what a pool served from now on: what its hour saw so far is kept, to be taken off later."""
    hour = int(now // 3600) * 3600
    known = session.get(tables.Meta, figures_of(pool_id))
    if known is None:
        known = tables.Meta(name=figures_of(pool_id))
        session.add(known)
    known.number, known.value = hour, " ".join(map(str, hour_figures(session, pool_id, hour)))


def _free_name(session: Session, name: str, known: int = 0) -> None:
    """Raises `NameTaken` where another pool has that name."""
    if session.scalar(select(tables.Pool.id).where(tables.Pool.name == name, tables.Pool.id != known).limit(1)):
        raise NameTaken(name)

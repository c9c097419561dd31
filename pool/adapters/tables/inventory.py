"""What the operator owns: providers, pools, keys, which key is in which pool, and what is known of a key."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from pool.adapters.tables.base import (
    ROW_ID,
    Big,
    Born,
    Digest,
    Flag,
    Line,
    Model,
    Moment,
    Name,
    Prose,
    RowId,
    Sealed,
    Short,
    Table,
    Whole,
    Words,
    only_where,
)

# Ids are printed, exported and remembered by clients: autoincrement never hands one out again.
NEVER_REUSED = {"sqlite_autoincrement": True}


# A key nobody tested or used. A query repeats it word by word: a bound 0 would prove nothing to SQLite.
UNTRIED = "checked_at IS NULL AND requests = 0"


class Provider(Model):
    """Whom to call. `key_header` is null where the dialect's own way of sending the key is right."""

    __tablename__ = "providers"

    id: Mapped[RowId]
    slug: Mapped[str] = mapped_column(Line(60), unique=True)
    dialect: Mapped[Short]
    base_url: Mapped[Prose]
    key_header: Mapped[str | None] = mapped_column(Line(60))
    proxy_url: Mapped[Sealed | None]
    fallback_to_direct: Mapped[Flag]
    timeouts: Mapped[Table | None]
    builtin: Mapped[Flag]
    enabled: Mapped[bool] = mapped_column(default=True)
    position: Mapped[Whole]
    created_at: Mapped[Born]
    updated_at: Mapped[Born]


class Pool(Model):
    """A named set of keys. Its auth key is found by digest and shown again from the sealed copy.

    `policy` null means the setting `rotation_strategy`; `previous_auth_digest` works until `previous_auth_until`, and
    `older_auth` has those before it that still work: until when, by their digests in hexadecimal.
    """

    __tablename__ = "pools"
    __table_args__ = (
        only_where("uq_pools_is_default", "is_default", condition="is_default", unique=True),
        NEVER_REUSED,
    )

    id: Mapped[RowId]
    public_id: Mapped[str] = mapped_column(Line(40), unique=True)
    name: Mapped[Name]
    description: Mapped[Prose]
    enabled: Mapped[bool] = mapped_column(default=True)
    is_default: Mapped[Flag]
    policy: Mapped[str | None] = mapped_column(Line(20))
    allowed_models: Mapped[Words | None]
    aliases: Mapped[Table | None]
    limits: Mapped[Table | None]
    fallback_pool_id: Mapped[int | None] = mapped_column(ForeignKey("pools.id", ondelete="SET NULL"))
    auth_digest: Mapped[Digest] = mapped_column(unique=True)
    auth_sealed: Mapped[Sealed]
    auth_hint: Mapped[Short]
    previous_auth_digest: Mapped[Digest | None]
    previous_auth_until: Mapped[Moment | None]
    older_auth: Mapped[Table | None]
    created_at: Mapped[Born]
    updated_at: Mapped[Born]


class Key(Model):
    """One upstream credential of one provider.

    `secret` is null once a binned key was purged: the row stays so that the environment cannot bring it back.
    `import_id` is the import that made it, `restored_by` the one that took it out of the bin last.
    `requests`, `successes`, `errors`, `tokens` and `cost_nano` are totals of its whole life. `details` is what programs
    noted of it that no other column is for.
    """

    __tablename__ = "keys"
    __table_args__ = (
        UniqueConstraint("provider_id", "fingerprint"),
        only_where("ix_keys_live", "id", condition="deleted_at IS NULL"),
        only_where("ix_keys_binned", "deleted_at", condition="deleted_at IS NOT NULL"),
        # What is counted again and again is counted in these alone: they hold every column that is asked about.
        only_where("ix_keys_dead", "dead_at", "deleted_at", condition="dead_at IS NOT NULL"),
        only_where(
            "ix_keys_disabled", "disabled_at", "disabled_until", "dead_at", "deleted_at",
            condition="disabled_at IS NOT NULL",
        ),
        only_where("ix_keys_untested", "id", condition=f"{UNTRIED} AND deleted_at IS NULL"),
        only_where("ix_keys_disabled_until", "disabled_until", condition="disabled_until IS NOT NULL"),
        only_where("ix_keys_project", "project", condition="project <> ''"),
        only_where("ix_keys_restored_by", "restored_by", condition="restored_by IS NOT NULL"),
        NEVER_REUSED,
    )

    id: Mapped[RowId]
    public_id: Mapped[str] = mapped_column(Line(40), unique=True)
    provider_id: Mapped[int] = mapped_column(ForeignKey("providers.id"))
    secret: Mapped[Sealed | None]
    fingerprint: Mapped[Digest]
    hint_prefix: Mapped[Short]
    hint_suffix: Mapped[Short]
    name: Mapped[Name]
    note: Mapped[Prose]
    email: Mapped[Name]
    tags: Mapped[Words | None]
    details: Mapped[Table | None]
    project: Mapped[Name]
    proxy_url: Mapped[Sealed | None]
    fallback_to_direct: Mapped[Flag]
    limits: Mapped[Table | None]
    max_requests: Mapped[int | None]
    max_requests_window: Mapped[str] = mapped_column(Line(10), default="none")
    origin: Mapped[str] = mapped_column(Line(10), default="paste")
    import_id: Mapped[int | None] = mapped_column(ForeignKey("imports.id", ondelete="SET NULL"), index=True)
    restored_by: Mapped[int | None] = mapped_column(BigInteger)
    disabled_at: Mapped[Moment | None]
    disabled_until: Mapped[Moment | None]
    dead_at: Mapped[Moment | None]
    dead_reason: Mapped[Prose]
    checked_at: Mapped[Moment | None]
    last_used_at: Mapped[Moment | None]
    last_error_at: Mapped[Moment | None]
    last_error: Mapped[Prose]
    requests: Mapped[Big]
    successes: Mapped[Big]
    errors: Mapped[Big]
    tokens: Mapped[Big]
    cost_nano: Mapped[Big]
    created_at: Mapped[Born]
    updated_at: Mapped[Born]
    deleted_at: Mapped[Moment | None]
    revision: Mapped[Big] = mapped_column(index=True)


class Membership(Model):
    """A key in a pool. `removed_at` is a tombstone: the catalogue must hear of a removal too."""

    __tablename__ = "memberships"
    __table_args__ = (
        Index("ix_memberships_pool_id_position", "pool_id", "position", "key_id"),
        Index("ix_memberships_key_id", "key_id"),
    )

    pool_id: Mapped[int] = mapped_column(ForeignKey("pools.id", ondelete="CASCADE"), primary_key=True)
    key_id: Mapped[int] = mapped_column(ForeignKey("keys.id", ondelete="CASCADE"), primary_key=True)
    weight: Mapped[int] = mapped_column(default=1)
    tier: Mapped[Whole]
    enabled: Mapped[bool] = mapped_column(default=True)
    position: Mapped[Big]
    import_id: Mapped[int | None] = mapped_column(ForeignKey("imports.id", ondelete="SET NULL"), index=True)
    created_at: Mapped[Born]
    removed_at: Mapped[Moment | None]
    revision: Mapped[Big] = mapped_column(index=True)


class KeyHealth(Model):
    """Why a key rests, for one model or (model "") for all: `cooling`, `not_entitled` or `suspected`.

    Only exceptions have a row. `upstream_text` is redacted and at most 2 kB; `status` is what the upstream answered;
    `quota` is {window, unit, limit, tier} where the upstream named one.
    """

    __tablename__ = "key_health"
    __table_args__ = (Index("ix_key_health_key_id", "key_id", "until"),)

    key_id: Mapped[int] = mapped_column(ForeignKey("keys.id", ondelete="CASCADE"), primary_key=True)
    model: Mapped[str] = mapped_column(Line(200), primary_key=True, default="")
    state: Mapped[Short]
    reason: Mapped[Name]
    status: Mapped[int | None]
    since: Mapped[Born]
    until: Mapped[Moment | None] = mapped_column(index=True)
    streak: Mapped[Whole]
    upstream_text: Mapped[Prose]
    quota: Mapped[Table | None]


class LearnedLimit(Model):
    """A quota an upstream named in an error. It belongs to a project where one is known (key_id 0), else to a key."""

    __tablename__ = "learned_limits"

    key_id: Mapped[int] = mapped_column(ROW_ID, primary_key=True, default=0, autoincrement=False)
    project: Mapped[str] = mapped_column(Line(200), primary_key=True, default="")
    model: Mapped[str] = mapped_column(Line(200), primary_key=True)
    window: Mapped[str] = mapped_column(Line(10), primary_key=True)
    unit: Mapped[str] = mapped_column(Line(10), primary_key=True)
    limit_value: Mapped[Big]
    tier: Mapped[Short]
    seen_at: Mapped[Born]


class Import(Model):
    """One paste, file, environment merge or API batch that brought keys, so that it can be undone.

    It is written slice by slice: `counts` say by fate what is in so far, and without `ended_at` it is under way in
    `job_id`, or was cut short.
    """

    __tablename__ = "imports"
    __table_args__ = (NEVER_REUSED,)

    id: Mapped[RowId]
    at: Mapped[Moment] = mapped_column(index=True)
    who: Mapped[Name]
    origin: Mapped[str] = mapped_column(Line(10), default="paste")
    pool_id: Mapped[int | None] = mapped_column(ForeignKey("pools.id", ondelete="SET NULL"))
    counts: Mapped[Table | None]
    name: Mapped[Name]
    job_id: Mapped[int | None] = mapped_column(BigInteger)
    ended_at: Mapped[Moment | None]
    undone_at: Mapped[Moment | None]

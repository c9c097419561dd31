"""Who may and who did: client keys, sessions, the audit trail; also settings, and facts of the app itself."""

from __future__ import annotations

from sqlalchemy import JSON, Double, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from pool.adapters.tables.base import (
    Big,
    Born,
    Digest,
    Line,
    Model,
    Moment,
    Name,
    Prose,
    RowId,
    Short,
    Table,
    Words,
)
from pool.adapters.tables.inventory import NEVER_REUSED


class ClientKey(Model):
    """What a program presents, found by digest only; `previous_digest` works until `overlap_until` after a rotation."""

    __tablename__ = "client_keys"
    __table_args__ = (NEVER_REUSED,)

    id: Mapped[RowId]
    name: Mapped[Name]
    pool_id: Mapped[int] = mapped_column(ForeignKey("pools.id", ondelete="CASCADE"), index=True)
    digest: Mapped[Digest] = mapped_column(unique=True)
    hint: Mapped[Short]
    previous_digest: Mapped[Digest | None] = mapped_column(index=True)
    overlap_until: Mapped[Moment | None]
    origin: Mapped[str] = mapped_column(Line(10), default="admin")
    permissions: Mapped[Words | None]
    allowed_models: Mapped[Words | None]
    allowed_ips: Mapped[Words | None]
    rpm_limit: Mapped[int | None]
    tpm_limit: Mapped[int | None]
    rpd_limit: Mapped[int | None]
    concurrency_limit: Mapped[int | None]
    budget_usd_day: Mapped[float | None] = mapped_column(Double)
    budget_usd_month: Mapped[float | None] = mapped_column(Double)
    expires_at: Mapped[Moment | None]
    revoked_at: Mapped[Moment | None]
    last_used_at: Mapped[Moment | None]
    created_at: Mapped[Born]
    updated_at: Mapped[Born]


class LoginSession(Model):
    """A signed-in browser. `client_key_id` is set where a client key's holder signed in, null for the admin."""

    __tablename__ = "sessions"

    id: Mapped[RowId]
    digest: Mapped[Digest] = mapped_column(unique=True)
    client_key_id: Mapped[int | None] = mapped_column(ForeignKey("client_keys.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[Born]
    last_seen_at: Mapped[Born]
    expires_at: Mapped[Moment] = mapped_column(index=True)
    elevated_until: Mapped[Moment | None]
    revoked_at: Mapped[Moment | None]
    ip: Mapped[Short]
    user_agent: Mapped[str] = mapped_column(Line(300), default="")


class AuditEntry(Model):
    """A change and who made it; `before` and `after` are masked before they come here."""

    __tablename__ = "audit"
    __table_args__ = (
        Index("ix_audit_at", "at", "id"),
        Index("ix_audit_action", "action", "at", "id"),
        Index("ix_audit_object", "object", "at", "id"),
        NEVER_REUSED,
    )

    id: Mapped[RowId]
    at: Mapped[Born]
    who: Mapped[Name]
    via: Mapped[Short]
    ip: Mapped[Short]
    action: Mapped[Name]
    object: Mapped[Name]
    before: Mapped[Table | None]
    after: Mapped[Table | None]


class Setting(Model):
    """A setting somebody changed; one that is not here has its default."""

    __tablename__ = "settings"

    name: Mapped[str] = mapped_column(Line(60), primary_key=True)
    value: Mapped[object] = mapped_column(JSON)
    updated_at: Mapped[Born]


class Meta(Model):
    """Single facts: `password`, `fingerprint_key` (wrapped by the vault's ring), `revision`. Text or a number."""

    __tablename__ = "meta"

    name: Mapped[str] = mapped_column(Line(60), primary_key=True)
    value: Mapped[Prose]
    number: Mapped[Big]

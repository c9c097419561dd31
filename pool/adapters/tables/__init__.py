"""The SQL tables: `inventory` is what the operator owns, `traffic` what happened, `people` who may and who did, `jobs`
what takes long.

Conventions: moments end in `_at` or `_until` and are Unix seconds; money is `cost_nano`, a thousand-millionth of a
US dollar; an empty list column is null, meaning "no restriction"; bytes are either digests or sealed by the vault.
"""

from pool.adapters.tables.base import Model, db, storable
from pool.adapters.tables.inventory import (
    Import,
    Key,
    KeyHealth,
    LearnedLimit,
    Membership,
    Pool,
    Provider,
)
from pool.adapters.tables.jobs import Job
from pool.adapters.tables.people import AuditEntry, ClientKey, LoginSession, Meta, Setting
from pool.adapters.tables.traffic import (
    FAILED,
    LATENCY_BUCKETS,
    Affinity,
    Attempt,
    Counter,
    OutcomeHour,
    Request,
    SpoolPosition,
    TrafficHour,
    UsageHour,
    latency_bucket,
)

__all__ = [
    "FAILED",
    "LATENCY_BUCKETS",
    "Affinity",
    "Attempt",
    "AuditEntry",
    "ClientKey",
    "Counter",
    "Import",
    "Job",
    "Key",
    "KeyHealth",
    "LearnedLimit",
    "LoginSession",
    "Membership",
    "Meta",
    "Model",
    "OutcomeHour",
    "Pool",
    "Provider",
    "Request",
    "Setting",
    "SpoolPosition",
    "TrafficHour",
    "UsageHour",
    "db",
    "latency_bucket",
    "storable",
]

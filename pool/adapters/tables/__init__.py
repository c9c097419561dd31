"""The SQL tables: `inventory` is what the operator owns, `traffic` what happened, `people` who may and who did, `jobs`
what takes long.

Conventions: moments end in `_at` or `_until` and are Unix seconds; money is `cost_nano`, a thousand-millionth of a
US dollar; an empty list column is null, meaning "no restriction"; bytes are either digests or sealed by the vault.
"""

from pool.adapters.tables.base import Model, db, storable
from pool.adapters.tables.inventory import (
    UNTRIED,
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
    DAY_S,
    DAYS_UNTIL,
    FAILED,
    LATENCY_BUCKETS,
    TALLY,
    Affinity,
    Attempt,
    Counter,
    OutcomeDay,
    OutcomeHour,
    Request,
    SpoolPosition,
    TrafficDay,
    TrafficHour,
    UsageHour,
    latency_bucket,
)

__all__ = [
    "DAYS_UNTIL",
    "DAY_S",
    "FAILED",
    "LATENCY_BUCKETS",
    "TALLY",
    "UNTRIED",
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
    "OutcomeDay",
    "OutcomeHour",
    "Pool",
    "Provider",
    "Request",
    "Setting",
    "SpoolPosition",
    "TrafficDay",
    "TrafficHour",
    "UsageHour",
    "db",
    "latency_bucket",
    "storable",
]

"""What pages ask of the database: functions of a session that return plain values, run by `Database.read`.

Those few that write (`write` runs them) touch what no other module owns: sessions, the audit trail, drafts.
"""

from pool.adapters.queries.drafts import draft, keep_draft, take_draft
from pool.adapters.queries.facts import cap_counts, meta, set_password
from pool.adapters.queries.keys import STANDINGS, KeyRow, KnownKey, key_counts, key_page, key_row, known_keys
from pool.adapters.queries.pools import ClientRow, PoolRow, client_row, client_rows, pool_row, pool_rows
from pool.adapters.queries.sessions import (
    SessionRow,
    SignedIn,
    begin_session,
    elevate_session,
    end_other_sessions,
    end_session,
    forget_old_sessions,
    live_session,
    session_rows,
    touch_session,
)
from pool.adapters.queries.stat import (
    SHOWN,
    Ending,
    Figures,
    Refusal,
    Scope,
    StatKey,
    Use,
    endings,
    endpoint_figures,
    model_figures,
    stat_keys,
)
from pool.adapters.queries.traffic import Hour, RequestRow, Traffic, hours_since, recent_requests, traffic_since
from pool.adapters.queries.trail import add_to_trail

__all__ = [
    "SHOWN",
    "STANDINGS",
    "ClientRow",
    "Ending",
    "Figures",
    "Hour",
    "KeyRow",
    "KnownKey",
    "PoolRow",
    "Refusal",
    "RequestRow",
    "Scope",
    "SessionRow",
    "SignedIn",
    "StatKey",
    "Traffic",
    "Use",
    "add_to_trail",
    "begin_session",
    "cap_counts",
    "client_row",
    "client_rows",
    "draft",
    "elevate_session",
    "end_other_sessions",
    "end_session",
    "endings",
    "endpoint_figures",
    "forget_old_sessions",
    "hours_since",
    "keep_draft",
    "key_counts",
    "key_page",
    "key_row",
    "known_keys",
    "live_session",
    "meta",
    "model_figures",
    "pool_row",
    "pool_rows",
    "recent_requests",
    "session_rows",
    "set_password",
    "stat_keys",
    "take_draft",
    "touch_session",
    "traffic_since",
]

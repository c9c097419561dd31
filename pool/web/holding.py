"""Who holds a client key, as far as pages are concerned: found by the key itself, and let in while it is in force."""

from __future__ import annotations

from pool.adapters import queries
from pool.core.catalogue import Client
from pool.web.access import within
from pool.web.here import caller_ip, keypool, now, read


def holder_of(token: str) -> queries.ClientWhole | None:
    """The client key that was typed, if it may be used from here. A pool's own auth key is nobody's."""
    credential = keypool().catalogue.credentials.get(keypool().vault.digest(token)) if token else None
    if credential is None or credential.client is None or credential.until <= now():
        return None
    return in_force(credential.client.id)


def in_force(client_id: int) -> queries.ClientWhole | None:
    """A client key that programs could use now, from this address; None for any other."""
    row = read(queries.client_whole, client_id)
    if row is None or not row.enabled or (row.expires_at is not None and row.expires_at <= now()):
        return None
    if row.allowed_ips and not within(caller_ip(), row.allowed_ips):
        return None
    return row


def as_called(client_id: int) -> Client | None:
    """The same client key as the catalogue has it."""
    credentials = keypool().catalogue.credentials.values()
    return next((each.client for each in credentials if each.client and each.client.id == client_id), None)

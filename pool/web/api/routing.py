"""Where a request would go: `POST /admin/route/explain`."""

from __future__ import annotations

from typing import Any

from flask import Response

from pool.core.catalogue import Catalogue
from pool.core.faults import Fault
from pool.explaining import OPERATIONS, Question, explain, find_client, find_pool
from pool.permitting import named_model, named_policy
from pool.web.api import api
from pool.web.api.answers import answer, asked, choice, reference, text
from pool.web.here import keypool


@api.post("/admin/route/explain")
def explain_route() -> Response:
    """Which key would serve a request, and why no other one. Nothing is called, nothing changes."""
    app = keypool()
    return answer(explain(app.relay, app.admission, _question(asked(), app.catalogue)))


def _question(body: dict[str, Any], catalogue: Catalogue) -> Question:
    """Raises `Fault`: 400 for what cannot be asked, 404 for a pool or client key there is not."""
    dialect = choice(body, "dialect", sorted(set(OPERATIONS.values())))
    usual = next(name for name, of in OPERATIONS.items() if of == (dialect or of))
    operation = choice(body, "operation", [name for name, of in OPERATIONS.items() if dialect in (None, of)]) or usual
    policy = text(body, "policy") or text(body, "strategy")
    pool_reference, client_reference = reference(body, "pool"), reference(body, "client")
    client = find_client(catalogue, client_reference) if client_reference else None
    if client_reference and client is None:
        raise _unknown("client", client_reference)
    if client is not None and pool_reference is None:
        pool_reference = str(client.pool_id)
    pool = find_pool(catalogue, pool_reference)
    if pool is None:
        raise _unknown("pool", pool_reference or "default")
    if client is not None and client.pool_id != pool.id:
        message = f"This client key is of pool {client.pool_id}, and calls no other one."
        raise Fault(400, "invalid_value", message, param="pool", retryable=False)
    text(body, "model")
    model = named_model(body, keypool().preferences.current).removeprefix("models/")
    return Question(
        model, pool, client, OPERATIONS[operation], operation, named_policy(policy) if policy else None
    )  # fmt: skip


def _unknown(what: str, reference: str) -> Fault:
    return Fault(404, f"{what}_not_found", f"There is no {what} {reference!r}.", param=what, retryable=False)

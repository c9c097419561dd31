"""Where a request would go: `POST /admin/route/explain`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from flask import Response
from pydantic import Field, StrictInt

from pool.core.catalogue import Catalogue
from pool.core.faults import Fault
from pool.core.rotation import POLICIES
from pool.explaining import OPERATIONS, Question, explain, find_client, find_pool
from pool.permitting import named_model, named_policy
from pool.web.api.answers import answer
from pool.web.api.operations import Asked, Told, operation
from pool.web.here import keypool

Name = Annotated[str, Field(max_length=500)]
Reference = StrictInt | Name | None


class Route(Asked):
    """A request that nobody sends."""

    model: Name | None = Field(None, description="As a client would name it.", examples=["gemini-2.5-flash"])
    pool: Reference = Field(None, description="A pool by its id, its public id or its name; the default one else.")
    client: Reference = Field(None, description="A user key by its id: its limits and models are looked at, too.")
    dialect: Literal["openai", "anthropic", "gemini"] | None = Field(None, description="Whose API the client speaks.")
    operation: Name | None = Field(
        None, description="What is asked for, of the dialect's own.", json_schema_extra={"enum": [*OPERATIONS, None]}
    )
    policy: Name | None = Field(None, description=f"One of {', '.join(POLICIES)}; else the pool's.")
    strategy: Name | None = Field(None, description="The same, as a predecessor called it.")


class PoolNamed(Told):
    """A pool, by all of its names."""

    id: int
    public_id: str
    name: str
    enabled: bool


class Deciding(Told):
    """The policy, and who said so."""

    name: str
    from_: Literal["request", "pool", "setting"] = Field(alias="from")


class Chosen(Told):
    """The key of a provider that is next; `key` is a mask."""

    key: str
    key_id: int
    tier: int
    weight: int


class Tier(Told):
    """Keys that serve before those of the next tier. On standby are keys of weight 0."""

    tier: int
    standby: bool
    ready: int


class Storm(Told):
    """A provider that fails all keys alike."""

    kind: str
    since: float
    keys: int
    only_probes: bool


class Looked(Told):
    """A provider that could serve the model: how many keys are ready, and why the others are not."""

    provider: str
    would_choose: Chosen | None
    ready: int
    skipped: dict[str, int] = Field(description="Keys by the reason they are passed over.")
    tiers: list[Tier]
    earliest_recovery: float | None = Field(description="Unix seconds; null while no key rests.")
    storm: Storm | None


class Fallback(PoolNamed):
    """The pool that is asked where nothing is left of the first."""

    providers: list[Looked]


class Destination(Told):
    """Where the request goes; `key` is a mask."""

    pool: int
    provider: str
    key: str
    key_id: int


class Explained(Told):
    """Every choice a request would meet. Either `goes_to` or `answer` is null."""

    pool: PoolNamed
    model_asked: str
    model: str
    policy: Deciding
    providers: list[Looked]
    fallback_pool: Fallback | None
    goes_to: Destination | None
    answer: dict[str, Any] | None = Field(
        description="The error a client would get: status, code, message, retry_after_s and what belongs to the code."
    )


@operation(
    "POST", "/admin/route/explain", tag="requests", summary="Where would a request go?",
    body=Route, answers={200: Explained}, example={"model": "gemini-2.5-flash", "pool": "default"},
)  # fmt: skip
def explain_route(body: Route) -> Response:
    """Which key would serve a request, and why no other one. Nothing is called, nothing changes."""
    app = keypool()
    return answer(explain(app.relay, app.admission, _question(body, app.catalogue)))


def _question(body: Route, catalogue: Catalogue) -> Question:
    """Raises `Fault`: 400 for what cannot be asked, 404 for a pool or client key there is not."""
    dialect = body.dialect
    usual = next(name for name, of in OPERATIONS.items() if of == (dialect or of))
    asked = _operation(body.operation, dialect) or usual
    policy = body.policy or body.strategy
    pool_reference, client_reference = _text(body.pool), _text(body.client)
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
    model = named_model({"model": body.model}, keypool().preferences.current).removeprefix("models/")
    return Question(model, pool, client, OPERATIONS[asked], asked, named_policy(policy) if policy else None)


def _operation(name: str | None, dialect: str | None) -> str | None:
    """Raises `Fault` 400 for one that the dialect does not have."""
    among = [name for name, of in OPERATIONS.items() if dialect in (None, of)]
    if name and name not in among:
        message = f"`operation` must be one of {', '.join(among)}."
        raise Fault(400, "invalid_value", message, param="operation", details={"allowed": among})
    return name


def _text(reference: int | str | None) -> str | None:
    return None if reference is None or reference == "" else str(reference)


def _unknown(what: str, reference: str) -> Fault:
    return Fault(404, f"{what}_not_found", f"There is no {what} {reference!r}.", param=what, retryable=False)

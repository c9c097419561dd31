"""Recorded refusals: what they mean for a key, and whether a client reads them in its own dialect."""

from __future__ import annotations

import json
from typing import Any

import orjson

from conformance import reasons
from conformance.cases import Case, Unmet, require, same, shown
from pool.core.calls import GEMINI, OPENAI
from pool.core.dialects import error_fields, render_fault, upstream_fault
from pool.core.masking import redact
from pool.core.outcomes import KEY, KEY_MODEL, NOBODY, OTHER_KEY, RETURN, SAME_KEY, Outcome, Penalties, classify
from pool.core.quota import next_reset

NOW = 1_790_000_000.0
MOST_CHARS = 2000


def check(case: Case) -> list[str]:
    document = case.document
    body = document.get("body")
    wire = _bytes(body)
    headers = _lower(document.get("headers"))
    outcome = classify(int(document["status"]), headers, error_fields(wire), NOW, Penalties())
    wrapped = classify(int(document["status"]), headers, error_fields(b"[" + wire + b"]"), NOW, Penalties())
    require(not isinstance(body, dict) or wrapped == outcome, "a list around the error changes what it means")
    dialect = OPENAI if document.get("provider") == "openai" else GEMINI
    kept(dialect, {"status": document["status"], "headers": headers, "body": body})
    return _reaction(str(document.get("right_reaction_for_a_key_pool") or ""), outcome)


def _bytes(body: Any) -> bytes:
    return body.encode() if isinstance(body, str) else orjson.dumps(body)


def _lower(headers: Any) -> dict[str, str]:
    return {name.lower(): str(value) for name, value in (headers or {}).items()}


def _reaction(wanted: str, outcome: Outcome) -> list[str]:
    """The corpus's words for what a key pool should do, in terms of an outcome."""
    name, _, detail = wanted.partition("(")
    match name:
        case "":
            return []
        case "return_to_client":
            holds = (outcome.next, outcome.scope, outcome.blamed) == (RETURN, NOBODY, False)
        case "disable_key":
            holds = outcome.dead and outcome.next == OTHER_KEY and outcome.blamed
        case "retry_other_key":
            holds = outcome.next == OTHER_KEY
        case "retry_same_later":
            holds = outcome.next == SAME_KEY and not outcome.blamed
        case _ if name.startswith("cool_down_key"):
            holds = _cools(name, detail, outcome)
        case _:
            raise Unmet(f"nobody here knows the reaction {wanted!r}")
    if holds:
        return []
    reason = reasons.of_reaction(name, outcome.kind)
    if reason is None:
        told = f"{outcome.kind}: {outcome.next}, {outcome.scope}, dead {outcome.dead}, blamed {outcome.blamed}"
        raise Unmet(f"{wanted} is wanted, the outcome is {told}")
    return [reason]


def _cools(name: str, detail: str, outcome: Outcome) -> bool:
    """`…_key_model_until(retryDelay | daily reset midnight Pacific)`, `…_key_until(…)`."""
    scopes = (KEY_MODEL,) if "model" in name else (KEY, KEY_MODEL)
    rests = outcome.scope in scopes and outcome.next == OTHER_KEY and outcome.until is not None
    if "daily" in detail or "midnight" in detail:
        return rests and outcome.kind == "quota_day" and outcome.until == next_reset(NOW)
    return rests and outcome.kind != "quota_day" and (outcome.until or 0.0) > NOW


def kept(dialect: str, response: dict[str, Any]) -> list[str]:
    """Status and message of an upstream's error reach clients of both dialects, each in its own shape."""
    status, body = int(response["status"]), response.get("body")
    if body is None:
        body = response.get("raw") or next(iter(response.get("sse") or ()), "")
    said = error_fields(_bytes(body))
    fault = upstream_fault(dialect, status, _lower(response.get("headers")), _bytes(body))
    if said.html:
        return [reasons.A_PAGE_IS_NO_ANSWER]
    message = _message(body)
    if message is not None:
        same(said.message, message, "the message read")
    for client in (OPENAI, GEMINI):
        given, _, rendered = render_fault(client, fault)
        error = json.loads(rendered)["error"]
        same(given, status, "status")
        require(isinstance(error["code"], int if client == GEMINI else str), f"code {shown(error['code'])}")
        if message:
            same(error["message"], redact(message)[:MOST_CHARS], f"message to a client of {client}")
    return []


def _message(body: Any) -> str | None:
    """What the error says, wherever upstreams put it; None where it is not said in a member we know."""
    while isinstance(body, list) and body:
        body = body[-1]
    while isinstance(body, dict) and isinstance(body.get("error"), dict | str):
        body = body["error"]
    if isinstance(body, str):
        return body if body and not body.lstrip().startswith(("{", "[", "<")) else None
    message = body.get("message") if isinstance(body, dict) else None
    return message if isinstance(message, str) else None

"""What an upstream's refusal means for one request: another key, or an answer the client is due."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from .core.dialects import error_fields, upstream_fault
from .core.faults import Fault
from .core.masking import redact, redact_bytes
from .core.outcomes import OTHER_KEY, RETURN, Outcome, classify, same_token_limit, too_large
from .core.quota import Quota
from .streaming import Passed

if TYPE_CHECKING:
    from .attempting import Attempt
    from .relay import Run

IDLE_S = 60.0
"""A key unused for so long that refuses a request for its tokens of a minute refuses the request's own size."""

UNDERESTIMATED = 4
"""By how much a prompt may be estimated too small."""


class Refusing:
    """Remembers what earlier keys said to the same request.

    It is handed the request each time and does not hold it: in a ring, requests and their bodies would stay in memory
    until the collector comes.
    """

    def __init__(self) -> None:
        self._looked_elsewhere = False
        self._out_of_tokens: tuple[Attempt, Outcome] | None = None

    def judge(self, run: Run, attempt: Attempt, status: int, headers: Mapping[str, str], body: bytes) -> Outcome:
        """The outcome that sends us on. Raises `Passed` or `Fault` where the refusal is the client's own."""
        relay = run.relay
        outcome = classify(status, headers, error_fields(body), relay.clock(), run.penalties)
        secret = relay.unseal(attempt.pick.key)
        fault = run.last_fault = _fault(attempt, outcome, status, headers, body)
        fault.message = redact(fault.message, secret)
        attempt.record.error = run.kept(fault.message)
        quota = self._too_large(run, attempt, outcome)
        if quota is not None:
            raise _shown_too_large(run, attempt, quota)
        if outcome.kind == "model_missing" and self._listed_elsewhere(run, attempt):
            outcome = replace(outcome, next=OTHER_KEY)
        if outcome.next != RETURN:
            return outcome
        relay.judge.answered(attempt.pick.key, relay.clock())
        run.close_attempt(outcome.kind)
        content_type = headers.get("content-type", "")
        own_dialect = run.call.dialect == attempt.pick.plan.provider.dialect
        if outcome.kind == "misrouted" or not own_dialect or "json" not in content_type:
            raise fault
        raise Passed(status, [("Content-Type", content_type)], redact_bytes(body, secret), fault)

    def _too_large(self, run: Run, attempt: Attempt, outcome: Outcome) -> Quota | None:
        """The limit of tokens a minute that this request exceeds all by itself, with any key."""
        if outcome.kind != "quota_minute":
            return None
        prompt_tokens = run.choosing.prompt_tokens
        before, self._out_of_tokens = self._out_of_tokens, (attempt, outcome)
        quota = too_large(outcome, prompt_tokens)
        if quota is None and before is not None:
            quota = same_token_limit(before[1], outcome)
            # Keys in use may have had their minute spent by others, unless this prompt is of that order.
            idle = min(before[0].idle_s, attempt.idle_s) >= IDLE_S
            if quota is not None and not idle and prompt_tokens * UNDERESTIMATED < (quota.limit or 0):
                quota = None
        if quota is not None and before is not None:
            key, model = before[0].pick.key, before[0].pick.plan.model
            run.relay.judge.pardon(key, model, before[1], run.relay.clock())
        return quota

    def _listed_elsewhere(self, run: Run, attempt: Attempt) -> bool:
        """Is the model a key does not know in the list of its pool? Then one other key is asked."""
        if self._looked_elsewhere:
            return False
        self._looked_elsewhere = True
        return run.relay.lists_model(run.caller.pool.id, attempt.pick.plan.model)


def _fault(attempt: Attempt, outcome: Outcome, status: int, headers: Mapping[str, str], body: bytes) -> Fault:
    if outcome.kind == "misrouted":
        return Fault(502, "upstream_error", "Keypool asked the upstream in a way it refused.", retry_after_s=1)
    if status < 400:
        message = f"The upstream answered {status}, a redirect."
        return Fault(502, "upstream_error", message, retry_after_s=1)
    fault = upstream_fault(attempt.pick.plan.provider.dialect, status, dict(headers), body)
    if fault.status >= 500 and fault.retry_after_s is None:
        fault.retry_after_s = 1
    return fault


def _shown_too_large(run: Run, attempt: Attempt, quota: Quota) -> Fault:
    pick = attempt.pick
    run.relay.judge.answered(pick.key, run.relay.clock())
    run.close_attempt("request_too_large")
    message = (
        f"This request is too large: the upstream allows {quota.limit} tokens per minute for "
        f"{quota.model or pick.plan.model!r}."
    )
    return Fault(400, "request_too_large", message, retryable=False)

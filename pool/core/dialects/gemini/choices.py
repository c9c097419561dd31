"""Several choices from models that give one candidate: the same question as often as choices are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson

from pool.core.calls import Call, Reply
from pool.core.dialects.cutting import total
from pool.core.dialects.gemini.answer import completion_id
from pool.core.dialects.gemini.names import gives_candidates
from pool.core.dialects.refusals import refuse

MOST_CHOICES = 8
"""What the models give that know more than one candidate; a larger `n` is for those to refuse."""


def check(payload: dict[str, Any], model: str) -> None:
    """Raises `Fault` 400 for several choices that would have to come out of one candidate: those of a stream."""
    wanted = payload.get("n")
    if type(wanted) is not int or wanted <= 1 or gives_candidates(model):
        return
    if wanted > MOST_CHOICES:
        raise refuse(f"n must be {MOST_CHOICES} or less for {model}.", "n", "integer_above_max_value")
    raise refuse(f"{model} streams one choice: ask for n=1, or without stream.", "n", "unsupported_value")


def cut(call: Call, payload: dict[str, Any], model: str) -> Sequence[Call]:
    """The call alone, but for whole answers with several choices on models that give one."""
    wanted = payload.get("n")
    if type(wanted) is not int or not 1 < wanted <= MOST_CHOICES or call.stream or gives_candidates(model):
        return (call,)
    # Each has an id of its own, so that calls in different choices have different ids.
    return [
        replace(call, request_id=f"{call.request_id}-{place}", body=b"", payload={**payload, "n": 1})
        for place in range(wanted)
    ]


def joined(call: Call, replies: Sequence[Reply]) -> Reply:
    answers = [orjson.loads(reply.body) for reply in replies]
    found = [answer["choices"][0] | {"index": place} for place, answer in enumerate(answers)]
    usage = added([answer["usage"] for answer in answers])
    made = answers[0] | {"id": completion_id(call), "choices": found, "usage": usage}
    return Reply(orjson.dumps(made), total([reply.usage for reply in replies]), any(reply.useful for reply in replies))


def added(counts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Usage objects of one shape as one: what was paid for, the prompt as often as it was read."""
    first = counts[0]
    return {
        name: added([count[name] for count in counts]) if isinstance(value, dict) else sum(c[name] for c in counts)
        for name, value in first.items()
    }

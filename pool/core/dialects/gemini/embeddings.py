"""OpenAI embeddings by way of batchEmbedContents: one vector for each input, however many there are."""

from __future__ import annotations

import base64
import math
from array import array
from collections.abc import Sequence
from dataclasses import replace
from sys import byteorder
from typing import Any

import orjson

from pool.core.calls import Call, Reply, Usage
from pool.core.dialects import counts
from pool.core.dialects.cutting import total
from pool.core.dialects.gemini import media
from pool.core.dialects.refusals import refuse
from pool.core.tokens import of_text

MOST_INPUTS = 100
"""What batchEmbedContents takes at once: beyond it answers 400 "at most 100 requests can be in one batch".

Source: https://ai.google.dev/api/embeddings#method:-models.batchembedcontents
"""


def cut(call: Call, payload: dict[str, Any]) -> Sequence[Call]:
    """The call as one for every hundred inputs."""
    inputs = inputs_of(payload.get("input"))
    if len(inputs) <= MOST_INPUTS:
        return (call,)
    # What is wrong with a later input is told before the first is asked for.
    for index, one in enumerate(inputs):
        _entry(one, index)
    starts = range(0, len(inputs), MOST_INPUTS)
    return [
        replace(call, body=b"", payload={**payload, "input": inputs[start : start + MOST_INPUTS]}) for start in starts
    ]


def joined(replies: Sequence[Reply]) -> Reply:
    answers = [orjson.loads(reply.body) for reply in replies]
    data = [item for answer in answers for item in answer["data"]]
    for index, item in enumerate(data):
        item["index"] = index
    usage = total([reply.usage for reply in replies])
    told = {"prompt_tokens": usage.input, "total_tokens": usage.input}
    return Reply(orjson.dumps(answers[0] | {"data": data, "usage": told}), usage)


def request_body(payload: dict[str, Any], model: str) -> dict[str, Any]:
    """Several parts in one content would come back as one vector, so every input is a request of its own."""
    inputs = inputs_of(payload.get("input"))
    shared: dict[str, Any] = {"model": f"models/{model}"}
    if payload.get("dimensions") is not None:
        shared["outputDimensionality"] = payload["dimensions"]
    extra = payload.get("extra_body")
    google = payload.get("google") or (extra.get("google") if isinstance(extra, dict) else None)
    task = google.get("task_type") if isinstance(google, dict) else None
    task = task or payload.get("task_type")
    if task:
        shared["taskType"] = task
    return {"requests": [shared | _entry(one, index) for index, one in enumerate(inputs)]}


def inputs_of(stated: Any) -> list[Any]:
    if isinstance(stated, str | dict):
        return [stated]
    if not isinstance(stated, list) or not stated:
        raise refuse("input must be a string or a list of strings.", "input")
    if any(isinstance(one, int) for one in stated):
        raise refuse("Gemini takes text, no token numbers.", "input")
    return stated


def _entry(one: Any, index: int) -> dict[str, Any]:
    where = f"input[{index}]"
    if isinstance(one, dict):
        # {"content": …, "task_type": …, "title": …}, as gateways to Google write it.
        entry = {"content": {"parts": _parts(one.get("content", one.get("text")), where)}}
        named = {"taskType": one.get("task_type"), "title": one.get("title")}
        return entry | {name: value for name, value in named.items() if value}
    if isinstance(one, list) and one and all(isinstance(text, str) and not _is_data(text) for text in one):
        # Their vectors would come as one: the caller waits for one each.
        raise refuse("An input must be one string; a list of texts in the list is not known.", where)
    return {"content": {"parts": _parts(one, where)}}


def _parts(one: Any, where: str) -> list[dict[str, Any]]:
    """A nested list is one input of several parts, text and pictures."""
    listed = one if isinstance(one, list) else [one]
    if not listed or not all(isinstance(text, str) for text in listed):
        raise refuse("Gemini takes text, no token numbers.", where)
    return [media.from_url(text, where, None) if _is_data(text) else {"text": text} for text in listed]


def _is_data(text: str) -> bool:
    return text[:5].lower() == "data:"


def embeddings(call: Call, answer: dict[str, Any], model: str) -> tuple[dict[str, Any], Usage]:
    """OpenAI's list. Raises `ValueError` where there is not a vector for every input."""
    vectors = answer.get("embeddings")
    if not isinstance(vectors, list) or not vectors:
        raise ValueError("the answer has no embeddings")
    payload = call.payload or {}
    if "input" in payload and len(vectors) != len(inputs_of(payload["input"])):
        raise ValueError("the answer has not a vector for every input")
    packed = payload.get("encoding_format") == "base64"
    data = []
    for index, vector in enumerate(vectors):
        values = vector.get("values") or []
        if not isinstance(values, list) or not all(isinstance(value, int | float) for value in values):
            raise ValueError("an embedding is no list of numbers")
        data.append({"object": "embedding", "index": index, "embedding": _packed(values) if packed else values})
    usage = _usage(answer, payload)
    told = {"prompt_tokens": usage.input, "total_tokens": usage.input}
    return {"object": "list", "data": data, "model": model, "usage": told}, usage


def _packed(values: list[float]) -> str:
    """Little-endian float32 in base64, what OpenAI's SDKs ask for by default."""
    numbers = array("f", values)
    if byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()


def _usage(answer: dict[str, Any], payload: dict[str, Any]) -> Usage:
    """Most embedding models tell no usage; then it is estimated."""
    stated = answer.get("usageMetadata")
    if isinstance(stated, dict) and isinstance(stated.get("promptTokenCount"), int | float):
        return counts.usage(counts.count(stated, "promptTokenCount"))
    texts = [text for text in inputs_of(payload.get("input", "")) if isinstance(text, str)]
    return counts.usage(sum(max(1, math.ceil(of_text(text))) for text in texts), estimated=True)

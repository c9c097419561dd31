"""What every answer of ours must look like to a client of OpenAI's, whatever it says."""

from __future__ import annotations

import json
from typing import Any

from conformance.cases import require, same
from conformance.meaning import FINISHES
from pool.core import sse

MEMBERS = {"id", "object", "created", "model", "choices", "usage", "system_fingerprint"}


def is_completion(answer: dict[str, Any]) -> None:
    _has_head(answer, "chat.completion")
    require(answer["choices"], "an answer has a choice")
    for choice in answer["choices"]:
        require(isinstance(choice["index"], int), "a choice has an index")
        require(choice["finish_reason"] in FINISHES, f"finish_reason {choice['finish_reason']!r} is none of OpenAI's")
        message = choice["message"]
        same(message["role"], "assistant", "role")
        require({"content", "refusal"} <= message.keys(), "content and refusal are there, if only as null")
        for call in message.get("tool_calls") or ():
            _is_call(call)
    _is_usage(answer["usage"])


def is_stream(out: bytes, chunks: list[dict[str, Any]], with_usage: bool) -> None:
    """One id, a role first, one finish for each choice and nothing after it, usage as asked, one [DONE]."""
    require(out.endswith(sse.DONE) and out.count(sse.DONE) == 1, "a stream ends with one [DONE]")
    require(chunks, "a stream has chunks")
    same(len({chunk["id"] for chunk in chunks}), 1, "ids of one stream")
    finished: set[int] = set()
    begun: set[int] = set()
    indexes: dict[int, list[int]] = {}
    for chunk in chunks[: -1 if with_usage else None]:
        _has_head(chunk, "chat.completion.chunk")
        require(chunk.get("usage") is None, "usage comes in the last chunk only")
        require(("usage" in chunk) == with_usage, "usage is null in every other chunk where it was asked for")
        for choice in chunk["choices"]:
            index, delta = choice["index"], choice["delta"]
            require(index not in finished, "nothing comes after a finish")
            require((index in begun) or delta.get("role") == "assistant", "the role comes first")
            begun.add(index)
            for call in delta.get("tool_calls") or ():
                _is_call(call)
                indexes.setdefault(index, []).append(call["index"])
            if choice["finish_reason"] is not None:
                require(choice["finish_reason"] in FINISHES, f"finish_reason {choice['finish_reason']!r} is none")
                finished.add(index)
    same(finished, begun, "choices that finished")
    for seen in indexes.values():
        same(seen, list(range(len(seen))), "indexes of calls")
    if with_usage:
        same(chunks[-1]["choices"], [], "choices of the usage chunk")
        _is_usage(chunks[-1]["usage"])


def _has_head(answer: dict[str, Any], kind: str) -> None:
    require(set(answer) <= MEMBERS, f"members that OpenAI does not know: {sorted(set(answer) - MEMBERS)}")
    same(answer["object"], kind, "object")
    require(isinstance(answer["id"], str) and answer["id"].startswith("chatcmpl-"), "id")
    require(isinstance(answer["created"], int) and isinstance(answer["model"], str), "created and model")


def _is_call(call: dict[str, Any]) -> None:
    require(call["id"] and call["type"] == "function", "a call has an id and is of a function")
    require(isinstance(json.loads(call["function"]["arguments"]), dict), "arguments are a JSON object")


def _is_usage(usage: dict[str, Any]) -> None:
    same(usage["total_tokens"], usage["prompt_tokens"] + usage["completion_tokens"], "total_tokens")
    require(usage["prompt_tokens_details"]["cached_tokens"] <= usage["prompt_tokens"], "cached tokens are read ones")
    thought = usage["completion_tokens_details"]["reasoning_tokens"]
    require(thought <= usage["completion_tokens"], "thoughts are completion tokens")

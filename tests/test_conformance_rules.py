"""The rules that explain why we differ from a peer hide no fault: each is held against a converter that errs."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.cases import Case, Unmet
from conformance.choices import reason_for
from conformance.claims import MISSING, Difference, compared, differences
from conformance.pairs import check

REQUEST, RESPONSE = "openai_request->upstream_request", "upstream_response->openai_response"
HI = {"role": "user", "content": "Hi"}
TURN = {"role": "user", "parts": [{"text": "Hi"}]}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
COUNTS = {"promptTokenCount": 5, "candidatesTokenCount": 2, "thoughtsTokenCount": 3, "totalTokenCount": 10}
SCHEMA = {"type": "object", "properties": {"when": {"type": "string", "format": "date-time", "description": "When"}}}


def asked(*messages: Any, **fields: Any) -> dict[str, Any]:
    payload = {"model": "gemini-2.5-flash", "messages": list(messages) or [HI], **fields}
    return {"direction": REQUEST, "target": "gemini", "endpoint": "chat/completions", "input": payload, "expect": []}


def answered(finish: str = "STOP", **members: Any) -> dict[str, Any]:
    candidate = {"content": {"parts": [{"text": "a"}]}, "finishReason": finish}
    return {"direction": RESPONSE, "target": "gemini", "input": {"candidates": [candidate], **members}, "expect": []}


def schema_of(**changes: Any) -> dict[str, Any]:
    when = {name: value for name, value in {**SCHEMA["properties"]["when"], **changes}.items() if value is not None}
    return {**SCHEMA, "properties": {"when": when}}


def finish(reason: str) -> dict[str, Any]:
    return {"choices": [{"finish_reason": reason}]}


REPLAYED = asked(HI, {"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "c", "content": "5"})
REPLAYED["input"]["model"] = "gemini-3-flash-preview"
RESULT = {"functionResponse": {"name": "g", "response": {"result": 5}}}
FORMATTED = asked(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}})

FAULTS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "stops dropped beside a field that is ignored": (
        asked(stop="END", user="me"),
        {"path": ["generationConfig", "stopSequences"], "equals": ["END"]},
        {"contents": [TURN]},
    ),
    "a zero dropped beside a field that holds one": (
        asked(temperature=0, unknown=0),
        {"path": ["generationConfig", "temperature"], "equals": 0},
        {"contents": [TURN]},
    ),
    "vectors of another size": (
        {**asked(), "endpoint": "embeddings", "input": {"model": "m", "input": "x", "dimensions": 256}},
        {"path": ["requests", 0, "outputDimensionality"], "equals": 256},
        {"requests": [{"content": {"parts": [{"text": "x"}]}}]},
    ),
    "filtered, told as an end like others": (
        answered("SAFETY"),
        {"path": ["choices", 0, "finish_reason"], "equals": "content_filter"},
        finish("stop"),
    ),
    "thoughts counted as prompt": (
        answered(usageMetadata=COUNTS),
        {"path": ["usage", "prompt_tokens"], "equals": 5},
        {"usage": {"prompt_tokens": 8}},
    ),
    "thoughts not counted": (
        answered(usageMetadata=COUNTS),
        {"path": ["usage", "completion_tokens"], "equals": 5},
        {"usage": {"completion_tokens": 2}},
    ),
    "words lost beside an empty message": (
        asked(HI, {"role": "assistant", "content": None, "tool_calls": [CALL]}),
        {"path": ["contents", 0, "parts", 0, "text"], "equals": "Hi"},
        {"contents": [{"role": "user", "parts": [{}]}]},
    ),
    "no signature stands in": (
        REPLAYED,
        {"path": ["contents", 1, "parts", 0, "thoughtSignature"], "present": True},
        {"contents": [TURN, {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}]},
    ),
    "the result of another function": (
        REPLAYED,
        {"path": ["contents", 2, "parts", 0, "functionResponse", "name"], "equals": "f"},
        {"contents": [TURN, {}, {"role": "user", "parts": [RESULT]}]},
    ),
    "instructions lost": (
        asked({"role": "system", "content": "Be brief."}, HI),
        {"path": ["systemInstruction", "parts", 0, "text"], "equals": "Be brief."},
        {"contents": [TURN]},
    ),
    "no blank turn beside instructions alone": (
        asked({"role": "system", "content": "Be brief."}),
        {"path": ["contents"], "length": 2},
        {"contents": []},
    ),
    "the limit of neither field": (
        asked(max_tokens=30, max_completion_tokens=40),
        {"path": ["generationConfig", "maxOutputTokens"], "equals": 30},
        {"generationConfig": {"maxOutputTokens": 50}},
    ),
    "a last turn of the wrong role": (
        asked(HI, {"role": "assistant", "content": "So"}),
        {"path": ["contents", 1, "role"], "equals": "model"},
        {"contents": [TURN, {"role": "user", "parts": [{"text": "So"}]}]},
    ),
    "another format in the same field": (
        FORMATTED,
        {"path": ["generationConfig", "responseSchema", "properties", "when", "format"], "equals": "date-time"},
        {"generationConfig": {"responseSchema": schema_of(format="date")}},
    ),
    "a description lost in the same field": (
        FORMATTED,
        {"path": ["generationConfig", "responseSchema", "properties", "when", "description"], "equals": "When"},
        {"generationConfig": {"responseSchema": schema_of(description=None)}},
    ),
    "a signature in no place": (
        answered(),
        {"path": ["choices", 0, "message", "tool_calls", 0, "id"], "equals": "c__thought__c2ln"},
        {"choices": [{"message": {"tool_calls": [CALL]}}]},
    ),
    "a choice without its content": (
        answered(),
        {"path": ["choices", 0, "message", "content"], "equals": None},
        {"choices": [{}]},
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_no_rule_explains_a_fault(fault: str) -> None:
    pair, claim, made = FAULTS[fault]
    [difference] = differences(claim, made)
    assert reason_for(pair, difference, made) is None


def test_the_text_of_what_goes_to_another_service_is_still_looked_for() -> None:
    pair = {**asked(), "expect_path": "/v1/m:predict", "expect": {"instances": [{"content": "Hello"}]}}
    spoilt = Difference(("requests",), "equals", MISSING, [])
    assert reason_for(pair, spoilt, {"requests": []}) is None
    assert reason_for(pair, spoilt, {"requests": [{"content": {"parts": [{"text": "Hello"}]}}]})


def test_a_member_that_is_missing_goes_by_the_name_it_should_have() -> None:
    [difference] = compared({"usage": {"prompt_tokens": 5}}, {"usage": {"total_tokens": 0}})
    assert difference.path == ("usage", "prompt_tokens")
    assert reason_for(answered(usageMetadata=COUNTS), difference, {"usage": {}}) is None


@pytest.mark.parametrize(
    ("pair", "claim"),
    [
        (asked(store=True, top_n=7), {"path": ["generationConfig", "topN"], "equals": 7}),
        (asked(metadata={"team": "ai"}), {"path": ["tags"], "equals": {"x": "ai"}}),
        (answered("SAFETY"), {"path": ["choices", 0, "finish_reason"], "equals": "stop"}),
        (answered("MALFORMED_FUNCTION_CALL"), {"path": ["choices", 0, "finish_reason"], "equals": "error"}),
        (answered(usageMetadata=COUNTS), {"path": ["usage", "completion_tokens"], "equals": 2}),
    ],
)
def test_what_is_right_is_explained(pair: dict[str, Any], claim: dict[str, Any]) -> None:
    document = pair | {"match": "assertions", "expect": [claim]}
    assert len(check(Case("x.json", "pairs", {}, document))) == 1
    with pytest.raises(Unmet):
        check(Case("x.json", "pairs", {}, document | {"expect": [claim, {"path": ["nothing"], "equals": "whatever"}]}))

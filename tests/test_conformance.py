"""The judge of recordings: it reads its language, finds what is wrong, and explains only what it has a rule for."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conformance import compat, vectors
from conformance import native as native_check
from conformance.calls import codec_of
from conformance.cases import FAILED, KNOWN, PASSED, Case, Result, Unmet, cases
from conformance.claims import MISSING, collect, compared, differences, look
from conformance.report import lines
from conformance.running import judged
from pool.core import sse
from pool.core.calls import GEMINI, OPENAI

ROOT = Path(__file__).parents[1]
HI = [{"role": "user", "content": "Hi"}]
OURS = {"model": "gemini-2.5-flash", "messages": HI}
REQUEST = "openai_request->upstream_request"
RESPONSE = "upstream_response->openai_response"
STREAM = "upstream_stream->openai_stream"


def native(*parts: dict[str, Any], finish: str | None = "STOP", **over: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": list(parts)}, "finishReason": finish}], **over}


def judge(kind: str, document: Any, **row: Any) -> Result:
    return judged(Case("file.json", kind, row, document))


def pair(direction: str, given: Any, expect: Any, match: str = "assertions", **over: Any) -> Result:
    document = {"direction": direction, "input": given, "match": match, "expect": expect, "target": "gemini"}
    return judge("pairs", document | over)


# -- the language of claims ----------------------------------------------------------------------------------------

DOCUMENT = {"a": [{"b": 1}, {"b": "Word"}], "n": None, "flag": True, "json": '{"x":[1]}', "camelCase": 0}


@pytest.mark.parametrize(
    ("claim", "holds"),
    [
        ({"path": ["a", 0, "b"], "equals": 1}, True),
        ({"path": ["a", 0, "b"], "equals": 1.0}, True),
        ({"path": ["a", 0, "b"], "equals": 2}, False),
        ({"path": ["flag"], "equals": 1}, False),
        ({"path": ["a", -1, "b"], "equals_ci": "WORD"}, True),
        ({"path": ["a", 1, "b"], "one_of": ["Word", "other"]}, True),
        ({"path": ["a", 1, "b"], "one_of": ["other"]}, False),
        ({"path": ["gone"], "absent": True}, True),
        ({"path": ["n"], "absent": True}, False),
        ({"path": ["n"], "absent_or_null": True}, True),
        ({"path": ["a", 9], "present": True}, False),
        ({"path": ["n"], "present": True}, True),
        ({"path": ["a"], "length": 2}, True),
        ({"path": ["gone"], "length": 0}, False),
        ({"path": ["a"], "contains_text": "Word"}, True),
        ({"path": ["a"], "not_contains_text": "Word"}, False),
        ({"path": ["gone"], "not_contains_text": "Word"}, False),
        ({"path": ["json"], "json_equals": {"x": [1]}}, True),
        ({"path": ["n"], "json_equals": {}}, False),
        ({"path": ["camel_case"], "equals": 0}, True),
    ],
)
def test_a_claim_about_a_place_holds_or_not(claim: dict[str, Any], holds: bool) -> None:
    assert (differences(claim, DOCUMENT) == []) is holds


CHUNKS: list[dict[str, Any]] = [
    {"choices": [{"delta": {"role": "assistant", "content": "a"}}], "usage": None},
    {"choices": [{"delta": {"content": "b", "tool_calls": [{"id": "1", "function": {"arguments": '{"x"'}}]}}]},
    {"choices": [{"delta": {"tool_calls": [{"id": "2", "function": {"arguments": ":1}"}}]}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"total_tokens": 7}},
]


@pytest.mark.parametrize(
    ("claim", "holds"),
    [
        ({"collect": "delta.content", "equals": "ab"}, True),
        ({"collect": "delta.tool_calls.id", "equals_list": ["1", "2"]}, True),
        ({"collect": "delta.tool_calls", "length": 2}, True),
        ({"collect": "delta.tool_calls.id", "all_distinct": True}, True),
        ({"collect": "delta.tool_calls.id", "each_contains": ["1", "2"]}, True),
        ({"collect": "delta.tool_calls.id", "each_contains": ["1"]}, False),
        ({"collect": "usage.total_tokens", "equals_list": [7]}, True),
        ({"collect_json": "delta.tool_calls.function.arguments", "equals": {"x": 1}}, True),
        ({"chunk": "last", "path": ["choices"], "equals": []}, True),
        ({"chunk": "last_with_choice", "path": ["choices", 0, "finish_reason"], "equals": "stop"}, True),
        ({"chunk": 0, "path": ["choices", 0, "delta", "content"], "equals": "a"}, True),
        ({"chunk": 9, "path": ["choices"], "present": True}, False),
    ],
)
def test_a_claim_about_a_stream_holds_or_not(claim: dict[str, Any], holds: bool) -> None:
    assert (differences(claim, None, CHUNKS) == []) is holds


def test_a_verb_nobody_knows_is_no_claim_that_holds() -> None:
    with pytest.raises(Unmet, match="looks_nice"):
        differences({"path": ["a"], "looks_nice": True}, DOCUMENT)


def test_what_says_nothing_makes_no_difference_and_ids_neither() -> None:
    wanted = {"id": "x", "created": 5, "a": {"b": 1}, "generation_config": {"top_p": 1}}
    found = {"id": "y", "created": 6, "a": {"b": 1, "c": None}, "generationConfig": {"topP": 1}, "tools": []}
    assert list(compared(wanted, found)) == []
    [one] = compared({"a": [1, 2]}, {"a": [1, 3]})
    assert (one.path, one.wanted, one.found) == (("a", 1), 2, 3)
    assert [one.path for one in compared({}, {"a": {"b": 1}})] == [("a",)]
    assert list(compared({"a": {}}, {"a": {"b": 1}, "c": 1}, subset=True)) == []
    assert look({"a": 1}, ["a", "b"]) is MISSING
    assert collect([{"choices": [{"delta": None}]}], "delta.content") == []


# -- verdicts ------------------------------------------------------------------------------------------------------


def test_a_request_that_a_peer_makes_alike_passes_and_another_one_fails() -> None:
    assert pair(REQUEST, OURS, [{"path": ["contents"], "length": 1}]).verdict == PASSED
    failed = pair(REQUEST, OURS, [{"path": ["contents", 0, "parts", 0, "text"], "equals": "Bye"}])
    assert failed.verdict == FAILED
    assert "contents.0.parts.0.text" in failed.notes[0]
    assert pair(REQUEST, OURS, {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}, "exact").verdict == PASSED
    assert pair(REQUEST, OURS | {"top_p": 1}, {"contents": None}, "exact").verdict == FAILED
    assert pair(REQUEST, OURS | {"top_p": 1}, {"generationConfig": {"topP": 1}}, "subset").verdict == PASSED


def test_a_path_that_leads_elsewhere_fails() -> None:
    claims = [{"path": ["contents"], "length": 1}]
    assert pair(REQUEST, OURS, claims, expect_path="/v1/models/gemini-2.5-flash:generateContent").verdict == PASSED
    assert pair(REQUEST, OURS, claims, expect_path="/v1/models/gemini-2.5-pro:generateContent").verdict == FAILED
    assert pair(REQUEST, OURS, claims, expect_query="alt=sse").verdict == FAILED


def test_a_refusal_is_met_by_a_refusal_alone() -> None:
    assert pair(REQUEST, {**OURS, "stop": 5}, [{"error": True}]).verdict == PASSED
    assert pair(REQUEST, OURS, [{"error": True}]).verdict == FAILED
    refused = pair(REQUEST, {**OURS, "stop": 5}, [{"path": ["contents"], "length": 1}])
    assert (refused.verdict, refused.notes) == (FAILED, ("refused: stop: stop must be a string or a list of strings.",))


RESULT = {
    **OURS,
    "messages": [
        *HI,
        {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "sunny"},
    ],
}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}
FORMATTED = {**OURS, "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}}
JSON_SCHEMA = ["generationConfig", "responseJsonSchema"]
LIMITS = {**OURS, "max_tokens": 1, "max_completion_tokens": 2}
PICTURE = {
    **OURS,
    "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.y"}}]}],
}


@pytest.mark.parametrize(
    ("given", "claim", "other"),
    [
        (
            RESULT,
            {"find": "functionResponse", "path": ["response"], "equals": {"output": "sunny"}},
            {"find": "functionResponse", "path": ["response"], "equals": {"output": "rainy"}},
        ),
        (
            FORMATTED,
            {"path": JSON_SCHEMA, "equals": SCHEMA},
            {"path": JSON_SCHEMA, "equals": {"type": "object", "properties": {"b": {"type": "string"}}}},
        ),
        (
            LIMITS,
            {"path": ["generationConfig", "maxOutputTokens"], "equals": 1},
            {"path": ["generationConfig", "candidateCount"], "equals": 5},
        ),
        (
            PICTURE,
            {"path": ["contents", 0, "parts", 0, "fileData", "fileUri"], "equals": "https://x.y"},
            {"path": ["contents", 0, "parts", 0, "text"], "equals": "https://x.y"},
        ),
        (
            {**OURS, "tool_choice": "required"},
            {"path": ["toolConfig", "functionCallingConfig", "mode"], "equals": "ANY"},
            {"path": ["tools"], "length": 1},
        ),
        (
            {**OURS, "messages": [*HI, {"role": "assistant", "content": "Well"}]},
            {"path": ["contents"], "length": 1},
            {"path": ["contents"], "length": 5},
        ),
        (
            {**OURS, "reasoning_effort": "medium"},
            {"path": ["generationConfig", "thinkingConfig", "thinkingBudget"], "equals": 2048},
            {"path": ["generationConfig", "temperature"], "equals": 1},
        ),
    ],
)
def test_a_rule_explains_what_it_is_about_and_nothing_else(given: Any, claim: Any, other: Any) -> None:
    explained = pair(REQUEST, given, [claim])
    assert (explained.verdict, len(explained.notes)) == (KNOWN, 1)
    assert pair(REQUEST, given, [other]).verdict == FAILED
    assert pair(REQUEST, given, [claim, other]).verdict == FAILED


def test_an_answer_and_a_stream_are_held_against_what_a_peer_makes_of_them() -> None:
    answer = native({"text": "Hello"})
    assert pair(RESPONSE, answer, [{"path": ["choices", 0, "message", "content"], "equals": "Hello"}]).verdict == PASSED
    assert pair(RESPONSE, answer, [{"path": ["choices", 0, "message", "content"], "equals": "Bye"}]).verdict == FAILED
    assert pair(RESPONSE, {"nothing": 1}, []).verdict == FAILED
    said = [{"collect": "delta.content", "equals": "Hello"}]
    assert pair(STREAM, [answer], said).verdict == PASSED
    assert pair(STREAM, [native({"text": "Bye"})], said).verdict == FAILED
    whole = [json.dumps({"choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": "stop"}]}), "[DONE]"]
    assert pair(STREAM, [answer], whole, "exact").verdict == KNOWN
    assert pair(STREAM, [native({"text": "Bye"})], whole, "exact").verdict == FAILED


def test_a_finish_and_a_member_of_a_peers_own_are_explained() -> None:
    answer = native({"text": "Hello"}, finish="MAX_TOKENS")
    assert pair(RESPONSE, answer, [{"path": ["choices", 0, "finish_reason"], "equals": "max_tokens"}]).verdict == KNOWN
    assert pair(RESPONSE, answer, [{"path": ["choices", 0, "finish_reason"], "equals": "stop"}]).verdict == FAILED
    assert pair(RESPONSE, answer, [{"path": ["vertex_ai_metadata"], "present": True}]).verdict == KNOWN


def exchange(body: Any, path: str = "/v1beta/models/m:generateContent", **over: Any) -> dict[str, Any]:
    return {"request": {"path": path, "body": {"contents": []}}, "response": {"status": 200, "body": body, **over}}


def test_an_exchange_of_another_kind_than_it_says_fails_and_the_others_go_on() -> None:
    assert judge("gemini_native", exchange(native({"text": "x"}))).verdict == PASSED
    assert judge("gemini_native", exchange({"candidates": [{"content": "words"}]})).verdict == FAILED
    assert judge("gemini_native", exchange({"error": {"message": "no"}})).verdict == KNOWN
    assert judge("openai", {"request": {"path": "/v1/chat/completions"}, "response": {"body": {}}}).verdict == FAILED
    assert judge("gemini_native", "no object").verdict == FAILED
    assert judge("music", {}).notes == ("nobody here knows the kind 'music'",)
    assert pair("sideways", {}, []).verdict == FAILED


def test_a_total_that_is_no_sum_is_explained_and_a_count_that_is_wrong_is_not() -> None:
    usage = {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 9}
    assert judge("gemini_native", exchange(native({"text": "x"}, usageMetadata=usage))).verdict == KNOWN


@pytest.mark.parametrize(
    ("reaction", "verdict"),
    [("disable_key", PASSED), ("return_to_client", FAILED), ("dance", FAILED), ("retry_other_key", PASSED)],
)
def test_a_refusal_is_judged_by_what_a_pool_should_do(reaction: str, verdict: str) -> None:
    body = {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}
    document = {"provider": "openai", "status": 401, "body": body, "right_reaction_for_a_key_pool": reaction}
    assert judge("errors", document).verdict == verdict


def test_googles_own_layer_is_compared_in_meaning() -> None:
    said = {"role": "assistant", "content": "<thought>Hm.</thought>Hello"}
    usage = {"prompt_tokens": 4, "completion_tokens": 6, "total_tokens": 30}
    body = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "usage": usage}
    document: dict[str, Any] = {
        "response": {"body": {**body, "choices": [{"index": 0, "message": said, "finish_reason": "stop"}]}}
    }
    explained = judge("gemini_openai_compat", document, endpoint="chat/completions")
    assert explained.verdict == KNOWN
    assert any("reasoning_content" in note for note in explained.notes)
    document["response"]["body"]["choices"][0]["finish_reason"] = "tool_calls"
    assert judge("gemini_openai_compat", document, endpoint="chat/completions").verdict == FAILED


# -- a converter that is wrong ---------------------------------------------------------------------------------------

WIRE = ROOT / "tests" / "wire"
Spoil = Callable[[dict[str, Any]], Any]


def golden() -> Iterator[Case]:
    """What Google says in the golden files, as if it had been recorded; and the recordings of Google's own layer."""
    for path in sorted(WIRE.glob("*.json")):
        story = json.loads(path.read_text())
        if isinstance(story, dict) and ("answer" in story or "events" in story):
            vectors = story["call"].get("operation") == "embeddings"
            verb = "streamGenerateContent?alt=sse" if "events" in story else "generateContent"
            request = {
                "path": f"/v1beta/models/m:{'batchEmbedContents' if vectors else verb}",
                "body": {"contents": []},
            }
            told = [json.dumps(event) for event in story.get("events", ())]
            response = {"sse": told} if "events" in story else {"body": story["answer"]}
            yield Case(path.name, "gemini_native", {}, {"request": request, "response": {"status": 200, **response}})
    yield from (case for case in cases(WIRE) if case.kind == "gemini_openai_compat")


class Spoilt:
    """A codec or reader for clients of OpenAI's whose answers are spoilt on the way out."""

    def __init__(self, whole: Any, spoil: Spoil) -> None:
        self._whole = whole
        self._spoil = spoil

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    def reply(self, *given: Any) -> Any:
        reply = self._whole.reply(*given)
        return replace(reply, body=self._spoilt(reply.body))

    def reader(self, *given: Any) -> Spoilt:
        return Spoilt(self._whole.reader(*given), self._spoil)

    def feed(self, piece: bytes) -> bytes:
        return self._events(self._whole.feed(piece))

    def end(self) -> bytes:
        return self._events(self._whole.end())

    def _events(self, out: bytes) -> bytes:
        told = [event.data for event in sse.events(out)]
        return b"".join(sse.DONE if data == b"[DONE]" else sse.encode(self._spoilt(data)) for data in told)

    def _spoilt(self, body: bytes) -> bytes:
        answer = json.loads(body)
        self._spoil(answer)
        return json.dumps(answer).encode()


def in_choices(spoil: Spoil) -> Spoil:
    return lambda answer: [spoil(choice) for choice in answer.get("choices") or ()]


def in_messages(spoil: Spoil) -> Spoil:
    return in_choices(lambda choice: spoil(choice.get("message") or choice.get("delta") or {}))


def in_members(name: str, spoil: Spoil) -> Spoil:
    return in_messages(lambda message: [spoil(one) for one in message.get(name) or ()])


def in_usage(*path: str, value: int = 3) -> Spoil:
    def spoil(answer: dict[str, Any]) -> None:
        holder = answer.get("usage")
        for step in path[:-1]:
            holder = (holder or {}).get(step)
        if holder:
            holder[path[-1]] = value

    return spoil


def without(name: str) -> Spoil:
    return lambda holder: holder.pop(name, None)


def garbled(answer: dict[str, Any]) -> None:
    for item in answer.get("data") or ():
        if isinstance(item["embedding"], str):
            item["embedding"] = item["embedding"][::-1]


def moved(annotation: dict[str, Any]) -> None:
    annotation["url_citation"]["end_index"] += 1


def reworded(message: dict[str, Any]) -> None:
    if message.get("content"):
        message["content"] = message["content"].replace("print", "")


def said_otherwise(message: dict[str, Any]) -> None:
    message["content"] = (message.get("content") or "") + (message.pop("reasoning_content", None) or "")


MUTATIONS: dict[str, tuple[Spoil, str]] = {
    "no annotations": (in_messages(without("annotations")), "answer stream"),
    "other pages": (in_members("annotations", lambda one: one["url_citation"].update(url="x")), "answer stream"),
    "other words": (in_members("annotations", moved), "answer stream"),
    "no pictures": (in_messages(without("images")), "answer stream"),
    "empty pictures": (
        in_members("images", lambda one: one["image_url"].update(url="data:image/png;base64,")),
        "answer",
    ),
    "pictures of no turn": (in_members("images", without("extra_content")), "answer"),
    "no sound": (in_messages(lambda message: (message.get("audio") or {}).update(data="")), "answer stream"),
    "no odds": (in_choices(lambda choice: choice.update(logprobs=None)), "answer stream"),
    "signatures lost": (in_messages(without("extra_content")), "answer stream"),
    "signatures of calls lost": (in_members("tool_calls", without("extra_content")), "answer stream compat"),
    "thoughts lost": (in_messages(without("reasoning_content")), "answer stream compat"),
    "thoughts as text": (in_messages(said_otherwise), "answer stream compat"),
    "code lost": (in_messages(reworded), "answer stream"),
    "why it ended": (in_choices(without("native_finish_reason")), "answer stream"),
    "what was wrong": (in_choices(without("finish_message")), "answer"),
    "one id": (in_members("tool_calls", lambda call: call.update(id="same")), "answer stream"),
    "another model": (lambda answer: answer.update(model="other"), "answer stream"),
    "what was read": (in_usage("prompt_tokens"), "answer stream compat"),
    "what was cached": (in_usage("prompt_tokens_details", "cached_tokens"), "answer"),
    "what was heard": (in_usage("prompt_tokens_details", "audio_tokens"), "answer stream"),
    "what was thought": (in_usage("completion_tokens_details", "reasoning_tokens", value=1), "answer stream compat"),
    "base64 garbled": (garbled, "embeddings compat"),
}


def test_a_converter_that_is_right_passes() -> None:
    assert [result.case.file for result in map(judged, golden()) if result.verdict == FAILED] == []


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_converter_that_is_wrong_fails(mutation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil, kinds = MUTATIONS[mutation]

    def codec(client: str, provider: str, *given: Any) -> Any:
        found = codec_of(client, provider, *given)
        return Spoilt(found, spoil) if (client, provider) == (OPENAI, GEMINI) else found

    for module in (native_check, compat, vectors):
        monkeypatch.setattr(module, "codec_of", codec)
    failed = [result.case for result in map(judged, golden()) if result.verdict == FAILED]
    found = {"compat" if "/" in case.file else case.file.partition("-")[0] for case in failed}
    assert set(kinds.split()) <= found


# -- folders, report, command --------------------------------------------------------------------------------------


def test_a_folder_without_an_index_is_read_by_its_folders_and_notes_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "pairs").mkdir()
    (tmp_path / "pairs" / "a.json").write_text("{}")
    (tmp_path / "pairs" / "_notes.json").write_text("{}")
    assert [(case.file, case.kind) for case in cases(tmp_path)] == [("pairs/a.json", "pairs")]
    (tmp_path / "index.json").write_text(json.dumps([{"file": "pairs/gone.json", "kind": "pair"}]))
    [case] = cases(tmp_path)
    assert case.kind == "pairs"
    assert judged(case).verdict == FAILED


def test_the_report_counts_by_kind_and_feature_and_names_what_failed() -> None:
    row = {"features": ["req:x"]}
    results = [
        Result(Case("a.json", "pairs", row, None), PASSED),
        Result(Case("b.json", "pairs", row, None), KNOWN, ("for a reason",)),
        Result(Case("c.json", "pairs", {}, None), FAILED, ("this is missing",)),
    ]
    text = "\n".join(lines(results))
    assert "pairs           2/3      1       1" in text
    assert "pairs req:x           2/2      1" in text
    assert "   1  for a reason\n      b.json" in text
    assert "failed\n  c.json\n      this is missing" in text
    assert text.endswith("3 cases: 1 as recorded, 1 otherwise for a reason, 1 failed without one")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "conformance", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_passes_on_the_golden_files_and_fails_on_a_broken_one(tmp_path: Path) -> None:
    passed = run()
    assert passed.returncode == 0, passed.stdout
    assert passed.stdout.rstrip().endswith("0 failed without one")
    (tmp_path / "pairs").mkdir()
    broken = {"direction": REQUEST, "input": OURS, "match": "exact", "expect": {"contents": []}}
    (tmp_path / "pairs" / "broken.json").write_text(json.dumps(broken))
    failed = run(str(tmp_path))
    assert failed.returncode == 1
    assert "pairs/broken.json" in failed.stdout
    assert run(str(tmp_path / "nowhere")).returncode == 2
    (tmp_path / "empty").mkdir()
    assert run(str(tmp_path / "empty")).returncode == 2

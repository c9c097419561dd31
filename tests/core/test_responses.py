"""The Responses API carried to chat and back; OpenAI's own SDK types say whether what comes out is in shape."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from pool.core import sse
from pool.core.calls import GEMINI, OPENAI, Call
from pool.core.dialects import codec_for
from pool.core.dialects.responses.request import chat_payload
from pool.core.faults import Fault

EVENT = TypeAdapter(ResponseStreamEvent)
SEARCH = {"type": "web_search_preview"}
LOOK = {"type": "function", "name": "look", "description": "Looks", "parameters": {"type": "object"}, "strict": True}
CODEC = codec_for(OPENAI, GEMINI, "responses")


def call_of(payload):
    return Call("r1", OPENAI, "responses", "gemini-2.5-flash", bool(payload.get("stream")), b"", payload, created=5)


def chat(**payload):
    return chat_payload({"input": "Hello", **payload}, "m")


def asked(**payload):
    return orjson.loads(CODEC.ask(call_of({"input": "Hello", **payload}), "gemini-2.5-flash").body)


def test_a_plain_question():
    assert chat(instructions="Be brief.", temperature=0, top_p=0.5, max_output_tokens=9, user="u") == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
        "temperature": 0,
        "top_p": 0.5,
        "user": "u",
        "max_completion_tokens": 9,
    }


def test_items_become_the_turns_of_a_chat():
    items = [
        {"role": "developer", "content": "Look first."},
        {"type": "message", "role": "user", "content": [
            {"type": "input_text", "text": "What is this?"},
            {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "high"},
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="},
        ]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": '{"at":"sky"}'},
        {"type": "function_call", "call_id": "c2", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "blue"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "grey"},
            {"type": "input_image", "image_url": "https://x/y.png"}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "It is the sky.", "annotations": []}]},
    ]  # fmt: skip
    assert chat(input=items)["messages"] == [
        {"role": "developer", "content": "Look first."},
        {"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "high"}},
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}},
        ]},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at":"sky"}'}},
            {"id": "c2", "type": "function", "function": {"name": "look", "arguments": "{}"}},
        ]},
        {"role": "tool", "tool_call_id": "c1", "content": "blue"},
        {"role": "tool", "tool_call_id": "c2", "content": "grey"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}]},
        {"role": "assistant", "content": "It is the sky."},
    ]  # fmt: skip


def test_tools_formats_and_effort_reach_gemini():
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    sent = asked(
        tools=[LOOK, SEARCH, {"type": "code_interpreter", "container": {"type": "auto"}}],
        tool_choice={"type": "function", "name": "look"},
        text={"format": {"type": "json_schema", "name": "a", "schema": schema, "strict": True}},
        reasoning={"effort": "low"},
    )
    assert {"googleSearch": {}} in sent["tools"]
    assert {"codeExecution": {}} in sent["tools"]
    assert sent["tools"][0]["functionDeclarations"][0]["name"] == "look"
    assert sent["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"] == ["look"]
    assert sent["generationConfig"]["responseMimeType"] == "application/json"
    assert sent["generationConfig"]["thinkingConfig"]["thinkingBudget"] == 1024


@pytest.mark.parametrize(
    ("payload", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"input": 5}, "input"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input[0].type"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}, "input[0].content[0]"),
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, "tools[0]"),
        ({"tools": [LOOK], "tool_choice": {"type": "mcp"}}, "tool_choice"),
    ],
)
def test_what_cannot_be_carried_is_refused_by_name(payload, param):
    with pytest.raises(Fault) as refused:
        chat(**payload)
    assert (refused.value.status, refused.value.param) == (400, param)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(
        ["role", "content", "type", "text", "call_id", "name", "arguments", "output", "message", "function_call",
         "function_call_output", "input_text", "function", "format"]) | st.text(max_size=4), inner, max_size=5),
    max_leaves=30,
)  # fmt: skip


@given(
    st.fixed_dictionaries(
        {"input": anything},
        optional={
            "instructions": anything,
            "tools": anything,
            "tool_choice": anything,
            "text": anything,
            "reasoning": anything,
        },
    )
)
def test_any_request_is_carried_or_refused(payload):
    try:
        CODEC.ask(call_of(payload), "gemini-2.5-flash")
    except Fault as refused:
        assert refused.status == 400


# -- answers ----------------------------------------------------------------------------------------------------


def gemini(*parts, finish="STOP", **more):
    counts = {"promptTokenCount": 7, "candidatesTokenCount": 5, "thoughtsTokenCount": 2, "totalTokenCount": 14}
    candidate = {"content": {"role": "model", "parts": list(parts)}, "index": 0, **more}
    return {
        "candidates": [candidate | ({"finishReason": finish} if finish else {})],
        "usageMetadata": counts,
        "modelVersion": "gemini-2.5-flash",
        "responseId": "abc",
    }


def replied(*parts, **more):
    payload = {"input": "Hello", "tools": [LOOK]}
    document = orjson.loads(CODEC.reply(call_of(payload), {}, orjson.dumps(gemini(*parts, **more))).body)
    Response.model_validate(document, strict=False)
    return document


def test_an_answer_is_a_response():
    made = replied({"text": "Hello"})
    assert (made["id"], made["object"], made["status"], made["store"]) == ("resp_r1", "response", "completed", False)
    (item,) = made["output"]
    assert (item["type"], item["role"], item["status"]) == ("message", "assistant", "completed")
    assert item["content"] == [{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}]
    assert made["usage"] == {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 2},
        "total_tokens": 14,
    }
    assert made["tools"] == [LOOK]


def test_an_answer_that_was_cut_is_incomplete():
    made = replied({"text": "Hel"}, finish="MAX_TOKENS")
    assert (made["status"], made["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})


def test_thoughts_calls_and_pictures_are_items_and_signatures_come_back():
    made = replied(
        {"text": "hm", "thought": True},
        {"inlineData": {"mimeType": "image/png", "data": "QUJD"}},
        {"text": "I look."},
        {"functionCall": {"name": "look", "args": {"at": "sky"}}, "thoughtSignature": "c2ln"},
    )
    assert [item["type"] for item in made["output"]] == [
        "reasoning", "image_generation_call", "message", "function_call",
    ]  # fmt: skip
    thought, image, _, call = made["output"]
    assert (thought["summary"][0]["text"], image["result"], call["arguments"]) == ("hm", "QUJD", '{"at":"sky"}')
    items = [{"role": "user", "content": "Hello"}, *made["output"],
             {"type": "function_call_output", "call_id": call["call_id"], "output": "blue"}]  # fmt: skip
    parts = [part for turn in asked(input=items)["contents"] for part in turn["parts"]]
    assert [part["thoughtSignature"] for part in parts if "functionCall" in part] == ["c2ln"]


def test_what_was_found_on_the_web_is_cited():
    chunk = {"web": {"uri": "https://example.org", "title": "Example"}}
    support = {"segment": {"startIndex": 0, "endIndex": 5, "text": "Hello"}, "groundingChunkIndices": [0]}
    grounding = {"groundingChunks": [chunk], "groundingSupports": [support]}
    made = replied({"text": "Hello"}, groundingMetadata=grounding)
    (citation,) = made["output"][0]["content"][0]["annotations"]
    assert (citation["type"], citation["url"], citation["title"]) == ("url_citation", "https://example.org", "Example")


# -- streams ----------------------------------------------------------------------------------------------------


def streamed(*chunks, piece=None):
    reader = CODEC.reader(call_of({"input": "Hello", "stream": True}), {"content-type": "text/event-stream"})
    sent = b"".join(sse.encode(orjson.dumps(chunk)) for chunk in chunks)
    size = piece or len(sent)
    out = b"".join(reader.feed(sent[at : at + size]) for at in range(0, len(sent), size))
    assert reader.finished
    out += reader.end()
    events = [orjson.loads(event.data) for event in sse.events(out)]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    for event in events:
        EVENT.validate_python(event)
    return events


@pytest.mark.parametrize("piece", [None, 1, 50])
def test_a_stream_tells_the_same_response_piece_by_piece(piece):
    parts = [
        {"text": "h", "thought": True},
        {"text": "m", "thought": True},
        {"text": "I "},
        {"text": "look."},
    ]
    calls = [
        {"functionCall": {"name": "look", "args": {"at": "sky"}}, "thoughtSignature": "c2ln"},
        {"functionCall": {"name": "look", "args": {}}},
    ]
    events = streamed(*[gemini(part, finish=None) for part in parts], gemini(*calls), piece=piece)
    names = [event["type"] for event in events]
    assert names[:2] == ["response.created", "response.in_progress"]
    assert names[-1] == "response.completed"
    made = events[-1]["response"]
    assert [item["type"] for item in made["output"]] == [
        "reasoning", "message", "reasoning", "function_call", "function_call",
    ]  # fmt: skip
    thought, message, carrier, first, second = made["output"]
    assert (thought["summary"][0]["text"], message["content"][0]["text"]) == ("hm", "I look.")
    assert (first["arguments"], second["arguments"]) == ('{"at":"sky"}', "{}")
    assert carrier["encrypted_content"]
    text = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    assert text == "I look."
    added = [event["item"]["id"] for event in events if event["type"] == "response.output_item.added"]
    done = [event["item"]["id"] for event in events if event["type"] == "response.output_item.done"]
    assert sorted(added) == sorted(done) == sorted(item["id"] for item in made["output"])
    assert made["usage"]["output_tokens"] == 7


def test_a_cut_answer_ends_as_incomplete():
    events = streamed(gemini({"text": "Hel"}, finish="MAX_TOKENS"))
    assert events[-1]["type"] == "response.incomplete"


def test_a_cut_stream_is_not_finished():
    reader = CODEC.reader(call_of({"input": "Hello", "stream": True}), {})
    reader.feed(sse.encode(orjson.dumps(gemini({"text": "Hel"}, finish=None))))
    assert (reader.useful, reader.finished) == (True, False)

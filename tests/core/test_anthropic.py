"""Anthropic's dialect: Messages carried to OpenAI's chat and to Gemini, and back, piece by piece."""

import base64

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.core import sse
from pool.core.calls import ANTHROPIC, GEMINI, OPENAI, Call
from pool.core.dialects import codec_for, render_fault
from pool.core.dialects.anthropic.request import chat_payload
from pool.core.dialects.anthropic.signatures import signature_block, signatures_of
from pool.core.faults import Fault

PNG = base64.b64encode(b"\x89PNG").decode()
HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {"name": "look", "description": "Looks", "input_schema": {"type": "object", "properties": {"at": {}}}}


def call_of(payload, operation="messages"):
    return Call("r", ANTHROPIC, operation, payload.get("model", "m"), bool(payload.get("stream")), b"", payload)


def asked(provider, **payload):
    """The upstream's request body."""
    payload = {"model": "gemini-2.5-flash", "max_tokens": 100, "messages": HELLO, **payload}
    ask = codec_for(ANTHROPIC, provider, "messages").ask(call_of(payload), payload["model"])
    return orjson.loads(ask.body)


def chat(provider=OPENAI, model="gpt-4o", **payload):
    return chat_payload({"max_tokens": 100, "messages": HELLO, **payload}, model, provider)


def test_a_question_becomes_a_chat():
    assert chat(system="Be brief.", temperature=0, top_p=0.5, top_k=3, stop_sequences=["END"]) == {
        "model": "gpt-4o",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
        "temperature": 0,
        "top_p": 0.5,
        "stop": ["END"],
        "max_tokens": 100,
    }


def test_the_system_may_be_blocks():
    system = [
        {"type": "text", "text": "One.", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "Two."},
    ]
    assert chat(system=system)["messages"][0] == {"role": "system", "content": "One.\n\nTwo."}


@pytest.mark.parametrize(
    ("model", "provider", "name"),
    [
        ("gpt-4o", OPENAI, "max_tokens"),
        ("o3-mini", OPENAI, "max_completion_tokens"),
        ("openai/gpt-5.1", OPENAI, "max_completion_tokens"),
        ("gemini-2.5-pro", GEMINI, "max_tokens"),
    ],
)
def test_the_limit_goes_under_the_name_the_model_knows(model, provider, name):
    assert chat(provider, model)[name] == 100


def test_pictures_and_papers_go_along():
    paper = {"type": "base64", "media_type": "application/pdf", "data": "JVA="}
    content = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
        {
            "type": "document",
            "title": "a.pdf",
            "source": paper,
        },
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "plain"}},
        {"type": "text", "text": "What is this?"},
    ]
    assert chat(messages=[{"role": "user", "content": content}])["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVA="}},
        {"type": "text", "text": "plain"},
        {"type": "text", "text": "What is this?"},
    ]


def test_results_of_tools_answer_the_calls_before_the_person_speaks():
    result = [{"type": "text", "text": "sunny"}, {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}}]
    messages = [
        {"role": "user", "content": "Weather?"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "abc"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "sky"}},
                {"type": "tool_use", "id": "t2", "name": "look", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": result},
                {"type": "tool_result", "tool_use_id": "t2", "content": "no such place", "is_error": True},
                {"type": "text", "text": "And now?"},
            ],
        },
    ]
    assert chat(messages=messages)["messages"][1:] == [
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {"id": "t1", "type": "function", "function": {"name": "look", "arguments": '{"at":"sky"}'}},
                {"id": "t2", "type": "function", "function": {"name": "look", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "t2", "content": '{"error":"no such place"}'},
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
                {"type": "text", "text": "And now?"},
            ],
        },
    ]


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "look"}, {"type": "function", "function": {"name": "look"}}),
    ],
)
def test_tools_and_their_choice(choice, wanted):
    sent = chat(tools=[TOOL, {"type": "web_search_20250305", "name": "web_search"}], tool_choice=choice)
    assert sent["tools"] == [
        {
            "type": "function",
            "function": {"name": "look", "parameters": TOOL["input_schema"], "description": "Looks"},
        },
        {"type": "web_search"},
    ]
    assert sent["tool_choice"] == wanted


def test_one_call_at_a_time():
    sent = chat(tools=[TOOL], tool_choice={"type": "auto", "disable_parallel_tool_use": True})
    assert sent["parallel_tool_calls"] is False


def test_thinking_is_asked_for_in_each_providers_way():
    thinking = {"type": "enabled", "budget_tokens": 5000}
    assert chat(thinking=thinking)["reasoning_effort"] == "medium"
    config = asked(GEMINI, thinking=thinking)["generationConfig"]["thinkingConfig"]
    assert config == {"includeThoughts": True, "thinkingBudget": 5000}
    assert "reasoning_effort" not in chat(thinking={"type": "disabled"})


def test_an_effort_says_how_much_to_think_where_no_budget_does():
    def thought(model="gemini-2.5-flash", **fields):
        return asked(GEMINI, model=model, **fields)["generationConfig"]["thinkingConfig"]

    low = {"output_config": {"effort": "low"}}
    assert thought(**low) == {"thinkingBudget": 1024, "includeThoughts": False}
    assert thought("gemini-3-flash-preview", **low) == {"thinkingLevel": "low", "includeThoughts": False}
    assert thought(thinking={"type": "adaptive"}, **low) == {"thinkingBudget": 1024, "includeThoughts": True}
    budget = {"type": "enabled", "budget_tokens": 5000}
    assert thought(thinking=budget, **low) == {"thinkingBudget": 5000, "includeThoughts": True}
    assert chat(**low)["reasoning_effort"] == "low"
    assert chat(output_config={"effort": "max"})["reasoning_effort"] == "xhigh"
    assert chat(thinking=budget, **low)["reasoning_effort"] == "medium"


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-3-pro", "gemini-2.0-flash"])
def test_thinking_switched_off_is_what_no_effort_is(model):
    def asked(operation, dialect, **fields):
        call = Call("r", dialect, operation, model, False, b"", {"messages": HELLO, "model": model, **fields})
        return orjson.loads(codec_for(dialect, GEMINI, operation).ask(call, model).body)

    off = asked("messages", ANTHROPIC, thinking={"type": "disabled"})
    assert off.get("generationConfig") == asked("chat", OPENAI, reasoning_effort="none").get("generationConfig")
    assert "reasoning_effort" not in chat(thinking={"type": "disabled"})


def test_an_answer_in_a_given_shape():
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    for stated in ({"output_config": {"format": {"type": "json_schema", "schema": schema}}},
                   {"output_format": {"type": "json_schema", "schema": schema}}):  # fmt: skip
        assert chat(**stated)["response_format"]["json_schema"]["schema"] == schema


@pytest.mark.parametrize(
    ("payload", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]}, "messages.0.content.0.type"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}]},
         "messages.0.content.0.source"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "tools.0.type"),
        ({"tools": [{"input_schema": {}}]}, "tools.0.name"),
        ({"tools": [TOOL], "tool_choice": {"type": "dice"}}, "tool_choice.type"),
        ({"mcp_servers": [{"type": "url", "url": "https://example.com", "name": "x"}]}, "mcp_servers"),
    ],
)  # fmt: skip
def test_what_cannot_be_carried_is_refused_by_name(payload, param):
    with pytest.raises(Fault) as refused:
        chat(**payload)
    assert (refused.value.status, refused.value.param) == (400, param)


@pytest.mark.parametrize(
    ("thread", "code"),
    [
        ({"type": "create"}, "thread_unsupported_request"),
        ({"type": "continue", "previous_message_id": "msg_1"}, "thread_not_found"),
    ],
)
def test_nobody_keeps_a_thread_and_the_sdk_is_told_so(thread, code):
    """Where it is told nothing, it sends only what is new, and the model forgets what was said before."""
    with pytest.raises(Fault) as refused:
        chat(thread=thread)
    told = orjson.loads(render_fault(ANTHROPIC, refused.value)[2])
    assert refused.value.status == 400
    assert told["error"]["details"]["error_code"] == code


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(
        ["role", "content", "type", "text", "source", "data", "id", "name", "input", "tool_use_id", "user", "tool_use",
         "tool_result", "image", "base64", "media_type"]) | st.text(max_size=4), inner, max_size=5),
    max_leaves=30,
)  # fmt: skip


@given(st.fixed_dictionaries({"messages": anything}, optional={
    "system": anything, "tools": anything, "tool_choice": anything, "thinking": anything, "max_tokens": anything,
    "output_config": anything}))  # fmt: skip
def test_any_request_is_carried_or_refused(payload):
    for provider in (OPENAI, GEMINI):
        try:
            codec_for(ANTHROPIC, provider, "messages").ask(call_of(payload), "gemini-2.5-flash")
        except Fault as refused:
            assert refused.status == 400


# -- answers ----------------------------------------------------------------------------------------------------


def replied(native, provider=GEMINI):
    codec = codec_for(ANTHROPIC, provider, "messages")
    return orjson.loads(codec.reply(call_of({"model": "m", "messages": HELLO}), {}, orjson.dumps(native)).body)


def gemini(*parts, finish="STOP", **usage):
    counts = {"promptTokenCount": 7, "candidatesTokenCount": 5, "totalTokenCount": 12, **usage}
    candidate = {"content": {"role": "model", "parts": list(parts)}, "index": 0}
    return {
        "candidates": [candidate | ({"finishReason": finish} if finish else {})],
        "usageMetadata": counts,
        "modelVersion": "gemini-2.5-flash",
        "responseId": "abc",
    }


def test_an_answer_is_a_message():
    answer = replied(gemini({"text": "Hello"}, cachedContentTokenCount=3))
    assert answer.pop("id").startswith("msg_")
    assert answer == {
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 4,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 3,
            "output_tokens": 5,
        },
    }


@pytest.mark.parametrize(
    ("finish", "reason"), [("STOP", "end_turn"), ("MAX_TOKENS", "max_tokens"), ("SAFETY", "refusal")]
)
def test_why_an_answer_ended(finish, reason):
    assert replied(gemini({"text": "x"}, finish=finish))["stop_reason"] == reason


def test_thoughts_calls_and_their_signatures():
    answer = replied(
        gemini(
            {"text": "hm", "thought": True},
            {"text": "I look."},
            {"functionCall": {"name": "look", "args": {"at": "sky"}}, "thoughtSignature": "c2ln"},
        )
    )
    thinking, text, carried, call = answer["content"]
    assert (thinking["type"], thinking["thinking"], bool(thinking["signature"])) == ("thinking", "hm", True)
    assert text == {"type": "text", "text": "I look."}
    assert (call["type"], call["name"], call["input"]) == ("tool_use", "look", {"at": "sky"})
    assert answer["stop_reason"] == "tool_use"
    assert signatures_of([carried]) == {call["id"]: "c2ln"}
    # What the client sends back takes the signature to Gemini again.
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call["id"], "content": "sunny"}]}
    turns = [*HELLO, {"role": "assistant", "content": answer["content"]}, result]
    sent = asked(GEMINI, messages=turns)
    calls = [part for turn in sent["contents"] for part in turn["parts"] if "functionCall" in part]
    assert calls[0]["thoughtSignature"] == "c2ln"


def test_blocks_of_others_are_no_signatures():
    blocks = [{"type": "redacted_thinking", "data": data} for data in ("abc", "keypool.%%%", "keypool.bnVsbA==", None)]
    assert signatures_of(blocks) == {}
    assert signatures_of([signature_block({"a": "b"})]) == {"a": "b"}


# -- streams ----------------------------------------------------------------------------------------------------


def streamed(chunks, provider=GEMINI, piece=None, done=False):
    payload = {"model": "m", "messages": HELLO, "stream": True}
    reader = codec_for(ANTHROPIC, provider, "messages").reader(call_of(payload), {"content-type": "text/event-stream"})
    sent = b"".join(sse.encode(orjson.dumps(chunk)) for chunk in chunks) + (sse.DONE if done else b"")
    size = piece or len(sent)
    out = b"".join(reader.feed(sent[at : at + size]) for at in range(0, len(sent), size))
    assert reader.finished
    out += reader.end()
    events = [orjson.loads(event.data) for event in sse.events(out)]
    assert [event.name.decode() for event in sse.events(out)] == [event["type"] for event in events]
    return events


def whole(events):
    """The message that a client's SDK makes of a stream; holds the order of the events to Anthropic's rules."""
    assert [events[0]["type"], events[-2]["type"], events[-1]["type"]] == [
        "message_start", "message_delta", "message_stop",
    ]  # fmt: skip
    blocks, open_at = [], None
    for event in events[1:-2]:
        match event["type"]:
            case "content_block_start":
                assert (open_at, event["index"]) == (None, len(blocks))
                blocks.append(dict(event["content_block"], json=""))
                open_at = event["index"]
            case "content_block_delta":
                assert event["index"] == open_at
                delta, block = event["delta"], blocks[-1]
                match delta["type"]:
                    case "text_delta":
                        block["text"] += delta["text"]
                    case "thinking_delta":
                        block["thinking"] += delta["thinking"]
                    case "signature_delta":
                        block["signature"] += delta["signature"]
                    case "input_json_delta":
                        block["json"] += delta["partial_json"]
            case "content_block_stop":
                assert event["index"] == open_at
                open_at = None
            case kind:
                assert kind == "ping"
    assert open_at is None
    for block in blocks:
        text = block.pop("json")
        if block["type"] == "tool_use":
            block["input"] = orjson.loads(text or b"{}")
    return blocks, events[-2]["delta"]["stop_reason"], events[-2]["usage"]


CHUNKS = [
    gemini({"text": "h", "thought": True}, finish=None),
    gemini({"text": "m", "thought": True}, finish=None),
    gemini({"text": "I "}, finish=None),
    gemini({"text": "look."}, finish=None),
    gemini(
        {"functionCall": {"name": "look", "args": {"at": "sky"}}, "thoughtSignature": "c2ln"},
        {"functionCall": {"name": "look", "args": {"at": "sea"}}},
    ),
]


@pytest.mark.parametrize("piece", [None, 1, 7, 100])
def test_a_stream_makes_the_same_message(piece):
    blocks, reason, usage = whole(streamed(CHUNKS, piece=piece))
    assert [block["type"] for block in blocks] == ["thinking", "text", "redacted_thinking", "tool_use", "tool_use"]
    assert (blocks[0]["thinking"], blocks[1]["text"]) == ("hm", "I look.")
    assert [block["input"] for block in blocks[3:]] == [{"at": "sky"}, {"at": "sea"}]
    assert signatures_of(blocks) == {blocks[3]["id"]: "c2ln"}
    assert (reason, usage["input_tokens"], usage["output_tokens"]) == ("tool_use", 7, 5)


def openai_chunk(delta, finish=None, **more):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m", "choices": [choice], **more}


def piece_of(index, arguments="", **head):
    function = {"arguments": arguments, **({"name": head.pop("name")} if "name" in head else {})}
    return openai_chunk({"tool_calls": [{"index": index, "function": function, **head}]})


def test_an_openai_providers_calls_come_piece_by_piece():
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
    events = streamed(
        [
            openai_chunk({"role": "assistant", "content": ""}),
            openai_chunk({"content": "Let me see"}),
            piece_of(0, id="c0", name="look", type="function"),
            piece_of(0, '{"at":'),
            piece_of(0, '"sky"}'),
            piece_of(1, id="c1", name="look", type="function"),
            piece_of(1, "{}"),
            openai_chunk({}, "tool_calls"),
            {"id": "chatcmpl-1", "choices": [], "usage": usage},
        ],
        OPENAI,
        done=True,
    )
    blocks, reason, told = whole(events)
    assert [(block["type"], block.get("id")) for block in blocks] == [
        ("text", None),
        ("tool_use", "c0"),
        ("tool_use", "c1"),
    ]
    assert (blocks[1]["input"], blocks[2]["input"], reason) == ({"at": "sky"}, {}, "tool_use")
    assert (told["input_tokens"], told["output_tokens"]) == (9, 4)


def test_interleaved_calls_lose_nothing():
    events = streamed(
        [
            piece_of(0, '{"a"', id="c0", name="one"),
            piece_of(1, '{"b"', id="c1", name="two"),
            piece_of(0, ":1}"),
            piece_of(1, ":2}"),
            openai_chunk({}, "tool_calls"),
        ],
        OPENAI,
        done=True,
    )
    blocks, _, _ = whole(events)
    assert sorted((block["name"], block["input"].get("a"), block["input"].get("b")) for block in blocks) == [
        ("one", 1, None), ("two", None, 2),
    ]  # fmt: skip


def test_a_cut_stream_is_not_finished():
    payload = {"model": "m", "messages": HELLO, "stream": True}
    reader = codec_for(ANTHROPIC, GEMINI, "messages").reader(call_of(payload), {})
    reader.feed(sse.encode(orjson.dumps(gemini({"text": "Hel"}, finish=None))))
    assert (reader.useful, reader.finished) == (True, False)


def test_counting_asks_gemini_for_the_whole_request():
    payload = {"model": "gemini-2.5-flash", "messages": HELLO, "system": "Be brief.", "tools": [TOOL]}
    codec = codec_for(ANTHROPIC, GEMINI, "count_messages")
    ask = codec.ask(call_of(payload, "count_messages"), "gemini-2.5-flash")
    assert ask.path == "/models/gemini-2.5-flash:countTokens"
    asked_for = orjson.loads(ask.body)["generateContentRequest"]
    assert asked_for["model"] == "models/gemini-2.5-flash"
    assert {"contents", "systemInstruction", "tools"} <= asked_for.keys()
    assert codec.reply(call_of(payload), {}, b'{"totalTokens": 42}').body == b'{"input_tokens":42}'
    with pytest.raises(ValueError, match="totalTokens"):
        codec.reply(call_of(payload), {}, b"{}")

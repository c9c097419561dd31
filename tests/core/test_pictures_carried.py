"""Pictures and pages of Gemini's answers, on their way through Anthropic's and OpenAI's newer dialect, and back."""

import orjson
import pytest

from pool.core import sse
from pool.core.calls import ANTHROPIC, GEMINI, OPENAI, Call
from pool.core.dialects import codec_for
from pool.core.dialects.responses.request import chat_payload
from pool.core.faults import Fault

MODEL = "gemini-2.5-flash-image"
PNG, JPEG = "iVBORw0KGgo=", "/9j/4AAQSkZJRg=="
DRAWN = (
    {"text": "here"},
    {"inlineData": {"mimeType": "image/png", "data": PNG}, "thoughtSignature": "Zmlyc3Q="},
    {"inlineData": {"mimeType": "image/jpeg", "data": JPEG}},
)


def native(*parts, **more):
    return {"candidates": [{"content": {"parts": list(parts)}, "finishReason": "STOP", **more}]}


def call_of(dialect, operation, payload):
    return Call("r1", dialect, operation, MODEL, bool(payload.get("stream")), b"", payload, created=5)


def whole(dialect, operation, answer, **payload):
    codec = codec_for(dialect, GEMINI, operation)
    return orjson.loads(codec.reply(call_of(dialect, operation, payload), {}, orjson.dumps(answer)).body)


def events(dialect, operation, *chunks, **payload):
    call = call_of(dialect, operation, {"stream": True, **payload})
    reader = codec_for(dialect, GEMINI, operation).reader(call, {"content-type": "text/event-stream"})
    out = b"".join(reader.feed(sse.encode(orjson.dumps(chunk))) for chunk in chunks) + reader.end()
    return [orjson.loads(event.data) for event in sse.events(out)]


def parts_sent(dialect, operation, payload):
    ask = codec_for(dialect, GEMINI, operation).ask(call_of(dialect, operation, payload), MODEL)
    return [turn["parts"] for turn in orjson.loads(ask.body)["contents"] if turn["role"] == "model"]


def messages_content(streamed):
    question = {"messages": [{"role": "user", "content": "draw"}]}
    if not streamed:
        return whole(ANTHROPIC, "messages", native(*DRAWN), **question)["content"]
    told = events(ANTHROPIC, "messages", native(*DRAWN), **question)
    blocks = [event["content_block"] for event in told if event["type"] == "content_block_start"]
    return [{**block, "text": "here"} if block["type"] == "text" else block for block in blocks]


@pytest.mark.parametrize("streamed", [False, True])
def test_pictures_of_a_message_go_back_with_their_signatures(streamed):
    content = messages_content(streamed)
    assert [block["type"] for block in content] == ["text", "redacted_thinking", "image", "image"]
    turns = [{"role": "user", "content": "draw"}, {"role": "assistant", "content": content},
             {"role": "user", "content": "bluer"}]  # fmt: skip
    assert parts_sent(ANTHROPIC, "messages", {"max_tokens": 9, "messages": turns}) == [list(DRAWN)]


@pytest.mark.parametrize("streamed", [False, True])
def test_pictures_of_a_response_go_back_with_their_signatures(streamed):
    if streamed:
        output = events(OPENAI, "responses", native(*DRAWN), input="draw")[-1]["response"]["output"]
    else:
        output = whole(OPENAI, "responses", native(*DRAWN), input="draw")["output"]
    kinds = sorted(item["type"] for item in output)
    assert kinds == ["image_generation_call", "image_generation_call", "message", "reasoning"]
    items = [{"role": "user", "content": "draw"}, *output, {"role": "user", "content": "bluer"}]
    (parts,) = parts_sent(OPENAI, "responses", {"input": items})
    assert sorted(map(orjson.dumps, parts)) == sorted(map(orjson.dumps, DRAWN))


def test_a_picture_of_openais_own_goes_along_by_its_data_or_its_address():
    items = [
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": JPEG},
        {"type": "image_generation_call", "id": "ig_2", "status": "completed", "result": "https://x.org/a.png"},
    ]
    assert chat_payload({"input": items}, MODEL)["messages"] == [
        {"role": "assistant", "content": None, "images": [
            {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{JPEG}"}},
            {"type": "image_url", "image_url": {"url": "https://x.org/a.png"}},
        ]},
    ]  # fmt: skip


def test_a_picture_named_by_its_id_alone_is_refused():
    with pytest.raises(Fault) as refused:
        chat_payload({"input": [{"type": "image_generation_call", "id": "ig_1"}]}, MODEL)
    assert (refused.value.status, refused.value.param) == (400, "input[0].result")


GROUNDING = {
    "groundingChunks": [{"web": {"uri": "https://a.org/c", "title": "A"}}],
    "groundingSupports": [{"segment": {"startIndex": 6, "endIndex": 11}, "groundingChunkIndices": [0]}],
}
CITED = {
    "type": "web_search_result_location",
    "url": "https://a.org/c",
    "title": "A",
    "encrypted_index": "",
    "cited_text": "world",
}


def test_a_message_names_the_pages_it_rests_on():
    made = whole(ANTHROPIC, "messages", native({"text": "Hello world"}, groundingMetadata=GROUNDING), messages=[])
    assert made["content"] == [{"type": "text", "text": "Hello world", "citations": [CITED]}]


def test_a_streamed_message_names_them_in_the_block_of_its_words():
    told = events(
        ANTHROPIC, "messages", native({"text": "Hello "}, finishReason=None),
        native({"text": "world"}, groundingMetadata=GROUNDING), messages=[],
    )  # fmt: skip
    deltas = [event["delta"] for event in told if event["type"] == "content_block_delta"]
    assert deltas[-1] == {"type": "citations_delta", "citation": CITED}

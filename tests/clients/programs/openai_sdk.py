"""OpenAI's SDK for Python: chat, Responses, embeddings, models, pictures and speech."""

import base64
import json

import openai
from claims import GEMINI, GPT, KEY, PIXEL, SAYS, THOUGHT, URL, WEATHER, claim, run
from pydantic import BaseModel

client = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)

SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER_TOOL = {
    "type": "function",
    "function": {"name": "weather", "description": "The weather", "parameters": SCHEMA, "strict": True},
}
TIME_TOOL = {"type": "function", "function": {"name": "local_time", "parameters": SCHEMA}}
HELLO = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]


class Place(BaseModel):
    name: str
    kind: str | None


class Trip(BaseModel):
    """What a person plans."""

    city: str
    days: int
    places: list[Place]


TRIP = Trip(city="Oslo", days=2, places=[Place(name="Oslo", kind="Oslo")])


def results(calls):
    return [{"role": "tool", "tool_call_id": call.id, "content": WEATHER} for call in calls]


@claim(GEMINI, GPT)
def it_chats(model):
    made = client.chat.completions.create(model=model, messages=HELLO, temperature=0)
    assert made.choices[0].message.content == SAYS
    assert made.choices[0].finish_reason == "stop"
    assert made.usage.total_tokens > 0


@claim(GEMINI, GPT)
def it_streams(model):
    stream = client.chat.completions.create(
        model=model, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == SAYS
    assert len({c.id for c in chunks}) == 1
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens > 0


@claim(GEMINI, GPT)
def a_tool_is_called_and_its_result_understood(model):
    messages = [{"role": "user", "content": "How is the weather?"}]
    ask = {"model": model, "tools": [WEATHER_TOOL, TIME_TOOL]}
    choice = client.chat.completions.create(messages=messages, **ask).choices[0]
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Oslo"})
    messages += [choice.message, *results([call])]
    said = client.chat.completions.create(messages=messages, **ask).choices[0].message.content
    assert WEATHER in said


@claim(GEMINI, GPT)
def two_tools_are_called_at_once_in_a_stream(model):
    messages = [{"role": "user", "content": "Tell me both."}]
    ask = {"model": model, "tools": [WEATHER_TOOL, TIME_TOOL]}
    with client.chat.completions.stream(messages=messages, **ask) as events:
        kinds = {event.type for event in events}
        choice = events.get_final_completion().choices[0]
    assert "tool_calls.function.arguments.done" in kinds
    assert choice.finish_reason == "tool_calls"
    calls = choice.message.tool_calls
    assert [call.function.name for call in calls] == ["weather", "local_time"]
    assert [json.loads(call.function.arguments) for call in calls] == [{"city": "Oslo"}] * 2
    messages += [choice.message.model_dump(exclude_none=True), *reversed(results(calls))]
    with client.chat.completions.stream(messages=messages, **ask) as events:
        said = "".join(event.delta for event in events if event.type == "content.delta")
    assert said.count(WEATHER) == 2


@claim(GEMINI, GPT)
def a_tool_can_be_demanded_and_forbidden(model):
    def ask(choice):
        made = client.chat.completions.create(
            model=model, messages=HELLO, tools=[WEATHER_TOOL, TIME_TOOL], tool_choice=choice
        )
        return [call.function.name for call in made.choices[0].message.tool_calls or ()]

    assert ask({"type": "function", "function": {"name": "local_time"}}) == ["local_time"]
    assert ask("required") == ["weather"]
    assert ask("none") == []


@claim(GEMINI, GPT)
def an_answer_fits_a_schema(model):
    made = client.chat.completions.parse(model=model, messages=HELLO, response_format=Trip)
    assert made.choices[0].message.parsed == TRIP


@claim(GEMINI, GPT)
def a_picture_is_seen(model):
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
    ]
    made = client.chat.completions.create(model=model, messages=[{"role": "user", "content": parts}])
    assert made.choices[0].message.content == "I see image/png."


@claim(GEMINI)
def thoughts_come_apart_from_the_answer(model):
    extra = {"extra_body": {"google": {"thinking_config": {"include_thoughts": True}}}}
    message = (
        client.chat.completions.create(model=model, messages=HELLO, reasoning_effort="low", extra_body=extra)
        .choices[0]
        .message
    )
    assert (message.reasoning_content, message.content) == (THOUGHT, SAYS)


@claim("gemini-embedding-001", "text-embedding-3-small")
def texts_are_embedded(model):
    made = client.embeddings.create(model=model, input=["one", "two"])
    assert [len(each.embedding) for each in made.data] == [8, 8]
    assert made.data[0].embedding[0] != made.data[1].embedding[0]
    assert len(client.embeddings.create(model=model, input="one", dimensions=3).data[0].embedding) == 3


@claim()
def models_are_listed_and_told():
    names = {model.id for model in client.models.list()}
    assert {"gemini-2.5-flash", "gpt-4o"} <= names
    assert client.models.retrieve("gemini-2.5-flash").id == "gemini-2.5-flash"
    assert client.models.retrieve("gpt-4o").id == "gpt-4o"


RESPONSE_TOOLS = [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}]


@claim(GEMINI, GPT)
def responses_are_made(model):
    made = client.responses.create(model=model, instructions="Be brief.", input="Hello", store=False)
    assert (made.status, made.output_text) == ("completed", SAYS)
    assert made.usage.total_tokens > 0
    image = {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}", "detail": "auto"}
    made = client.responses.create(model=model, input=[{"role": "user", "content": [image]}])
    assert made.output_text == "I see image/png."
    assert client.responses.parse(model=model, input="Plan", text_format=Trip).output_parsed == TRIP


@claim(GEMINI, GPT)
def responses_are_streamed(model):
    with client.responses.stream(model=model, input="Hello") as events:
        said = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        made = events.get_final_response()
    assert said == made.output_text == SAYS
    assert made.usage.total_tokens > 0


@claim(GEMINI, GPT)
def responses_call_tools(model):
    ask = {"model": model, "tools": RESPONSE_TOOLS, "include": ["reasoning.encrypted_content"], "store": False}
    history = [{"role": "user", "content": "How is the weather?"}]
    for streamed in (False, True):
        if streamed:
            with client.responses.stream(input=history, **ask) as events:
                list(events)
                made = events.get_final_response()
        else:
            made = client.responses.create(input=history, **ask)
        (call,) = (item for item in made.output if item.type == "function_call")
        assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Oslo"})
        history += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in made.output]
        history.append({"type": "function_call_output", "call_id": call.call_id, "output": WEATHER})
        said = client.responses.create(input=history, **ask).output_text
        assert WEATHER in said
        history += [{"role": "assistant", "content": said}, {"role": "user", "content": "And now?"}]


@claim("gemini-2.5-flash-image", "imagen-4.0-generate-001", "gpt-image-1")
def pictures_are_made(model):
    made = client.images.generate(model=model, prompt="A dot", size="1024x1024")
    assert made.data[0].b64_json == PIXEL


@claim("gemini-2.5-flash-preview-tts")
def google_speaks(model):
    file = client.audio.speech.create(model=model, input="Hello", voice="alloy", response_format="wav").read()
    assert file[:4] == b"RIFF"
    samples = client.audio.speech.create(model=model, input="Hello", voice="alloy", response_format="pcm").read()
    assert samples == base64.b64decode("AAABAAIAAwA=")
    with client.audio.speech.with_streaming_response.create(
        model=model, input="Hello", voice="Kore", response_format="wav"
    ) as response:
        assert b"".join(response.iter_bytes()) == file


@claim("tts-1")
def openai_speaks(model):
    assert client.audio.speech.create(model=model, input="Hello", voice="alloy").read() == b"ID3 played speech"


@claim(GEMINI, GPT)
async def it_chats_asynchronously(model):
    async with openai.AsyncOpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0) as client:
        stream = await client.chat.completions.create(model=model, messages=HELLO, stream=True)
        assert "".join([c.choices[0].delta.content or "" async for c in stream if c.choices]) == SAYS


run()

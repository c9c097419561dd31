"""Anthropic's SDK, with Keypool's root as its base URL."""

import anthropic
from claims import GEMINI, GPT, KEY, PIXEL, SAYS, THOUGHT, URL, WEATHER, claim, run
from pydantic import BaseModel

client = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0)

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [
    {"name": "weather", "description": "The weather", "input_schema": SCHEMA},
    {"name": "local_time", "input_schema": SCHEMA},
]
HELLO = [{"role": "user", "content": "Hello"}]


class Trip(BaseModel):
    city: str
    days: int


def results(message):
    blocks = [
        {"type": "tool_result", "tool_use_id": block.id, "content": WEATHER}
        for block in message.content
        if block.type == "tool_use"
    ]
    return [{"role": "assistant", "content": message.content}, {"role": "user", "content": blocks}]


@claim(GEMINI, GPT)
def it_answers(model):
    made = client.messages.create(
        model=model, max_tokens=100, system="Be brief.", messages=HELLO, stop_sequences=["END"]
    )
    assert [block.text for block in made.content] == [SAYS]
    assert (made.stop_reason, made.role, made.model) == ("end_turn", "assistant", model)
    assert made.usage.input_tokens > 0
    assert made.usage.output_tokens > 0


@claim(GEMINI, GPT)
def it_streams(model):
    with client.messages.stream(model=model, max_tokens=100, messages=HELLO) as stream:
        said = "".join(stream.text_stream)
        made = stream.get_final_message()
    assert said == made.content[0].text == SAYS
    assert made.stop_reason == "end_turn"
    assert made.usage.output_tokens > 1
    kinds = [event.type for event in client.messages.create(model=model, max_tokens=100, messages=HELLO, stream=True)]
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")


@claim(GEMINI, GPT)
def a_tool_is_called_and_its_result_understood(model):
    messages = [{"role": "user", "content": "How is the weather?"}]
    ask = {"model": model, "max_tokens": 100, "tools": TOOLS}
    made = client.messages.create(messages=messages, **ask)
    assert made.stop_reason == "tool_use"
    (call,) = (block for block in made.content if block.type == "tool_use")
    assert (call.name, call.input) == ("weather", {"city": "Oslo"})
    assert WEATHER in client.messages.create(messages=messages + results(made), **ask).content[0].text


@claim(GEMINI, GPT)
def two_tools_are_called_at_once_in_a_stream(model):
    messages = [{"role": "user", "content": "Tell me both."}]
    ask = {"model": model, "max_tokens": 100, "tools": TOOLS}
    with client.messages.stream(messages=messages, **ask) as stream:
        kinds = {event.type for event in stream}
        made = stream.get_final_message()
    assert "input_json" in kinds
    calls = [block for block in made.content if block.type == "tool_use"]
    assert [(call.name, call.input) for call in calls] == [
        ("weather", {"city": "Oslo"}),
        ("local_time", {"city": "Oslo"}),
    ]
    with client.messages.stream(messages=messages + results(made), **ask) as stream:
        assert stream.get_final_text().count(WEATHER) == 2


@claim(GEMINI, GPT)
def a_tool_can_be_demanded_and_forbidden(model):
    def ask(**choice):
        made = client.messages.create(model=model, max_tokens=100, messages=HELLO, tools=TOOLS, tool_choice=choice)
        return [block.name for block in made.content if block.type == "tool_use"]

    assert ask(type="tool", name="local_time") == ["local_time"]
    assert ask(type="any") == ["weather"]
    assert ask(type="none") == []


@claim(GEMINI, GPT)
def tools_are_run_by_the_sdk_itself(model):
    @anthropic.beta_tool
    def weather(city: str) -> str:
        """The weather of a city."""
        return f"{WEATHER} in {city}"

    runner = client.beta.messages.tool_runner(model=model, max_tokens=100, messages=HELLO, tools=[weather])
    assert f"{WEATHER} in Oslo" in runner.until_done().content[0].text


@claim(GEMINI, GPT)
def a_picture_is_seen(model):
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "What is this?"}]
    made = client.messages.create(model=model, max_tokens=100, messages=[{"role": "user", "content": content}])
    assert made.content[0].text == "I see image/png."


@claim(GEMINI, GPT)
def a_tool_may_show_a_picture(model):
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    ask = {"model": model, "max_tokens": 100, "tools": TOOLS}
    made = client.messages.create(messages=HELLO, **ask)
    answered = results(made)
    answered[1]["content"][0]["content"] = [{"type": "text", "text": WEATHER}, {"type": "image", "source": source}]
    said = client.messages.create(messages=HELLO + answered, **ask).content[0].text
    assert WEATHER in said
    assert "I see image/png." in said


@claim()
def models_are_listed():
    assert {"gemini-2.5-flash", "gpt-4o"} <= {model.id for model in client.models.list()}


@claim(GEMINI)
def it_thinks(model):
    thinking = {"type": "enabled", "budget_tokens": 1024}
    ask = {"model": model, "max_tokens": 2048, "thinking": thinking, "tools": TOOLS}
    made = client.messages.create(messages=HELLO, tool_choice={"type": "none"}, **ask)
    assert [block.type for block in made.content] == ["thinking", "text"]
    assert made.content[0].thinking == THOUGHT
    with client.messages.stream(messages=HELLO, **ask) as stream:
        made = stream.get_final_message()
    assert made.content[0].thinking == THOUGHT
    assert made.content[0].signature
    assert made.stop_reason == "tool_use"
    assert WEATHER in client.messages.create(messages=HELLO + results(made), **ask).content[-1].text


@claim(GEMINI, GPT)
def an_answer_fits_a_schema(model):
    made = client.messages.parse(model=model, max_tokens=100, messages=HELLO, output_format=Trip)
    assert made.parsed_output == Trip(city="Oslo", days=2)


@claim(GEMINI, GPT)
def tokens_are_counted(model):
    assert client.messages.count_tokens(model=model, messages=HELLO, system="Be brief.", tools=TOOLS).input_tokens > 0


@claim(GEMINI, GPT)
async def it_answers_asynchronously(model):
    client = anthropic.AsyncAnthropic(base_url=URL, api_key=KEY, max_retries=0)
    async with client, client.messages.stream(model=model, max_tokens=100, messages=HELLO) as stream:
        assert "".join([text async for text in stream.text_stream]) == SAYS


@claim(GEMINI)
def the_key_may_stand_in_authorization(model):
    client = anthropic.Anthropic(base_url=f"{URL}/anthropic", auth_token=KEY, max_retries=0)
    assert client.messages.create(model=model, max_tokens=100, messages=HELLO).content[0].text == SAYS


run()

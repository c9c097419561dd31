"""LangChain's models of OpenAI's: chat completions, and the Responses API."""

from claims import GEMINI, GPT, KEY, SAYS, URL, WEATHER, claim, run
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel


class Trip(BaseModel):
    """What a person plans."""

    city: str
    days: int


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"{WEATHER} in {city}"


def chat(model, **more):
    return ChatOpenAI(model=model, base_url=f"{URL}/v1", api_key=KEY, max_retries=0, **more)


@claim(GEMINI, GPT)
def it_answers(model):
    made = chat(model).invoke("Hello")
    assert made.content == SAYS
    assert made.usage_metadata["total_tokens"] > 0


@claim(GEMINI, GPT)
def it_streams(model):
    whole = None
    for chunk in chat(model, stream_usage=True).stream("Hello"):
        whole = chunk if whole is None else whole + chunk
    assert whole.content == SAYS
    assert whole.usage_metadata["total_tokens"] > 0


@claim(GEMINI, GPT)
def it_calls_a_tool(model):
    for more in ({}, {"use_responses_api": True, "include": ["reasoning.encrypted_content"], "store": False}):
        bound = chat(model, **more).bind_tools([weather])
        messages = [HumanMessage("How is the weather?")]
        made = bound.invoke(messages)
        assert [(call["name"], call["args"]) for call in made.tool_calls] == [("weather", {"city": "Oslo"})]
        messages += [made, *(weather.invoke(call) for call in made.tool_calls)]
        assert isinstance(messages[-1], ToolMessage)
        assert f"{WEATHER} in Oslo" in bound.invoke(messages).text


@claim(GEMINI, GPT)
def it_streams_a_tool_call(model):
    whole = None
    for chunk in chat(model).bind_tools([weather]).stream("How is the weather?"):
        whole = chunk if whole is None else whole + chunk
    assert [(call["name"], call["args"]) for call in whole.tool_calls] == [("weather", {"city": "Oslo"})]


@claim(GEMINI, GPT)
def an_answer_fits_a_schema(model):
    for method in ("json_schema", "function_calling"):
        assert chat(model).with_structured_output(Trip, method=method).invoke("Plan") == Trip(city="Oslo", days=2)


@claim(GEMINI, GPT)
async def it_answers_through_the_responses_api(model):
    asked = chat(model, use_responses_api=True)
    assert (await asked.ainvoke("Hello")).text == SAYS
    assert "".join([chunk.text async for chunk in asked.astream("Hello")]) == SAYS


@claim("gemini-embedding-001", "text-embedding-3-small")
def texts_are_embedded(model):
    made = OpenAIEmbeddings(model=model, base_url=f"{URL}/v1", api_key=KEY, check_embedding_ctx_length=False)
    assert [len(vector) for vector in made.embed_documents(["one", "two"])] == [8, 8]


run()

"""LangChain's models of Google's, with `base_url` as its documentation has it."""

from claims import GEMINI, KEY, SAYS, URL, WEATHER, claim, run
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_google_genai import ChatGoogleGenerativeAI, GoogleGenerativeAIEmbeddings
from pydantic import BaseModel


class Trip(BaseModel):
    """What a person plans."""

    city: str
    days: int


@tool
def weather(city: str) -> str:
    """The weather of a city."""
    return f"{WEATHER} in {city}"


def chat(model):
    return ChatGoogleGenerativeAI(model=model, base_url=URL, google_api_key=KEY, max_retries=0)


@claim(GEMINI)
def it_answers(model):
    made = chat(model).invoke("Hello")
    assert made.text == SAYS
    assert made.usage_metadata["total_tokens"] > 0


@claim(GEMINI)
def it_streams(model):
    assert "".join(chunk.text for chunk in chat(model).stream("Hello")) == SAYS


@claim(GEMINI)
def it_calls_a_tool(model):
    bound = chat(model).bind_tools([weather])
    messages = [HumanMessage("How is the weather?")]
    made = bound.invoke(messages)
    assert [(call["name"], call["args"]) for call in made.tool_calls] == [("weather", {"city": "Oslo"})]
    messages += [made, *(weather.invoke(call) for call in made.tool_calls)]
    assert f"{WEATHER} in Oslo" in bound.invoke(messages).text


@claim(GEMINI)
def an_answer_fits_a_schema(model):
    assert chat(model).with_structured_output(Trip).invoke("Plan") == Trip(city="Oslo", days=2)


@claim(GEMINI)
async def it_streams_asynchronously(model):
    assert "".join([chunk.text async for chunk in chat(model).astream("Hello")]) == SAYS


@claim("gemini-embedding-001")
def texts_are_embedded(model):
    made = GoogleGenerativeAIEmbeddings(model=model, base_url=URL, google_api_key=KEY)
    assert [len(vector) for vector in made.embed_documents(["one", "two"])] == [8, 8]


run()

"""pydantic-ai's agents, over OpenAI's chat, OpenAI's Responses, Google's API and Anthropic's."""

from anthropic import AsyncAnthropic
from claims import GEMINI, GPT, KEY, SAYS, URL, WEATHER, claim, run
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider


class Trip(BaseModel):
    city: str
    days: int


def made_of(kind):
    """A model of one of the kinds below."""
    dialect, model = kind.split(":")
    if dialect == "google":
        return GoogleModel(model, provider=GoogleProvider(api_key=KEY, base_url=URL))
    if dialect == "anthropic":
        return AnthropicModel(
            model, provider=AnthropicProvider(anthropic_client=AsyncAnthropic(base_url=URL, api_key=KEY))
        )
    made = OpenAIResponsesModel if dialect == "responses" else OpenAIChatModel
    return made(model, provider=OpenAIProvider(base_url=f"{URL}/v1", api_key=KEY))


KINDS = [f"{dialect}:{model}" for dialect in ("chat", "responses", "anthropic") for model in (GEMINI, GPT)]
KINDS.append(f"google:{GEMINI}")


@claim(*KINDS)
async def it_answers(kind):
    made = await Agent(made_of(kind), instructions="Be brief.").run("Hello")
    assert made.output == SAYS
    assert made.usage.total_tokens > 0


@claim(*KINDS)
async def it_streams(kind):
    async with Agent(made_of(kind)).run_stream("Hello") as stream:
        assert "".join([piece async for piece in stream.stream_text(delta=True)]) == SAYS


def agent_with_tools(kind, **more):
    agent = Agent(made_of(kind), **more)

    @agent.tool_plain
    def weather(city: str) -> str:
        """The weather of a city."""
        return f"{WEATHER} in {city}"

    @agent.tool_plain
    def local_time(city: str, offset: int | None = None) -> str:
        """The time in a city."""
        return f"noon in {city}"

    return agent


@claim(*KINDS)
async def it_calls_tools_and_goes_on(kind):
    agent = agent_with_tools(kind)
    made = await agent.run("Tell me both.")
    assert f"{WEATHER} in Oslo" in made.output
    assert "noon in Oslo" in made.output
    again = await agent.run("How is the weather now?", message_history=made.all_messages())
    assert f"{WEATHER} in Oslo" in again.output


@claim(*KINDS)
async def it_streams_after_a_tool(kind):
    async with agent_with_tools(kind).run_stream("How is the weather?") as stream:
        assert f"{WEATHER} in Oslo" in await stream.get_output()


@claim(*KINDS)
async def an_answer_fits_a_schema(kind):
    made = await Agent(made_of(kind), output_type=Trip).run("Plan")
    assert made.output == Trip(city="Oslo", days=2)


run()

"""Simon Willison's `llm`, with models configured as its documentation has it: as a library, and as a command."""

import contextlib
import io
import os
import tempfile
from pathlib import Path

from claims import GEMINI, GPT, KEY, PIXEL, SAYS, URL, WEATHER, claim, run

folder = Path(tempfile.mkdtemp())
os.environ["LLM_USER_PATH"] = str(folder)
rows = [
    f"- model_id: {prefix}{model}\n  model_name: {model}\n  api_base: {URL}/v1\n  api_key_name: keypool\n"
    f"  supports_tools: true\n  supports_schema: true\n  vision: true\n  responses: {responses}\n"
    for model in (GEMINI, GPT)
    for prefix, responses in (("pool-", "false"), ("responses-", "true"))
]
(folder / "extra-openai-models.yaml").write_text("".join(rows))
(folder / "keys.json").write_text(f'{{"keypool": "{KEY}"}}')

import llm  # noqa: E402  (it reads its folder)
from llm.cli import cli  # noqa: E402

KINDS = [f"{prefix}-{model}" for prefix in ("pool", "responses") for model in (GEMINI, GPT)]


def weather(city: str) -> str:
    """The weather of a city."""
    return f"{WEATHER} in {city}"


@claim(*KINDS)
def it_answers(kind):
    assert llm.get_model(kind).prompt("Hello", system="Be brief.", stream=False).text() == SAYS


@claim(*KINDS)
def it_streams(kind):
    pieces = list(llm.get_model(kind).prompt("Hello", stream=True))
    assert len(pieces) > 1
    assert "".join(pieces) == SAYS


@claim(*KINDS)
def it_calls_a_tool(kind):
    for stream in (False, True):
        chain = llm.get_model(kind).chain("How is the weather?", tools=[weather], stream=stream)
        assert f"{WEATHER} in Oslo" in chain.text()


@claim(*KINDS)
def a_conversation_goes_on(kind):
    conversation = llm.get_model(kind).conversation(tools=[weather])
    assert WEATHER in conversation.chain("How is the weather?").text()
    assert WEATHER in conversation.chain("And now?").text()


@claim(*KINDS)
def it_shows_a_picture(kind):
    import base64

    picture = llm.Attachment(content=base64.b64decode(PIXEL), type="image/png")
    assert llm.get_model(kind).prompt("What is this?", attachments=[picture]).text() == "I see image/png."


@claim(f"pool-{GEMINI}", f"pool-{GPT}")
def the_command_answers(kind):
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        cli(["prompt", "-m", kind, "Hello"], standalone_mode=False)
    assert printed.getvalue().strip() == SAYS


run()

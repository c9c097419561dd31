"""Google's SDK: generation, tools it calls by itself, chats, embeddings, counts, models and files."""

import asyncio
import base64
import io

from claims import GEMINI, KEY, PIXEL, SAYS, THOUGHT, URL, WEATHER, claim, run
from google import genai
from google.genai import types
from pydantic import BaseModel

client = genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=URL))


class Trip(BaseModel):
    city: str
    days: int


def weather(city: str) -> str:
    """The weather of a city."""
    assert city == "Oslo"
    return WEATHER


@claim(GEMINI)
def it_generates(model):
    made = client.models.generate_content(model=model, contents="Hello")
    assert made.text == SAYS
    assert made.usage_metadata.total_token_count > 0
    picture = types.Part.from_bytes(data=base64.b64decode(PIXEL), mime_type="image/png")
    assert client.models.generate_content(model=model, contents=[picture]).text == "I see image/png."


@claim(GEMINI)
def it_streams(model):
    chunks = list(client.models.generate_content_stream(model=model, contents="Hello"))
    assert "".join(chunk.text or "" for chunk in chunks) == SAYS
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP


@claim(GEMINI)
def an_answer_fits_a_schema(model):
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Trip)
    assert client.models.generate_content(model=model, contents="Plan", config=config).parsed == Trip(
        city="Oslo", days=2
    )


@claim(GEMINI)
def thoughts_come_apart_from_the_answer(model):
    config = types.GenerateContentConfig(thinking_config=types.ThinkingConfig(include_thoughts=True))
    made = client.models.generate_content(model=model, contents="Hello", config=config)
    assert [part.text for part in made.candidates[0].content.parts if part.thought] == [THOUGHT]
    assert made.text == SAYS


@claim(GEMINI, "gemini-2.5-flash")
def a_function_is_called_by_the_sdk_itself(model):
    config = types.GenerateContentConfig(tools=[weather])
    made = client.models.generate_content(model=model, contents="How is the weather?", config=config)
    assert WEATHER in made.text
    assert len(made.automatic_function_calling_history) == 3


@claim(GEMINI)
def a_chat_remembers_and_streams(model):
    chat = client.chats.create(model=model, config=types.GenerateContentConfig(tools=[weather]))
    assert WEATHER in chat.send_message("How is the weather?").text
    streamed = "".join(chunk.text or "" for chunk in chat.send_message_stream("And now?"))
    assert WEATHER in streamed
    assert len(chat.get_history()) > 4


@claim("gemini-embedding-001")
def texts_are_embedded(model):
    made = client.models.embed_content(model=model, contents=["one", "two"])
    assert [len(each.values) for each in made.embeddings] == [8, 8]


@claim("gemini-2.5-flash")
def tokens_are_counted_and_models_told(model):
    assert client.models.count_tokens(model=model, contents="Hello").total_tokens == 7
    assert f"models/{model}" in [each.name for each in client.models.list()]
    assert client.models.get(model=model).name == f"models/{model}"


@claim(GEMINI)
def a_file_is_uploaded_used_and_deleted(model):
    file = client.files.upload(file=io.BytesIO(b"Hello"), config={"mime_type": "text/plain"})
    assert client.files.get(name=file.name).name == file.name
    assert file.name in [each.name for each in client.files.list()]
    part = types.Part.from_uri(file_uri=file.uri, mime_type="text/plain")
    # Whichever key's turn it is: only the one that took the file may read it.
    for _ in range(4):
        assert client.models.generate_content(model=model, contents=[part]).text == "I see text/plain."
    client.files.delete(name=file.name)


@claim(GEMINI)
async def it_generates_and_streams_asynchronously(model):
    made, stream = await asyncio.gather(
        client.aio.models.generate_content(model=model, contents="Hello"),
        client.aio.models.generate_content_stream(model=model, contents="Hello"),
    )
    assert made.text == SAYS
    assert "".join([chunk.text or "" async for chunk in stream]) == SAYS


run()

"""instructor, over OpenAI's SDK: answers that are objects, by tools and by schemas."""

from __future__ import annotations

import instructor
from claims import GEMINI, GPT, KEY, SAYS, URL, claim, run
from openai import OpenAI
from pydantic import BaseModel

HELLO = [{"role": "user", "content": "Plan"}]


class Place(BaseModel):
    name: str
    kind: str | None = None


class Trip(BaseModel):
    """What a person plans."""

    city: str
    days: int
    places: list[Place]


TRIP = Trip(city="Oslo", days=2, places=[Place(name="Oslo", kind="Oslo")])
sdk = OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)


@claim(GEMINI, GPT)
def it_fills_in_a_model_by_a_tool_and_by_a_schema(model):
    for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA):
        client = instructor.from_openai(sdk, mode=mode)
        made = client.chat.completions.create(model=model, response_model=Trip, messages=HELLO, max_retries=0)
        assert made.model_dump() == TRIP.model_dump(), mode


@claim(GEMINI, GPT)
def it_streams_a_model_that_grows(model):
    client = instructor.from_openai(sdk)
    grown = list(client.chat.completions.create_partial(model=model, response_model=Trip, messages=HELLO))
    assert grown[-1].model_dump() == TRIP.model_dump()


@claim(GEMINI, GPT)
def it_streams_one_model_after_another(model):
    client = instructor.from_openai(sdk)
    made = list(client.chat.completions.create_iterable(model=model, response_model=Place, messages=HELLO))
    assert [each.model_dump() for each in made] == [TRIP.places[0].model_dump()]


@claim(GEMINI, GPT)
def it_answers_without_a_model(model):
    client = instructor.from_openai(sdk)
    made = client.chat.completions.create(model=model, response_model=None, messages=HELLO)
    assert made.choices[0].message.content == SAYS


run()

"""What OpenAI's SDK raises, and what it tries again by itself."""

import openai
from claims import GEMINI, GPT, KEY, SAYS, URL, claim, run

client = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)
HELLO = [{"role": "user", "content": "Hello"}]


def raised(kind, ask, *arguments, **more):
    try:
        ask(*arguments, **more)
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def chat(model, **more):
    return client.chat.completions.create(model=model, messages=HELLO, **more)


@claim(GEMINI, GPT)
def a_wrong_request_says_which_field(model):
    error = raised(openai.BadRequestError, client.chat.completions.create, model=model, messages="none")
    assert "messages" in error.message
    assert raised(openai.BadRequestError, client.responses.create, model="gemini-3-flash", input=[{"type": "x"}]).param


@claim()
def a_stranger_is_not_authenticated():
    stranger = openai.OpenAI(base_url=f"{URL}/v1", api_key="sk-nobody", max_retries=0)
    error = raised(openai.AuthenticationError, stranger.models.list)
    assert error.code == "invalid_api_key"


@claim("gemini-missing", "gpt-missing")
def an_unknown_model_is_not_found(model):
    assert raised(openai.NotFoundError, chat, model).status_code == 404


@claim()
def an_unknown_model_is_not_told():
    assert raised(openai.NotFoundError, client.models.retrieve, "gemini-9-unheard-of").code == "model_not_found"


@claim("gemini-limited", "gpt-limited")
def spent_keys_are_a_rate_limit_with_a_time(model):
    error = raised(openai.RateLimitError, chat, model)
    assert error.code == "all_keys_cooling"
    assert int(error.response.headers["retry-after"]) > 10
    with_stream = raised(openai.RateLimitError, chat, model, stream=True)
    assert with_stream.code == "all_keys_cooling"


@claim("gemini-flaky", "gpt-flaky")
def an_upstream_that_fails_is_asked_again_by_the_sdk(model):
    """It fails as often as Keypool itself tries."""
    raised(openai.InternalServerError, chat, model)
    patient = client.with_options(max_retries=3).chat.completions.with_raw_response
    made = patient.create(model=f"{model}-again", messages=HELLO)
    assert made.parse().choices[0].message.content == SAYS
    assert made.retries_taken >= 1


@claim("gemini-cut", "gpt-cut")
def a_stream_that_broke_off_raises(model):
    said = []

    def read():
        for chunk in chat(model, stream=True):
            said.append(chunk.choices[0].delta.content or "")

    assert raised(openai.APIError, read).code == "upstream_stream_interrupted"
    assert "".join(said) == "one "


@claim("gemini-cut")
def a_response_that_broke_off_raises(model):
    def read():
        for event in client.responses.create(model=model, input="Hello", stream=True):
            assert event.type != "response.completed"

    raised(openai.APIError, read)


run()

"""What Anthropic's SDK raises, and what it tries again by itself."""

import anthropic
from claims import GEMINI, GPT, KEY, SAYS, URL, claim, run

client = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0)
HELLO = [{"role": "user", "content": "Hello"}]


def raised(kind, ask, *arguments, **more):
    try:
        ask(*arguments, **more)
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def message(model, by=client, **more):
    return by.messages.create(model=model, max_tokens=100, messages=HELLO, **more)


@claim(GEMINI, GPT)
def a_wrong_request_is_refused(model):
    error = raised(anthropic.BadRequestError, client.messages.create, model=model, max_tokens=100, messages="none")
    assert error.body["type"] == "error"
    assert error.type == error.body["error"]["type"] == "invalid_request_error"


@claim()
def a_stranger_is_not_authenticated():
    stranger = anthropic.Anthropic(base_url=URL, api_key="sk-nobody", max_retries=0)
    assert raised(anthropic.AuthenticationError, message, GEMINI, stranger).type == "authentication_error"


@claim("gemini-missing", "gpt-missing")
def an_unknown_model_is_not_found(model):
    assert raised(anthropic.NotFoundError, message, model).type == "not_found_error"


@claim("gemini-limited", "gpt-limited")
def spent_keys_are_a_rate_limit_with_a_time(model):
    error = raised(anthropic.RateLimitError, message, model)
    assert error.type == "rate_limit_error"
    assert int(error.response.headers["retry-after"]) > 10


@claim("gemini-flaky", "gpt-flaky")
def an_upstream_that_fails_is_asked_again_by_the_sdk(model):
    """It fails as often as Keypool itself tries."""
    raised(anthropic.InternalServerError, message, model)
    made = message(f"{model}-again", client.with_options(max_retries=3))
    assert made.content[0].text == SAYS


@claim("gemini-cut", "gpt-cut")
def a_stream_that_broke_off_raises(model):
    said = []

    def read():
        with client.messages.stream(model=model, max_tokens=100, messages=HELLO) as stream:
            said.extend(stream.text_stream)

    assert raised(anthropic.APIStatusError, read).type in ("api_error", "overloaded_error")
    assert "".join(said) == "one "


run()

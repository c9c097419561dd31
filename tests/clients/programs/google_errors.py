"""What Google's SDK raises, and what it tries again by itself."""

from claims import GEMINI, KEY, SAYS, URL, claim, run
from google import genai
from google.genai import errors, types

client = genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=URL))


def raised(kind, ask, *arguments, **more):
    try:
        ask(*arguments, **more)
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def generate(model, by=client):
    return by.models.generate_content(model=model, contents="Hello")


@claim()
def a_stranger_is_not_authenticated():
    stranger = genai.Client(api_key="AIzaNobody", http_options=types.HttpOptions(base_url=URL))
    error = raised(errors.ClientError, generate, GEMINI, stranger)
    assert (error.code, error.status) == (401, "UNAUTHENTICATED")


@claim("gemini-missing")
def an_unknown_model_is_not_found(model):
    error = raised(errors.ClientError, generate, model)
    assert (error.code, error.status) == (404, "NOT_FOUND")


@claim()
def an_unknown_file_is_not_found():
    assert raised(errors.ClientError, client.files.get, name="files/nobodys").code in (403, 404)


@claim("gemini-limited")
def spent_keys_are_a_rate_limit(model):
    error = raised(errors.ClientError, generate, model)
    assert (error.code, error.status) == (429, "RESOURCE_EXHAUSTED")


@claim("gemini-flaky")
def an_upstream_that_fails_is_asked_again_by_the_sdk(model):
    """It fails as often as Keypool itself tries."""
    assert raised(errors.ServerError, generate, model).code == 503
    retry = types.HttpRetryOptions(attempts=4, initial_delay=0.2)
    patient = genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=URL, retry_options=retry))
    assert generate(f"{model}-again", patient).text == SAYS


@claim("gemini-cut")
def a_stream_that_broke_off_raises(model):
    said = []

    def read():
        for chunk in client.models.generate_content_stream(model=model, contents="Hello"):
            said.append(chunk.text or "")

    error = raised(errors.APIError, read)
    assert (error.code, error.status) == (503, "UNAVAILABLE")
    assert "".join(said) == "one "


run()

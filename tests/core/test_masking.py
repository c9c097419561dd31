import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.core.masking import is_masked, mask, redact, redact_bytes

GEMINI = "AIzaSyD-0123456789abcdefghijklmnopqrstu"
OTHER = "AQ.Ab8RN6Jx0123456789_-abcdefghijklmnopqrstuvwxyz.more"
OPENAI = "sk-proj-0123456789abcdefghijABCDEFGHIJ_-0123"
CLIENT = "sk-pool-0123456789abcdef0123456789abcdef"
OAUTH = "ya29.a0AfB_0123456789abcdefghij.klmnop"


@pytest.mark.parametrize(
    ("secret", "shown"),
    [
        (GEMINI, "AIzaSyD-...rstu"),
        (CLIENT, "sk-pool-...cdef"),
        ("sixteen-letters!", "sixteen-...ers!"),
        ("fifteen-letters", "***"),
        ("", "***"),
    ],
)
def test_a_secret_shows_eight_and_four_characters_or_nothing(secret, shown):
    assert mask(secret) == shown


@pytest.mark.parametrize("secret", [GEMINI, OTHER, OPENAI, CLIENT, OAUTH])
@pytest.mark.parametrize(
    "text",
    [
        "{}", "Consumer 'api_key:{}' has been suspended.", "key={}&alt=sse", "https://x/v1?alt=sse&key={}",
        "Authorization: Bearer {}", '{{"x-goog-api-key":"{}"}}', "API_KEYS={},{}", "Incorrect API key provided: {}.",
    ],
)  # fmt: skip
def test_whatever_looks_like_a_key_is_masked_wherever_it_stands(secret, text):
    shown = redact(text.format(secret, secret))
    assert secret not in shown
    assert secret[8:-4] not in shown


@pytest.mark.parametrize("secret", [GEMINI, OTHER, OPENAI, CLIENT, OAUTH])
@pytest.mark.parametrize("text", ["the key {} was refused", "Authorization: Bearer {}", "GET /v1/models?key={}&x=1"])
def test_redacting_twice_is_redacting_once(secret, text):
    once = redact(text.format(secret))
    assert mask(secret) in once
    assert redact(once) == once


@pytest.mark.parametrize("query", ["?key=odd-shape&x=1", "?alt=sse&apikey=odd-shape"])
def test_a_key_of_an_unknown_shape_in_a_url_is_masked(query):
    assert "odd-shape" not in redact("GET https://upstream/v1/models" + query)


def test_a_bearer_token_of_an_unknown_shape_is_masked():
    assert "0f8fad5bd9cb469fa165" not in redact("Authorization: Bearer 0f8fad5bd9cb469fa165 was refused")


def test_a_secret_that_is_named_is_masked_whatever_its_shape():
    assert redact("no odd-shape here", "odd-shape", "") == "no *** here"


@pytest.mark.parametrize(
    "text",
    [
        "Consumer: projects/123456789012 is suspended",
        "containerInfo project_number:123456789012",
        "has not been used in project 123456789012 before",
        "https://console.developers.google.com/apis/overview?project=123456789012",
    ],
)
def test_project_numbers_are_not_shown(text):
    assert "123456789012" not in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "You exceeded your current quota, please check your plan and billing details.",
        "a task-specific-parameter of the risk-assessment-model on disk-based-storage",
        "see the FAQ.answers_to_questions.html",
        "models/gemini-2.5-flash is not found for API version v1beta",
        "Limit 30000, Used 18928, Requested 11159. Please try again in 174ms.",
        "sk- is how their keys begin",
    ],
)
def test_prose_stays_as_it_is(text):
    assert redact(text) == text


@given(st.text())
def test_redacting_any_text_again_changes_nothing(text):
    assert redact(redact(text)) == redact(text)


def test_an_error_body_is_touched_only_where_it_holds_a_key():
    body = b'{"echo": "sk-short", "seen": "sk-of-another-0123456789", "key": "' + GEMINI.encode() + b'"}'
    shown = redact_bytes(body, GEMINI)
    assert shown == b'{"echo": "sk-short", "seen": "sk-of-an...6789", "key": "AIzaSyD-...rstu"}'
    assert redact_bytes(body, OPENAI) == redact_bytes(body, "") == shown
    assert redact_bytes(shown, GEMINI) == shown
    for plain in (b'"task-force-and-more-of-it"', b"Bearer authentication is needed", b"?key=AIza&x", b"\xff"):
        assert redact_bytes(plain, "") == plain
    assert redact_bytes(b"no-shape-at-all", "no-shape-at-all-") == b"no-shape-at-all"


@pytest.mark.parametrize("shown", ["AIzaSyDe...9BgL", "AIzaSyDe…9BgL", "AIzaSyDeAb...", "***", "sk-ab****cd", "…"])
def test_a_mask_of_anybody_is_told_from_a_key(shown):
    assert is_masked(shown)
    assert is_masked(mask("AIzaSy" + "x" * 33))


@pytest.mark.parametrize("key", ["AIzaSy" + "x" * 33, "AQ.Ab8RN6" + "k" * 44, "sk-proj-a_b-c.d" + "y" * 30, ""])
def test_a_key_is_no_mask(key):
    assert not is_masked(key)


@pytest.mark.parametrize(
    ("key", "written"),
    [
        ("Zm9v/YmFy+Keys01", rb"Zm9v\/YmFy+Keys01"),
        ("Zm9v/YmFy+Keys01", rb"Zm9v/YmFy\u002BKeys01"),
        ("nothing-known-01", rb"nothing\u002dknown\u002D01"),
        ("", OPENAI.encode().replace(b"-", rb"\u002d", 1)),
    ],
)
def test_a_key_that_json_escapes_is_hidden_as_well(key, written):
    told = orjson.loads(redact_bytes(b'{"error": "\\u0022 no key ' + written + b' \\n\\/"}', key))
    assert told == {"error": f'" no key {mask(key or OPENAI)} \n/'}


@pytest.mark.parametrize("body", [rb'{"a": "\\u002D \/ \u0041 \" \n"}', rb'"\\\u002f"', b"\\", rb"\u00", rb"\u002"])
def test_escapes_without_a_key_stay_as_they_are(body):
    assert redact_bytes(body, "sixteen-letters!") == body

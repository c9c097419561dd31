"""The scripted upstream answers as the providers do, so that tests built on it mean something."""

from __future__ import annotations

import json

import pytest
import requests

from tests.upstream import MODELS, SAYS, ScriptedUpstream, gemini_error, in_turn

GEMINI = {"x-goog-api-key": "AIzaOne"}
OPENAI = {"Authorization": "Bearer sk-one"}


@pytest.fixture
def upstream():
    with ScriptedUpstream() as running:
        yield running


def post(upstream, path, body, headers):
    return requests.post(upstream.url + path, json=body, headers=headers, timeout=2)


def events(response):
    return [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: {")]


def test_gemini_answers_plain_as_events_and_as_an_array(upstream):
    path = "/v1beta/models/gemini-2.5-flash"
    plain = post(upstream, f"{path}:generateContent", {}, GEMINI).json()
    streamed = events(post(upstream, f"{path}:streamGenerateContent?alt=sse", {}, GEMINI))
    array = post(upstream, f"{path}:streamGenerateContent", {}, GEMINI).json()
    assert plain["candidates"][0]["content"]["parts"][0]["text"] == "".join(SAYS)
    assert streamed == array
    assert [c["candidates"][0]["content"]["parts"][0]["text"] for c in array] == list(SAYS)
    assert array[-1]["usageMetadata"]["totalTokenCount"] > array[0]["usageMetadata"]["totalTokenCount"]


def test_gemini_counts_and_embeds(upstream):
    assert post(upstream, "/v1beta/models/m:countTokens", {}, GEMINI).json()["totalTokens"] == 7
    one = post(upstream, "/v1beta/models/m:embedContent", {"outputDimensionality": 3}, GEMINI).json()
    assert len(one["embedding"]["values"]) == 3
    many = post(upstream, "/v1beta/models/m:batchEmbedContents", {"requests": [{}, {}]}, GEMINI).json()
    assert len(many["embeddings"]) == 2


def test_gemini_lists_models_in_pages(upstream):
    names, token = [], ""
    while token is not None:
        page = requests.get(f"{upstream.url}/v1beta/models?pageToken={token}", headers=GEMINI, timeout=2).json()
        names += [model["name"] for model in page["models"]]
        token = page.get("nextPageToken")
    assert names == [f"models/{model}" for model in MODELS]


def test_openai_chats_embeds_and_lists(upstream):
    plain = post(upstream, "/v1/chat/completions", {"model": "m"}, OPENAI).json()
    body = {"model": "m", "stream": True, "stream_options": {"include_usage": True}}
    streamed = post(upstream, "/v1/chat/completions", body, OPENAI)
    assert plain["choices"][0]["message"]["content"] == "".join(SAYS)
    assert streamed.text.endswith("data: [DONE]\n\n")
    assert events(streamed)[-1]["usage"] == plain["usage"]
    embedded = post(upstream, "/v1/embeddings", {"input": ["a", "b"], "model": "e"}, OPENAI).json()
    assert [row["index"] for row in embedded["data"]] == [0, 1]
    assert requests.get(f"{upstream.url}/v1/models", headers=OPENAI, timeout=2).json()["object"] == "list"


def test_keys_are_recorded_wherever_they_stand(upstream):
    post(upstream, "/v1beta/models/m:countTokens", {}, GEMINI)
    post(upstream, "/v1/chat/completions", {}, OPENAI)
    post(upstream, "/v1beta/models/m:countTokens?key=AIzaThree", {}, {})
    assert [request.key for request in upstream.requests] == ["AIzaOne", "sk-one", "AIzaThree"]


def test_a_dead_key_is_refused_in_the_providers_words(upstream):
    upstream.dead_keys |= {"AIzaOne", "sk-one"}
    assert post(upstream, "/v1beta/models/m:countTokens", {}, GEMINI).json()["error"]["status"] == "INVALID_ARGUMENT"
    refused = post(upstream, "/v1/chat/completions", {}, OPENAI)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")


def test_scripts_for_a_key_and_in_turn(upstream):
    limited = gemini_error(429, quota_id="GenerateRequestsPerMinutePerProjectPerModel-FreeTier", retry_delay="38s")
    upstream.for_key("AIzaOne", in_turn(limited, gemini_error(503)))
    path = "/v1beta/models/m:countTokens"
    assert [post(upstream, path, {}, GEMINI).status_code for _ in range(3)] == [429, 503, 503]
    assert post(upstream, path, {}, {"x-goog-api-key": "AIzaTwo"}).status_code == 200
    assert len(upstream.requests_of("AIzaOne")) == 3

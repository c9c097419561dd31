"""Names of objects in requests and answers."""

from __future__ import annotations

import orjson
import pytest

from pool.core.calls import GEMINI, OPENAI
from pool.core.native.names import google_names, life_s, made_in, used

FILE = "https://generativelanguage.googleapis.com/v1beta/files/abc-1"


def names(mentions) -> set[str]:
    return {mention.name for mention in mentions}


def test_ids_are_found_wherever_a_request_may_hold_them() -> None:
    body = {
        "previous_response_id": "resp_1", "conversation": {"id": "conv_1"},
        "input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}],
        "tools": [{"type": "file_search", "vector_store_ids": ["vs_1", "vs_2"]},
                  {"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["file-2"]}},
                  {"type": "code_interpreter", "container": "cntr_1"}],
        "training_file": "file-3", "assistant_id": "asst_1", "file_ids": None, "thread_id": "",
    }  # fmt: skip
    assert names(used(body)) == {
        "responses/resp_1", "conversations/conv_1", "files/file-1", "files/file-2", "files/file-3",
        "vector_stores/vs_1", "vector_stores/vs_2", "containers/cntr_1", "assistants/asst_1",
    }  # fmt: skip
    assert {mention.param for mention in used({"input_file_id": "f"})} == {"input_file_id"}


@pytest.mark.parametrize(
    "body",
    [
        {"metadata": {"file_id": "f"}},
        {"tools": [{"function": {"parameters": {"properties": {"x": {"file_id": "f"}}}}}]},
        {"text": {"format": {"schema": {"file_id": "f"}}}},
        {"file_id": 7, "file_ids": [None, {"a": 1}], "previous_response_id": None, "conversation": {"id": 3}},
        {"input": "file_id: f"},
        {"file_id": "f" * 301},
        {"file_id": FILE},
        [], None, "file_id",
    ],
)  # fmt: skip
def test_what_is_no_reference_is_none(body) -> None:
    assert used(body) == []


def test_a_deep_or_wide_body_costs_little() -> None:
    deep: dict = {}
    for _ in range(5000):
        deep = {"input": deep, "file_id": "f"}
    assert names(used(deep)) == {"files/f"}
    assert len(used({"file_ids": [f"f{n}" for n in range(10_000)]})) == 200


def test_an_answer_tells_what_it_made_and_what_it_leads_to() -> None:
    batch = {
        "id": "batch_1",
        "object": "batch",
        "input_file_id": "file-1",
        "output_file_id": "file-2",
        "expires_at": 99,
    }
    found = made_in(OPENAI, "batches", orjson.dumps(batch))
    assert names(found) == {"batches/batch_1", "files/file-1", "files/file-2"}
    assert next(each for each in found if each.name == "batches/batch_1").expires_at == 99
    run = {"id": "run_1", "object": "thread.run", "thread_id": "thread_1", "assistant_id": "asst_1"}
    assert names(made_in(OPENAI, "threads", orjson.dumps(run))) == {"threads/thread_1", "assistants/asst_1"}
    upload = {"id": "upload_1", "object": "upload", "file": {"id": "file-9", "object": "file"}}
    assert names(made_in(OPENAI, "uploads", orjson.dumps(upload))) == {"uploads/upload_1", "files/file-9"}
    unnamed = {"id": "abc", "status": "queued"}
    assert names(made_in(OPENAI, "videos", orjson.dumps(unnamed))) == {"videos/abc"}
    gone = {"id": "file-1", "object": "file.deleted", "deleted": True}
    assert made_in(OPENAI, "files", orjson.dumps(gone)) == []


def test_the_first_events_of_a_stream_tell_too() -> None:
    created = {"type": "response.created", "response": {"id": "resp_1", "object": "response"}}
    said = b"event: response.created\ndata: " + orjson.dumps(created) + b"\n\ndata: {broken\n\n"
    assert names(made_in(OPENAI, "responses", said)) == {"responses/resp_1"}


@pytest.mark.parametrize(
    "said", [b"", b"[]", b"{", b"null", b"data: [DONE]\n\n", b"\x00\xff", b'{"id": 3}', b'{"id":"a/b"}']
)
def test_an_answer_that_names_nothing_made_nothing(said: bytes) -> None:
    assert made_in(OPENAI, "files", said) == []
    assert made_in(GEMINI, "files", said) == []


def test_googles_answers_name_their_objects_and_their_end() -> None:
    file = {"file": {"name": "files/abc", "uri": FILE, "expirationTime": "2026-01-02T03:04:05.123456789Z"}}
    found = made_in(GEMINI, "files", orjson.dumps(file))
    assert names(found) == {"files/abc", "files/abc-1"}
    assert found[0].expires_at == 1767323045.0
    video = {"name": "models/veo-3/operations/x1", "done": True,
             "response": {"generatedSamples": [{"video": {"uri": FILE + ":download?alt=media"}}]}}  # fmt: skip
    assert names(made_in(GEMINI, "operations", orjson.dumps(video))) == {"models/veo-3/operations/x1", "files/abc-1"}
    batch = {
        "name": "batches/b1",
        "metadata": {"model": "models/gemini-2.5-flash"},
        "response": {"responsesFile": "files/out"},
    }
    assert names(made_in(GEMINI, "operations", orjson.dumps(batch))) == {"batches/b1", "files/out"}
    store = {"name": "fileSearchStores/s/upload/operations/o"}
    assert names(made_in(GEMINI, "fileSearchStores", orjson.dumps(store))) == {"fileSearchStores/s"}


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"fileData":{"fileUri":"%s"}}' % FILE.encode(), ["files/abc-1"]),
        (b'{"fileData":{"fileUri":"%s"}}' % FILE.replace("/", "\\/").encode(), ["files/abc-1"]),
        (
            b'{"cachedContent": "cachedContents/c1", "x": "files/a:download?alt=media"}',
            ["cachedContents/c1", "files/a"],
        ),
        (b'{"fileSearchStoreNames":["fileSearchStores/s1"]}', ["fileSearchStores/s1"]),
        (b'{"text":"profiles/x files/y and /files/z here"}', []),
        (b'{"text":"say \\"files/y\\""}', []),
        (b'{"uri":"https://example.com/profiles/x"}', []),
        (b"{}", []),
    ],
)
def test_googles_names_are_found_in_a_body_nobody_parsed(body: bytes, found: list[str]) -> None:
    assert google_names(body) == found


def test_how_long_an_object_is_known() -> None:
    assert life_s(GEMINI, "files/a") == 48 * 3600
    assert life_s(OPENAI, "responses/r") == 30 * 86_400
    assert life_s(OPENAI, "files/f") is None
    assert life_s(OPENAI, "fine_tuning/jobs/f") is None
    assert life_s(GEMINI, "models/veo/operations/o") == 30 * 86_400

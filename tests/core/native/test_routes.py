"""What a passed-through route is about."""

from __future__ import annotations

import pytest

from pool.core.calls import GEMINI, OPENAI
from pool.core.native import INFERENCE, LIST, MAKING, OBJECT, OTHER, RouteUnknown, route_of

ROUTES = [
    (OPENAI, "POST", "/responses", INFERENCE, "responses", ""),
    (OPENAI, "POST", "/responses/input_tokens", INFERENCE, "", ""),
    (OPENAI, "POST", "/audio/transcriptions", INFERENCE, "", ""),
    (OPENAI, "POST", "/images/edits", INFERENCE, "", ""),
    (OPENAI, "GET", "/responses/resp_1", OBJECT, "responses", "responses/resp_1"),
    (OPENAI, "POST", "/responses/resp_1/cancel", OBJECT, "responses", "responses/resp_1"),
    (OPENAI, "GET", "/images/generations", OTHER, "", ""),
    (OPENAI, "POST", "/files", MAKING, "files", ""),
    (OPENAI, "GET", "/files", LIST, "files", ""),
    (OPENAI, "PUT", "/files", OTHER, "", ""),
    (OPENAI, "GET", "/files/file-1/content", OBJECT, "files", "files/file-1"),
    (OPENAI, "DELETE", "/files/file-1", OBJECT, "files", "files/file-1"),
    (OPENAI, "POST", "/threads/runs", MAKING, "threads", ""),
    (OPENAI, "POST", "/threads/thread_1/runs", OBJECT, "threads", "threads/thread_1"),
    (OPENAI, "GET", "/fine_tuning/jobs", LIST, "fine_tuning/jobs", ""),
    (OPENAI, "GET", "/fine_tuning/jobs/ft-1/events", OBJECT, "fine_tuning/jobs", "fine_tuning/jobs/ft-1"),
    (OPENAI, "GET", "/chat/completions/chatcmpl-1", OBJECT, "chat/completions", "chat/completions/chatcmpl-1"),
    (OPENAI, "GET", "/organization/usage", OTHER, "", ""),
    (OPENAI, "POST", "/realtime/client_secrets", OTHER, "", ""),
    (OPENAI, "GET", "/Files/file-1", OTHER, "", ""),
    (GEMINI, "POST", "/upload/v1beta/files", MAKING, "files", ""),
    (GEMINI, "POST", "/upload/v1beta/fileSearchStores/s:uploadTo", OBJECT, "fileSearchStores", "fileSearchStores/s"),
    (GEMINI, "GET", "/download/v1beta/files/f:download", OBJECT, "files", "files/f"),
    (GEMINI, "GET", "/files/f:download", OBJECT, "files", "files/f"),
    (GEMINI, "POST", "/files:register", MAKING, "files", ""),
    (GEMINI, "GET", "/files", LIST, "files", ""),
    (GEMINI, "PATCH", "/cachedContents/c", OBJECT, "cachedContents", "cachedContents/c"),
    (GEMINI, "POST", "/cachedContents", MAKING, "cachedContents", ""),
    (GEMINI, "GET", "/models/veo/operations", LIST, "models/veo/operations", ""),
    (GEMINI, "GET", "/models/veo/operations/op", OBJECT, "operations", "models/veo/operations/op"),
    (GEMINI, "POST", "/batches/b:cancel", OBJECT, "batches", "batches/b"),
    (GEMINI, "GET", "/fileSearchStores/s/documents/d", OBJECT, "fileSearchStores", "fileSearchStores/s"),
    (GEMINI, "POST", "/models/imagen:predict", INFERENCE, "", ""),
    (GEMINI, "POST", "/models/veo:predictLongRunning", INFERENCE, "operations", ""),
    (GEMINI, "POST", "/interactions", INFERENCE, "interactions", ""),
    (GEMINI, "POST", "/authTokens", OTHER, "", ""),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "method", "path", "kind", "collection", "name"), ROUTES)
def test_a_route_is_what_its_method_and_path_say(dialect, method, path, kind, collection, name) -> None:
    route = route_of(dialect, method, path)
    assert (route.kind, route.collection, route.name) == (kind, collection, name)


@pytest.mark.parametrize("dialect", [OPENAI, GEMINI])
@pytest.mark.parametrize("path", ["/", "//x", "/files//x", "/files/..", "/./files", "/files/../organization", "/a/."])
def test_a_path_that_an_upstream_may_read_as_another_is_no_route(dialect: str, path: str) -> None:
    with pytest.raises(RouteUnknown):
        route_of(dialect, "GET", path)


@pytest.mark.parametrize(
    ("dialect", "method", "path", "once", "free"),
    [
        (OPENAI, "POST", "/files", True, True),
        (OPENAI, "POST", "/batches", True, False),
        (OPENAI, "POST", "/batches/b/cancel", True, True),
        (OPENAI, "GET", "/batches/b", False, True),
        (OPENAI, "DELETE", "/vector_stores/v", False, True),
        (OPENAI, "POST", "/threads/t/runs", True, False),
        (OPENAI, "POST", "/responses", False, False),
        (OPENAI, "POST", "/unheard/of", True, False),
        (GEMINI, "POST", "/models/veo:predictLongRunning", True, False),
        (GEMINI, "POST", "/models/imagen:predict", False, False),
        (GEMINI, "POST", "/upload/v1beta/files", True, True),
        (GEMINI, "POST", "/fileSearchStores", True, False),
        (GEMINI, "POST", "/batches/b:cancel", True, True),
    ],
)
def test_what_is_sent_once_and_what_asks_no_model(dialect, method, path, once, free) -> None:
    route = route_of(dialect, method, path)
    assert (route.once, route.free) == (once, free)


def test_the_model_in_a_path_is_read_with_its_slashes() -> None:
    assert route_of(GEMINI, "POST", "/models/imagen-4:predict").model == "imagen-4"
    assert route_of(GEMINI, "POST", "/models/publishers/google/models/x:predict").model == "publishers/google/models/x"

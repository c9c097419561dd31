"""Unmodified SDKs use files, batches, responses, speech, caches and long operations as they would upstream."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.test_sdks import GENAI, OPENAI, run_client
from tests.house import GEMINI_KEYS, OPENAI_KEYS
from tests.server import Server
from tests.upstream import ScriptedUpstream, answer, pieces, sse
from tests.upstream_objects import ObjectStore

pytestmark = pytest.mark.slow


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture
def store(upstream: ScriptedUpstream) -> ObjectStore:
    store = ObjectStore()
    upstream.script(store)
    return store


@pytest.fixture
def server(upstream: ScriptedUpstream, instance_template: Path, tmp_path: Path) -> Iterator[Server]:
    shutil.copytree(instance_template, tmp_path / "instance")
    keys = {"API_KEYS": ",".join(GEMINI_KEYS[:3]), "OPENAI_API_KEYS": ",".join(OPENAI_KEYS[:3])}
    with Server(tmp_path / "instance", upstream.url, **keys) as server:
        yield server


def test_openai_files_and_batches(server: Server, store: ObjectStore) -> None:
    code = """
import io
made = [client.files.create(file=("in.jsonl", io.BytesIO(b"{}" * 900_000)), purpose="batch") for _ in range(2)]
batch = client.batches.create(input_file_id=made[0].id, endpoint="/v1/chat/completions", completion_window="24h")
again = client.batches.retrieve(batch.id)
content = client.files.content(again.output_file_id).read()
listed = [file.id for file in client.files.list(limit=1)]
client.files.delete(made[0].id)
try:
    client.files.retrieve(made[0].id)
    gone = ""
except openai.NotFoundError as error:
    gone = error.type
print(json.dumps([[file.id for file in made], content.decode(), listed, gone]))
"""
    made, content, listed, gone = run_client(OPENAI + code, server)
    assert content.startswith("line one")
    assert set(made) <= set(listed)
    assert gone == "invalid_request_error"
    assert len(set(store.made.values())) == 1


def test_openai_responses_keep_their_conversation(server: Server, store: ObjectStore) -> None:
    code = """
first = client.responses.create(model="gpt-4o", input="hi")
events = list(client.responses.create(model="gpt-4o", input="more", previous_response_id=first.id, stream=True))
last = events[-1].response.id
third = client.responses.create(model="gpt-4o", input="more", previous_response_id=last)
print(json.dumps([client.responses.retrieve(third.id).id == third.id, [event.type for event in events]]))
"""
    found, events = run_client(OPENAI + code, server)
    assert found
    assert events[0] == "response.created"
    assert events[-1] == "response.completed"
    assert len(set(store.made.values())) == 1


def test_openai_speech_pictures_and_transcripts(server: Server, upstream: ScriptedUpstream) -> None:
    upstream.for_path("/audio/speech", pieces([b"ID3", b"\x00" * 70_000], headers={"Content-Type": "audio/mpeg"}))
    upstream.for_path("/audio/transcriptions", answer(200, {"text": "hello"}))
    upstream.for_path("/images", answer(200, {"created": 1, "data": [{"b64_json": "QUJD"}]}))
    upstream.for_path("/moderations", answer(200, {"id": "m", "model": "omni", "results": []}))
    upstream.for_path(
        "/completions", sse([{"choices": [{"index": 0, "text": "hi", "finish_reason": "stop"}]}], done=True)
    )
    code = """
import io
with client.audio.speech.with_streaming_response.create(model="tts-1", voice="alloy", input="x") as spoken:
    kind, size = spoken.headers["content-type"], sum(len(piece) for piece in spoken.iter_bytes())
text = client.audio.transcriptions.create(model="whisper-1", file=("a.wav", io.BytesIO(b"RIFF" * 400_000))).text
picture = client.images.generate(model="gpt-image-1", prompt="x").data[0].b64_json
flagged = client.moderations.create(model="omni-moderation-latest", input="x").results
said = [chunk.choices[0].text for chunk in client.completions.create(model="gpt-3.5", prompt="x", stream=True)]
print(json.dumps([kind, size, text, picture, flagged, said]))
"""
    assert run_client(OPENAI + code, server) == ["audio/mpeg", 70_003, "hello", "QUJD", [], ["hi"]]


def test_genai_uploads_in_pieces_and_asks_about_its_files(server: Server, store: ObjectStore, tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(range(256)) * 40_000)
    code = f"""
files = [client.files.upload(file={str(large)!r}, config={{"mime_type": "text/plain"}}) for _ in range(2)]
said = client.models.generate_content(model="gemini-2.5-flash", contents=["what?", *files]).text
got = client.files.get(name=files[0].name).name
listed = [file.name for file in client.files.list(config={{"page_size": 1}})]
cache = client.caches.create(model="gemini-2.5-flash", config=types.CreateCachedContentConfig(contents=["x"]))
used = client.models.generate_content(model="gemini-2.5-flash", contents="?",
    config=types.GenerateContentConfig(cached_content=cache.name)).text
client.files.delete(name=files[0].name)
print(json.dumps([[file.name for file in files], said, got, listed, used]))
"""
    names, said, got, listed, used = run_client(GENAI + code, server)
    assert said == used == "Hello from the scripted upstream."
    assert got == names[0]
    assert listed == names
    assert set(store.made.values()) == {store.made[names[1]]}
    assert [data for _, data in store.uploads.values()] == [large.read_bytes()] * 2


def test_genai_fetches_a_video_where_it_was_made(server: Server, store: ObjectStore) -> None:
    code = """
import requests
ask = requests.Session()
ask.headers["x-goog-api-key"] = KEY
begun = ask.post(URL + "/v1beta/models/veo-3:predictLongRunning", json={"instances": [{"prompt": "a cat"}]}).json()
done = ask.get(URL + "/v1beta/" + begun["name"]).json()
uri = done["response"]["generateVideoResponse"]["generatedSamples"][0]["video"]["uri"]
print(json.dumps([list(client.files.download(file=types.Video(uri=uri))) for _ in range(3)]))
"""
    assert run_client(GENAI + code, server) == [list(b"\x00\x01video")] * 3

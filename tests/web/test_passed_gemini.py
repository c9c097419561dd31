"""Google's other routes: passed through untouched, each object with the key that made it."""

from __future__ import annotations

from urllib.parse import urlsplit

import gevent
import orjson
import pytest
from werkzeug.test import Client

from tests.house import GEMINI_KEYS, OPENAI_KEYS, House
from tests.upstream import answer, gemini_error, sse, stall
from tests.upstream_objects import ObjectStore
from tests.web.person import Person

START = {"X-Goog-Upload-Protocol": "resumable", "X-Goog-Upload-Command": "start"}
LAST = {"X-Goog-Upload-Command": "upload, finalize", "X-Goog-Upload-Offset": "0"}
DAY_QUOTA = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"


@pytest.fixture
def store(house: House) -> ObjectStore:
    house.add_keys(*GEMINI_KEYS[:3])
    store = ObjectStore()
    house.upstream.script(store)
    return store


@pytest.fixture
def ann(house: House) -> Person:
    return Person(house, "ann")


@pytest.fixture
def bob(house: House) -> Person:
    return Person(house, "bob")


def begun(person: Person, path: str = "/upload/v1beta/files") -> str:
    """The address a resumable upload goes on at."""
    response = person.google("POST", path, {"file": {"display_name": "a"}}, headers=START)
    assert response.status_code == 200, response.data
    return response.headers["X-Goog-Upload-URL"]


def uploaded(person: Person, data: bytes = b"data") -> str:
    """A file made in two steps, as Google's SDK does it: the second one without a credential."""
    address = begun(person)
    place = address.partition("//")[2].partition("/")[2]
    response = Client(person.house.app).post("/" + place, data=data, headers=LAST)
    assert response.status_code == 200, response.data
    assert response.headers["X-Goog-Upload-Status"] == "final"
    return response.json["file"]["name"]


def prompt(*names: str) -> dict:
    uri = "https://generativelanguage.googleapis.com/v1beta/"
    return {"contents": [{"parts": [{"fileData": {"fileUri": uri + name}} for name in names]}]}


GENERATE = "/v1beta/models/gemini-2.5-flash:generateContent"


def test_an_upload_goes_through_our_own_address_to_one_key(store: ObjectStore, ann: Person) -> None:
    address = urlsplit(begun(ann))
    assert (address.scheme, address.netloc, address.path) == ("http", "localhost", "/upload/v1beta/files")
    assert "key=" not in address.query
    assert "upload_id=secret-1" in address.query
    piece = {"X-Goog-Upload-Command": "upload", "X-Goog-Upload-Offset": "0"}
    stranger = Client(ann.house.app)
    for data, headers in ((b"first ", piece), (b"second", LAST | {"X-Goog-Upload-Offset": "6"})):
        response = stranger.post(f"{address.path}?{address.query}", data=data, headers=headers)
        assert response.status_code == 200
    name = response.json["file"]["name"]
    assert store.uploads["secret-1"] == (store.made[name], b"first second")
    sent = ann.house.upstream.requests
    assert [request.key for request in sent] == [store.made[name]] * 3
    assert all("key=" not in request.path for request in sent)
    assert sent[1].headers["x-goog-upload-command"] == "upload"
    assert "Set-Cookie" not in response.headers
    # It is over: whoever finds the address in a log can do nothing with it.
    assert stranger.post(f"{address.path}?{address.query}", data=b"x", headers=LAST).status_code == 401


def test_an_upload_is_its_makers_alone_and_lives_as_long_as_its_key(
    store: ObjectStore, ann: Person, bob: Person
) -> None:
    address = urlsplit(begun(ann))
    place = f"{address.path}?{address.query}"
    assert bob.google("POST", place, data=b"x", headers=LAST).status_code == 403
    ann.house.keypool.inventory.revoke_client(ann.id)
    response = Client(ann.house.app).post(place, data=b"x", headers=LAST)
    assert response.status_code == 401
    assert response.json["error"]["status"] == "UNAUTHENTICATED"


def test_an_upload_goes_on_after_a_restart(store: ObjectStore, ann: Person, instance_template, tmp_path) -> None:
    from tests.house import open_house

    address = urlsplit(begun(ann))
    ann.house.keypool.stop()
    with open_house(instance_template, tmp_path / "instance") as again:
        again.upstream.script(store)
        response = Client(again.app).post(f"{address.path}?{address.query}", data=b"x", headers=LAST)
        assert response.json["file"]["name"] in store.made


def test_a_large_upload_arrives_whole_and_byte_for_byte(store: ObjectStore, ann: Person) -> None:
    data = bytes(range(256)) * 30_000 + b"end"
    name = uploaded(ann, data)
    assert store.uploads["secret-1"][1] == data
    assert ann.google("GET", f"/v1beta/{name}").json["name"] == name


def test_googles_sdk_finds_its_files_below_v1_where_openais_are_too(
    house: House, store: ObjectStore, ann: Person
) -> None:
    house.add_keys(OPENAI_KEYS[0])
    name = uploaded(ann)
    got = ann.google("GET", f"/v1/{name}")
    assert got.json["name"] == name
    assert house.upstream.requests[-1].route == f"/v1/{name}"
    assert [file["name"] for file in ann.google("GET", "/v1/files").json["files"]] == [name]
    cache = ann.google("POST", "/v1/cachedContents", {"model": "models/gemini-2.5-flash"}).json["name"]
    assert ann.google("DELETE", f"/v1/{cache}").status_code == 200
    assert ann.ask("GET", "/v1/files").json["object"] == "list"
    assert ann.google("GET", "/v1beta/openai/files").json["object"] == "list"


def test_files_of_one_client_stick_to_one_key_and_prompts_follow_them(
    store: ObjectStore, ann: Person, bob: Person
) -> None:
    names = [uploaded(ann) for _ in range(3)]
    assert len({store.made[name] for name in names}) == 1
    for _ in range(4):
        response = ann.google("POST", GENERATE, prompt(*names))
        assert response.status_code == 200, response.data
        assert ann.house.upstream.requests[-1].key == store.made[names[0]]
    other = uploaded(bob)
    assert store.made[other] != store.made[names[0]]
    # A chat that is converted for Google follows its file, too.
    file = {"type": "file", "file": {"file_id": f"https://generativelanguage.googleapis.com/v1beta/{other}"}}
    for _ in range(4):
        body = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": [file]}]}
        assert bob.ask("POST", "/v1/chat/completions", body).status_code == 200
        assert bob.house.upstream.requests[-1].key == store.made[other]


def test_uploads_at_the_same_time_go_to_one_key(store: ObjectStore, ann: Person) -> None:
    slow = stall(0.05, then=answer(200, {"file": {"name": "files/x"}}))
    ann.house.upstream.script(slow)
    uploads = [gevent.spawn(ann.google, "POST", "/upload/v1beta/files", {}) for _ in range(6)]
    gevent.joinall(uploads)
    assert len({request.key for request in ann.house.upstream.requests}) == 1


def test_what_another_client_made_cannot_be_used_or_seen(store: ObjectStore, ann: Person, bob: Person) -> None:
    name = uploaded(ann)
    before = len(ann.house.upstream.requests)
    for method, path, body in (
        ("POST", GENERATE, prompt(name)),
        ("GET", f"/v1beta/{name}", None),
        ("DELETE", f"/v1beta/{name}", None),
        ("POST", "/v1beta/cachedContents", {"model": "models/gemini-2.5-flash", **prompt(name)}),
    ):
        response = bob.google(method, path, body)
        assert response.status_code == 403
        assert response.json["error"]["status"] == "PERMISSION_DENIED"
        assert name in response.json["error"]["message"]
    assert len(ann.house.upstream.requests) == before


def test_what_was_not_made_here_is_the_upstreams_affair(store: ObjectStore, ann: Person) -> None:
    store.made["files/elsewhere"] = "AIzaSomebodyElse"
    response = ann.google("POST", GENERATE, prompt("files/elsewhere"))
    assert response.status_code == 403
    assert "may not exist" in response.json["error"]["message"]
    assert ann.google("GET", "/v1beta/files/elsewhere").status_code == 403
    assert len(ann.house.upstream.requests) == 2
    assert all(key.available(0) for key in ann.house.keypool.catalogue.keys.values())


def test_a_prompt_with_files_of_two_keys_is_400_in_googles_shape(store: ObjectStore, ann: Person) -> None:
    first = uploaded(ann)
    key = ann.key_of(store.made, first)
    ann.house.keypool.inventory.set_disabled([key.id], float("inf"))
    second = uploaded(ann)
    ann.house.keypool.inventory.set_disabled([key.id], None)
    response = ann.google("POST", GENERATE, prompt(first, second))
    assert response.status_code == 400
    error = response.json["error"]
    assert (error["status"], error["details"][0]["reason"]) == ("INVALID_ARGUMENT", "OBJECTS_OF_TWO_KEYS")
    assert first in error["message"]
    assert second in error["message"]


def test_a_cache_is_used_by_its_key_only_and_a_spent_key_is_not_replaced(store: ObjectStore, ann: Person) -> None:
    cache = ann.google("POST", "/v1beta/cachedContents", {"model": "models/gemini-2.5-flash", "contents": []}).json
    body = {"contents": [], "cachedContent": cache["name"]}
    for _ in range(4):
        assert ann.google("POST", GENERATE, body).status_code == 200
        assert ann.house.upstream.requests[-1].key == store.made[cache["name"]]
    spent = gemini_error(429, quota_id=DAY_QUOTA)
    ann.house.upstream.script(lambda request: spent if request.key == store.made[cache["name"]] else store(request))
    before = len(ann.house.upstream.requests)
    response = ann.google("POST", GENERATE, body)
    assert response.status_code == 429
    response = ann.google("POST", GENERATE, body)
    assert (response.status_code, response.json["error"]["details"][0]["reason"]) == (429, "KEY_COOLING")
    assert int(response.headers["Retry-After"]) > 60
    assert len(ann.house.upstream.requests) == before + 1
    assert ann.google("POST", GENERATE, prompt()).status_code == 200


def test_a_long_operation_is_asked_about_where_it_runs(store: ObjectStore, ann: Person) -> None:
    for _ in range(2):
        begun = ann.google("POST", "/v1beta/models/veo-3:predictLongRunning", {"instances": [{"prompt": "x"}]}).json
        for _ in range(3):
            response = ann.google("GET", f"/v1beta/{begun['name']}")
            assert response.json["done"] is True
            assert ann.house.upstream.requests[-1].key == store.made[begun["name"]]
    film = response.json["response"]["generateVideoResponse"]["generatedSamples"][0]["video"]["uri"]
    path = film.removeprefix("https://generativelanguage.googleapis.com")
    assert ann.google("GET", path).data == b"\x00\x01video"
    record = ann.house.records()[0]
    assert (record["operation"], record["model_used"]) == ("raw", "veo-3")


def test_the_version_in_the_url_takes_the_base_urls_place_and_no_key_is_in_it(house: House, ann: Person) -> None:
    house.add_keys(GEMINI_KEYS[0], OPENAI_KEYS[0])
    house.upstream.script(answer(200, {"ok": True}))
    for path in ("/v1alpha/authTokens", "/v1beta/corpora", "/v1/models/imagen-4:predict", "/models/imagen-4:predict"):
        response = ann.google("POST", f"{path}?key={ann.token}&$fields=a&apikey=x", {"a": 1})
        assert response.status_code == 200, response.data
    assert [request.path for request in house.upstream.requests] == [
        "/v1alpha/authTokens?%24fields=a", "/v1beta/corpora?%24fields=a", "/v1/models/imagen-4:predict?%24fields=a",
        "/v1beta/models/imagen-4:predict?%24fields=a",
    ]  # fmt: skip
    assert {request.key for request in house.upstream.requests} == {GEMINI_KEYS[0]}


def test_a_renamed_model_is_renamed_in_the_path_and_the_body(house: House, ann: Person) -> None:
    house.add_keys(GEMINI_KEYS[0])
    house.keypool.inventory.update_pool(house.default_pool_id, aliases={"movie": "veo-3"}, allowed_models=["veo-3"])
    house.upstream.script(answer(200, {"name": "models/veo-3/operations/1"}))
    assert ann.google("POST", "/v1beta/models/movie:predictLongRunning", {"instances": []}).status_code == 200
    assert house.upstream.requests[0].route == "/v1beta/models/veo-3:predictLongRunning"
    assert ann.google("POST", "/v1beta/cachedContents", {"model": "models/movie", "contents": []}).status_code == 200
    assert house.upstream.requests[1].json["model"] == "models/veo-3"
    assert ann.google("POST", "/v1beta/models/imagen-4:predict", {}).status_code == 403
    assert (
        ann.google("POST", "/v1beta/fileSearchStores", {}).json["error"]["details"][0]["reason"] == "MODEL_UNREADABLE"
    )


def test_lists_hold_the_callers_own_and_go_on_over_keys_and_pages(store: ObjectStore, ann: Person, bob: Person) -> None:
    mine = [uploaded(ann) for _ in range(3)]
    key = ann.key_of(store.made, mine[0])
    store.made["files/foreign"] = key.secret
    ann.house.keypool.inventory.set_disabled([key.id], float("inf"))
    mine += [uploaded(ann) for _ in range(2)]
    ann.house.keypool.inventory.set_disabled([key.id], None)
    uploaded(bob)
    seen, page = [], ann.google("GET", "/v1beta/files?pageSize=2").json
    for _ in range(9):
        seen += [file["name"] for file in page.get("files", [])]
        if "nextPageToken" not in page:
            break
        page = ann.google("GET", f"/v1beta/files?pageSize=2&pageToken={page['nextPageToken']}").json
    assert seen == mine
    for stray in ("²", "9" * 5_000):
        assert ann.google("GET", f"/v1beta/files?pageToken={stray}.").status_code == 200
    assert ann.google("GET", "/v1beta/cachedContents").json == {}
    assert ann.google("GET", "/v1beta/models").json["models"]


def test_a_key_that_died_does_not_hide_what_the_others_hold(store: ObjectStore, ann: Person) -> None:
    lost = uploaded(ann)
    key = ann.key_of(store.made, lost)
    ann.house.keypool.inventory.set_disabled([key.id], float("inf"))
    left = uploaded(ann)
    assert ann.google("GET", "/v1beta/files").status_code == 503
    ann.house.keypool.inventory.set_disabled([key.id], None)
    ann.house.upstream.dead_keys.add(key.secret)
    ann.house.upstream.script(lambda request: None if request.key == key.secret else store(request))
    ann.google("GET", f"/v1beta/{lost}")
    assert [file["name"] for file in ann.google("GET", "/v1beta/files").json["files"]] == [left]
    response = ann.google("GET", f"/v1beta/{lost}")
    assert (response.status_code, response.json["error"]["details"][0]["reason"]) == (503, "KEY_DEAD")


def test_a_download_passes_in_its_own_type_and_a_redirect_leads_back_here(store: ObjectStore, ann: Person) -> None:
    name = uploaded(ann)
    response = ann.google("GET", f"/v1beta/{name}:download?alt=media")
    assert (response.headers["Content-Type"], response.data) == ("video/mp4", b"\x00\x01video")
    upstream = ann.house.upstream
    there = f"{upstream.url}/download/v1beta/{name}:download?alt=media&key=AIzaEchoed"
    upstream.script(answer(302, b"moved", {"Location": there}))
    response = ann.google("GET", f"/v1beta/{name}:download?alt=media")
    assert response.status_code == 302
    assert response.headers["Location"] == f"http://localhost/download/v1beta/{name}:download?alt=media"
    assert response.data == b""
    upstream.script(answer(200, b"video", {"Content-Type": "video/mp4"}))
    assert ann.google("GET", f"/download/v1beta/{name}:download?alt=media").data == b"video"
    assert upstream.requests[-1].path == f"/download/v1beta/{name}:download?alt=media"
    assert upstream.requests[-1].key == store.made[name]
    upstream.script(answer(302, b"", {"Location": "https://elsewhere.example/x"}))
    response = ann.google("GET", f"/v1beta/{name}:download?alt=media")
    assert response.status_code == 502
    assert "Location" not in response.headers


def test_streams_of_unknown_routes_pass_event_by_event(house: House, ann: Person) -> None:
    house.add_keys(GEMINI_KEYS[0])
    events = [{"event_type": "interaction.start", "interaction": {"id": "v1_abc"}}, {"event_type": "content.delta"},
              {"event_type": "interaction.complete"}]  # fmt: skip
    house.upstream.script(sse(events))
    response = ann.google("POST", "/v1beta/interactions?alt=sse", {"model": "gemini-2.5-flash", "input": "hi"})
    assert [orjson.loads(part[6:]) for part in response.data.split(b"\n\n") if part] == events
    assert response.headers["Content-Type"].startswith("text/event-stream")
    made = house.keypool.affinity.find("interactions/v1_abc", ["gemini"])
    assert made is not None
    assert made.holder == ann.id


def test_one_upload_in_one_piece_keeps_its_key_too(store: ObjectStore, ann: Person) -> None:
    headers = {"X-Goog-Upload-Protocol": "multipart", "Content-Type": "multipart/related; boundary=b"}
    response = ann.google("POST", "/upload/v1beta/files?uploadType=multipart", data=b"--b\r\n", headers=headers)
    name = response.json["file"]["name"]
    assert ann.google("GET", f"/v1beta/{name}").json["name"] == name


@pytest.mark.parametrize("path", ["/v1beta/files/../models", "/upload/v1beta/../../x", "/v1beta/./files"])
def test_no_path_leads_out_of_where_it_seems_to_lead(store: ObjectStore, ann: Person, path: str) -> None:
    assert ann.google("GET", path).status_code == 404
    assert ann.house.upstream.requests == []


def test_objects_in_a_prompts_own_words_pin_nothing_that_is_not_theirs(
    store: ObjectStore, ann: Person, bob: Person
) -> None:
    name = uploaded(ann)
    ann.house.upstream.script(None)
    body = {"contents": [{"parts": [{"text": f"what is {name}?"}, {"text": f'see "{name}" there'}]}]}
    assert bob.google("POST", GENERATE, body).status_code == 200

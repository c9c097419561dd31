"""A picture named by its address, through the whole app: fetched before any key is used, or refused by name."""

from __future__ import annotations

import base64
from typing import Any

from pool.adapters.fetching import Fetcher
from pool.adapters.upstream import Upstream
from pool.core.dialects.gemini.fetched import Together
from tests.house import GEMINI_KEYS, House
from tests.upstream import answer

PNG = b"\x89PNG"


def ask(house: House, url: str) -> Any:
    content = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    return house.chat(messages=[{"role": "user", "content": content}])


def test_a_picture_is_fetched_and_sent_along(house: House) -> None:
    house.add_keys(GEMINI_KEYS[0])
    house.upstream.for_path("/cat.png", answer(200, PNG, {"Content-Type": "image/png"}))
    near = Fetcher(Upstream())
    house.keypool.relay.fetch = near.fetch
    assert ask(house, house.upstream.url + "/cat.png").status_code == 200
    sent = house.upstream.requests[-1].json["contents"][0]["parts"]
    assert {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(PNG).decode()}} in sent
    near.close()


def test_a_picture_on_a_private_network_is_refused_by_name_before_any_key_is_used(house: House) -> None:
    house.add_keys(GEMINI_KEYS[0])
    refused = ask(house, house.upstream.url + "/cat.png")
    assert refused.status_code == 400
    error = refused.json["error"]
    assert (error["code"], error["param"]) == ("invalid_media_url", "messages[0].content[1].image_url.url")
    assert house.upstream.requests == []


def test_a_small_request_does_not_make_us_fetch_without_end(house: House) -> None:
    house.add_keys(GEMINI_KEYS[0])
    megabytes = PNG + bytes(12 * 1024 * 1024)
    house.upstream.script(answer(200, megabytes, {"Content-Type": "image/png"}))
    near = Fetcher(Upstream())
    house.keypool.relay.fetch = near
    parts = [{"type": "image_url", "image_url": {"url": f"{house.upstream.url}/{n}.png"}} for n in range(30)]
    refused = house.chat(messages=[{"role": "user", "content": parts}])
    assert refused.status_code == 400
    assert "more than 50 MB" in refused.json["error"]["message"]
    assert refused.json["error"]["param"].startswith("messages[0].content[")
    assert len(house.upstream.requests) < 12
    near.close()


def test_a_type_that_tells_nothing_is_read_from_the_bytes_or_the_name(house: House) -> None:
    house.add_keys(GEMINI_KEYS[0])
    stated = {"/a": "application/octet-stream", "/b": "text/html", "/c": "", "/d.pdf": "binary/octet-stream"}
    for path, kind in stated.items():
        data = b"unknown" if path == "/d.pdf" else PNG
        house.upstream.for_path(path, answer(200, data, {"Content-Type": kind} if kind else {}))
    near = Fetcher(Upstream())
    house.keypool.relay.fetch = near
    parts = [{"type": "image_url", "image_url": {"url": house.upstream.url + path}} for path in stated]
    assert house.chat(messages=[{"role": "user", "content": parts}]).status_code == 200
    sent = house.upstream.requests[-1].json["contents"][0]["parts"]
    assert [part["inlineData"]["mimeType"] for part in sent] == [*["image/png"] * 3, "application/pdf"]
    near.close()


def test_a_pool_may_be_deleted_while_a_picture_is_fetched(house: House) -> None:
    inventory = house.keypool.inventory
    pool_id, auth_key = inventory.create_pool("batch")
    house.add_keys(GEMINI_KEYS[0], pool_id=pool_id)
    house.upstream.for_path("/cat.png", answer(200, PNG, {"Content-Type": "image/png"}))
    near = Fetcher(Upstream())

    def fetch(*asked: Any) -> Any:
        inventory.delete_pool(pool_id)
        return near.fetch(*asked)

    house.keypool.relay.fetch = fetch
    image = {"type": "image_url", "image_url": {"url": house.upstream.url + "/cat.png"}}
    body = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": [image]}]}
    refused = house.post("/v1/chat/completions", body, headers={"Authorization": f"Bearer {auth_key}"})
    assert (refused.status_code, refused.json["error"]["code"]) == (503, "no_available_keys")
    near.close()


def test_the_app_fetches_several_side_by_side(house: House) -> None:
    assert isinstance(house.keypool.relay.fetch, Together)

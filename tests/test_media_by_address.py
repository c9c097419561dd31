"""A picture named by its address, through the whole app: fetched before any key is used, or refused by name."""

from __future__ import annotations

import base64
from typing import Any

from pool.adapters.fetching import Fetcher
from pool.adapters.upstream import Upstream
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

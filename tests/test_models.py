"""The list of a pool's models: what aliases and allow-lists make of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.house import GEMINI_KEYS, OPENAI_KEYS, House
from tests.upstream import answer

FLASH = {"name": "models/gemini-2.5-flash", "displayName": "Flash"}


@pytest.fixture
def aliased(house: House) -> House:
    house.add_keys(GEMINI_KEYS[0], OPENAI_KEYS[0])
    usual = answer(200, {"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]})
    lists = {
        "/v1beta/models": answer(200, {"models": [FLASH]}),
        "/v1/models": answer(200, {"object": "list", "data": [{"id": "gpt-4o", "created": 7}]}),
    }
    house.upstream.script(lambda request: lists.get(request.path.partition("?")[0], usual))
    aliases = {
        "fast": "gemini-2.5-flash", "prefixed": "gemini/gemini-2.5-flash", "googles": "models/gemini-2.5-flash",
        "searching": "gemini-2.5-flash:search", "smart": "gpt-4o", "gone": "gemini-9", "models/long": "gpt-4o",
    }  # fmt: skip
    house.keypool.inventory.update_pool(house.default_pool_id, aliases=aliases)
    return house


def listed(house: House, path: str = "/v1/models", **headers: str) -> Any:
    return house.client.get(path, headers=headers or house.headers()).json


def ids(house: House) -> list[str]:
    return [row["id"] for row in listed(house)["data"]]


def test_an_alias_is_listed_by_its_own_name(aliased: House) -> None:
    named = ["fast", "prefixed", "googles", "searching", "smart", "long"]
    assert sorted(ids(aliased)) == sorted(["gemini-2.5-flash", "gpt-4o", *named])


def test_googles_list_tells_aliases_of_its_own_models_only(aliased: House) -> None:
    rows = listed(aliased, "/v1beta/models", **{"x-goog-api-key": aliased.auth_key})["models"]
    names = ["gemini-2.5-flash", "fast", "prefixed", "googles", "searching"]
    assert sorted(row["name"] for row in rows) == sorted(f"models/{name}" for name in names)
    assert {row["displayName"] for row in rows} == {"Flash"}


@pytest.mark.parametrize("name", ["fast", "prefixed", "googles", "searching", "smart"])
def test_an_alias_is_found_by_its_id(aliased: House, name: str) -> None:
    assert listed(aliased, f"/v1/models/{name}")["id"] == name


def test_googles_dialect_finds_an_alias_by_its_id(aliased: House) -> None:
    found = listed(aliased, "/v1beta/models/fast", **{"x-goog-api-key": aliased.auth_key})
    assert found == {**FLASH, "name": "models/fast"}


def test_an_allow_list_may_name_an_alias(aliased: House) -> None:
    aliased.keypool.inventory.update_pool(aliased.default_pool_id, allowed_models=["fast"])
    assert ids(aliased) == ["fast"]
    assert aliased.chat(model="fast").status_code == 200
    assert aliased.chat(model="gemini-2.5-flash").status_code == 403


def test_an_alias_of_an_allowed_model_is_allowed(aliased: House) -> None:
    aliased.keypool.inventory.update_pool(aliased.default_pool_id, allowed_models=["gpt-*"])
    assert sorted(ids(aliased)) == ["gpt-4o", "smart"]


def test_an_alias_wins_over_a_model_of_the_same_name(aliased: House) -> None:
    aliased.keypool.inventory.update_pool(aliased.default_pool_id, aliases={"gpt-4o": "gemini-2.5-flash"})
    assert listed(aliased, "/v1/models/gpt-4o")["owned_by"] == "google"
    assert ids(aliased).count("gpt-4o") == 1

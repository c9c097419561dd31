"""Providers through the API: added, changed in part, switched off, deleted; and what of them the engine obeys."""

import time

import gevent
import orjson
import pytest

from pool.adapters.inventory import Inventory
from pool.core.catalogue import Catalogue
from tests.house import GEMINI_KEYS, OPENAI_KEYS, PASSWORD
from tests.upstream import answer, openai_text, stall
from tests.web.visitor import rows_of

ADMIN = {"X-Admin-Key": PASSWORD}
GROQ = {"slug": "groq", "base_url": "https://api.groq.test/openai/v1/"}


@pytest.fixture
def call(house, passwords):
    client = house.app.test_client()

    def send(method, path="/admin/providers", body=None, status=200):
        answer = client.open(path, method=method, json=body, headers=ADMIN)
        assert answer.status_code == status, answer.text
        return answer.json

    return send


def here(house, **more):
    """A provider at the scripted upstream."""
    return {"slug": "local", "base_url": house.upstream.url + "/v1", **more}


def test_the_built_in_ones_are_listed_first(house, call):
    call("POST", body=GROQ, status=201)
    told = call("GET")
    assert [each["slug"] for each in told["providers"]] == ["gemini", "openai", "groq"]
    assert told["next"] is None
    gemini, _, groq = told["providers"]
    assert (gemini["builtin"], gemini["base_url_from"], gemini["keys"]) == (True, "environment", 0)
    assert groq == {
        "slug": "groq", "dialect": "openai", "base_url": "https://api.groq.test/openai/v1", "base_url_from": "stored",
        "key_header": None, "proxy_url": None, "fallback_to_direct": False, "timeouts": {}, "builtin": False,
        "enabled": True, "keys": 0, "binned_keys": 0, "created_at": groq["created_at"],
        "updated_at": groq["updated_at"],
    }  # fmt: skip
    assert call("GET", "/admin/providers/groq") == groq


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"slug": "Groq"}, "slug"),
        ({"slug": "../x"}, "slug"),
        ({"slug": "pools"}, "slug"),
        ({"slug": "v1"}, "slug"),
        ({"slug": None}, "slug"),
        ({"base_url": "ftp://a.test"}, "base_url"),
        ({"base_url": "https://user:pass@a.test"}, "base_url"),
        ({"base_url": "https://a.test?key=x"}, "base_url"),
        ({"base_url": "http://169.254.169.254"}, "base_url"),
        ({"proxy_url": "socks4://a.test"}, "proxy_url"),
        ({"proxy_url": "http://ana:***@a.test"}, "proxy_url"),
        ({"key_header": "Content-Length"}, "key_header"),
        ({"key_header": "x y"}, "key_header"),
        ({"dialect": "french"}, "dialect"),
        ({"timeouts": {"idle_s": 0}}, "timeouts.idle_s"),
        ({"timeouts": {"total_s": 5}}, "timeouts.total_s"),
        ({"secret": "x"}, "secret"),
    ],
)
def test_what_cannot_be_meant_is_400_and_names_the_field(house, call, body, field):
    told = call("POST", body={**GROQ, **body}, status=400)
    assert told["error"]["param"] == field
    assert len(call("GET")["providers"]) == 2


def test_a_slug_is_given_once(house, call):
    call("POST", body=GROQ, status=201)
    assert call("POST", body=GROQ, status=409)["error"]["code"] == "slug_taken"
    assert call("GET", "/admin/providers/nobody", status=404)["error"]["code"] == "provider_not_found"
    assert call("PUT", "/admin/providers/groq", {"slug": "other"}, 400)["error"]["param"] == "slug"


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_change_touches_what_it_names_and_is_audited(house, call, method):
    call("POST", body={**GROQ, "timeouts": {"connect_s": 2}, "fallback_to_direct": True}, status=201)
    wanted = {"timeouts": {"first_byte_s": 300}, "key_header": "api-key"}
    told = call(method, "/admin/providers/groq", wanted)["provider"]
    assert told["timeouts"] == {"connect_s": 2, "first_byte_s": 300}
    assert (told["key_header"], told["fallback_to_direct"]) == ("api-key", True)
    assert told["base_url"] == GROQ["base_url"][:-1]
    entry = rows_of(house, "audit")[-1]
    assert (entry["action"], entry["object"], entry["via"]) == ("provider.change", "provider groq", "password")
    assert set(orjson.loads(entry["after"])) == {"slug", "timeouts", "key_header"}
    told = call(method, "/admin/providers/groq", {"timeouts": {"connect_s": None}, "key_header": None})["provider"]
    assert (told["timeouts"], told["key_header"]) == ({"first_byte_s": 300}, None)
    assert call(method, "/admin/providers/groq", {"timeouts": None})["provider"]["timeouts"] == {}
    count = len(rows_of(house, "audit"))
    assert call(method, "/admin/providers/groq", {"enabled": True})["message"] == "Nothing was changed."
    assert len(rows_of(house, "audit")) == count


def test_a_proxys_password_is_never_told_and_its_mask_changes_nothing(house, call):
    secret = "http://ana:hidden-word@proxy.test:3128"
    told = call("POST", body={**GROQ, "proxy_url": secret}, status=201)["provider"]
    assert told["proxy_url"] == "http://ana:***@proxy.test:3128"
    back = {name: told[name] for name in ("dialect", "base_url", "proxy_url", "fallback_to_direct", "enabled")}
    assert call("PUT", "/admin/providers/groq", back)["message"] == "Nothing was changed."
    assert house.keypool.catalogue.providers["groq"].proxy_url == secret
    mask = {"proxy_url": "http://ana:***@elsewhere.test"}
    assert call("PUT", "/admin/providers/groq", mask, 409)["error"]["code"] == "masked_value"
    told = str(call("GET")) + str(rows_of(house, "audit")) + repr(house.keypool.catalogue.providers)
    assert "hidden-word" not in told
    assert call("PUT", "/admin/providers/groq", {"proxy_url": ""})["provider"]["proxy_url"] is None


def test_a_built_in_one_keeps_its_dialect_its_place_in_the_environment_and_itself(house, call):
    path = "/admin/providers/gemini"
    assert call("PATCH", path, {"dialect": "openai"}, 409)["error"]["param"] == "dialect"
    refused = call("PATCH", path, {"base_url": "https://a.test"}, 409)
    assert (refused["error"]["code"], "GEMINI_UPSTREAM_URL" in refused["message"]) == ("set_by_environment", True)
    assert call("PATCH", path, {"base_url": house.upstream.url + "/v1beta"})["message"] == "Nothing was changed."
    assert call("DELETE", path, status=409)["error"]["code"] == "provider_builtin"
    assert call("DELETE", path + "?force=1", status=409)["error"]["code"] == "provider_builtin"


def test_a_provider_that_is_switched_off_serves_nobody_until_it_is_back(house, call):
    house.add_keys(GEMINI_KEYS[0])
    assert house.chat().status_code == 200
    call("PATCH", "/admin/providers/gemini", {"enabled": False})
    assert house.chat().status_code == 503
    assert house.client.get("/health").json["checks"]["available_keys"] == 0
    call("PATCH", "/admin/providers/gemini", {"enabled": True})
    assert house.chat().status_code == 200


def test_one_with_keys_is_deleted_only_by_force_and_its_keys_with_it(house, call):
    call("POST", body=here(house), status=201)
    ids = house.add_keys(*OPENAI_KEYS[:3], provider="local")
    house.keypool.inventory.bin_keys(ids[2:])
    refused = call("DELETE", "/admin/providers/local", status=409)
    assert (refused["error"]["code"], refused["error"]["keys"], refused["error"]["binned_keys"]) == (
        "provider_has_keys", 2, 1,
    )  # fmt: skip
    assert house.chat("gpt-4o").status_code == 200
    told = call("DELETE", "/admin/providers/local?force=1")
    assert (told["success"], told["deleted_keys"]) == (True, 3)
    assert house.chat("gpt-4o").status_code == 503
    assert not house.keypool.catalogue.keys
    assert rows_of(house, "keys") == rows_of(house, "memberships") == []
    assert call("POST", body=here(house), status=201)["provider"]["keys"] == 0
    assert not set(house.add_keys(OPENAI_KEYS[0], provider="local")) & set(ids)


def test_another_worker_drops_the_keys_of_a_deleted_provider_too(house, call):
    call("POST", body=here(house), status=201)
    house.add_keys(OPENAI_KEYS[0], provider="local")
    keypool = house.keypool
    other = Inventory(keypool.database, keypool.vault, Catalogue(), lambda line: None)
    other.load()
    assert len(other._catalogue.keys) == 1
    call("DELETE", "/admin/providers/local?force=1")
    assert other.catch_up()
    assert other._catalogue.keys == {}


def test_the_engine_sends_the_key_in_the_header_the_provider_names(house, call):
    call("POST", body=here(house, key_header="api-key"), status=201)
    house.add_keys(OPENAI_KEYS[0], provider="local")
    house.upstream.script(answer(body=openai_text("hello")))
    assert house.chat("gpt-4o").status_code == 200
    headers = {name.lower(): value for name, value in house.upstream.requests[-1].headers.items()}
    assert headers["api-key"] == OPENAI_KEYS[0]
    assert "authorization" not in headers


def test_the_engine_waits_as_long_as_the_provider_says(house, call):
    call("POST", body=here(house, timeouts={"first_byte_s": 0.1}), status=201)
    house.add_keys(OPENAI_KEYS[0], provider="local")
    house.upstream.script(stall())
    house.keypool.relay.pause = lambda seconds: gevent.sleep(min(seconds, 0.001))
    began = time.monotonic()
    assert house.chat("gpt-4o").status_code == 504
    assert 0.5 < time.monotonic() - began < 5, "plain answers have five times as long"

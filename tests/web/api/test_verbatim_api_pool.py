"""The document of the multi-pool system for Gemini, example by example."""

import pytest
from gevent.pywsgi import WSGIServer
from openai import OpenAI

from tests.house import GEMINI_KEYS, PASSWORD
from tests.upstream import SAYS
from tests.web.api.verbatim import Caller, unlike

CREATE = {
    "name": "生产环境池",
    "description": "",
    "geminiKeys": [{"key": key, "enabled": True, "weight": 1} for key in GEMINI_KEYS[:2]],
    "allowedModels": [],
    "enabled": True,
}
CHAT = """{
    "model": "gemini-2.0-flash",
    "messages": [{"role": "user", "content": "你好"}],
    "stream": false
  }"""
STREAM = CHAT.replace('"stream": false', '"stream": true')
ANSWER = {
    "id": "chatcmpl-…",
    "object": "chat.completion",
    "created": 1,
    "model": "gemini-2.0-flash",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "…"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 1},
}


@pytest.fixture
def admin(house, passwords):
    """Signed in as its page does it."""
    told = Caller(house)("POST", "/api/login", {"password": PASSWORD})
    assert told["success"] is True
    assert isinstance(told["expiresAt"], int)
    return Caller(house, Authorization=f"Bearer {told['sessionToken']}")


@pytest.fixture
def pool(admin):
    told = admin("POST", "/api/pools", CREATE, 201)
    assert (told["success"], told["message"]) == (True, "池创建成功")
    return told["pool"]


@pytest.fixture
def program(house, pool):
    return Caller(house, Authorization=f"Bearer {pool['authKey']}")


def test_creating_the_first_pool(pool):
    assert pool["id"].startswith("pool-")
    assert pool["authKey"].startswith("sk-pool-")
    assert (pool["name"], pool["enabled"], len(pool["geminiKeys"])) == ("生产环境池", True, 2)


def test_the_curl_example(program):
    assert unlike(program("POST", "/v1/chat/completions", CHAT), ANSWER) == []


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/chat/completions"])
def test_a_stream_ends_with_one_done(program, path):
    text = program("POST", path, STREAM)
    assert text.count("data: [DONE]") == 1
    assert text.rstrip().endswith("data: [DONE]")


def test_the_auth_key_stands_where_it_may(house, pool):
    for shown in ({"Authorization": pool["authKey"]}, {"Authorization": f"Bearer {pool['authKey']}"}):
        Caller(house, **shown)("POST", "/v1/chat/completions", CHAT)
    for name in ("key", "apikey"):
        Caller(house)("POST", f"/v1/chat/completions?{name}={pool['authKey']}", CHAT)
    Caller(house)("POST", "/v1/chat/completions", CHAT, 401)
    Caller(house, Authorization="Bearer sk-pool-xxxxxxxxxx")("POST", "/v1/chat/completions", CHAT, 401)


def test_the_python_example(house, pool):
    """Over a socket, as OpenAI's SDK goes."""
    text = ""
    with WSGIServer(("127.0.0.1", 0), house.app, log=None) as server:
        server.start()
        with OpenAI(api_key=pool["authKey"], base_url=f"http://127.0.0.1:{server.server_port}/v1") as client:
            response = client.chat.completions.create(
                model="gemini-2.0-flash", messages=[{"role": "user", "content": "你好"}], stream=True
            )
            for chunk in response:
                if chunk.choices[0].delta.content:
                    text += chunk.choices[0].delta.content
    assert text == "".join(SAYS)


@pytest.mark.parametrize("path", ["/v1/models", "/api/models", "/models"])
def test_the_list_of_models(program, path):
    told = program("GET", path)
    shown = {"id": "gemini-2.0-flash", "object": "model", "created": 1, "owned_by": "google"}
    assert unlike(told, {"object": "list", "data": [shown]}) == []


def test_open_web_ui_with_the_bare_address_as_its_base(program):
    assert program("POST", "/chat/completions", CHAT)["object"] == "chat.completion"
    assert program("POST", "/api/chat/completed", {"chat_id": "1"}) == {"success": True, "message": "Chat completed"}


def test_embeddings(program):
    told = program("POST", "/v1/embeddings", {"model": "gemini-embedding-001", "input": "你好"})
    shown = {"object": "embedding", "embedding": [0.5], "index": 0}
    usage = {"prompt_tokens": 0, "total_tokens": 0}
    assert unlike(told, {"object": "list", "data": [shown], "model": "m", "usage": usage}) == []


def test_a_pool_may_allow_a_few_models_only(admin, pool, program):
    told = admin("PUT", f"/api/pools/{pool['id']}", {"allowedModels": ["gemini-2.5-pro-latest"]})
    assert told["message"] == "池更新成功"
    assert program("POST", "/v1/chat/completions", CHAT, 403)["error"]["message"]
    program("POST", "/v1/chat/completions", CHAT.replace("gemini-2.0-flash", "gemini-2.5-pro-latest"))


def test_a_key_may_be_switched_off_and_weighed(admin, pool, program, house):
    first, second = pool["geminiKeys"]
    keys = [{**first, "enabled": False}, {**second, "weight": 3}]
    told = admin("PUT", f"/api/pools/{pool['id']}/keys", {"geminiKeys": keys})["pool"]["geminiKeys"]
    assert [(each["enabled"], each["weight"]) for each in told] == [(False, 1), (True, 3)]
    for _ in range(3):
        program("POST", "/v1/chat/completions", CHAT)
    assert {request.key for request in house.upstream.requests} == {GEMINI_KEYS[1]}


def test_what_was_read_masked_may_be_written_back_whole(admin, pool, program):
    shown = admin("GET", f"/api/pools/{pool['id']}")["pool"]
    assert GEMINI_KEYS[0] not in str(shown)
    told = admin("PUT", f"/api/pools/{pool['id']}", shown)["pool"]
    assert [each["id"] for each in told["geminiKeys"]] == [each["id"] for each in shown["geminiKeys"]]
    program("POST", "/v1/chat/completions", CHAT)


def test_a_new_auth_key(house, admin, pool):
    told = admin("POST", f"/api/pools/{pool['id']}/regenerate-auth")
    assert told["message"] == "AuthKey 重新生成成功"
    Caller(house, Authorization=f"Bearer {pool['authKey']}")("POST", "/v1/chat/completions", CHAT, 401)
    Caller(house, Authorization=f"Bearer {told['pool']['authKey']}")("POST", "/v1/chat/completions", CHAT)


def test_its_figures(admin, pool, program, house):
    program("POST", "/v1/chat/completions", CHAT)
    house.records()
    told = admin("GET", f"/api/pools/{pool['id']}/stats")["stats"]
    assert (told["poolName"], told["geminiKeysCount"], told["allowedModelsCount"]) == ("生产环境池", 2, 0)
    assert told["stats"]["totalRequests"] == 1
    assert told["stats"]["successfulRequests"] == 1


def test_the_list_of_pools_shows_no_auth_key(admin, pool):
    told = admin("GET", "/api/pools")
    assert told["total"] == len(told["pools"]) == 2
    assert pool["authKey"] not in str(told)


def test_deleting_a_pool(admin, pool):
    assert admin("DELETE", f"/api/pools/{pool['id']}") == {"success": True, "message": "池删除成功"}
    assert admin("GET", f"/api/pools/{pool['id']}", status=404)["message"] == "池不存在"
    assert admin("DELETE", f"/api/pools/{pool['id']}", status=404)["message"] == "池不存在或删除失败"


def test_a_pool_that_cannot_be_is_refused_with_all_that_is_wrong(admin):
    told = admin("POST", "/api/pools", {"name": "", "geminiKeys": []}, 400)
    assert (told["success"], told["message"]) == (False, "池配置无效")
    assert told["errors"] == ["池名称必须是非空字符串", "至少需要一个 Gemini API Key"]


def test_without_a_session_nothing_is_shown(house, passwords):
    anybody = Caller(house)
    assert anybody("GET", "/api/pools", status=401)["message"].startswith("未授权")
    assert anybody("POST", "/api/login", {"password": "wrong one"}, 401)["message"] == "密码错误"


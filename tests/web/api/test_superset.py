"""Every route that one of the predecessors had is here: who moves in changes the host, and nothing else."""

import pytest
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from pool.web.proxy.routes import match
from tests.house import open_house

MANAGEMENT = """
POST /api/login
POST /admin/login
POST /api/logout

GET POST /api/pools
GET PUT DELETE /api/pools/1
GET /api/pools/1/stats
GET /api/pools/1/models
PUT POST /api/pools/1/keys
POST /api/pools/1/regenerate-auth
POST /api/pools/1/reset-stats
POST /api/pools/1/test

GET POST /admin/keys
POST /admin/keys/batch
GET PUT DELETE /admin/keys/1
GET PUT DELETE /admin/keys/key_1234567890_abc123
POST /admin/keys/1/toggle
POST /admin/keys/1/test
POST /admin/keys/1/reveal
POST /admin/keys/1/clear-cooldown
GET POST /admin/keys/gemini
DELETE /admin/keys/gemini/1
DELETE /admin/keys/gemini/unhealthy
POST /admin/health/check-all

GET POST /admin/keys/user
PUT DELETE /admin/keys/user/1
POST /admin/keys/user/1/toggle

GET /admin/status
GET /admin/stats
GET /admin/stats/hourly
GET /admin/logs/recent
GET /admin/audit
GET POST /admin/config
POST /admin/reset
GET POST /admin/proxy-config
GET /admin/export
POST /admin/import

GET POST /api/tokens
GET /api/stats
POST /api/logs/settings
"""

CLIENTS = """
POST /v1/chat/completions
POST /chat/completions
POST /v1beta/chat/completions
POST /v1alpha/chat/completions
POST /v2/chat/completions
POST /api/chat/completions
POST /v1beta/openai/chat/completions
POST /v1/embeddings
POST /embeddings
POST /v1beta/embeddings
POST /v1beta/openai/embeddings
GET /v1/models
GET /models
GET /api/models
GET /v1beta/models
GET /v1beta/openai/models
GET /v1/models/gemini-2.5-flash
POST /api/chat/completed
POST /v1/images/generations
POST /v1/audio/transcriptions
POST /v1/rerank
GET /v1/user/info
GET /v1beta/models/gemini-2.5-flash
POST /v1beta/models/gemini-2.5-flash:generateContent
POST /v1beta/models/gemini-2.5-flash:streamGenerateContent
POST /v1beta/models/gemini-2.5-flash:countTokens
POST /v1beta/models/gemini-embedding-001:embedContent
POST /v1beta/models/gemini-embedding-001:batchEmbedContents
POST /models/gemini-2.5-flash:generateContent
POST /models/gemini-2.5-flash:streamGenerateContent
POST /models/gemini-embedding-001:embedContent
GET POST PUT PATCH DELETE /api/gemini/models/gemini-pro:generateContent
POST /api/openai/chat/completions
"""

PEOPLE = """
GET /
GET /health
GET /healthz
GET /wake
GET /status
GET /hello
GET /metrics
GET POST /login
POST /logout
GET /admin
GET /admin/create-pool
GET /admin/pools/1
GET /dashboard
GET /stat
GET /model_usage
"""


def routes(table):
    lines = [line.split() for line in table.splitlines() if line]
    return [pytest.param(method, path, id=f"{method} {path}") for *methods, path in lines for method in methods]


@pytest.fixture(scope="module")
def urls(instance_template, tmp_path_factory):
    with open_house(instance_template, tmp_path_factory.mktemp("superset") / "instance") as house:
        yield house.app.url_map.bind("localhost")


def endpoint(urls, method, path):
    try:
        return urls.match(path, method)[0]
    except MethodNotAllowed:
        return "another method"
    except HTTPException:
        return "nothing"


@pytest.mark.parametrize(("method", "path"), routes(MANAGEMENT))
def test_what_managed_a_predecessor_manages_this(urls, method, path):
    assert endpoint(urls, method, path).startswith("api.")
    # What passes clients through to a provider must not be asked first.
    assert match(method, path) is None or not path.startswith("/api/")


@pytest.mark.parametrize(("method", "path"), routes(CLIENTS))
def test_what_clients_called_there_they_can_call_here(method, path):
    found = match(method, path)
    assert found is not None
    assert found.allow is None
    assert found.operation != "unknown"


@pytest.mark.parametrize(("method", "path"), routes(PEOPLE))
def test_what_people_and_monitors_looked_at_is_there(urls, method, path):
    assert endpoint(urls, method, path) not in ("nothing", "another method")

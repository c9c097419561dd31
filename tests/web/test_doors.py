"""Who may pass which door: every route of the URL map, walked as nobody and as the holder of a client key."""

from __future__ import annotations

import re

import pytest

from tests.house import GEMINI_KEYS
from tests.web.visitor import Visitor, rows_of

PUBLIC = {
    "static",
    "login.form",
    "login.sign_in",
    "login.sign_out",
    "api.post /admin/login",
    "api.post /api/login",
    "api.post /api/logout",
    "pages.root",
    "pages.choose_language",
    "pages.choose_theme",
    "ops.alive",
    "ops.health",
    "ops.wake",
    "ops.status",
    "ops.hello",
}
"""Routes that answer anybody. A new one is closed until somebody adds it here, and says why it is not."""

SIGNING_IN = {"api.post /admin/login", "api.post /api/login"}
"""They look at what was sent first; `test_logins.py` sends them something."""

FILLED = {"path:model_and_verb": "m:generateContent", "version:version": "v1beta", "table": "keys"}
NOBODY = "nobody"
HOLDERS = (NOBODY, "the holder of an auth key", "the holder of a user key")


@pytest.fixture
def shown(house):
    """What each of them shows."""
    _, user_key = house.keypool.inventory.create_client("ana", house.default_pool_id)
    tokens = dict(zip(HOLDERS, ("", house.auth_key, user_key), strict=True))
    return {who: {"Authorization": f"Bearer {token}"} if token else {} for who, token in tokens.items()}


def requests_of(house, closed_only=True):
    """Every route with every method it answers, and an address of its kind."""
    for rule in house.app.url_map.iter_rules():
        if rule.endpoint in PUBLIC and closed_only:
            continue
        path = re.sub(r"<([^>]+)>", lambda found: FILLED.get(found[1], "1"), rule.rule)
        for method in sorted(rule.methods - {"OPTIONS"}):
            yield rule.endpoint, method, path


def open_doors(house, who, headers):
    """Routes that let somebody in who has no business there."""
    client, found = Visitor(house, signed_in=False).client, []
    for endpoint, method, path in requests_of(house):
        surface = endpoint.split(".")[0]
        answer = client.open(path, method=method, headers=headers)
        if surface == "proxy":
            # Its own door: a client key opens it, and nothing else.
            closed = answer.status_code == 401 if who == NOBODY else True
        elif surface == "api":
            # A credential that opens something else, shown as `Authorization`, is refused as one predecessor did.
            shown_wrong = bool(headers) and path.startswith("/admin/")
            closed = answer.status_code == (403 if shown_wrong else 401) and answer.is_json
        else:
            fragment = client.open(path, method=method, headers={**headers, "HX-Request": "true"})
            ways = (answer.location or "").split("?")[0], (fragment.headers.get("HX-Redirect") or "").split("?")[0]
            closed = (answer.status_code, fragment.status_code, *ways) == (302, 401, "/login", "/login")
        if not closed:
            found.append(f"{endpoint}: {method} {path} answers {answer.status_code}")
    return found


@pytest.mark.parametrize("who", HOLDERS)
def test_every_route_is_closed_but_those_that_are_listed(house, shown, who):
    assert open_doors(house, who, shown[who]) == []
    assert rows_of(house, "audit") == []


def test_another_sites_page_changes_nothing_by_any_route(house):
    """In the name of the admin, whose cookie the browser sends along."""
    house.add_keys(GEMINI_KEYS[0])
    visitor, answered = Visitor(house), {}
    for endpoint, method, path in requests_of(house, closed_only=False):
        if method in ("GET", "HEAD") or endpoint in SIGNING_IN:
            continue
        for foreign in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "null"}):
            status = visitor.client.open(path, method=method, headers=foreign, data={"name": "x"}).status_code
            # A cookie is no client key: at the proxy's routes it is nobody's.
            if status != (401 if endpoint.startswith("proxy.") else 403):
                answered[f"{method} {path}"] = status
    assert answered == {}
    assert rows_of(house, "audit") == []
    assert visitor.get("/keys").status_code == 200


def test_the_walk_comes_to_every_route(house):
    endpoints = {rule.endpoint for rule in house.app.url_map.iter_rules()}
    assert len(endpoints) > 90
    assert endpoints >= PUBLIC, "a route is gone: take it off the list"
    urls = house.app.url_map.bind("localhost")
    for endpoint, method, path in requests_of(house, closed_only=False):
        assert urls.match(path, method)[0].split("_")[0] == endpoint.split("_")[0], (endpoint, path)


@pytest.mark.parametrize("endpoint", ["ops.leak", "api.leak", "stats.leak", "proxy.leak", "pages.leak", "leak"])
def test_a_route_that_forgets_its_guard_is_noticed(house, endpoint):
    """Wherever it hangs; only the API's blueprint and the pages' own guards keep out whoever comes by them."""
    house.app.add_url_rule("/leak", endpoint, lambda: "the answer", methods=["GET", "POST"])
    noticed = open_doors(house, NOBODY, {})
    guarded = endpoint in ("api.leak", "stats.leak")
    assert [each.split()[0] for each in noticed] == ([] if guarded else [f"{endpoint}:"] * 3)


def test_a_client_key_opens_its_own_door_only(house, shown):
    for who in HOLDERS[1:]:
        assert house.client.get("/v1/models", headers=shown[who]).status_code == 200
        for path in ("/keys", "/stat", "/pools/1"):
            assert house.client.get(path, headers=shown[who]).status_code == 302


def test_what_answers_anybody_tells_nothing_of_what_is_inside(house, shown):
    house.keypool.inventory.create_pool("secret project")
    house.add_keys(*GEMINI_KEYS[:2], note="a private note")
    client = Visitor(house, signed_in=False).client
    for endpoint, method, path in requests_of(house, closed_only=False):
        if endpoint in PUBLIC and method != "HEAD":
            said = client.open(path, method=method).text
            for inside in ("secret project", "private note", GEMINI_KEYS[0][:8], house.auth_key[:12], "default"):
                assert inside not in said, (path, inside)

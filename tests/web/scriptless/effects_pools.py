"""Pools, user keys and imports: what the buttons of their pages are for."""

from __future__ import annotations

import itertools
import time

from tests.house import House
from tests.web.document import Form, Node
from tests.web.scriptless.entry import (
    TYPED,
    Effect,
    Entries,
    Entry,
    Pressed,
    asks_for_the_password,
    fresh,
    on,
    secrets_on,
)
from tests.web.scriptless.stage import BINNED, UNKNOWN_KEY


def a_new_pool(form: Form, house: House) -> dict[str, str]:
    return {"name": fresh("pool"), "policy": "lru"}


def creates_a_pool(p: Pressed) -> None:
    pool_id = p.the_one_in("pools")
    assert p.path == f"/pools/{pool_id}"
    assert p.house.keypool.catalogue.pools[pool_id].name == p.filled["name"]
    assert p.house.keypool.catalogue.pools[pool_id].policy == "lru"
    p.tells_the_trail("pool.create", f"pool {pool_id}")


def updates_a_pool(p: Pressed) -> None:
    pool_id = p.args["pool_id"]
    p.changes(("pools", pool_id))
    p.tells_the_trail("pool.update", f"pool {pool_id}")
    assert p.after["pools", pool_id]["description"] == p.filled["description"]
    pool = p.house.keypool.catalogue.pools[pool_id]
    assert (pool.policy, pool.allowed_models) == ("lru", ("gpt-*", "gemini-*"))
    assert p.path == f"/pools/{pool_id}"
    p.says("Saved.", p.filled["description"])


def switches_a_pool(on: bool) -> Effect:
    def effect(p: Pressed) -> None:
        pool_id = p.args["pool_id"]
        p.changes(("pools", pool_id))
        p.tells_the_trail("pool.enable" if on else "pool.disable", f"pool {pool_id}")
        assert p.house.keypool.catalogue.pools[pool_id].enabled is on
        assert p.path == f"/pools/{pool_id}"
        p.says("Switch off" if on else "Switch on")
        p.house.keypool.inventory.update_pool(pool_id, enabled=not on)  # others want to press it too

    return effect


def shows_the_auth_key(p: Pressed) -> None:
    p.changes()
    p.tells_the_trail("pool.reveal", f"pool {p.args['pool_id']}")
    assert secrets_on(p) == [p.house.keypool.inventory.auth_key(p.args["pool_id"])]


def regenerates_the_auth_key(p: Pressed) -> None:
    pool_id = p.args["pool_id"]
    p.changes(("pools", pool_id))
    p.tells_the_trail("pool.regenerate", f"pool {pool_id}")
    assert secrets_on(p) == [p.house.keypool.inventory.auth_key(pool_id)]
    assert p.after["pools", pool_id]["previous_auth_digest"] == p.before["pools", pool_id]["auth_digest"]
    assert p.after["pools", pool_id]["previous_auth_until"] > time.time() + 6 * 86_400


def its_name(form: Form, house: House) -> dict[str, str]:
    return {"name": house.keypool.catalogue.pools[int(form.action.split("/")[2])].name}


def deletes_a_pool(p: Pressed) -> None:
    pool_id = p.args["pool_id"]
    assert ("pools", pool_id) in p.changed
    assert ("pools", pool_id) not in p.after
    assert p.house.keypool.catalogue.pools.get(pool_id) is None
    p.tells_the_trail("pool.delete", f"pool {pool_id}")
    assert p.path == "/pools"
    assert p.visitor.get(f"/pools/{pool_id}").status_code == 404


def says_what_it_is_for(form: Form, house: House) -> dict[str, str]:
    return {**its_name(form, house), "description": fresh("for"), "policy": "lru", "models": "gpt-*, gemini-*"}


def a_new_client(form: Form, house: House) -> dict[str, str]:
    return {"name": fresh("program"), "life": "day"}


def creates_a_client(p: Pressed) -> None:
    client_id = p.the_one_in("client_keys")
    row = p.after["client_keys", client_id]
    assert row["name"] == p.filled["name"]
    assert row["expires_at"] > time.time() + 86_000
    p.tells_the_trail("client.create", f"client {client_id}")
    token = "".join(node.text for node in p.page.all("code") if "data-copy-source" in node.attrs)
    assert p.house.client.get("/v1/models", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def revokes_a_client(p: Pressed) -> None:
    client = "client_keys", p.args["client_id"]
    p.changes(client)
    assert p.after[client]["revoked_at"] is not None
    p.tells_the_trail("client.revoke", f"client {client[1]}")
    assert p.path == "/clients"


def finds_clients(p: Pressed) -> None:
    p.changes_nothing()
    assert p.path == "/clients?q=laptop"


def another_name(form: Form, house: House) -> dict[str, str]:
    return {"name": fresh("renamed"), "life": "year", "raw": "yes"}


def changes_a_client(p: Pressed) -> None:
    client = "client_keys", p.args["client_id"]
    p.changes(client)
    p.tells_the_trail("client.update", f"client {client[1]}")
    assert p.after[client]["name"] == p.filled["name"]
    assert p.after[client]["expires_at"] > time.time() + 364 * 86_400
    assert p.path == "/clients"


def rotates_a_client(p: Pressed) -> None:
    client = "client_keys", p.args["client_id"]
    assert client in p.changed
    p.tells_the_trail("client.rotate", f"client {client[1]}")
    token = "".join(node.text for node in p.page.all("code") if "data-copy-source" in node.attrs)
    assert p.house.keypool.vault.digest(token) in p.house.keypool.catalogue.credentials


def pastes(form: Form, house: House) -> dict[str, object]:
    """Text and a file at once: two keys nobody knows, one of unknown shape, one out of the bin, and a word."""
    new = "".join(f"AIza{fresh('SyPasted').replace(' ', ''):n<35}\n" for _ in range(2))
    return {"text": f"{new}{UNKNOWN_KEY}\nya29.{'a' * 40}", "file": ("keys.txt", f"{BINNED}\n".encode())}


def shows_a_preview(p: Pressed) -> None:
    assert p.path == "/keys/import/" + p.the_one_in("meta").removeprefix("draft:")
    assert p.audit == []
    p.says("In the bin, comes back", "1 Cannot be a key")


def takes_two_lines(form: Form, house: House) -> dict[str, object]:
    return {"take": [each.value for each in form.controls if each.get("name") == "take"][1:3]}


def imports_what_is_ticked(p: Pressed) -> None:
    assert len([place for place in p.changed if place[0] == "keys"]) == 2
    assert {place[0] for place in p.changed} == {"keys", "memberships", "meta"}
    p.tells_the_trail("key.import", f"pool {p.house.default_pool_id}")
    p.says("2 keys imported")


def takes_an_import_back(p: Pressed) -> None:
    keys = [place for place in p.changed if place[0] == "keys"]
    assert len(keys) == 2
    assert all(p.after[place]["deleted_at"] is not None for place in keys)
    assert [action for action, _ in p.audit] == ["import.undo"]
    p.says("Undone.")


_numbers = itertools.count(700)


def another_rpm(form: Form, house: House) -> dict[str, str]:
    return {"rpm_limit": str(next(_numbers))}


def another_line(form: Form, house: House) -> dict[str, str]:
    return {"limits": f"gemini-2.5-pro rpm={next(_numbers)}"}


def limits_a_client(p: Pressed) -> None:
    client_id = p.args["client_id"]
    p.changes(("client_keys", client_id))
    p.tells_the_trail("client.limits", f"client {client_id}")
    assert p.after["client_keys", client_id]["rpm_limit"] == int(p.filled["rpm_limit"])
    assert p.path == "/clients"


def limits_a_pool(p: Pressed) -> None:
    pool_id = p.args["pool_id"]
    p.changes(("pools", pool_id))
    p.tells_the_trail("pool.limits", f"pool {pool_id}")
    assert p.house.keypool.catalogue.pools[pool_id].limits == {"budget_usd_day": 900.5}
    p.house.keypool.inventory.update_pool(pool_id, limits=None)  # others ask through it


def limits_a_key(p: Pressed) -> None:
    key = p.house.keypool.catalogue.keys[p.args["key_id"]]
    p.changes(("keys", key.id))
    p.tells_the_trail("key.limits", f"key {key.id}")
    assert p.filled["limits"] == f"gemini-2.5-pro rpm={key.limits['gemini-2.5-pro']['rpm']}"


def tells_where_a_request_would_go(p: Pressed) -> None:
    p.changes_nothing()
    assert p.path == f"/pools/{p.args['pool_id']}?model=gemini-2.5-flash&strategy="
    (answer,) = [node for node in p.page.nodes if node.get("role") == "status" and "where" in within(node)]
    assert answer.text.startswith(("Served It would go to gemini as gemini-2.5-flash", "503 A client would be told:"))


def within(node: Node) -> set[str]:
    return {each.get("id") for each in node.around()}


STAYS = "admin.pool, admin.update_pool, admin.regenerated_auth"
ONE_POOL = f"{STAYS}, admin.reveal_pool"

ENTRIES: Entries = {
    **on(
        "admin.new_pool, admin.create_pool",
        "POST admin.create_pool in #new-pool",
        Entry(creates_a_pool, a_new_pool, mistake={"name": "default"}),
    ),
    **on(
        STAYS,
        "POST admin.update_pool in #settings",
        Entry(updates_a_pool, says_what_it_is_for, mistake={"name": "spare"}),
    ),
    # This page is there once: after a mistake, whose answer has the form too, it would be out of date.
    **on("admin.reveal_pool", "POST admin.update_pool in #settings", Entry(updates_a_pool, says_what_it_is_for)),
    **on(ONE_POOL, "GET admin.pool", Entry(tells_where_a_request_would_go, {"model": "gemini-2.5-flash"})),
    **on(ONE_POOL, "POST admin.disable_pool in #switch", Entry(switches_a_pool(False))),
    **on("admin.pool", "POST admin.enable_pool in #switch", Entry(switches_a_pool(True))),
    **on("admin.pool, admin.update_pool", "POST admin.reveal_pool", Entry(asks_for_the_password, status=403)),
    **on("admin.reveal_pool", "POST admin.reveal_pool", Entry(shows_the_auth_key, TYPED)),
    **on("admin.ask_regenerate", "POST admin.regenerate_auth", Entry(regenerates_the_auth_key, {"grace": "week"})),
    **on(
        "admin.ask_delete_pool, admin.delete_pool",
        "POST admin.delete_pool",
        Entry(deletes_a_pool, its_name, mistake={"name": "another"}, last=True),
    ),
    **on(
        "admin.clients, admin.create_client, admin.made_client",
        "POST admin.create_client in #new-client",
        Entry(creates_a_client, a_new_client, mistake={"name": "for good"}),
    ),
    **on(
        "admin.client_limits, admin.set_client_limits",
        "POST admin.set_client_limits in #limits",
        Entry(limits_a_client, another_rpm, mistake={"rpm_limit": "many"}),
    ),
    **on(
        "admin.pool_limits, admin.set_pool_limits",
        "POST admin.set_pool_limits in #limits",
        Entry(limits_a_pool, {"budget_usd_day": "900.5"}, mistake={"budget_usd_day": "much"}),
    ),
    **on(
        "admin.key_limits, admin.set_key_limits",
        "POST admin.set_key_limits in #limits",
        Entry(limits_a_key, another_line, mistake={"limits": "fast"}),
    ),
    **on(
        "admin.clients, admin.create_client, admin.made_client",
        "GET admin.clients",
        Entry(finds_clients, {"q": "laptop"}),
    ),
    **on(
        "admin.edit_client, admin.change_client",
        "POST admin.change_client in #edit-client",
        Entry(changes_a_client, another_name, mistake={"name": "for good"}),
    ),
    **on(
        "admin.edit_client, admin.change_client",
        "POST admin.rotate_client in #rotate",
        Entry(rotates_a_client, {"overlap": "hour"}),
    ),
    **on("admin.ask_revoke", "POST admin.revoke_client", Entry(revokes_a_client)),
    **on(
        "admin.import_keys, admin.draft_import",
        "POST admin.draft_import in #import",
        Entry(shows_a_preview, pastes, mistake={"text": ""}),
    ),
    **on("admin.preview_import", "POST admin.confirm_import", Entry(imports_what_is_ticked, takes_two_lines)),
    **on("admin.import_result", "POST admin.undo_import", Entry(takes_an_import_back)),
}

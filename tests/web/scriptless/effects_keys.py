"""Keys, one and many: what the buttons of their pages are for."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pool.core.keys import FOREVER
from pool.core.quota import next_reset
from tests.house import House
from tests.web.document import Form
from tests.web.scriptless.entry import (
    TYPED,
    Effect,
    Entries,
    Entry,
    Pressed,
    asks_for_the_password,
    brings_back,
    on,
    secrets_on,
)
from tests.web.scriptless.stage import NAMED


def finds_keys(p: Pressed) -> None:
    p.changes_nothing()
    assert p.path == "/keys?q=laptop&pool=2&sort=&size=25&code=&tag=&project=&provider=&model=&since="
    shown = [node.get("id") for node in p.page.all("tr") if node.get("id")]
    assert len(shown) == 1
    p.says(NAMED[:8], "laptop of Ann")


def one_key(p: Pressed) -> tuple[str, int]:
    """The row of the key in the address, after it was made sure that the press led back to where it was pressed."""
    assert p.path == p.address, f"leads to {p.path}"
    return "keys", p.args["key_id"]


def tests_a_key(p: Pressed) -> None:
    _, key_id = one_key(p)
    p.changes()
    p.tells_the_trail("key.test", f"key {key_id}")
    p.says(": alive, ", "tested just now")


def opens(title: str) -> Effect:
    """A page about the key whose row it is, which knows the way back."""

    def effect(p: Pressed) -> None:
        p.changes_nothing()
        p.says(title, p.house.keypool.catalogue.keys[p.args["key_id"]].hint)
        assert urlsplit(p.path).path.startswith(f"/keys/{p.args['key_id']}/")
        assert dict(parse_qsl(urlsplit(p.path).query)) == {"back": p.address}

    return effect


def revives_a_key(p: Pressed) -> None:
    _, key_id = one_key(p)
    assert p.changed
    assert all(place[:2] in (("keys", key_id), ("key_health", key_id)) for place in p.changed)
    p.tells_the_trail("key.clear", f"key {key_id}")
    assert p.house.keypool.catalogue.benches(key_id) == {}
    assert p.house.keypool.catalogue.keys[key_id].dead is None


def enables_a_key(p: Pressed) -> None:
    row = one_key(p)
    p.changes(row)
    p.tells_the_trail("key.enable", f"key {row[1]}")
    assert p.house.keypool.catalogue.keys[row[1]].disabled_until is None


def until(choice: str) -> float:
    now = time.time()
    return {"hour": now + 3600, "midnight": next_reset(now), "week": now + 7 * 86_400, "": FOREVER}[choice]


def disabled_until(house: House, key_id: int, choice: str) -> None:
    found = house.keypool.catalogue.keys[key_id].disabled_until
    assert found == until(choice) or abs(found - until(choice)) < 60, f"disabled until {found}"


def disables_a_key(choice: str) -> Effect:
    def effect(p: Pressed) -> None:
        row = one_key(p)
        p.changes(row)
        p.tells_the_trail("key.disable", f"key {row[1]}")
        disabled_until(p.house, row[1], choice)

    return effect


def deletes_a_key(p: Pressed) -> None:
    key_id = p.args["key_id"]
    p.changes(("keys", key_id))
    p.tells_the_trail("key.delete", f"key {key_id}")
    p.says("is in the bin, for seven days.")
    assert p.path == "/keys?size=25", f"leads to {p.path}, not back to where it was asked for"
    assert key_id not in p.house.keypool.catalogue.keys
    assert p.visitor.get(f"/keys/{key_id}/delete").status_code == 404


def ticks(
    wanted: Callable[[House, int], bool], how_many: int = 2, **more: str
) -> Callable[[Form, House], dict[str, Any]]:
    """Tick the first keys of the page that are wanted."""

    def fill(form: Form, house: House) -> dict[str, Any]:
        boxes = [each.value for each in form.controls if each.get("name") == "key"]
        found = [value for value in boxes if wanted(house, int(value))][:how_many]
        assert len(found) == how_many
        return {"key": found, **more}

    return fill


def ticks_tagged(form: Form, house: House) -> Mapping[str, object]:
    """Two keys, which get a tag for it to be taken off again."""
    filled = ticks(in_use, tags="new")(form, house)
    house.keypool.inventory.put_tags({int(key_id): ["new"] for key_id in filled["key"]})
    return filled


def in_use(house: House, key_id: int) -> bool:
    return bool(house.keypool.catalogue.keys[key_id].available(time.time()))


def switched_off(house: House, key_id: int) -> bool:
    return house.keypool.catalogue.keys[key_id].disabled_until is not None


def in_default_alone(house: House, key_id: int) -> bool:
    return in_use(house, key_id) and house.keypool.catalogue.pools_of_key[key_id] == {house.default_pool_id}


def ticked(p: Pressed) -> list[int]:
    assert p.path == p.address, f"leads to {p.path}"
    return [int(value) for value in p.filled["key"]]


def tests_keys(p: Pressed) -> None:
    ticked(p)
    p.changes()
    p.tells_the_trail("key.test", "2 keys")
    p.says("2 keys tested: 2 alive.")


def enables_keys(p: Pressed) -> None:
    p.changes(*(("keys", key_id) for key_id in ticked(p)))
    p.tells_the_trail("key.enable", "2 keys")
    p.says("2 keys are enabled.")
    assert all(in_use(p.house, key_id) for key_id in ticked(p))


def disables_keys(choice: str) -> Effect:
    def effect(p: Pressed) -> None:
        p.changes(*(("keys", key_id) for key_id in ticked(p)))
        p.tells_the_trail("key.disable", "2 keys")
        p.says("2 keys are disabled.")
        for key_id in ticked(p):
            disabled_until(p.house, key_id, choice)

    return effect


def links_keys(p: Pressed) -> None:
    p.changes(*(("memberships", int(p.filled["pool"]), key_id) for key_id in ticked(p)))
    p.tells_the_trail("key.link", "2 keys")
    p.says("2 keys are in research now.")


def moves_keys(p: Pressed) -> None:
    pool_id = int(p.filled["pool"])
    p.changes(*(("memberships", pool, key_id) for key_id in ticked(p) for pool in (p.house.default_pool_id, pool_id)))
    p.tells_the_trail("key.move", "2 keys")
    assert all(p.house.keypool.catalogue.pools_of_key[key_id] == {pool_id} for key_id in ticked(p))


def unlinks_keys(p: Pressed) -> None:
    p.changes(*(("memberships", int(p.filled["pool"]), key_id) for key_id in ticked(p)))
    p.tells_the_trail("key.unlink", "2 keys")
    p.says("2 keys are not in research any more.")


def ticks_linked(form: Form, house: House) -> Mapping[str, object]:
    """Two keys of default, in another pool for them to be taken out of it again."""
    filled = ticks(in_default_alone, pool="2")(form, house)
    house.keypool.inventory.arrange({int(key_id): [house.default_pool_id, 2] for key_id in filled["key"]})
    return filled


def asks_before_deleting(p: Pressed) -> None:
    p.changes_nothing()
    p.says("Delete 2 keys?")


def deletes_keys(p: Pressed) -> None:
    assert p.led_here is not None
    p.changes(*(("keys", int(value)) for value in p.led_here.filled["key"]))
    p.tells_the_trail("key.delete", "2 keys")
    p.says("2 keys are in the bin, for seven days.")
    assert p.path == p.led_here.address


def copies(form: str) -> Effect:
    def effect(p: Pressed) -> None:
        p.changes()
        assert [action for action, _ in p.audit] == ["key.copy"]
        shown = "".join(secrets_on(p))
        catalogue, inventory = p.house.keypool.catalogue, p.house.keypool.inventory
        wanted = [inventory.unseal(catalogue.keys[int(text)]) for text in keys_carried(p)]
        match form:
            case "lines":
                assert shown.split() == wanted
            case "csv":
                assert [line.split(",")[0] for line in shown.split()] == ["key", *wanted]
            case "json":
                assert [each["key"] for each in json.loads(shown)] == wanted
            case "env":
                assert shown.strip() == f"API_KEYS={','.join(wanted)}"

    return effect


def keys_carried(p: Pressed) -> list[str]:
    return next(node.value for node in p.page.all("input") if node.get("name") == "keys").split(",")


def downloads(form: str) -> Effect:
    def effect(p: Pressed) -> None:
        p.changes()
        assert [action for action, _ in p.audit] == ["key.copy"]
        assert p.answer.headers["Content-Disposition"].startswith('attachment; filename="keys.')
        assert "AIza" in p.answer.text
        assert p.answer.text.startswith({"lines": "AIza", "csv": "key,", "json": "[", "env": "API_KEYS="}[form])

    return effect


def does_to_keys(action: str, *texts: str, changes: str = "keys") -> Effect:
    """To those that are ticked, and to nothing but their rows in a table."""

    def effect(p: Pressed) -> None:
        ids = ticked(p)
        assert {place[0] for place in p.changed} <= {changes}
        assert {place[-1] for place in p.changed} <= set(ids)
        p.tells_the_trail(action, "2 keys")
        p.says(*texts)

    return effect


def edits_a_key(p: Pressed) -> None:
    key_id = p.args["key_id"]
    p.changes(("keys", key_id))
    p.tells_the_trail("key.edit", f"key {key_id}")
    p.says("is changed.")
    assert p.path == "/keys?size=25"


CHOICES = ("hour", "midnight", "week", "")
FORMATS = ("lines", "csv", "json", "env")

ENTRIES: Entries = {
    **on("admin.keys", "GET admin.keys", Entry(finds_keys, {"q": "laptop", "pool": "2"})),
    **on("admin.keys, admin.key", "POST admin.test_key in #row", Entry(tests_a_key)),
    **on("admin.keys, admin.key", "POST admin.revive_key in #row", Entry(revives_a_key)),
    **on("stats.stat", "POST admin.revive_key", Entry(revives_a_key)),
    **on("admin.keys, admin.key", "POST admin.copy_key in #row", Entry(asks_for_the_password, status=403)),
    **on("admin.keys, admin.key", "POST admin.enable_key in #row", Entry(enables_a_key)),
    **on("stats.stat", "POST admin.enable_key", Entry(enables_a_key)),
    **on("admin.keys, admin.key", "GET admin.edit_key in #row", Entry(opens("Change a key"))),
    **on("admin.keys, admin.key", "GET admin.ask_delete_key in #row", Entry(opens("Delete a key"))),
    **on("admin.ask_delete_key", "POST admin.delete_key", Entry(deletes_a_key)),
    **on("admin.keys", "POST admin.restore_key", Entry(brings_back("key.restore", "is back."))),
    **on("admin.keys", "POST admin.undo_selected", Entry(brings_back("key.undo", "Undone."))),
    **on("admin.delete_selected", "POST admin.delete_selected", Entry(deletes_keys)),
    **on("admin.copy_selected, admin.copy_key", "POST admin.copy_selected", Entry(copies("lines"), TYPED)),
}
for _control, _entry in {
    "admin.test_selected": Entry(tests_keys, ticks(in_default_alone)),
    "admin.copy_selected": Entry(asks_for_the_password, ticks(in_use), status=403),
    "admin.enable_selected": Entry(enables_keys, ticks(switched_off)),
    "admin.link_selected": Entry(links_keys, ticks(in_default_alone, pool="2")),
    "admin.move_selected": Entry(moves_keys, ticks(in_default_alone, pool="2")),
    "admin.unlink_selected": Entry(unlinks_keys, ticks_linked),
    "admin.project_selected": Entry(
        does_to_keys("key.project", "2 keys are of the project aside now."), ticks(in_use, project="aside")
    ),
    "admin.tier_selected": Entry(
        does_to_keys("key.weight", "2 keys are in tier 3 now.", changes="memberships"),
        ticks(in_default_alone, tier="3"),
    ),
    "admin.delete_selected": Entry(asks_before_deleting, ticks(in_use)),
    "admin.tag_selected": Entry(does_to_keys("key.tag", "2 keys are tagged"), ticks(in_use, tags="new, newer")),
    "admin.untag_selected": Entry(does_to_keys("key.untag", "2 keys are not"), ticks_tagged),
    "admin.clear_selected": Entry(does_to_keys("key.clear", "used again at once."), ticks(in_use)),
    "admin.reset_selected": Entry(does_to_keys("key.reset", "count from 0 again."), ticks(in_use)),
    "admin.weigh_selected": Entry(
        does_to_keys("key.weight", "2 keys weigh 7 now.", changes="memberships"), ticks(in_default_alone, weight="7")
    ),
    **{f"admin.disable_selected for={each}": Entry(disables_keys(each), ticks(in_use)) for each in CHOICES},
}.items():
    ENTRIES |= on("admin.keys", f"POST {_control} in #selection", _entry)
for _choice in CHOICES:
    ENTRIES |= on("admin.keys, admin.key", f"POST admin.disable_key for={_choice}", Entry(disables_a_key(_choice)))
ENTRIES |= on("admin.edit_key", "POST admin.change_key", Entry(edits_a_key, {"note": "another note"}))
for _format in FORMATS:
    ENTRIES |= on(
        "admin.copy_selected", f"POST admin.copy_selected file={_format} in #download", Entry(downloads(_format))
    )
    ENTRIES |= on("admin.copy_selected", f"POST admin.copy_selected format={_format}", Entry(copies(_format)))

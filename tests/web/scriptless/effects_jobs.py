"""Long work, past imports and the bin: what the buttons of their pages are for."""

from __future__ import annotations

from tests.house import House
from tests.web.document import Form
from tests.web.scriptless.entry import Effect, Entries, Entry, Pressed, asks_for_the_password, on


def cancels(p: Pressed) -> None:
    p.changes()
    ((action, thing),) = p.audit
    assert action == "job.cancel"
    assert thing == f"job {p.args['job_id']}"
    p.says("It stops. What is done stays done.", "Stopping")
    assert p.path == p.address


def undoes_a_job(p: Pressed) -> None:
    p.changes()
    assert [action for action, _ in p.audit] == ["key.undo"]
    p.says("Undone.")
    assert p.path == p.address


def takes_an_import_back(p: Pressed) -> None:
    assert p.changed
    assert {place[0] for place in p.changed} <= {"keys", "memberships"}
    p.tells_the_trail("import.undo", f"import {p.args['import_id']}")
    p.says("Undone.", "undone")
    assert p.path == p.address


def all_of_it(form: Form, house: House) -> dict[str, object]:
    """Those that were changed since, too, where there are any."""
    return {each.get("name"): "yes" for each in form.controls if each.get("name") == "force"}


def does_to_a_group(action: str) -> Effect:
    """To the one key whose fate the job noted; and back to the job."""

    def effect(p: Pressed) -> None:
        assert p.path == p.address, f"leads to {p.path}"
        assert {place[0] for place in p.changed} <= {"keys"}
        assert len(p.changed) <= 1
        assert [done for done, _thing in p.audit] == [action]

    return effect


def puts_a_group_back(p: Pressed) -> None:
    """As it was before the deed, which may have changed nothing."""
    assert p.led_here is not None
    assert p.after == p.led_here.before
    assert [done for done, _ in p.audit] == ["key.undo"]
    p.says("Undone.")


def asks_to_delete_one(p: Pressed) -> None:
    p.changes_nothing()
    p.says("Delete 1 key?")


def finds_none(p: Pressed) -> None:
    p.changes_nothing()
    assert p.path == "/bin?q=nobody"
    p.says("No key in the bin matches.")


def ticks_two(form: Form, house: House) -> dict[str, object]:
    return {"key": [each.value for each in form.controls if each.get("name") == "key"][:2]}


def restores_one(p: Pressed) -> None:
    key_id = p.the_one_in("keys")
    p.tells_the_trail("key.restore", f"key {key_id}")
    p.says("1 key is back.")
    assert key_id in p.house.keypool.catalogue.keys


def restores_two(p: Pressed) -> None:
    p.changes(*(("keys", int(value)) for value in p.filled["key"]))
    p.tells_the_trail("key.restore", "2 keys")
    p.says("2 keys are back.")


def asks_before_purging(p: Pressed) -> None:
    p.changes_nothing()
    p.says("Delete 2 keys for good?")


def purges(p: Pressed) -> None:
    assert p.led_here is not None
    p.changes(*(("keys", int(value)) for value in p.led_here.filled["key"]))
    p.tells_the_trail("key.purge", "2 keys")
    p.says("2 keys are deleted for good.")


ENTRIES: Entries = {
    **on("admin.jobs, admin.job", "POST admin.cancel_job", Entry(cancels)),
    **on("admin.job", "POST admin.undo_job", Entry(undoes_a_job)),
    **on("admin.job", "POST admin.test_selected", Entry(does_to_a_group("key.test"))),
    **on("admin.job", "POST admin.enable_selected", Entry(does_to_a_group("key.enable"))),
    **on("admin.job", "POST admin.disable_selected", Entry(does_to_a_group("key.disable"))),
    **on("admin.job", "POST admin.copy_selected", Entry(asks_for_the_password, status=403)),
    **on("admin.job", "POST admin.delete_selected", Entry(asks_to_delete_one)),
    **on("admin.job", "POST admin.undo_selected", Entry(puts_a_group_back)),
    **on("admin.past_import", "POST admin.undo_import", Entry(takes_an_import_back, all_of_it, last=True)),
    **on("admin.key_bin", "GET admin.key_bin", Entry(finds_none, {"q": "nobody"})),
    **on("admin.key_bin", "POST admin.restore_binned", Entry(restores_one)),
    **on("admin.key_bin", "POST admin.restore_binned in #selection", Entry(restores_two, ticks_two)),
    **on("admin.key_bin", "POST admin.purge_binned in #selection", Entry(asks_before_purging, ticks_two)),
    **on("admin.purge_binned", "POST admin.purge_binned", Entry(purges)),
}

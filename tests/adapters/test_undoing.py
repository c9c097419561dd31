"""Imports that are slices: one of them cut short is whole, and taking it back takes nothing but what it made."""

from itertools import count

import pytest
from sqlalchemy import select

from pool.adapters.inventory import Inventory, NewKey
from pool.adapters.tables import Import, Key, Membership
from pool.adapters.vault import open_vault
from pool.core.catalogue import Catalogue

SECRETS = [f"AIzaSy{n:07d}" + "u" * 26 for n in range(1300)]


@pytest.fixture
def inventory(either, tmp_path):
    """An empty one, with a clock that never stands still."""
    clock = count(1_790_000_000.0).__next__
    inventory = Inventory(either, open_vault(either, tmp_path, "some passphrase"), Catalogue(), lambda _: None, clock)
    inventory.found({})
    inventory.load()
    return inventory


def new(*numbers):
    return [NewKey("gemini", SECRETS[n]) for n in numbers]


def begin(inventory, pool_id=1):
    return inventory.begin_import(pool_id, "paste", "somebody", "keys.txt")


def imported(inventory, *numbers, pool_id=1):
    batch = begin(inventory, pool_id)
    taken = batch.take(new(*numbers))
    batch.end()
    return batch.id, [each.key_id for each in taken]


def undo(inventory, import_id, forced=False):
    fates = {}
    for some in inventory.undo_import(import_id, forced).slices():
        for fate, ids in some.items():
            fates.setdefault(fate, []).extend(ids)
    return fates


def row(inventory, import_id):
    def ask(session):
        found = session.get(Import, import_id)
        return (found.counts, found.name, found.ended_at, found.undone_at) if found else None

    return inventory._database.read(ask)


def standing(inventory):
    """(key, pool) of every seat a key in use has."""

    def ask(session):
        seats = select(Membership.key_id, Membership.pool_id).join(Key)
        seats = seats.where(Key.deleted_at.is_(None), Membership.removed_at.is_(None))
        return sorted(tuple(seat) for seat in session.execute(seats))

    return inventory._database.read(ask)


def in_use(inventory):
    """The same, as the catalogue has it."""
    return sorted((key_id, pool) for key_id, pools in inventory._catalogue.pools_of_key.items() for pool in pools)


def test_slices_make_one_import(inventory):
    batch = begin(inventory)
    for at in range(0, 1300, 500):
        batch.take(new(*range(at, min(at + 500, 1300)), 0))
    assert row(inventory, batch.id) == ({"added": 1300, "duplicate": 3}, "keys.txt", None, None)
    batch.end()
    assert row(inventory, batch.id)[2] is not None
    assert len(inventory._catalogue.keys) == 1300
    assert batch.fates == {"added": 1300, "duplicate": 3}


def test_an_import_that_brings_nothing_leaves_no_trace(inventory):
    imported(inventory, 1, 2)
    import_id, _ = imported(inventory, 1, 2)
    assert row(inventory, import_id) is None
    batch = begin(inventory)
    batch.end()
    assert batch.id is None


def test_what_no_header_carries_is_refused_before_anything_is_written(inventory):
    with pytest.raises(ValueError, match="a space"):
        begin(inventory).take([NewKey("gemini", "AIza with a space" + "x" * 20)])
    assert inventory._database.read(lambda session: list(session.scalars(select(Import.id)))) == []


def test_an_import_cut_short_is_whole_and_can_be_taken_back(inventory):
    batch = begin(inventory)
    batch.take(new(0, 1))
    batch.take(new(2, 3))  # and no end
    inventory.refresh()
    assert row(inventory, batch.id)[0] == {"added": 4}
    assert undo(inventory, batch.id) == {"removed": [1, 2, 3, 4]}
    assert (standing(inventory), in_use(inventory)) == ([], [])


def test_undoing_removes_keys_and_links_the_import_made_and_nothing_else(inventory):
    second, _ = inventory.create_pool("second")
    _, (before,) = imported(inventory, 0)
    import_id, ids = imported(inventory, 0, 1, 2, pool_id=second)
    assert standing(inventory) == [(before, 1), (before, second), (ids[1], second), (ids[2], second)]
    assert undo(inventory, import_id) == {"unlinked": [before], "removed": ids[1:]}
    assert standing(inventory) == in_use(inventory) == [(before, 1)]
    assert row(inventory, import_id)[3] is not None


def test_a_key_another_import_linked_since_stays_there(inventory):
    second, _ = inventory.create_pool("second")
    import_id, (key_id,) = imported(inventory, 0)
    imported(inventory, 0, pool_id=second)
    assert undo(inventory, import_id) == {"unlinked": [key_id]}
    assert standing(inventory) == in_use(inventory) == [(key_id, second)]


def test_a_key_that_came_out_of_the_bin_goes_back_there(inventory):
    _, ids = imported(inventory, 0, 1)
    inventory.bin_keys(ids)
    import_id, _ = imported(inventory, 0, 1, 2)
    inventory.set_disabled([ids[1]], None)
    assert undo(inventory, import_id) == {"removed": [ids[0], ids[1] + 1], "kept": [ids[1]]}
    assert standing(inventory) == in_use(inventory) == [(ids[1], 1)]


def test_what_was_changed_since_is_kept_and_named_unless_it_is_to_go_too(inventory):
    second, _ = inventory.create_pool("second")
    import_id, ids = imported(inventory, 0, 1, 2, 3)
    inventory.set_disabled([ids[1]], 5e9)
    inventory.arrange({ids[2]: [second]})
    assert undo(inventory, import_id) == {"removed": [ids[0], ids[3]], "kept": [ids[1], ids[2]]}
    assert standing(inventory) == [(ids[1], 1), (ids[2], second)]
    assert undo(inventory, import_id, forced=True) == {"removed": [ids[1], ids[2]]}
    assert standing(inventory) == in_use(inventory) == []


def test_the_last_seat_of_a_key_that_was_there_before_is_kept(inventory):
    second, _ = inventory.create_pool("second")
    _, (key_id,) = imported(inventory, 0)
    import_id, _ = imported(inventory, 0, pool_id=second)
    inventory.arrange({key_id: [second]})
    assert undo(inventory, import_id) == {"kept": [key_id]}
    assert standing(inventory) == [(key_id, second)]


def test_undoing_can_be_cut_short_and_go_on(inventory):
    import_id, ids = imported(inventory, *range(1300))
    slices = inventory.undo_import(import_id).slices()
    assert next(slices) == {"removed": ids[:500]}
    slices.close()
    assert row(inventory, import_id)[3] is None
    assert len(inventory._catalogue.keys) == 800
    assert undo(inventory, import_id) == {"removed": ids[500:]}

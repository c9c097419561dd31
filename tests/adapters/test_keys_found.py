"""Keys found, sorted and edited in SQL: the same on SQLite and on PostgreSQL."""

import pytest
from sqlalchemy import update

from pool.adapters import tables
from pool.adapters.inventory import Inventory, NewKey
from pool.adapters.queries import (
    SORTS,
    Order,
    Overlap,
    Wanted,
    key_count,
    key_counts,
    key_ids,
    key_ids_of,
    key_page,
    key_row,
    some_keys,
)
from pool.adapters.queries.key_counts import OVERLAP_S
from pool.adapters.vault import open_vault
from pool.core.catalogue import Catalogue
from pool.core.keys import FOREVER
from pool.core.masking import mask
from pool.core.twice import KeyTaken

NOW = 1_790_000_000.0
SECRETS = [f"AIzaSyCanary{n:04d}" + "x" * 23 for n in range(20)]


@pytest.fixture
def inventory(either, tmp_path):
    vault = open_vault(either, tmp_path, "some passphrase")
    inventory = Inventory(either, vault, Catalogue(), lambda line: None, lambda: NOW)
    inventory.found({})
    inventory.load()
    return inventory


@pytest.fixture
def ids(inventory, either):
    """Five keys of which each did something else."""
    default = either.read(lambda session: session.query(tables.Pool.id).filter(tables.Pool.is_default).scalar())
    new = [NewKey("gemini", SECRETS[n], tags=("blue",) if n < 2 else ("bluebird", "日本")) for n in range(4)]
    new.append(NewKey("openai", "sk-proj-" + "y" * 40, project="p1"))
    ids = [each.key_id for each in inventory.add_keys(new, default, "paste", "test")]
    did = [(3, 1, None, ""), (3, 2, 5.5, "503 overloaded It is."), (0, 0, 7.0, ""), (9, 9, 5.5, ""), (1, 0, 1.0, "")]

    def use(session):
        for key_id, (requests, successes, at, error) in zip(ids, did, strict=True):
            values = {"requests": requests, "successes": successes, "last_used_at": at, "last_error": error}
            session.execute(update(tables.Key).where(tables.Key.id == key_id).values(**values))
        session.add(
            tables.KeyHealth(key_id=ids[3], model="m", state="cooling", reason="quota_day", status=429, until=NOW + 9)
        )

    either.write(use)
    return ids


@pytest.mark.parametrize("falling", [False, True])
@pytest.mark.parametrize("by", SORTS)
def test_pages_in_any_order_hold_each_key_once(either, inventory, ids, by, falling):
    attribute = {"cost_usd": "cost_nano"}.get(by, by)
    order, seen, after = Order(by, falling), [], None
    while rows := either.read(key_page, Wanted(NOW), order, after=after, size=2):
        seen += [((getattr(row, attribute) or 0), row.id) for row in rows]
        after = seen[-1]
    assert sorted(key_id for _, key_id in seen) == ids
    assert seen == sorted(seen, reverse=falling)


def test_each_filter_finds_its_own(either, inventory, ids):
    inventory.set_disabled([ids[0]], FOREVER)
    inventory.bin_keys([ids[2]])
    for wanted, found in (
        (Wanted(NOW), [0, 1, 3, 4]),
        (Wanted(NOW, binned=True), [2]),
        (Wanted(NOW, tag="blue"), [0, 1]),
        (Wanted(NOW, tag="日本"), [3]),
        (Wanted(NOW, tag="blue%"), []),
        (Wanted(NOW, project="p1"), [4]),
        (Wanted(NOW, provider="gemini"), [0, 1, 3]),
        (Wanted(NOW, provider="nobody"), []),
        (Wanted(NOW, pool_id=1), [0, 1, 3, 4]),
        (Wanted(NOW, code="503"), [1]),
        (Wanted(NOW, code="overloaded"), [1]),
        (Wanted(NOW, code="429"), [3]),
        (Wanted(NOW, code="9" * 60), []),
        (Wanted(NOW, code="quota_day"), [3]),
        (Wanted(NOW, state="disabled"), [0]),
        (Wanted(NOW, state="cooling"), [3]),
        (Wanted(NOW, state="healthy"), [1, 4]),
        (Wanted(NOW, state="untested"), []),
        (Wanted(NOW, state="limited", limited=tuple(ids[3:])), [3, 4]),
        (Wanted(NOW, state="limited"), []),
        (Wanted(NOW, search="bluebird", provider="gemini"), [3]),
    ):
        assert [ids.index(each) for each in either.read(key_ids, wanted)] == found, wanted
        assert either.read(key_count, wanted) == len(found), wanted


def test_what_is_edited_is_read_again_and_a_proxy_is_sealed(either, inventory, ids):
    inventory.edit_keys(ids[:2], note="n", tags=["t"], details={"rack": 7}, limits={"*": {"rpm": 1}},
                        proxy_url="http://me:secret@proxy:1")  # fmt: skip
    for row in either.read(some_keys, ids[:2]):
        assert (row.note, row.tags, row.details, row.limits) == ("n", ("t",), {"rack": 7}, {"*": {"rpm": 1}})
        assert inventory._catalogue.keys[row.id].proxy_url == "http://me:secret@proxy:1"
    stored = either.read(lambda session: session.get(tables.Key, ids[0]).proxy_url)
    assert b"secret" not in stored
    inventory.edit_keys([ids[0]], proxy_url=None, limits=None, tags=[], details=None)
    row = either.read(key_row, ids[0])
    assert (row.tags, row.details, row.limits) == ((), None, None)
    with pytest.raises(TypeError):
        inventory.edit_keys([ids[0]], secret="x")


def test_another_secret_is_a_new_key_to_its_provider_and_no_other_keys(either, inventory, ids):
    inventory.replace_secret(ids[3], SECRETS[9])
    assert either.read(key_row, ids[3]).hint == mask(SECRETS[9])
    assert inventory.secrets([ids[3]]) == {ids[3]: SECRETS[9]}
    assert either.read(key_ids, Wanted(NOW, state="cooling")) == []
    with pytest.raises(KeyTaken) as taken:
        inventory.replace_secret(ids[3], SECRETS[0])
    assert taken.value.key_id == ids[0]
    inventory.replace_secret(ids[4], SECRETS[0])  # of another provider


def test_places_are_given_and_taken(either, inventory, ids):
    pool_id, _ = inventory.create_pool("research")
    inventory.put_places({ids[0]: [[pool_id, 5, 1, False]], ids[1]: [[1], [pool_id, 2]]})
    rows = either.read(some_keys, ids[:2])
    assert [[(seat.pool, seat.weight, seat.tier, seat.enabled) for seat in row.places] for row in rows] == [
        [("research", 5, 1, False)], [("default", 1, 0, True), ("research", 2, 0, True)],
    ]  # fmt: skip
    inventory.put_weight(ids[:2], pool_id, weight=9)
    assert [seat.weight for row in either.read(some_keys, ids[:2]) for seat in row.places] == [9, 1, 9]
    inventory.put_tags({ids[0]: ["a"], ids[1]: []})
    assert [row.tags for row in either.read(some_keys, ids[:2])] == [("a",), ()]
    public = either.read(key_row, ids[0]).public_id
    assert either.read(key_ids_of, [public, "key_nobodys"]) == {public: ids[0]}


def test_keys_are_counted_once_however_they_stand_and_what_is_kept_between_looks_is_found_out(either, inventory, ids):
    overlap = Overlap()

    def counted(now=NOW):
        told = either.read(key_counts, now, None, None, overlap)
        assert told == either.read(key_counts, now), "as who keeps nothing counts"
        return told["all"], told["healthy"], told["cooling"], told["disabled"], told["dead"]

    def rest(key_id, model, until):
        row = {"key_id": key_id, "model": model, "state": "cooling", "reason": "quota_day", "status": 429}
        either.write(lambda session: session.add(tables.KeyHealth(**row, until=until)))

    assert counted() == (5, 4, 1, 0, 0)
    rest(ids[3], "another", NOW + 2 * OVERLAP_S)
    rest(ids[0], "m", NOW + 2 * OVERLAP_S)
    assert counted() == (5, 3, 2, 0, 0)
    inventory.set_disabled([ids[3]], FOREVER)
    assert counted() == (5, 3, 1, 1, 0)
    inventory.bin_keys([ids[3], ids[4]])
    assert counted() == (3, 2, 1, 0, 0)
    inventory.restore_keys([ids[3]])
    assert counted(NOW + OVERLAP_S + 1) == (4, 2, 1, 1, 0)

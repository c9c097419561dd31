"""Pools, their members and client keys as the inventory writes and the queries read them, on either database."""

import pytest
from sqlalchemy import select

from pool.adapters import queries, tables
from pool.adapters.inventory import Inventory, NewKey
from pool.adapters.queries.pool_figures import hour_figures
from pool.adapters.vault import open_vault
from pool.core.catalogue import Catalogue
from pool.core.twice import NameTaken

HOUR = 1_790_000_000 // 3600 * 3600
NOW = HOUR + 600.0
SECRETS = [f"AIzaSyMember{n:04d}" + "x" * 23 for n in range(8)]


@pytest.fixture
def vault(either, tmp_path):
    return open_vault(either, tmp_path, "some passphrase")


@pytest.fixture
def inventory(either, vault):
    inventory = Inventory(either, vault, Catalogue(), lambda line: None, lambda: NOW)
    inventory.found({})
    inventory.load()
    return inventory


def add(inventory, *secrets, pool_id=1):
    given = [NewKey("gemini", secret) for secret in secrets]
    return [each.key_id for each in inventory.add_keys(given, pool_id, "api", "test")]


def traffic(database, pool_id, hour, requests):
    row = tables.TrafficHour(
        hour=hour, pool_id=pool_id, client_key_id=0, model="m", requests=requests, successes=requests - 1, errors=1,
        tokens_in=10 * requests, tokens_out=requests,
    )  # fmt: skip
    database.write(lambda session: session.merge(row) and None)


def test_keys_that_are_left_out_are_binned_or_leave_this_pool_only(either, inventory):
    pool_id, _ = inventory.create_pool("lab")
    stays, gone, shared = add(inventory, *SECRETS[:3], pool_id=pool_id)
    inventory.arrange({shared: [1, pool_id]})
    seats, names = {stays: {"weight": 7, "enabled": False}}, {stays: "mine"}
    assert inventory.settle_members(pool_id, seats, names, [gone, shared]) == ([gone], [shared])
    row = either.read(queries.key_row, stays)
    assert (row.name, row.places[0].weight, row.places[0].enabled) == ("mine", 7, False)
    assert inventory._catalogue.pools_of_key == {shared: {1}, stays: set()}
    assert either.read(queries.enabled_keys, pool_id, NOW) == 0
    inventory.restore_keys([gone])
    assert inventory._catalogue.pools_of_key[gone] == {pool_id}


def test_a_deleted_pools_keys_are_housed_slice_by_slice(either, inventory, monkeypatch):
    monkeypatch.setattr("pool.adapters.inventory.pools.HOUSED", 2)
    pool_id, _ = inventory.create_pool("lab")
    other, _ = inventory.create_pool("other")
    ids = add(inventory, *SECRETS, pool_id=pool_id)
    inventory.arrange({ids[0]: [pool_id, other]})
    inventory.arrange({ids[1]: [pool_id, 1]})
    inventory.arrange({ids[1]: [pool_id]})
    inventory.begin_figures(pool_id)
    inventory.delete_pool(pool_id)
    assert inventory._catalogue.pools_of_key == {ids[0]: {other}, **{key_id: {1} for key_id in ids[1:]}}
    assert either.read(lambda session: list(session.scalars(select(tables.Meta.name)))).count("pool_figures:2") == 0
    with pytest.raises(ValueError, match="cannot be deleted"):
        inventory.delete_pool(1)


def test_what_a_pool_served_is_counted_from_the_moment_of_its_reset(either, inventory):
    pool_id, _ = inventory.create_pool("lab")
    for each in (1, pool_id):
        traffic(either, each, HOUR - 3600, 5)
        traffic(either, each, HOUR, 3)
    assert either.read(hour_figures, pool_id, HOUR) == (3, 2, 1, 30, 3)
    figures = either.read(queries.pool_figures, [1, pool_id], NOW)
    assert [(each.requests, each.successes, each.tokens) for each in figures.values()] == [(8, 6, 88)] * 2
    inventory.begin_figures(pool_id)
    figures = either.read(queries.pool_figures, [1, pool_id], NOW)
    assert {each: figures[each].requests for each in figures} == {1: 8, pool_id: 0}
    traffic(either, pool_id, HOUR, 4)
    traffic(either, pool_id, HOUR + 3600, 2)
    assert either.read(queries.pool_figures, [pool_id], NOW)[pool_id].requests == 3
    inventory.begin_figures(pool_id)
    assert either.read(queries.pool_figures, [pool_id, 99], NOW)[99].requests == 0


def test_pools_page_by_id_and_are_found_by_name(either, inventory):
    for name in ("Lab", "shop", "labyrinth"):
        inventory.create_pool(name)
    assert [row.name for row in either.read(queries.pool_page, after=1, size=2)] == ["Lab", "shop"]
    assert [row.name for row in either.read(queries.pool_page, search="lab")] == ["Lab", "labyrinth"]


def test_client_keys_page_by_id_and_are_narrowed_down(either, inventory):
    pool_id, _ = inventory.create_pool("lab")
    for n in range(4):
        inventory.create_client(f"Client {n}", pool_id if n % 2 else 1, rpm_limit=n)
    inventory.revoke_client(2)
    inventory.delete_client(3)

    def names(**wanted):
        return [row.name for row in either.read(queries.client_page, **wanted)]

    assert names() == ["Client 0", "Client 1", "Client 3"]
    assert names(after=1, size=1) == ["Client 1"]
    assert names(search="client 3") == ["Client 3"]
    assert names(pool_id=pool_id, enabled=True) == ["Client 3"]
    assert names(enabled=False) == ["Client 1"]
    whole = either.read(queries.client_whole, 4)
    assert (whole.limits["rpm_limit"], whole.pool, whole.enabled) == (3, "lab", True)
    assert either.read(queries.client_whole, 3) is None


def test_a_rotated_token_and_the_one_before_it_are_known_and_a_deleted_one_is_not(inventory, vault):
    client_id, first = inventory.create_client("ana", 1)
    known = inventory._catalogue.credentials
    second = inventory.rotate_client(client_id, 60)
    assert known is not inventory._catalogue.credentials
    assert inventory._catalogue.credentials[vault.digest(first)].until == NOW + 60
    third = inventory.rotate_client(client_id)
    tokens = [vault.digest(token) in inventory._catalogue.credentials for token in (first, second, third)]
    assert tokens == [False, False, True]
    inventory.delete_client(client_id)
    assert vault.digest(third) not in inventory._catalogue.credentials


def test_two_client_keys_in_force_never_share_a_name(inventory):
    first, _ = inventory.create_client("ana", 1)
    inventory.revoke_client(first)
    second, _ = inventory.create_client("ana", 1)
    with pytest.raises(NameTaken):
        inventory.update_client(first, revoked_at=None)
    with pytest.raises(NameTaken):
        inventory.create_client("ana", 1)
    inventory.update_client(second, name="ben")
    inventory.update_client(first, revoked_at=None)
    with pytest.raises(NameTaken):
        inventory.update_client(second, name="ana")


def test_keys_are_found_by_their_fingerprints_unless_they_are_binned(either, inventory, vault):
    ids = add(inventory, *SECRETS[:2])
    inventory.bin_keys(ids[1:])
    prints = [vault.fingerprint("gemini", secret) for secret in SECRETS[:3]]
    assert either.read(queries.ids_by_print, prints) == {prints[0]: ids[0]}

"""Backups: one file that an empty machine can be made of, and that nobody without its passphrase can read or change."""

from __future__ import annotations

from pathlib import Path

import gevent
import pytest
from sqlalchemy import text

from pool.adapters.backup import MERGE, REPLACE, BadBackup, Cost, NotEmpty
from tests.house import GEMINI_KEYS, OPENAI_KEYS, PASSWORD, make_template, open_house
from tests.web.visitor import rows_of

PASSPHRASE = "a quite long passphrase"


@pytest.fixture(scope="session")
def other_template(tmp_path_factory):
    """An instance folder with keys of its own."""
    return make_template(tmp_path_factory.mktemp("other"))


@pytest.fixture
def elsewhere(other_template, tmp_path):
    """Another machine, with nothing but what every fresh one has."""
    with open_house(other_template, tmp_path / "elsewhere") as other:
        yield other


@pytest.fixture(autouse=True)
def quick(request):
    for name in {"house", "elsewhere"} & set(request.fixturenames):
        request.getfixturevalue(name).keypool.backups.cost = Cost(2**10)


def saved(house, folder: Path, passphrase=PASSPHRASE) -> Path:
    file = folder / "keypool.backup"
    with file.open("wb") as out:
        for some in house.keypool.backups.write(passphrase):
            out.write(some)
    return file


def brought_back(house, file, mode=None):
    backups = house.keypool.backups
    return backups.restore(backups.read(file, PASSPHRASE), "test", mode)


def furnish(house):
    """A pool with limits and a fallback, keys in several states, a client key, a setting."""
    inventory = house.keypool.inventory
    pool_id, auth_key = inventory.create_pool(
        "batch", allowed_models=["gemini-2.5-*"], aliases={"fast": "gemini-2.5-flash"}, limits={"rpm_limit": 5},
        fallback_pool_id=house.default_pool_id,
    )  # fmt: skip
    ids = house.add_keys(*GEMINI_KEYS[:4], tags=("paid",), note="mine", pool_id=pool_id)
    house.add_keys(*OPENAI_KEYS[:2])
    inventory.set_disabled(ids[:1], float("inf"))
    inventory.bin_keys(ids[3:])
    _, token = inventory.create_client("ana", pool_id, rpd_limit=7)
    house.set(max_attempts=9)
    return auth_key, token


def test_an_empty_machine_becomes_the_one_that_was_backed_up(house, elsewhere, tmp_path):
    auth_key, token = furnish(house)
    assert house.generate(headers={"x-goog-api-key": auth_key}).status_code == 200
    house.keypool.recorder.drain()
    told = brought_back(elsewhere, saved(house, tmp_path))
    assert told["mode"] == REPLACE
    assert told["written"]["keys"] == 6
    inventory = elsewhere.keypool.inventory
    here, there = house.keypool.catalogue, elsewhere.keypool.catalogue
    assert inventory.secrets(list(there.keys)) == house.keypool.inventory.secrets(list(here.keys))
    assert {pool.name: pool.limits for pool in there.pools.values()} == {
        pool.name: pool.limits for pool in here.pools.values()
    }
    assert there.pools_of_key == here.pools_of_key
    assert elsewhere.keypool.preferences.current.max_attempts == 9
    for shown in (auth_key, token):
        assert elsewhere.generate(headers={"x-goog-api-key": shown}).status_code == 200
    for table in ("usage_hourly", "traffic_hourly", "audit", "imports"):
        assert len(rows_of(elsewhere, table)) >= len(rows_of(house, table)) > -1


def test_what_the_environment_names_is_there_once_and_known_after_a_restore(house, other_template, tmp_path):
    """Digests and fingerprints come of another key then; who was a stranger before may be known now."""
    house.add_keys(*GEMINI_KEYS[:2])
    _, token = house.keypool.inventory.create_client("ana", house.default_pool_id)
    file, folder, own = saved(house, tmp_path), tmp_path / "elsewhere", "sk-pool-" + "ab" * 16
    environment = {"API_KEYS": f"{GEMINI_KEYS[0]},{GEMINI_KEYS[5]}", "PROXY_API_KEY": own}

    def status(other, shown):
        return other.client.get("/v1/models", headers={"Authorization": f"Bearer {shown}"}).status_code

    for restored in (False, True):
        with open_house(other_template, folder, **environment) as other:
            if not restored:
                other.keypool.backups.cost = Cost(2**10)
                assert (status(other, own), status(other, token)) == (200, 401)
                brought_back(other, file, REPLACE)
            assert (status(other, own), status(other, token)) == (200, 200)
            known = other.keypool.inventory.secrets(list(other.keypool.catalogue.keys))
            assert sorted(known.values()) == sorted([*GEMINI_KEYS[:2], GEMINI_KEYS[5]])


def test_a_restored_machine_starts_again_and_finds_everything(house, other_template, tmp_path):
    auth_key, token = furnish(house)
    file, folder = saved(house, tmp_path), tmp_path / "elsewhere"
    with open_house(other_template, folder) as other:
        other.keypool.backups.cost = Cost(2**10)
        brought_back(other, file)
    with open_house(other_template, folder) as other:
        assert len(other.keypool.catalogue.keys) == 5
        assert other.generate(headers={"x-goog-api-key": token}).status_code == 200
        assert other.keypool.inventory.auth_key(2) == auth_key


def test_new_rows_get_ids_of_their_own_after_a_restore(house, elsewhere, tmp_path):
    furnish(house)
    brought_back(elsewhere, saved(house, tmp_path))
    [key_id] = elsewhere.add_keys(GEMINI_KEYS[8])
    assert key_id == 7
    assert elsewhere.keypool.inventory.create_pool("one more")[0] == 3


def test_nothing_can_be_read_without_the_passphrase(house, tmp_path):
    auth_key, token = furnish(house)
    content = saved(house, tmp_path).read_bytes()
    for secret in (*GEMINI_KEYS[:4], auth_key, token, house.auth_key):
        assert secret.encode() not in content
    with pytest.raises(BadBackup, match="not the passphrase"):
        house.keypool.backups.read(tmp_path / "keypool.backup", "a quite wrong passphrase")


def test_a_file_that_was_cut_short_or_changed_is_refused_wherever_that_is(house, tmp_path):
    house.add_keys(*[f"AIzaSyMany{n:05d}" + "z" * 24 for n in range(2_000)])
    file = saved(house, tmp_path)
    whole = file.read_bytes()
    head = whole.index(b"\n", whole.index(b"\n") + 1) + 1
    assert len(whole) > 100_000
    for end in (0, 5, 14, head - 1, head, head + 3, head + 65_556, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:end])
        with pytest.raises(BadBackup):
            house.keypool.backups.read(file, PASSPHRASE)
    for at in (20, head + 1, head + 10, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(BadBackup):
            house.keypool.backups.read(file, PASSPHRASE)
    file.write_bytes(whole + b"x")
    with pytest.raises(BadBackup, match="follows its end"):
        house.keypool.backups.read(file, PASSPHRASE)
    file.write_bytes(whole)
    assert house.keypool.backups.read(file, PASSPHRASE).rows["keys"] == 2_000


def test_a_stranger_s_head_cannot_make_a_machine_spend_its_memory(house, tmp_path):
    file = saved(house, tmp_path)
    file.write_bytes(file.read_bytes().replace(b'"n": 1024', b'"n": 1073741824'))
    with pytest.raises(BadBackup, match="asks for what no version does"):
        house.keypool.backups.read(file, PASSPHRASE)


def test_a_backup_of_a_newer_version_is_refused(house, tmp_path, monkeypatch):
    file = saved(house, tmp_path)
    monkeypatch.setattr("pool.adapters.backup.restoring.revisions", lambda: ["0001"])
    with pytest.raises(BadBackup, match="newer than this one"):
        house.keypool.backups.read(file, PASSPHRASE)


def test_what_is_here_is_touched_only_by_somebody_who_says_how(house, elsewhere, tmp_path):
    furnish(house)
    file = saved(house, tmp_path)
    elsewhere.add_keys(GEMINI_KEYS[7])
    before = rows_of(elsewhere, "keys")
    with pytest.raises(NotEmpty):
        brought_back(elsewhere, file)
    assert rows_of(elsewhere, "keys") == before
    told = brought_back(elsewhere, file, REPLACE)
    assert told["here"]["keys"] == 1
    assert GEMINI_KEYS[7] not in elsewhere.keypool.inventory.secrets(list(elsewhere.keypool.catalogue.keys)).values()


def test_merging_adds_what_is_missing_and_leaves_the_rest(house, elsewhere, tmp_path):
    furnish(house)
    file = saved(house, tmp_path)
    elsewhere.add_keys(GEMINI_KEYS[0], GEMINI_KEYS[7], note="theirs")
    elsewhere.set(max_attempts=3)
    found = elsewhere.keypool.backups.read(file, PASSPHRASE)
    foreseen = elsewhere.keypool.backups.preview(found, MERGE)["merge"]
    told = brought_back(elsewhere, file, MERGE)["merge"]
    assert told["keys"] == foreseen["keys"]
    assert (told["keys"]["added"], told["keys"]["linked"]) == (4, 1)
    assert told["pools"] == {"added": ["batch"], "known": 1}
    assert told["clients"]["left"] == 1
    assert elsewhere.keypool.preferences.current.max_attempts == 3
    secrets = elsewhere.keypool.inventory.secrets(list(elsewhere.keypool.catalogue.keys))
    assert set(secrets.values()) == {*GEMINI_KEYS[:3], GEMINI_KEYS[7], *OPENAI_KEYS[:2]}
    notes = {row["hint_suffix"] + row["note"] for row in rows_of(elsewhere, "keys")}
    assert "xxxxtheirs" in notes


def test_client_keys_are_merged_on_the_machine_they_were_made_for(house, tmp_path):
    _, token = furnish(house)
    file = saved(house, tmp_path)
    house.keypool.database.write(lambda session: session.execute(text("DELETE FROM client_keys")) and None)
    told = brought_back(house, file, MERGE)["merge"]
    assert told["clients"]["added"] == ["ana"]
    assert house.generate(headers={"x-goog-api-key": token}).status_code == 200


def test_a_restore_that_fails_changes_nothing(house, elsewhere, tmp_path, monkeypatch):
    furnish(house)
    file = saved(house, tmp_path)
    found = elsewhere.keypool.backups.read(file, PASSPHRASE)
    elsewhere.add_keys(GEMINI_KEYS[7])
    before = {table: rows_of(elsewhere, table) for table in ("keys", "pools", "memberships", "settings")}
    content = file.read_bytes()
    file.write_bytes(content[:-10])
    with pytest.raises(BadBackup):
        elsewhere.keypool.backups.restore(found, "test", REPLACE)
    assert {table: rows_of(elsewhere, table) for table in before} == before
    assert elsewhere.generate().status_code == 200


def test_a_backup_goes_from_sqlite_to_postgresql_and_back(house, other_template, elsewhere, postgres_url, tmp_path):
    auth_key, token = furnish(house)
    assert house.generate(headers={"x-goog-api-key": token}).status_code == 200
    house.keypool.recorder.drain()
    variables = {"DATABASE_URL": str(postgres_url), "ADMIN_PASSWORD": PASSWORD, "SECRET_KEY": "s" * 32,
                 "KEY_ENCRYPTION_SECRET": "of another machine"}  # fmt: skip
    with (
        open_house(other_template, tmp_path / "pg", **variables) as between,
        open_house(other_template, tmp_path / "beside", **variables) as beside,
    ):
        between.keypool.backups.cost = Cost(2**10)
        beside.add_keys(GEMINI_KEYS[7])
        told = brought_back(between, saved(house, tmp_path), REPLACE)
        assert told["written"]["keys"] == 6
        # Another worker of the same database drops what it knew, and finds client keys as this one does.
        assert beside.keypool.inventory.catch_up()
        assert beside.keypool.catalogue.pools_of_key == between.keypool.catalogue.pools_of_key
        assert beside.keypool.vault.digest(token) in beside.keypool.catalogue.credentials
        assert between.keypool.vault.digest(token) in between.keypool.catalogue.credentials
        assert between.keypool.inventory.create_pool("one more")[0] == 3
        assert between.add_keys(GEMINI_KEYS[8]) == [7]
        again = saved(between, tmp_path)
        merged = brought_back(between, again, MERGE)["merge"]
        assert merged["keys"]["duplicate"] == 6
    assert brought_back(elsewhere, again)["written"]["keys"] == 7
    for table in ("usage_hourly", "traffic_hourly", "settings", "key_health"):
        assert rows_of(elsewhere, table) == rows_of(house, table), table
    assert elsewhere.generate(headers={"x-goog-api-key": auth_key}).status_code == 200


@pytest.mark.parametrize("deleted", [False, True])
def test_requests_go_on_while_a_backup_of_this_machine_is_put_in_the_place_of_everything(house, tmp_path, deleted):
    first, *_ = ids = house.add_keys(*(f"AIzaSyMany{n:029}" for n in range(1_000)))
    file = saved(house, tmp_path)
    if deleted:
        house.keypool.inventory.bin_keys(ids[500:])
    restoring = gevent.spawn(brought_back, house, file, REPLACE)
    answered = []
    while not restoring.dead:
        answered.append(house.generate().status_code)
        gevent.sleep(0)
    assert restoring.get()["written"]["keys"] == 1_000
    assert set(answered) == {200}
    assert len(answered) > 5
    catalogue = house.keypool.catalogue
    assert len(catalogue.keys) == catalogue.ready_seats(house.keypool.relay.clock()) == 1_000
    house.keypool.inventory.set_disabled([first], float("inf"))
    assert catalogue.ready_seats(house.keypool.relay.clock()) == 999

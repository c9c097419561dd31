import gc
import time

import gevent
import pytest
from sqlalchemy import select, text

from pool.adapters import tables
from pool.adapters.inventory import Inventory, NewKey, reading
from pool.adapters.recorder import Recorder
from pool.adapters.vault import open_vault
from pool.core.catalogue import Catalogue
from pool.core.judge import Judge, Thresholds
from pool.core.keys import FOREVER
from pool.core.outcomes import KEY, KEY_MODEL, OTHER_KEY, Outcome
from pool.core.records import bench_line, dead_line

NOW = 1_790_000_000.0
SECRETS = [f"AIzaSyCanary{n:04d}" + "x" * 23 for n in range(20)]


class Clock:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def vault(database, tmp_path):
    return open_vault(database, tmp_path, "some passphrase")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def inventory(database, vault, clock):
    """An empty one: the built-in providers and the pool `default`, with the id 1."""
    inventory = Inventory(database, vault, Catalogue(), lambda line: None, clock)
    inventory.found({})
    inventory.load()
    return inventory


@pytest.fixture
def restarted(database, vault, clock):
    """What a new process makes of the same database."""

    def restart():
        inventory = Inventory(database, vault, Catalogue(), lambda line: None, clock)
        inventory.load()
        return inventory

    return restart


def new(*secrets, **fields):
    return [NewKey("gemini", secret, **fields) for secret in secrets or SECRETS[:3]]


def add(inventory, *secrets, pool_id=1, **fields):
    return [taken.key_id for taken in inventory.add_keys(new(*secrets, **fields), pool_id, "paste", "somebody")]


def fates(inventory, *secrets, pool_id=1):
    return [taken.fate for taken in inventory.add_keys(new(*secrets), pool_id, "paste", "somebody")]


def serving(inventory, pool_id=1, model="m"):
    """The keys a pool would choose from now."""
    found, now = set(), inventory._clock()
    for rotation in inventory._catalogue.rotations.get(pool_id, {}).values():
        while (key_id := rotation.choose("lru", model, now, found)) is not None:
            found.add(key_id)
    return found


def known(inventory):
    """Everything a catalogue says, to compare with another one."""
    catalogue, now = inventory._catalogue, inventory._clock()
    fields = (
        "provider",
        "hint",
        "sealed",
        "project",
        "disabled_until",
        "dead",
        "max_requests",
        "proxy_url",
    )
    return {
        "providers": catalogue.providers,
        "pools": catalogue.pools,
        "default": catalogue.default_pool_id,
        "credentials": catalogue.credentials,
        "revision": catalogue.revision,
        "keys": {key.id: [getattr(key, name) for name in fields] for key in catalogue.keys.values()},
        "pools of keys": {key_id: pools for key_id, pools in catalogue.pools_of_key.items() if pools},
        "benches": {key_id: catalogue.benches(key_id) for key_id in catalogue.keys if catalogue.benches(key_id)},
        "serving": {pool_id: serving(inventory, pool_id) for pool_id in catalogue.pools},
        "census": {
            (pool_id, slug): rotation.census("m", now)
            for pool_id, rotations in catalogue.rotations.items()
            for slug, rotation in rotations.items()
            if len(rotation)
        },
    }


def test_a_new_database_has_the_built_in_providers_and_the_pool_default(inventory):
    assert list(inventory._catalogue.providers) == ["gemini", "openai"]
    (pool,) = inventory._catalogue.pools.values()
    assert (pool.name, pool.is_default, pool.id) == ("default", True, inventory._catalogue.default_pool_id)


def test_founding_again_changes_nothing_but_what_the_environment_names(inventory, restarted):
    before = known(inventory)["credentials"]
    inventory.found({"openai": "http://o.test/v1"})
    after = restarted()
    assert known(after)["credentials"] == before
    assert after._catalogue.providers["openai"].base_url == "http://o.test/v1"
    inventory.found({})
    assert restarted()._catalogue.providers["openai"].base_url == "http://o.test/v1"


def test_added_keys_serve_at_once(inventory):
    ids = add(inventory)
    assert serving(inventory) == set(ids)
    assert [inventory.unseal(inventory._catalogue.keys[key_id]) for key_id in ids] == SECRETS[:3]


def test_keys_are_seated_in_the_order_they_came(inventory):
    ids = add(inventory, *SECRETS)
    rotation = inventory._catalogue.rotations[1]["gemini"]
    assert [rotation.choose("round_robin", "m", NOW) for _ in SECRETS] == ids == sorted(ids)


def test_a_key_shows_its_beginning_and_its_end(inventory):
    (key_id,) = add(inventory, SECRETS[0])
    assert inventory._catalogue.keys[key_id].hint == "AIzaSyCa...xxxx"
    (short,) = add(inventory, "short-key")
    assert inventory._catalogue.keys[short].hint == "***"


def test_a_known_key_is_a_duplicate(inventory):
    assert fates(inventory, SECRETS[0], SECRETS[1], SECRETS[0]) == ["added", "added", "duplicate"]
    assert fates(inventory, SECRETS[1], SECRETS[2]) == ["duplicate", "added"]
    assert len(inventory._catalogue.keys) == 3


def test_the_same_secret_of_another_provider_is_another_key(inventory):
    keys = [NewKey("gemini", SECRETS[0]), NewKey("openai", SECRETS[0])]
    taken = inventory.add_keys(keys, 1, "paste", "somebody")
    assert [each.fate for each in taken] == ["added", "added"]


def test_a_known_key_is_linked_to_another_pool_with_what_is_known_against_it(inventory):
    first, second = add(inventory, *SECRETS[:2])
    pool_id, _ = inventory.create_pool("second")
    inventory._catalogue.bench(first, "quota_day", NOW + 60, "m")
    assert fates(inventory, *SECRETS[:2], pool_id=pool_id) == ["linked", "linked"]
    assert serving(inventory, pool_id) == {second}
    assert serving(inventory, pool_id, "other") == {first, second}
    assert fates(inventory, SECRETS[0], pool_id=pool_id) == ["duplicate"]


def test_what_was_said_beside_a_key_is_stored(inventory, database):
    (key_id,) = add(
        inventory, SECRETS[0], weight=7, name="n", note="o", email="e@x", tags=("a", "b"), project="p", max_requests=9
    )
    row = database.read(lambda session: _plain(session.get(tables.Key, key_id)))
    assert (row["name"], row["note"], row["email"], row["tags"], row["project"]) == ("n", "o", "e@x", ["a", "b"], "p")
    assert (row["origin"], row["max_requests"]) == ("paste", 9)
    key = inventory._catalogue.keys[key_id]
    assert (key.project, key.max_requests, key.max_requests_window) == ("p", 9, "none")
    assert inventory._catalogue.rotations[1]["gemini"].member(key_id).weight == 7


def _plain(row):
    return {column.name: getattr(row, column.name) for column in row.__table__.columns}


def test_an_import_is_remembered_with_its_counts(inventory, database):
    fates(inventory, *SECRETS[:2])
    fates(inventory, *SECRETS[:3])
    fates(inventory, *SECRETS[:3])
    query = select(tables.Import.who, tables.Import.origin, tables.Import.counts).order_by(tables.Import.id)
    assert database.read(lambda session: [tuple(row) for row in session.execute(query)]) == [
        ("somebody", "paste", {"added": 2}),
        ("somebody", "paste", {"duplicate": 2, "added": 1}),
    ]


def test_an_import_that_fails_takes_no_key(inventory):
    with pytest.raises(KeyError):
        inventory.add_keys([*new(*SECRETS), NewKey("no such provider", "x")], 1, "paste", "somebody")
    assert fates(inventory, SECRETS[0]) == ["added"]


def test_a_binned_key_serves_nowhere_and_a_restored_one_where_it_was(inventory, restarted):
    first, second = add(inventory, *SECRETS[:2])
    pool_id, _ = inventory.create_pool("second")
    add(inventory, SECRETS[0], pool_id=pool_id)
    assert inventory.bin_keys([first]) == 1
    assert (serving(inventory), serving(inventory, pool_id)) == ({second}, set())
    assert first not in inventory._catalogue.keys
    assert known(restarted()) == known(inventory)
    assert inventory.restore_keys([first]) == 1
    assert (serving(inventory), serving(inventory, pool_id)) == ({first, second}, {first})
    assert known(restarted()) == known(inventory)


def test_importing_a_binned_key_restores_it_in_every_pool_it_was_in(inventory, restarted):
    (key_id,) = add(inventory, SECRETS[0])
    second, _ = inventory.create_pool("second")
    third, _ = inventory.create_pool("third")
    add(inventory, SECRETS[0], pool_id=second)
    inventory.bin_keys([key_id])
    assert fates(inventory, SECRETS[0], pool_id=third) == ["restored"]
    assert [serving(inventory, pool_id) for pool_id in (1, second, third)] == [{key_id}] * 3
    assert known(restarted()) == known(inventory)


def test_a_disabled_key_rests_until_it_is_enabled(inventory, restarted):
    first, second = add(inventory, *SECRETS[:2])
    assert inventory.set_disabled([first], FOREVER) == 1
    assert serving(inventory) == {second}
    assert known(restarted()) == known(inventory)
    inventory.set_disabled([first], None)
    assert serving(inventory) == {first, second}
    assert known(restarted()) == known(inventory)


def test_a_key_disabled_until_a_moment_comes_back_by_itself(inventory, restarted, clock):
    first, second = add(inventory, *SECRETS[:2])
    inventory.set_disabled([first], NOW + 3600)
    again = restarted()
    assert serving(inventory) == serving(again) == {second}
    clock.now += 3600
    assert serving(inventory) == serving(again) == serving(restarted()) == {first, second}


def test_reviving_forgets_what_is_known_against_a_key(inventory, restarted, database, tmp_path):
    first, second = add(inventory, *SECRETS[:2])
    drain(
        database, tmp_path,
        dead_line(first, "leaked", NOW), bench_line(second, "m", "quota_day", NOW + 60, "", NOW),
    )  # fmt: skip
    again = restarted()
    assert serving(again) == set()
    again.revive([first, second])
    assert serving(again) == {first, second}
    assert known(restarted())["serving"] == {1: {first, second}}


def drain(database, folder, *lines):
    (folder / "spool").mkdir()
    (folder / "spool" / "1.jsonl").write_bytes(b"".join(lines))
    Recorder(database, folder / "spool").drain()


def test_what_is_known_against_keys_survives_a_restart(inventory, restarted, database, tmp_path):
    ids = add(inventory, *SECRETS[:5])
    lines, catalogue = [], inventory._catalogue
    judge = Judge(
        catalogue, lambda word: catalogue.bench(word.key_id, word.reason, word.until, word.model), lines.append
    )
    rotation = catalogue.rotations[1]["gemini"]
    for key_id, outcome in zip(
        ids,
        (
            Outcome("dead", OTHER_KEY, KEY, FOREVER, blamed=True, reason="leaked"),
            Outcome("quota_day", OTHER_KEY, KEY_MODEL, NOW + 900, blamed=True),
            Outcome("insufficient_quota", OTHER_KEY, KEY, NOW + 900, blamed=True),
            Outcome("not_entitled", OTHER_KEY, KEY_MODEL, NOW + 9_000),
        ),
        strict=False,
    ):
        judge.failed(catalogue.keys[key_id], "m", outcome, NOW, rotation, Thresholds())
    drain(database, tmp_path, *lines)
    assert serving(inventory) == {ids[4]}
    assert known(restarted()) == known(inventory)


def test_a_rest_that_is_over_is_not_loaded(inventory, restarted, database, tmp_path, clock):
    (key_id,) = add(inventory, SECRETS[0])
    drain(database, tmp_path, bench_line(key_id, "m", "quota_day", NOW + 60, "", NOW))
    assert serving(restarted()) == set()
    clock.now += 60
    assert restarted()._catalogue.benches(key_id) == {}


def test_a_created_pool_may_be_used_with_its_key(inventory, vault, restarted):
    pool_id, token = inventory.create_pool("second", policy="lru", allowed_models=["gpt-*"], aliases={"a": "b"})
    pool = inventory._catalogue.pools[pool_id]
    assert (pool.name, pool.policy, pool.allowed_models, pool.aliases) == ("second", "lru", ("gpt-*",), {"a": "b"})
    assert token.startswith("sk-pool-")
    assert len(token) == 40
    assert inventory._catalogue.credentials[vault.digest(token)].pool_id == pool_id
    assert inventory.auth_key(pool_id) == token
    assert known(restarted()) == known(inventory)


def test_a_pool_follows_its_changes(inventory, restarted):
    pool_id, _ = inventory.create_pool("second")
    inventory.update_pool(pool_id, name="renamed", enabled=False, fallback_pool_id=1)
    pool = inventory._catalogue.pools[pool_id]
    assert (pool.name, pool.enabled, pool.fallback_pool_id) == ("renamed", False, 1)
    assert known(restarted()) == known(inventory)


def test_deleting_a_pool_sends_homeless_keys_to_default_with_what_is_known(
    inventory, vault, restarted, database, tmp_path
):
    pool_id, token = inventory.create_pool("second")
    other, _ = inventory.create_pool("third")
    homeless, resting, elsewhere = add(inventory, *SECRETS[:3], pool_id=pool_id)
    add(inventory, SECRETS[2], pool_id=other)
    drain(database, tmp_path, bench_line(resting, "m", "quota_day", NOW + 60, "", NOW))
    inventory._catalogue.bench(resting, "quota_day", NOW + 60, "m")
    inventory.delete_pool(pool_id)
    assert pool_id not in inventory._catalogue.pools
    assert vault.digest(token) not in inventory._catalogue.credentials
    assert serving(inventory) == {homeless}
    assert serving(inventory, model="another") == {homeless, resting}
    assert serving(inventory, other) == {elsewhere}
    assert known(restarted()) == known(inventory)


def test_a_binned_key_of_a_deleted_pool_comes_back_in_default(inventory):
    pool_id, _ = inventory.create_pool("second")
    (key_id,) = add(inventory, SECRETS[0], pool_id=pool_id)
    inventory.bin_keys([key_id])
    inventory.delete_pool(pool_id)
    inventory.restore_keys([key_id])
    assert serving(inventory) == {key_id}


def test_the_pool_default_cannot_be_deleted(inventory):
    with pytest.raises(ValueError, match="default"):
        inventory.delete_pool(1)
    assert 1 in inventory._catalogue.pools


def test_a_deleted_fallback_is_none(inventory):
    pool_id, _ = inventory.create_pool("second")
    inventory.update_pool(1, fallback_pool_id=pool_id)
    inventory.delete_pool(pool_id)
    assert inventory._catalogue.pools[1].fallback_pool_id is None


def test_a_regenerated_auth_key_takes_over_at_once(inventory, vault):
    old = inventory.auth_key(1)
    token = inventory.regenerate_auth(1)
    credentials = inventory._catalogue.credentials
    assert vault.digest(old) not in credentials
    assert credentials[vault.digest(token)].pool_id == 1
    assert inventory.auth_key(1) == token


def test_with_grace_the_old_auth_key_goes_on_for_a_while(inventory, vault, restarted):
    old = inventory.auth_key(1)
    token = inventory.regenerate_auth(1, grace_s=600)
    credentials = inventory._catalogue.credentials
    assert (credentials[vault.digest(old)].pool_id, credentials[vault.digest(old)].until) == (1, NOW + 600)
    assert credentials[vault.digest(token)].until == FOREVER
    assert known(restarted()) == known(inventory)


def test_a_user_key_is_known_by_its_digest_until_it_is_revoked(inventory, vault, database):
    client_id, token = inventory.create_client("phone", 1, rpm_limit=5, allowed_models=["m"], expires_at=NOW + 9)
    client = inventory._catalogue.credentials[vault.digest(token)].client
    assert (client.id, client.name, client.limits, client.allowed_models) == (
        client_id,
        "phone",
        {"rpm_limit": 5},
        ("m",),
    )
    assert (client.expires_at, client.revoked_at) == (NOW + 9, None)
    inventory.revoke_client(client_id)
    assert inventory._catalogue.credentials[vault.digest(token)].client.revoked_at == NOW


def start(inventory, secrets, proxy_key=None):
    """What a process does with its environment as it starts."""
    inventory.merge_environment([("gemini", secret) for secret in secrets], proxy_key)
    inventory.load()


def test_keys_of_the_environment_join_default_once(inventory, database):
    start(inventory, SECRETS[:2])
    start(inventory, SECRETS[:3])
    assert len(serving(inventory)) == len(inventory._catalogue.keys) == 3
    origins = database.read(lambda session: set(session.scalars(select(tables.Key.origin))))
    assert origins == {"env"}


def test_a_key_of_the_environment_that_was_disabled_or_deleted_stays_so(inventory):
    start(inventory, SECRETS[:3])
    disabled, binned, left = sorted(inventory._catalogue.keys)
    inventory.set_disabled([disabled], FOREVER)
    inventory.bin_keys([binned])
    start(inventory, SECRETS[:3])
    assert serving(inventory) == {left}
    assert binned not in inventory._catalogue.keys


def test_a_key_of_the_environment_that_left_default_stays_away(inventory, database):
    start(inventory, SECRETS[:2])
    moved, left = sorted(inventory._catalogue.keys)
    remove = text("UPDATE memberships SET removed_at = 1 WHERE key_id = :key")
    database.write(lambda session: session.execute(remove, {"key": moved}) and None)
    again = Inventory(database, inventory._vault, Catalogue(), lambda line: None, lambda: NOW)
    start(again, SECRETS[:2])
    assert serving(again) == {left}


def test_a_pasted_key_that_is_in_the_environment_too_is_linked_to_default(inventory):
    pool_id, _ = inventory.create_pool("second")
    (key_id,) = add(inventory, SECRETS[0], pool_id=pool_id)
    start(inventory, SECRETS[:1])
    assert serving(inventory) == serving(inventory, pool_id) == {key_id}


def standing(inventory, vault, token):
    credential = inventory._catalogue.credentials.get(vault.digest(token))
    return credential is not None and credential.client.revoked_at is None


def test_the_proxy_key_of_the_environment_follows_its_variable(inventory, vault):
    start(inventory, [], "first-proxy-key")
    assert standing(inventory, vault, "first-proxy-key")
    assert inventory._catalogue.credentials[vault.digest("first-proxy-key")].pool_id == 1
    start(inventory, [], "second-proxy-key")
    assert (standing(inventory, vault, "first-proxy-key"), standing(inventory, vault, "second-proxy-key")) == (
        False,
        True,
    )
    start(inventory, [], "first-proxy-key")
    assert (standing(inventory, vault, "first-proxy-key"), standing(inventory, vault, "second-proxy-key")) == (
        True,
        False,
    )
    start(inventory, [])
    assert not standing(inventory, vault, "first-proxy-key")


def test_the_environment_does_not_bring_back_a_user_key_a_person_revoked(inventory, vault):
    client_id, token = inventory.create_client("phone", 1)
    inventory.revoke_client(client_id)
    start(inventory, [], token)
    assert not standing(inventory, vault, token)


def test_listeners_hear_of_every_change(inventory):
    heard = []
    inventory.on_change(lambda: heard.append(len(inventory._catalogue.keys)))
    (key_id,) = add(inventory, SECRETS[0])
    inventory.bin_keys([key_id])
    assert heard == [1, 0]


def test_changes_at_the_same_time_are_all_taken_over(inventory, restarted):
    def import_some(n):
        add(inventory, *(f"AIzaSy{n:02d}{m:03d}" + "x" * 28 for m in range(50)))

    gevent.joinall([gevent.spawn(import_some, n) for n in range(8)], raise_error=True)
    assert len(serving(inventory)) == 400
    assert known(restarted()) == known(inventory)


def test_another_worker_takes_over_what_one_wrote(inventory, restarted):
    other = restarted()
    ids = add(inventory, *SECRETS[:3])
    inventory.set_disabled(ids[:1], FOREVER)
    inventory.create_pool("second")
    other.refresh()
    assert known(other) == known(inventory)
    inventory.bin_keys(ids[1:2])
    inventory.delete_pool(2)
    other.refresh()
    assert known(other) == known(inventory)


def test_no_secret_lies_in_the_database_as_it_is(inventory, database, tmp_path):
    tokens = [inventory.auth_key(1), inventory.create_pool("second")[1], inventory.create_client("c", 1)[1]]
    add(inventory, *SECRETS)
    start(inventory, ["AIzaSyFromTheEnvironment"], "proxy-key-in-the-open")
    database.checkpoint()
    stored = b"".join(file.read_bytes() for file in tmp_path.glob("pool.sqlite*"))
    for secret in [*SECRETS, *tokens, "FromTheEnvironment", "proxy-key-in-the-open"]:
        assert secret.encode() not in stored
    assert b"Canary" not in stored


class Heartbeat:
    """Ticks while a test works. `held_s`: what the hub itself worked between two ticks; `gaps_s`: how long they took.

    The second is as long as other processes make it, so only the first is held to its worst.
    """

    def __enter__(self):
        self.held_s, self.gaps_s = [], []
        self._greenlet = gevent.spawn(self._beat)
        gevent.sleep(0)
        return self

    def _beat(self):
        worked, last = time.thread_time(), time.perf_counter()
        while True:
            gevent.sleep(0.001)
            self.held_s.append(time.thread_time() - worked)
            self.gaps_s.append(time.perf_counter() - last)
            worked, last = time.thread_time(), time.perf_counter()

    def __exit__(self, *_):
        gevent.sleep(0.005)
        self._greenlet.kill()

    def requests_go_on(self):
        return max(self.held_s) < 0.05 and sorted(self.gaps_s)[int(len(self.gaps_s) * 0.99)] < 0.05


def import_many(inventory, count):
    """Seconds an import takes, and the heartbeat beside it."""
    keys = [NewKey("gemini", f"AIzaSy{n:07d}" + "k" * 26) for n in range(count)]
    # As the server does once it has started: the collector looks at what is made from here on.
    gc.collect()
    gc.freeze()
    with Heartbeat() as heartbeat:
        started_at = time.perf_counter()
        taken = inventory.add_keys(keys, 1, "paste", "somebody")
        took_s = time.perf_counter() - started_at
    assert sum(each.fate == "added" for each in taken) == count
    assert inventory._catalogue.ready_seats(NOW) == count
    return took_s, heartbeat


@pytest.mark.alone
def test_ten_thousand_keys_are_imported_in_four_seconds_and_requests_go_on(inventory):
    took_s, heartbeat = import_many(inventory, 10_000)
    assert took_s < 4
    assert heartbeat.requests_go_on()


@pytest.mark.alone
@pytest.mark.slow
def test_a_hundred_thousand_keys_are_imported_in_forty_seconds_and_requests_go_on(inventory):
    took_s, heartbeat = import_many(inventory, 100_000)
    assert took_s < 40
    assert heartbeat.requests_go_on()


@pytest.mark.alone
@pytest.mark.slow
def test_a_pool_of_a_hundred_thousand_keys_is_deleted_in_forty_seconds(inventory):
    pool_id, _ = inventory.create_pool("second")
    add(inventory, *(f"AIzaSy{n:07d}" + "k" * 26 for n in range(100_000)), pool_id=pool_id)
    started_at = time.perf_counter()
    inventory.delete_pool(pool_id)
    assert time.perf_counter() - started_at < 40
    assert inventory._catalogue.ready_seats(NOW) == 100_000


def test_a_key_that_changes_while_others_load_is_seated_with_them(database, inventory, vault, clock):
    """As where another instance starts, or takes a large import over, while an admin edits a key."""
    ids = [each.key_id for each in inventory.add_keys([NewKey("gemini", s) for s in SECRETS[:3]], 1, "paste", "admin")]
    catalogue = Catalogue()

    class Meanwhile:
        """The database, in which a key changes between the first look and the keys, and one between keys and places."""

        def __init__(self):
            self.left = {reading.few: ids[0], reading.keys_since: ids[1]}

        def read(self, fn, *args):
            told = database.read(fn, *args)
            if key_id := self.left.pop(fn, None):
                inventory.set_limits([key_id], max_requests=1000)
            return told

    other = Inventory(Meanwhile(), vault, catalogue, lambda line: None, clock)
    other.load()
    assert [len(catalogue.rotations_of(key_id)) for key_id in ids] == [1, 1, 1]
    assert other.catch_up()
    assert [len(catalogue.rotations_of(key_id)) for key_id in ids] == [1, 1, 1]
    assert [catalogue.keys[key_id].max_requests for key_id in ids] == [1000, 1000, None]
    assert not other.catch_up()


def test_a_key_is_changed_in_place(inventory):
    (key_id,) = (each.key_id for each in inventory.add_keys([NewKey("gemini", SECRETS[0])], 1, "paste", "admin"))
    key = inventory._catalogue.keys[key_id]
    inventory.unseal(key)
    inventory.set_limits([key_id], max_requests=7, max_requests_window="day")
    assert inventory._catalogue.keys[key_id] is key
    assert (key.max_requests, key.max_requests_window, key.secret) == (7, "day", SECRETS[0])

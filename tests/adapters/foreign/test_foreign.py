"""Databases of other products, made to their own schemas, read as documents and taken in."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy import create_engine, text

from pool.adapters.foreign import Unreadable, read_file, read_url
from pool.core.documents import Seat
from tests.adapters.foreign import schemas

KEY = "an-encryption-key-of-32-letters!"


@pytest.fixture
def gpt_load(tmp_path):
    return read_file("gpt-load", schemas.gpt_load(tmp_path / "gpt-load.db", KEY), KEY)


def keys_of(document):
    return {key.secret[:18]: key for key in document.keys}


def test_groups_of_gpt_load_become_pools_and_their_upstreams_providers(gpt_load):
    pools = {pool.name: pool for pool in gpt_load.pools}
    assert list(pools) == ["gemini", "Silicon Flow", "everything"]
    assert pools["gemini"].description == "Gemini — all of ours"
    assert pools["gemini"].aliases == {"fast": "gemini-2.5-flash"}
    assert pools["gemini"].allowed_models == ("fast",)
    [provider] = gpt_load.providers
    assert (provider.slug, provider.dialect, provider.base_url, provider.proxy_url) == (
        "silicon-flow", "openai", "https://api.siliconflow.cn/v1", "http://user:hunter2@proxy.test:8080",
    )  # fmt: skip
    assert "hunter2" not in repr(gpt_load)


def test_encrypted_keys_of_gpt_load_are_read_with_its_encryption_key(gpt_load):
    keys = keys_of(gpt_load)
    assert {secret: key.provider for secret, key in keys.items()} == {
        "AIzaSyGroupOne0001": "gemini", "AIzaSyGroupOne0002": "gemini", "sk-siliconflow0001": "silicon-flow",
    }  # fmt: skip
    assert keys["AIzaSyGroupOne0001"].note == "first"
    assert keys["AIzaSyGroupOne0002"].dead_reason == "invalid in gpt-load"
    assert keys["sk-siliconflow0001"].seats == (Seat("Silicon Flow"), Seat("everything", 70))


def test_proxy_keys_become_client_keys_of_one_pool_each(gpt_load):
    assert {client.token: (client.name, client.pool) for client in gpt_load.clients} == {
        "sk-gemini-group-01": ("gemini", "gemini"),
        "sk-gemini-group-02": ("gemini 2", "gemini"),
        "sk-shared-0001": ("all groups", "gemini"),
    }


def test_what_could_not_be_carried_over_is_said(gpt_load):
    said = " ".join(gpt_load.notes)
    for words in ("2 upstreams", "changes headers", "opened every group", "Weights of sub-groups"):
        assert words in said


def test_a_wrong_or_missing_encryption_key_is_said_in_one_sentence(tmp_path):
    file = schemas.gpt_load(tmp_path / "gpt-load.db", KEY)
    with pytest.raises(Unreadable, match="give its ENCRYPTION_KEY"):
        read_file("gpt-load", file)
    with pytest.raises(Unreadable, match="not the ENCRYPTION_KEY"):
        read_file("gpt-load", file, "something else")


@pytest.mark.parametrize("given", ["", KEY])
def test_keys_that_were_never_encrypted_are_read_as_they_are(tmp_path, given):
    document = read_file("gpt-load", schemas.gpt_load(tmp_path / "gpt-load.db"), given)
    assert len(keys_of(document)) == 3


def test_the_first_version_of_gpt_load_is_read_too(tmp_path):
    database = schemas.made(tmp_path / "old.db", schemas.GPT_LOAD_1_0)
    schemas.insert(database, "groups", name="openai", upstreams=[{"url": "https://api.openai.com", "weight": 1}],
                   channel_type="openai", test_model="m", proxy_keys="sk-of-old-01")  # fmt: skip
    schemas.insert(database, "groups", name="again", upstreams=[{"url": "https://api.openai.com/", "weight": 1}],
                   channel_type="openai", test_model="m", proxy_keys="")  # fmt: skip
    secret = "sk-proj-old0000001" + "z" * 30
    schemas.insert(database, "api_keys", key_value=secret, group_id=1, status="invalid")
    schemas.insert(database, "api_keys", key_value=secret, group_id=2, status="active")
    database.commit()
    document = read_url("gpt-load", f"sqlite:///{tmp_path}/old.db")
    [key] = document.keys
    assert (key.provider, key.dead_reason, key.seats) == ("openai", None, (Seat("openai"), Seat("again")))
    assert document.providers == ()


def test_gemini_balance_keeps_everything_in_its_settings(tmp_path):
    document = read_file("gemini-balance", schemas.gemini_balance(tmp_path / "default_db"))
    keys = keys_of(document)
    assert [key.provider for key in keys.values()] == ["gemini", "gemini", "gemini", "vertex"]
    assert keys["AIzaSyBalancePaidx"].tags == ("paid",)
    assert {client.token: client.name for client in document.clients} == {
        "sk-second-token": "token 2", "sk-123456": "AUTH_TOKEN",
    }  # fmt: skip
    assert document.settings == {"max_attempts": 7, "max_errors_threshold": 3, "idle_timeout_s": 300}
    assert [provider.base_url for provider in document.providers] == [
        "https://aiplatform.googleapis.com/v1beta1/publishers/google"
    ]
    assert any("not hidden" in note for note in document.notes)


def test_an_upstream_of_its_own_becomes_a_provider_of_its_own(tmp_path):
    file = schemas.gemini_balance(
        tmp_path / "db", BASE_URL="https://relay.test/v1beta/", PROXIES=["http://p1.test:1", "http://p2.test:2"]
    )
    document = read_file("gemini-balance", file)
    provider = document.providers[0]
    assert (provider.slug, provider.base_url, provider.proxy_url) == (
        "gemini-balance", "https://relay.test/v1beta", "http://p1.test:1",
    )  # fmt: skip
    assert document.keys[0].provider == "gemini-balance"


def test_lists_that_a_person_wrote_by_commas_are_read(tmp_path):
    file = schemas.gemini_balance(
        tmp_path / "db", ALLOWED_TOKENS="sk-one-1, sk-two-2", VERTEX_API_KEYS=None, PAID_KEY=None
    )
    assert [client.token for client in read_file("gemini-balance", file).clients] == [
        "sk-one-1",
        "sk-two-2",
        "sk-123456",
    ]


def test_versions_with_a_row_a_key_say_which_are_banned(tmp_path):
    file = schemas.gemini_balance(tmp_path / "db")
    database = sqlite3.connect(file)
    database.executescript(schemas.GEMINI_BALANCE_KEYS)
    for secret, service, status in (
        ("AIzaSyBalance0002" + "x" * 22, "gemini", "banned"),
        ("AIzaSyBalance0003" + "x" * 22, "gemini", "limited"),
        ("sk-proj-balance01" + "y" * 30, "openai", "active"),
    ):
        schemas.insert(database, "t_api_keys", key_value=secret, service=service, status=status)
    database.commit()
    keys = keys_of(read_file("gemini-balance", file))
    assert keys["AIzaSyBalance0002x"].dead_reason == "banned in gemini-balance"
    assert keys["AIzaSyBalance0003x"].dead_reason is None
    assert keys["sk-proj-balance01y"].provider == "openai"


@pytest.mark.parametrize("product", ["gpt-load", "gemini-balance", "one-api"])
def test_a_database_of_something_else_is_refused(product, tmp_path):
    schemas.made(tmp_path / "other.db", "CREATE TABLE something (id integer)").close()
    with pytest.raises(Unreadable, match="no table"):
        read_file(product, tmp_path / "other.db")
    (tmp_path / "no.db").write_bytes(b"certainly no database" * 100)
    with pytest.raises(Unreadable, match="no SQLite database"):
        read_file(product, tmp_path / "no.db")
    with pytest.raises(Unreadable, match="cannot be read"):
        read_url(product, f"sqlite:///{tmp_path}/misspelt.db")
    assert not (tmp_path / "misspelt.db").exists()


def test_a_damaged_file_and_an_unreachable_server_are_said_without_the_password(tmp_path):
    file = schemas.gpt_load(tmp_path / "gpt-load.db", KEY)
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(Unreadable):
        read_file("gpt-load", file, KEY)
    with pytest.raises(Unreadable) as refused:
        read_url("gpt-load", "postgresql://root:hunter2@127.0.0.1:1/gpt")
    assert "hunter2" not in str(refused.value)


def test_gpt_load_on_postgresql_is_read_too(postgres_url, tmp_path):
    engine = create_engine(postgres_url)
    schema = schemas.GPT_LOAD.replace("integer PRIMARY KEY AUTOINCREMENT", "bigserial PRIMARY KEY")
    schema = schema.replace("datetime", "timestamptz").replace("numeric DEFAULT false", "boolean DEFAULT false")
    sealing, secret = schemas.Sealing(KEY), "AIzaSyGroupOne0001" + "x" * 21
    with engine.begin() as connection:
        for statement in schema.split(";\n"):
            if statement.strip():
                connection.execute(text(statement))
        connection.exec_driver_sql(
            "INSERT INTO groups (name, upstreams, channel_type, test_model, model_redirect_rules) VALUES ('g',"
            """ '[{"url": "https://generativelanguage.googleapis.com", "weight": 1}]', 'gemini', 'm',"""
            """ '{"fast": "gemini-2.5-flash"}')"""
        )
        connection.execute(
            text("INSERT INTO api_keys (key_value, key_hash, group_id) VALUES (:value, :hash, 1)"),
            {"value": sealing.value(secret), "hash": sealing.hash(secret)},
        )
    engine.dispose()
    document = read_url("gpt-load", str(postgres_url), KEY)
    assert [key.secret for key in document.keys] == [secret]
    assert document.pools[0].aliases == {"fast": "gemini-2.5-flash"}


def test_a_document_is_taken_in_and_can_be_undone(house, gpt_load):
    moving, inventory = house.keypool.moving, house.keypool.inventory
    foreseen = moving.preview(gpt_load)
    assert house.keypool.catalogue.keys == {}
    told = moving.take_in(gpt_load, None, "moved", "test")
    assert told["keys"] == foreseen["keys"]
    assert told["keys"]["added"] == 3
    assert told["pools"]["added"] == ["gemini", "Silicon Flow", "everything"]
    assert told["import_id"]
    catalogue = house.keypool.catalogue
    secrets = inventory.secrets(list(catalogue.keys))
    assert set(secrets.values()) == {key.secret for key in gpt_load.keys}
    dead = next(key for key in catalogue.keys.values() if secrets[key.id].startswith("AIzaSyGroupOne0002"))
    assert dead.dead == "invalid in gpt-load"
    assert house.generate("fast", headers={"x-goog-api-key": "sk-gemini-group-02"}).status_code == 200
    again = moving.take_in(gpt_load, None, "moved", "test")
    assert again["keys"]["duplicate"] == 3
    assert (again["import_id"], again["pools"]["added"], again["clients"]["added"]) == (None, [], [])


def test_a_file_that_would_never_end_or_fill_the_memory_is_given_up(tmp_path, monkeypatch):
    database = schemas.made(tmp_path / "large.db", schemas.GEMINI_BALANCE)
    made_up = "GENERATED ALWAYS AS (hex(zeroblob(90000000)))"
    database.execute(f"CREATE TABLE t_api_keys (id integer, key_value text {made_up})")
    database.execute("INSERT INTO t_api_keys (id) VALUES (1)")
    database.commit()
    with pytest.raises(Unreadable, match="cannot be read"):
        read_file("gemini-balance", tmp_path / "large.db")
    monkeypatch.setattr("pool.adapters.foreign.LONGEST_S", -1.0)
    monkeypatch.setattr("pool.adapters.foreign.STEPS", 1)
    with pytest.raises(Unreadable, match="cannot be read"):
        read_file("gpt-load", schemas.gpt_load(tmp_path / "gpt-load.db"))

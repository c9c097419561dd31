"""Databases of one-api and new-api: channels, groups, and tokens with what they are held to."""

from __future__ import annotations

import pytest

from pool.adapters.foreign import read_file
from pool.core.documents import Seat
from tests.adapters.foreign import schemas

OPENAI_KEY = "sk-proj-one00000001" + "a" * 20
GEMINI_KEYS = ["AIzaSyOneApi00001" + "x" * 22, "AIzaSyOneApi00002" + "x" * 22]


@pytest.fixture
def read(tmp_path):
    """Reads a database of the given tables, by their rows: `read(channels=[…], tokens=[…])`."""

    def made(schema=schemas.ONE_API, **tables):
        database = schemas.made(tmp_path / "one-api.db", schema)
        for table, rows in tables.items():
            for row in rows:
                schemas.insert(database, table, **row)
        database.commit()
        database.close()
        return read_file("one-api", tmp_path / "one-api.db")

    return made


CHANNELS = [
    {"type": 1, "key": OPENAI_KEY, "name": "openai", "models": "gpt-4o,gpt-4.1"},
    {"type": 24, "key": "\n".join(GEMINI_KEYS), "name": "gemini", "models": "gemini-2.5-pro,pro", "status": 3,
     "model_mapping": '{"pro": "gemini-2.5-pro"}'},
    {"type": 44, "key": "sk-s00000000000001", "name": "Silicon", "models": "x,gpt-4o", "status": 2, "priority": 5},
    {"type": 15, "key": "baidu|key", "name": "Baidu", "models": "ernie"},
    {"type": 3, "key": "a" * 32, "name": "Azure", "models": "gpt-4o", "base_url": "https://me.openai.azure.com"},
]  # fmt: skip


def test_channels_become_pools_and_a_group_one_over_them(read):
    document = read(channels=CHANNELS)
    assert [(pool.name, pool.allowed_models) for pool in document.pools] == [
        ("openai", ("gpt-4o", "gpt-4.1")), ("gemini", ("gemini-2.5-pro", "pro")), ("Silicon", ("x", "gpt-4o")),
        ("one-api", ("gpt-4o", "gpt-4.1", "x", "gemini-2.5-pro", "pro")),
    ]  # fmt: skip
    assert [(key.provider, key.disabled, key.dead_reason is None) for key in document.keys] == [
        ("openai", False, True), ("gemini", False, False), ("gemini", False, False), ("silicon", True, True),
    ]  # fmt: skip
    assert document.keys[0].seats == (Seat("openai"), Seat("one-api", tier=1))
    assert document.keys[3].seats == (Seat("Silicon"), Seat("one-api"))
    said = " ".join(document.notes)
    assert "Baidu" in said
    assert "Azure" in said


def test_a_model_of_a_group_leads_to_the_channel_that_has_it(read):
    """Two of its providers speak OpenAI's dialect: the name of a model says not which."""
    document = read(channels=CHANNELS)
    assert document.pools[-1].aliases == {
        "gpt-4o": "openai/gpt-4o", "gpt-4.1": "openai/gpt-4.1", "x": "silicon/x", "pro": "gemini-2.5-pro",
    }  # fmt: skip
    assert [(each.slug, each.base_url) for each in document.providers] == [("silicon", "https://api.siliconflow.cn/v1")]


def test_the_two_products_number_makers_differently(read, tmp_path):
    channels = [{"type": 40, "key": "sk-s00000000000001", "name": "Silicon", "models": "x"}]
    assert read(channels=channels).providers == ()
    (tmp_path / "one-api.db").unlink()
    [provider] = read(schemas.NEW_API, channels=channels).providers
    assert provider.base_url == "https://api.siliconflow.cn/v1"


def test_a_key_of_several_channels_is_one_key_in_all_their_pools(read):
    channels = [
        {"type": 1, "key": OPENAI_KEY, "name": "a", "models": "m", "status": 2},
        {"type": 1, "key": OPENAI_KEY, "name": "b", "models": "n", "group": "default,vip", "weight": 7},
    ]
    [key] = read(channels=channels).keys
    assert not key.disabled
    assert {(seat.pool, seat.weight) for seat in key.seats} == {
        ("a", 1), ("b", 7), ("one-api", 1), ("one-api vip", 7),
    }  # fmt: skip


def test_a_token_is_held_to_what_it_was_held_to(read):
    document = read(
        channels=CHANNELS,
        tokens=[
            {"key": "a" * 48, "name": "ana", "unlimited_quota": 1},
            {"key": "b" * 48, "name": "bob", "remain_quota": 1_000_000, "models": "gpt-4o,x",
             "expired_time": 1893456000, "subnet": "10.0.0.0/8,192.168.1.1"},
        ],
    )  # fmt: skip
    ana, bob = document.clients
    assert (ana.token, ana.pool, ana.limits, ana.allowed_models, ana.expires_at) == (
        "sk-" + "a" * 48, "one-api", {}, (), None,
    )  # fmt: skip
    assert (bob.limits, bob.allowed_models, bob.expires_at) == ({"budget_usd_month": 2.0}, ("gpt-4o", "x"), 1893456000)
    assert bob.allowed_ips == ("10.0.0.0/8", "192.168.1.1")
    assert any("budget of a month" in note for note in document.notes)


@pytest.mark.parametrize(
    "row", [{"status": 2}, {"unlimited_quota": 0}, {"user_id": 2}, {"user_id": 3}, {"user_id": 4}, {"status": 4}]
)
def test_a_token_that_worked_no_more_stays_away(read, row):
    """Switched off, spent, of a user who is switched off, or of one whose group has no channel."""
    users = [{"id": 1}, {"id": 2, "status": 2}, {"id": 3, "group": "vip"}, {"id": 4, "status": 3}]
    token = {"key": "a" * 48, "name": "ana", "unlimited_quota": 1, "user_id": 1, **row}
    document = read(channels=CHANNELS, tokens=[token], users=users)
    assert document.clients == ()
    assert any("Tokens left out: 1" in note for note in document.notes)


def test_tokens_of_new_api_have_their_own_columns(read):
    tokens = [
        {"key": "a" * 48, "name": "ana", "unlimited_quota": 1, "model_limits_enabled": 1, "model_limits": "gpt-4o",
         "allow_ips": "10.0.0.1\n10.0.0.2", "group": "vip"},
        {"key": "b" * 48, "name": "bob", "unlimited_quota": 1, "model_limits_enabled": 0, "model_limits": "gpt-4o"},
        {"key": "c" * 48, "name": "gone", "unlimited_quota": 1, "deleted_at": "2026-01-02 03:04:05"},
        {"key": "d" * 48, "name": "none", "unlimited_quota": 1, "model_limits_enabled": 1, "model_limits": ""},
    ]  # fmt: skip
    channels = [{**CHANNELS[0], "group": "default,vip"}]
    ana, bob = read(schemas.NEW_API, channels=channels, tokens=tokens).clients
    assert (ana.pool, ana.allowed_models, ana.allowed_ips) == ("one-api vip", ("gpt-4o",), ("10.0.0.1", "10.0.0.2"))
    assert (bob.pool, bob.allowed_models, bob.allowed_ips) == ("one-api", (), ())


def test_a_token_goes_on_working_where_it_moved_to(house, read):
    """Its pool has keys, and the model leads to them; another model does not, nor another address."""
    document = read(
        channels=[CHANNELS[0], {**CHANNELS[1], "status": 1}],
        tokens=[
            {"key": "a" * 48, "name": "ana", "unlimited_quota": 1, "models": "pro"},
            {"key": "b" * 48, "name": "bob", "unlimited_quota": 1, "subnet": "10.0.0.0/8"},
        ],
    )
    house.keypool.moving.take_in(document, None, "moved", "test")

    def asked(model, token):
        return house.generate(model, headers={"x-goog-api-key": "sk-" + token * 48}).status_code

    assert asked("pro", "a") == 200
    assert asked("gemini-2.5-pro", "a") == 403
    assert asked("pro", "b") in (401, 403)

import secrets
import stat
import time
import traceback

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import insert, select, text

from pool.adapters.tables import Key, Meta, Pool, Provider
from pool.adapters.vault import Vault, WrongKey, encryption_ring, open_vault, packed, rewrap_some
from pool.core.twice import Overtaken

SECRET = "AIzaSyCanary0123456789abcdefghijklmnopq"


def vault_of(configured, fingerprint_key=b"f" * 32):
    return Vault(encryption_ring(configured), fingerprint_key)


def store_keys(session, vault, count):
    session.execute(insert(Provider).values(id=1, slug="gemini", dialect="gemini"))
    session.execute(
        insert(Key),
        [
            {
                "public_id": f"key_{n}",
                "provider_id": 1,
                "secret": vault.encrypt(f"{SECRET}{n}"),
                "fingerprint": vault.fingerprint("gemini", f"{SECRET}{n}"),
            }
            for n in range(count)
        ],
    )


def test_what_was_sealed_opens_again():
    vault = vault_of("some passphrase")
    assert vault.decrypt(vault.encrypt("ключ 🔑")) == "ключ 🔑"


def test_what_was_packed_opens_again_and_weighs_less():
    vault = vault_of("some passphrase")
    for secret in ("", SECRET, "ключ 🔑" * 40):
        sealed = vault.encrypt(secret)
        assert vault.decrypt_packed(packed(sealed)) == secret
        assert len(packed(sealed)) <= 0.76 * len(sealed)


@pytest.mark.parametrize("broken", [b"", b"x", b"no token at all", b"gAAAAA", b"\xff\0"])
def test_what_is_no_token_opens_neither_packed_nor_as_it_is(broken):
    vault = vault_of("some passphrase")
    for attempt in (lambda: vault.decrypt(broken), lambda: vault.decrypt_packed(packed(broken))):
        with pytest.raises(WrongKey):
            attempt()


def test_sealing_twice_never_looks_the_same():
    vault = vault_of("some passphrase")
    assert vault.encrypt(SECRET) != vault.encrypt(SECRET)


def test_the_ring_opens_what_older_keys_sealed_and_seals_with_the_newest():
    old, both, new = vault_of("old words"), vault_of("new words, old words"), vault_of("new words")
    sealed = old.encrypt(SECRET)
    assert both.decrypt(sealed) == SECRET
    assert new.decrypt(both.encrypt(SECRET)) == SECRET
    assert new.decrypt(both.rewrap(sealed)) == SECRET


def test_rewrapping_leaves_alone_what_the_newest_key_sealed():
    vault = vault_of("new words, old words")
    sealed = vault.encrypt(SECRET)
    assert vault.rewrap(sealed) == sealed


def test_a_fernet_key_is_used_as_it_is():
    key = Fernet.generate_key()
    assert Fernet(key).decrypt(vault_of(key.decode()).encrypt(SECRET)) == SECRET.encode()


@pytest.mark.parametrize("configured", ["", " ", ",", " , "])
def test_an_empty_ring_is_refused(configured):
    with pytest.raises(WrongKey, match="is empty"):
        encryption_ring(configured)


@pytest.mark.parametrize("sealed", [b"", b"garbage", b"\xff\xfe", Fernet(Fernet.generate_key()).encrypt(b"x")])
def test_what_the_ring_cannot_open_raises_one_sentence_without_a_secret(sealed):
    vault = vault_of("some passphrase")
    with pytest.raises(WrongKey) as caught:
        vault.decrypt(sealed)
    assert "some passphrase" not in str(caught.value)
    assert str(caught.value).count(". ") == 0
    assert caught.value.__suppress_context__


def test_a_vault_shows_nothing():
    vault = vault_of("some passphrase", b"f" * 32)
    assert repr(vault) == str(vault) == "<Vault>"
    assert not hasattr(vault, "__dict__")


def test_fingerprints_are_per_provider_and_digests_are_not_fingerprints():
    vault = vault_of("some passphrase")
    prints = {
        vault.fingerprint("gemini", SECRET),
        vault.fingerprint("openai", SECRET),
        vault.fingerprint("", SECRET),
        vault.digest(SECRET),
        vault_of("some passphrase", b"g" * 32).fingerprint("gemini", SECRET),
    }
    assert len(prints) == 5
    assert {len(one) for one in prints} == {32}


def test_a_first_start_makes_a_key_file_only_its_owner_reads(database, tmp_path):
    open_vault(database, tmp_path / "instance")
    file = tmp_path / "instance" / "encryption_key"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["encryption_key"]


def test_a_configured_secret_makes_no_key_file(database, tmp_path):
    open_vault(database, tmp_path / "instance", "some passphrase")
    assert not (tmp_path / "instance").exists()


def test_the_fingerprint_key_outlives_restarts_and_rotation(database, tmp_path):
    first = open_vault(database, tmp_path, "old words")
    second = open_vault(database, tmp_path, "new words,old words")
    assert first.fingerprint("gemini", SECRET) == second.fingerprint("gemini", SECRET)
    assert first.digest("sk-pool-1") == second.digest("sk-pool-1")


def test_a_wrong_key_stops_the_start(database, tmp_path):
    open_vault(database, tmp_path, "right words")
    with pytest.raises(WrongKey, match="is not the one this database was encrypted with"):
        open_vault(database, tmp_path, "wrong words")


def test_a_lost_key_file_is_not_replaced_by_a_new_one(database, tmp_path):
    open_vault(database, tmp_path)
    (tmp_path / "encryption_key").unlink()
    with pytest.raises(WrongKey, match="its key is missing"):
        open_vault(database, tmp_path)
    assert not (tmp_path / "encryption_key").exists()


def test_a_key_that_leaves_the_ring_too_early_stops_the_start(database, tmp_path):
    """The fingerprint key was re-sealed, a row was not."""
    old = open_vault(database, tmp_path, "old words")
    both = open_vault(database, tmp_path, "new words,old words")
    database.write(store_keys, old, 3)
    database.write(rewrap_some, both, (4, 0))
    with pytest.raises(WrongKey):
        open_vault(database, tmp_path, "new words")


def test_encrypted_rows_without_their_fingerprint_key_stop_the_start(database, tmp_path):
    vault = open_vault(database, tmp_path, "some words")
    database.write(store_keys, vault, 1)
    database.write(lambda session: session.execute(text("DELETE FROM meta")) and None)
    with pytest.raises(WrongKey, match="not its fingerprint key"):
        open_vault(database, tmp_path, "some words")


def test_rotation_reseals_every_kind_of_row_and_then_the_old_key_may_go(database, tmp_path):
    old = open_vault(database, tmp_path, "old words")
    database.write(store_keys, old, 7)
    database.write(
        lambda session: session.add(
            Pool(public_id="pool-1", name="p", auth_digest=old.digest("a"), auth_sealed=old.encrypt("sk-pool-1"))
        )
    )
    both = open_vault(database, tmp_path, "new words,old words")

    place, steps = (0, 0), 0
    while place is not None:
        place = database.write(rewrap_some, both, place, 3)
        steps += 1

    new = open_vault(database, tmp_path, "new words")
    assert steps > 4
    assert [new.decrypt(sealed) for sealed in database.read(secrets_of_keys)] == [f"{SECRET}{n}" for n in range(7)]
    assert new.decrypt(database.read(lambda session: session.scalars(select(Pool.auth_sealed)).one())) == "sk-pool-1"
    assert new.fingerprint("gemini", SECRET) == old.fingerprint("gemini", SECRET)


def secrets_of_keys(session):
    return list(session.scalars(select(Key.secret).order_by(Key.id)))


def test_no_secret_is_readable_in_the_database_files(database, tmp_path):
    vault = open_vault(database, tmp_path)
    database.write(store_keys, vault, 50)

    stored = b"".join(file.read_bytes() for file in tmp_path.glob("pool.sqlite*"))
    assert b"Canary" not in stored
    assert vault._fingerprint_key not in stored
    database.checkpoint()
    assert b"Canary" not in (tmp_path / "pool.sqlite").read_bytes()


def test_an_error_from_the_database_shows_no_values(database, tmp_path):
    vault = open_vault(database, tmp_path)
    database.write(store_keys, vault, 1)
    with pytest.raises(Overtaken) as caught:
        database.write(lambda session: session.execute(insert(Provider).values(id=1, slug=SECRET)))
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert "UNIQUE" in str(caught.value.__cause__)


def test_the_stored_fingerprint_key_is_sealed(database, tmp_path):
    vault = open_vault(database, tmp_path, "some words")
    stored = database.read(lambda session: session.scalars(select(Meta.value)).one())
    assert encryption_ring("some words")[0].decrypt(stored.encode()) == vault._fingerprint_key


@pytest.mark.alone
def test_twenty_thousand_fingerprints_take_no_time_worth_a_thread():
    vault = vault_of("some passphrase")
    many = [secrets.token_hex(20) for _ in range(20_000)]
    started_at = time.perf_counter()
    assert len({vault.fingerprint("gemini", secret) for secret in many}) == len(many)
    assert time.perf_counter() - started_at < 0.4

import time

import gevent
import pytest

from pool.adapters.passwords import Cost, Passwords, weak


@pytest.fixture
def passwords():
    passwords = Passwords()
    yield passwords
    passwords.close()


def longest_gap_s(work):
    """The longest time the hub let no other greenlet run while `work` ran."""
    gaps, last = [], time.perf_counter()
    worker = gevent.spawn(work)
    while not worker.ready():
        gevent.sleep(0.001)
        now = time.perf_counter()
        gaps.append(now - last)
        last = now
    worker.get()
    return max(gaps)


def test_a_password_verifies_against_its_own_hash_only(passwords):
    encoded = passwords.encode("correct horse")
    assert passwords.verify("correct horse", encoded)
    assert not passwords.verify("correct house", encoded)


def test_the_cost_meets_asvs_and_the_salt_differs():
    passwords = Passwords(Cost(n=2**10))
    first, second = passwords.encode("same words"), passwords.encode("same words")
    assert Cost() == Cost(n=131_072)
    assert first != second
    assert first.startswith("scrypt:2^10:8:1$")


def test_a_hash_made_at_another_cost_still_verifies_and_asks_for_a_new_one(passwords):
    old = Passwords(Cost(n=2**10)).encode("correct horse")
    assert passwords.verify("correct horse", old)
    assert passwords.needs_rehash(old)
    assert not passwords.needs_rehash(passwords.encode("correct horse"))


@pytest.mark.parametrize(
    "encoded", ["", "x", "scrypt:1:2$a$b", "scrypt:2^99:8:1$YQ==$YQ==", "scrypt:2^17:8:1$!$YQ==", "$$"]
)
def test_a_damaged_hash_verifies_nothing(passwords, encoded):
    assert not passwords.verify("anything", encoded)


def test_hashing_freezes_no_other_greenlet(passwords):
    def sign_in_often():
        gevent.joinall([gevent.spawn(passwords.encode, "correct horse") for _ in range(3)], raise_error=True)

    # Once is enough: a hub that hashes is away every time, a busy machine only now and then.
    assert any(longest_gap_s(sign_in_often) < 0.05 for _ in range(3))


def test_at_most_two_hashes_run_at_once():
    cheap = Passwords(Cost(n=2**10))
    gevent.joinall([gevent.spawn(cheap.encode, "correct horse") for _ in range(20)], raise_error=True)
    assert cheap._threads.size <= 2
    cheap.close()


@pytest.mark.parametrize(
    "password",
    [
        "",
        "short",
        "admin",
        "ADMIN",
        "password",
        "gandalf",
        "gandalf1",
        "Password2024!",
        "admin-key",
        "your-admin-key",
        "Your-Admin-Key ",
        "admin-12",
    ],
)
def test_predecessors_defaults_and_short_passwords_are_weak(password):
    assert weak(password)


def test_blanks_count_for_nothing():
    assert weak(" " * 8)
    assert weak("   abc   ")


def test_whatever_begins_with_123456_is_weak():
    assert weak("123456789012345")
    assert weak("correct horse") is None

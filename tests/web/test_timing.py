"""How long it takes to refuse a guess says nothing of how near it was."""

import ast
import hashlib
import hmac
import statistics
import time
from pathlib import Path

import pytest

from pool.core.faults import Fault
from pool.web.access import Access
from tests.house import PASSWORD
from tests.web.visitor import Visitor

POOL = Path(__file__).parents[2] / "pool"
DOORS = (
    "web/access.py", "web/guessing.py", "web/holding.py", "web/login.py", "web/own.py", "web/stats.py", "web/ops.py",
    "web/api/credentials.py", "web/api/logins.py", "web/api/unlocking.py", "web/api/securing.py", "web/api/metrics.py",
    "web/admin/account.py", "web/admin/copying.py", "adapters/passwords.py", "adapters/vault.py",
    "adapters/queries/sessions.py", "adapters/backup/envelope.py",
)  # fmt: skip
"""What looks at a credential that somebody shows."""

SECRETS = {
    "check", "credential", "digest", "encoded", "hashed", "mark", "password", "presented", "secret", "shown", "stored",
    "token", "tokens", "typed",
}  # fmt: skip
"""What those are called there."""

BY_INDEX = {"LoginSession.digest == digest"}
"""Asked of an index, by what nobody can choose: a keyed digest."""

GUESSES, NEAR_ENOUGH = 1500, 1.25


def named(node):
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def compared(path):
    """What a module compares letter by letter and calls like a credential."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], ast.Eq | ast.NotEq):
            continue
        sides = (node.left, *node.comparators)
        if SECRETS.intersection(map(named, sides)) and not any(isinstance(side, ast.Constant) for side in sides):
            yield ast.unparse(node)


def test_no_door_compares_a_credential_letter_by_letter():
    assert {name: found for name in DOORS if (found := set(compared(POOL / name)) - BY_INDEX)} == {}


@pytest.fixture
def hashes(monkeypatch):
    """The passwords that were hashed, and how dearly."""
    made, as_it_is = [], hashlib.scrypt

    def scrypt(password, **options):
        made.append((password, options["n"]))
        return as_it_is(password, **options)

    monkeypatch.setattr(hashlib, "scrypt", scrypt)
    return made


@pytest.mark.parametrize("guess", ["x", PASSWORD[:-1] + "x", PASSWORD + "x", PASSWORD.upper(), PASSWORD])
@pytest.mark.parametrize("door", ["the page", "the API's login", "a header"])
def test_every_guess_at_the_password_costs_one_whole_hash(house, hashes, door, guess):
    if door == "the page":
        Visitor(house, signed_in=False).post("/login", password=guess)
    elif door == "the API's login":
        house.client.post("/admin/login", json={"password": guess})
    else:
        house.client.get("/admin/keys", headers={"X-Admin-Key": guess})
    assert hashes == [(guess.encode(), 2**17)]


@pytest.mark.parametrize("door", ["client route", "page", "management"])
def test_a_token_is_looked_up_by_its_keyed_digest_whatever_it_begins_with(house, monkeypatch, door):
    """A stored one is found by nothing else: the digest of a near guess has nothing of it."""
    made, as_it_is = [], hmac.digest
    monkeypatch.setattr(hmac, "digest", lambda key, said, name: made.append(said) or as_it_is(key, said, name))
    visitor, of = Visitor(house, signed_in=False), []
    for guess in (house.auth_key[:-1] + "x", "sk-pool-" + "0" * 32):
        made.clear()
        if door == "client route":
            assert visitor.get("/v1/models", headers={"Authorization": f"Bearer {guess}"}).status_code == 401
        elif door == "page":
            with visitor.client.session_transaction() as cookie:
                cookie["_user_id"] = guess
            assert visitor.get("/keys").status_code == 302
        else:
            assert visitor.get("/admin/keys", headers={"X-Admin-Key": guess}).status_code == 401
        assert guess.encode() in made
        of.append([len(said) for said in made])
    assert of[0] == of[1]
    first, second = (house.keypool.vault.digest(house.auth_key[:-1] + end) for end in "xy")
    assert first[:8] != second[:8]


@pytest.mark.alone
def test_a_guess_that_is_nearly_right_takes_as_long_as_one_that_is_not(house):
    """Far coarser than an attack: it finds a second look that only near guesses get, such as a query or a hash."""
    access = Access(
        house.keypool.catalogue, lambda: house.keypool.preferences.current, house.keypool.vault.digest, time.time
    )
    took = {"near": [], "far": []}
    for number in range(GUESSES):
        end = f"{number:06x}"
        for kind, guess in (("near", house.auth_key[:-6] + end), ("far", "sk-pool-" + "0" * 26 + end)):
            environ = {"HTTP_AUTHORIZATION": f"Bearer {guess}", "QUERY_STRING": ""}
            began = time.perf_counter()
            with pytest.raises(Fault):
                access.caller(environ, "openai")
            took[kind].append(time.perf_counter() - began)
    near, far = (statistics.median(took[kind]) for kind in ("near", "far"))
    assert 1 / NEAR_ENOUGH < near / far < NEAR_ENOUGH

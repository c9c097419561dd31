"""What two workers make of the same form at the same moment, on either database: one deed, one answer."""

import gevent
import pytest
from sqlalchemy import text

from pool.adapters import queries
from pool.adapters.inventory import Inventory
from pool.adapters.queries.drafts import KEPT_S, LONGEST_S
from pool.adapters.vault import open_vault
from pool.core.catalogue import Catalogue
from pool.core.twice import AnsweredBefore, NameTaken

NOW = 1_790_000_000.0


@pytest.fixture
def vault(either, tmp_path):
    either.write(lambda session: session.execute(text("DELETE FROM meta")) and None)
    return open_vault(either, tmp_path, "some passphrase")


@pytest.fixture
def inventory(either, vault):
    inventory = Inventory(either, vault, Catalogue(), lambda line: None, lambda: NOW)
    inventory.found({})
    inventory.load()
    yield inventory
    for table in ("client_keys", "pools", "meta"):
        either.write(lambda session, table=table: session.execute(text(f"DELETE FROM {table}")) and None)


def at_once(*asked):
    """What each of them is told: a value, or the exception it raised."""

    def told(each):
        try:
            return each()
        except (AnsweredBefore, NameTaken) as error:
            return type(error)

    return [each.get() for each in [gevent.spawn(told, each) for each in asked]]


def default_pool(inventory):
    return inventory._catalogue.default_pool_id


def test_a_form_makes_one_user_key(inventory, either, vault):
    pool = default_pool(inventory)
    told = at_once(*[lambda: inventory.create_client("one", pool, form="1:client:abc")] * 4)
    assert told.count(AnsweredBefore) == 3
    ((client_id, token),) = (each for each in told if each is not AnsweredBefore)
    sealed = either.read(queries.answer, "1:client:abc", NOW)
    assert vault.decrypt(sealed) == f"{client_id}\n{token}"
    assert len(either.read(queries.client_rows)) == 1
    assert token not in sealed.decode()


def test_a_name_is_given_once(inventory, either):
    pool = default_pool(inventory)
    for make in (lambda: inventory.create_client("one", pool), lambda: inventory.create_pool("one")):
        assert at_once(make, make, make).count(NameTaken) == 2
    assert [row.name for row in either.read(queries.pool_rows)] == ["default", "one"]


def test_a_form_regenerates_once(inventory, either):
    pool, old = default_pool(inventory), inventory.auth_key(default_pool(inventory))
    told = at_once(*[lambda: inventory.regenerate_auth(pool, 600.0, form="1:auth:abc")] * 3)
    assert told.count(AnsweredBefore) == 2
    assert inventory.auth_key(pool) in told
    assert len(inventory._catalogue.credentials) == 2
    assert old != inventory.auth_key(pool)


def test_what_did_not_come_to_pass_has_no_answer(inventory, either):
    pool = default_pool(inventory)
    inventory.create_client("one", pool)
    with pytest.raises(NameTaken):
        inventory.create_client("one", pool, form="1:client:abc")
    assert either.read(queries.answer, "1:client:abc", NOW) is None
    inventory.create_client("two", pool, form="1:client:abc")


def test_a_draft_is_taken_in_by_one_who_may_give_up(inventory, either):
    either.write(queries.keep_draft, "t", b"sealed", NOW)
    begin = [lambda: either.write(queries.begin_import, "t", NOW)] * 4
    assert sorted(at_once(*begin)) == [False, False, False, True]
    assert either.read(queries.import_result, "t", NOW) == ""
    assert either.read(queries.draft, "t", NOW) == b"sealed"
    either.write(queries.give_up_import, "t")
    assert either.read(queries.import_result, "t", NOW) is None
    assert either.write(queries.begin_import, "t", NOW)
    either.write(queries.end_import, "t", "told", NOW)
    assert either.read(queries.import_result, "t", NOW) == "told"
    assert either.read(queries.draft, "t", NOW) is None
    assert not either.write(queries.begin_import, "t", NOW)


def test_a_draft_whose_taker_came_to_grief_can_be_taken_in(inventory, either):
    either.write(queries.keep_draft, "t", b"sealed", NOW)
    assert either.write(queries.begin_import, "t", NOW)
    assert not either.write(queries.begin_import, "t", NOW + LONGEST_S - 1)
    assert either.write(queries.begin_import, "t", NOW + LONGEST_S + 1)


def test_everything_of_forms_is_forgotten_in_time(inventory, either):
    pool = default_pool(inventory)
    inventory.create_client("one", pool, form="1:client:abc")
    either.write(queries.keep_draft, "a", b"sealed", NOW)
    either.write(queries.keep_draft, "b", b"sealed", NOW)
    either.write(queries.begin_import, "a", NOW)
    either.write(queries.end_import, "b", "told", NOW)
    assert kept(either) == ["answer", "draft", "result", "taking"]
    either.write(queries.forget_stale, NOW + 601)
    assert kept(either) == ["draft", "result", "taking"]
    either.write(queries.forget_stale, NOW + KEPT_S + 1)
    assert kept(either) == []


def kept(database):
    names = database.read(lambda session: list(session.scalars(text("SELECT name FROM meta ORDER BY name"))))
    return [name.split(":")[0] for name in names if ":" in name]

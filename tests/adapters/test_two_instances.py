"""Two whole instances over one PostgreSQL and one Redis: what one allows, refuses or rests, the other does, too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import gevent
import pytest
from redis import Redis
from sqlalchemy import URL
from werkzeug.test import Client

from pool.web.guessing import GLOBAL
from tests.adapters.conftest import scratch_postgres
from tests.adapters.redis_kit import eventually
from tests.house import GEMINI_KEYS, PASSWORD, House, open_house
from tests.redis_server import RedisServer, found
from tests.upstream import gemini_error
from tests.web.visitor import Visitor

FLASH = "gemini-2.5-flash"


@pytest.fixture(scope="module")
def pair(
    instance_template: Path, tmp_path_factory: pytest.TempPathFactory, postgres_server: URL
) -> Iterator[tuple[House, House]]:
    folder = tmp_path_factory.mktemp("two")
    found(url_will_do=False)
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer(folder))
        url = stack.enter_context(scratch_postgres(postgres_server))
        variables = {"DATABASE_URL": url, "REDIS_URL": redis.url, "ADMIN_PASSWORD": PASSWORD,
                     "SECRET_KEY": "s" * 32, "KEY_ENCRYPTION_SECRET": "k" * 32}  # fmt: skip
        a = stack.enter_context(open_house(instance_template, folder / "a", **variables))
        a.add_keys(GEMINI_KEYS[0])
        yield a, stack.enter_context(open_house(instance_template, folder / "b", **variables))


@pytest.fixture
def no_guesses(pair: tuple[House, House]) -> Iterator[None]:
    """Those of one test are none of the next one's."""
    yield
    with closing(Redis.from_url(pair[0].keypool.environment.redis_url)) as client:
        for bucket in list(client.scan_iter("*login*")):
            client.delete(bucket)


def known(*houses: House) -> None:
    """The chore that each worker has, once: what the others changed."""
    for house in houses:
        house.keypool.inventory.catch_up()
        house.keypool.preferences.catch_up()


def statuses(token: str, *houses: House) -> list[int]:
    body = {"model": FLASH, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 10}
    headers = {"Authorization": f"Bearer {token}"}
    return [house.post("/v1/chat/completions", body, headers=headers).status_code for house in houses]


@pytest.mark.parametrize("limit", [{"rpd_limit": 3}, {"rpm_limit": 3}])
def test_a_limit_is_one_for_both(pair: tuple[House, House], limit: dict[str, int]) -> None:
    a, b = pair
    _, token = a.keypool.inventory.create_client(str(limit), a.default_pool_id, **limit)
    known(b)
    assert statuses(token, a, b, a, b, a) == [200, 200, 200, 429, 429]


def test_a_budget_is_one_for_both(pair: tuple[House, House]) -> None:
    a, b = pair
    _, token = a.keypool.inventory.create_client("of a budget", a.default_pool_id, budget_usd_day=0.0001)
    known(b)
    got = statuses(token, *[a, b] * 8)
    spent = got.index(429)
    assert 0 < spent < len(got)
    assert set(got[spent:]) == {429}


def test_a_key_that_rests_at_one_is_not_asked_by_the_other(pair: tuple[House, House]) -> None:
    a, b = pair
    pool_id, token = a.keypool.inventory.create_pool("of two keys")
    spent, _ = a.add_keys(*GEMINI_KEYS[1:3], pool_id=pool_id)
    known(b)
    for house in pair:
        quota_id = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
        house.upstream.for_key(GEMINI_KEYS[1], gemini_error(429, quota_id=quota_id))
    assert statuses(token, a, a) == [200, 200]
    assert a.keypool.catalogue.benches(spent)
    eventually(lambda: bool(b.keypool.catalogue.benches(spent)), within_s=2.0)
    for house in pair:
        house.upstream.requests.clear()
    assert statuses(token, b, b, b) == [200, 200, 200]
    assert {request.key for house in pair for request in house.upstream.requests} == {GEMINI_KEYS[2]}


def guess(house: House, password: str, ip: str) -> int:
    """Sign in on the page of one instance. An empty password counts like any other, and costs no hash."""
    return Client(house.app).post("/login", data={"password": password}, environ_base={"REMOTE_ADDR": ip}).status_code


def test_wrong_passwords_at_both_count_together(pair: tuple[House, House], no_guesses: None) -> None:
    a, b = pair
    ip = "192.0.2.9"
    wrong = [guess(a, "", ip), guess(b, "not the password", ip), guess(a, "", ip), guess(b, "", ip)]
    program = Client(b.app).get("/admin/keys", headers={"X-Admin-Key": "a guess"}, environ_base={"REMOTE_ADDR": ip})
    assert (wrong, program.status_code) == ([422] * 4, 401)
    for house in pair:
        assert guess(house, PASSWORD, ip) == 429, "the right one, too"
        assert guess(house, PASSWORD, "192.0.2.10") == 303, "from elsewhere"


def test_wrong_passwords_from_everywhere_at_both_count_together(pair: tuple[House, House], no_guesses: None) -> None:
    wrong = [guess(pair[n % 2], "", f"198.51.100.{n}") for n in range(GLOBAL)]
    assert wrong == [422] * GLOBAL
    assert [guess(house, PASSWORD, "203.0.113.1") for house in pair] == [429, 429]


def test_a_chore_has_one_leader_and_another_when_that_one_is_gone(pair: tuple[House, House]) -> None:
    claims = [house.keypool.chores._lead for house in pair]
    assert [claim("a chore", 0.3) for claim in (*claims, *claims)] == [True, False, True, False]
    gevent.sleep(0.35)  # a did not come back
    assert [claims[1]("a chore", 0.3), claims[0]("a chore", 0.3)] == [True, False]


def test_who_is_signed_out_at_one_is_so_at_the_other(pair: tuple[House, House]) -> None:
    a, b = pair
    visitor = Visitor(a)
    there = Visitor(b, signed_in=False)
    there.client.set_cookie("keypool", visitor.client.get_cookie("keypool").value)
    assert there.get("/keys").status_code == 200
    visitor.post("/logout")
    assert there.get("/keys").status_code == 302

"""Every page and list there is, walked once: what is stored is words and never markup, and no secret is to be read."""

import html
import re
from collections import Counter
from contextlib import closing
from dataclasses import dataclass

import pytest
import redis
from sqlalchemy import JSON, String, select, update

from pool.adapters.tables import Pool, db
from tests.house import PASSWORD
from tests.web.crawler import crawl
from tests.web.scriptless.stage import ENV_CLIENT, furnish, open_stage
from tests.web.visitor import Page, Visitor, rows_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

OURS = frozenset(
    """
    providers: slug dialect base_url
    pools: public_id policy auth_hint limits older_auth
    keys: public_id details limits max_requests_window origin
    key_health: state reason quota
    learned_limits: window unit
    imports: origin counts
    jobs: kind state via fates rows result undo
    client_keys: origin permissions allowed_ips hint
    audit: via action
    settings: name value
    meta: name value
    outcomes_hourly: side operation word
    outcomes_daily: side operation word
    counters: owner owner_id window
    requests: request_id operation dialect outcome
    attempts: why skipped outcome blamed provider
    affinity: name
    spool_positions: file
    """.strip().splitlines()
)
"""Columns that hold words, names and numbers of our own making, or what a check lets nothing else into."""

UNSEEN = {"learned_limits.project", "learned_limits.model", "learned_limits.tier", "outcomes_hourly.model"}
"""Columns that something is looked up by, and that no page shows."""


def ours(table, column):
    line = next((line.split() for line in OURS if line.split()[0] == f"{table}:"), [])
    return column in line[1:]


def hostile(number):
    """Short, for what is longer than its column is cut."""
    return f"\"'><img src=x onerror=p{number}>"


def poisoned(value, number):
    if isinstance(value, str):
        return hostile(number) + value
    if isinstance(value, list):
        return [poisoned(each, number) for each in value]
    if isinstance(value, dict):
        return {name: poisoned(each, number) for name, each in value.items()}
    return value


def poison(session):
    """Make every text of every table hostile. The answer: the columns, by the number in their text."""
    places = {}
    for table in db.metadata.tables.values():
        keys = list(table.primary_key)
        for column in table.columns:
            kind = getattr(column.type, "impl", column.type)
            if ours(table.name, column.name) or column.foreign_keys or not isinstance(kind, String | JSON):
                continue
            number = len(places) + 100
            for row in session.execute(select(*keys, column)).all():
                text = poisoned(row[-1], number)
                if text != row[-1]:
                    where = [key == value for key, value in zip(keys, row, strict=False)]
                    session.execute(update(table).where(*where).values({column.name: text}))
                    places[number] = f"{table.name}.{column.name}"
    return places


@dataclass(frozen=True, slots=True)
class Walked:
    """Every page as it was answered, the columns that were made hostile, and what is nobody's to read."""

    answers: list[tuple[str, int, str, str]]
    places: dict[int, str]
    secrets: dict[str, str]
    stored: str


ALSO = ("/pools/2", "/pools/2/edit", "/keys/6", "/keys/7", "/stat?window=1h", "/imports/50")


@pytest.fixture(scope="module")
def walked(instance_template, tmp_path_factory):
    """One walk for all that is asked of it, over a Keypool where everything is that can be, and every word hostile."""
    folder = tmp_path_factory.mktemp("walked") / "instance"
    with open_stage(instance_template, folder) as house:
        furnish(house)
        places = house.keypool.database.write(poison)
    with open_stage(instance_template, folder) as house:
        visitor = Visitor(house)
        house.chat()
        answers = [
            (address, answer.status_code, answer.mimetype, answer.get_data(as_text=True))
            for address, answer in crawl(visitor, *ALSO)
        ]
        house.chat()
        yield Walked(answers, places, secrets_of(house, visitor), everything_stored(house, folder))


def secrets_of(house, visitor):
    inventory, database = house.keypool.inventory, house.keypool.database
    ids = [row["id"] for row in rows_of(house, "keys")]
    found = {secret: f"key {key_id}" for key_id, secret in inventory.secrets(ids).items()}
    for pool_id in database.read(lambda session: list(session.scalars(select(Pool.id)))):
        found[inventory.auth_key(pool_id)] = f"auth key of pool {pool_id}"
    found |= {ENV_CLIENT: "client key", PASSWORD: "password", visitor.token: "session"}
    assert len(ids) > 100
    return {secret: name for secret, name in found.items() if secret}


def everything_stored(house, folder):
    """Every table as a dump has it, every file, and all that Redis holds."""
    parts = [repr(rows_of(house, table)) for table in db.metadata.tables]
    parts += [path.read_bytes().decode("latin-1") for path in sorted(folder.rglob("*")) if path.is_file()]
    assert any(path.suffix == ".jsonl" and path.stat().st_size for path in folder.rglob("*"))
    if house.keypool.environment.redis_url:
        with closing(redis.Redis.from_url(house.keypool.environment.redis_url)) as client:
            held = [(key, _held(client, key)) for key in client.scan_iter(count=1000)]
            assert held
            parts.append(repr(held))
    return "\n".join(parts)


def _held(client, key):
    match client.type(key):
        case b"hash":
            return client.hgetall(key)
        case b"set":
            return client.smembers(key)
        case b"zset":
            return client.zrange(key, 0, -1)
        case b"stream":
            return client.xrange(key)
        case b"list":
            return client.lrange(key, 0, -1)
    return client.get(key)


def test_no_page_fails_and_all_of_them_were_seen(walked):
    assert [(address, status) for address, status, _, _ in walked.answers if status >= 500] == []
    kinds = Counter(kind for _, _, kind, _ in walked.answers)
    assert kinds["text/html"] > 200
    assert kinds["application/json"] > 30
    assert kinds["text/csv"] > 5


def test_no_word_anybody_stored_is_markup_on_any_page(walked):
    wrong, seen = [], set()
    for address, _, kind, text in walked.answers:
        if kind != "text/html":
            continue
        seen |= {int(number) for number in re.findall(r"onerror=p(\d+)", html.unescape(text))}
        for node in Page(text).root.walk():
            if node.get("src") == "x" or any(name.startswith("on") for name in node.attrs):
                wrong.append((address, node.tag, node.attrs))
        if "<img src=x" in text:
            wrong.append((address, text.partition("<img src=x")[2][:60]))
    assert wrong == []
    assert {walked.places[number] for number in walked.places.keys() - seen} == UNSEEN


def test_no_secret_is_in_any_page_list_or_document(walked):
    secret = re.compile("|".join(map(re.escape, walked.secrets)))
    found = {(walked.secrets[each], address) for address, _, _, text in walked.answers
             for each in secret.findall(html.unescape(text))}  # fmt: skip
    assert {each for each in found if not may_show(*each)} == set()
    assert found, "the search finds what is there"


def may_show(name, address):
    """A predecessor's clients read a pool's auth key from the pool itself; no list has it, and no page."""
    return re.fullmatch(r"auth key of pool (\d+) /(api|admin)/pools/\1", f"{name} {address}") is not None


def test_no_secret_is_in_a_table_a_file_or_in_redis(walked):
    assert {name for secret, name in walked.secrets.items() if secret in walked.stored} == set()

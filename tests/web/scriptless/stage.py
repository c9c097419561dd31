"""A Keypool in which every state occurs, and whose templates tell which of their controls came to be on a page."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jinja2 import BaseLoader, Environment
from sqlalchemy import select

from pool.adapters import queries
from pool.adapters.passwords import Cost, Passwords
from pool.adapters.tables import Import, Job
from pool.core.keys import FOREVER
from tests.house import GEMINI_KEYS, OPENAI_KEYS, PASSWORD, House, open_house
from tests.upstream import gemini_error, refuse_key
from tests.web.visitor import Visitor

ENV_KEY = "AIzaSyEnviron0001" + "e" * 22
ENV_CLIENT = "sk-" + "e" * 48
UNKNOWN_KEY = "Zq8" * 12
BINNED, SPENT, REFUSED, RESEARCH, ELSEWHERE, NAMED, OFF_FOR_GOOD, OFF_FOR_NOW, IDLE = GEMINI_KEYS
PRO, FLASH = "gemini-2.5-pro", "gemini-2.5-flash"
DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
BODY = {"model": PRO, "messages": [{"role": "user", "content": "Hello"}]}
UNDER_WAY = "a-paste-whose-keys-are-being-taken-in"
TESTED = "a-paste-whose-keys-are-tested"
PLAIN = 40
"""Keys without a story: more than a page shows."""

CHANGED = {"public_stats": True, "safety_preset": "google_default", "heartbeat_s": 3.0, "default_model_name": PRO,
           "include_thoughts": True}  # fmt: skip
"""Settings that are not at their default: a switch, a choice, a number, a text."""

_CONTROL = re.compile(r"<(a|button|form|input|select|textarea)\b")


@contextmanager
def open_stage(template: Path, folder: Path) -> Iterator[House]:
    with open_house(template, folder, API_KEYS=ENV_KEY, PROXY_API_KEY=ENV_CLIENT) as house:
        house.keypool.inventory.bin_keys([1])  # as if there was none yet
        yield house


def furnish(house: House) -> None:
    keypool, inventory = house.keypool, house.keypool.inventory
    # A hash of the usual cost takes half a second, and passwords are typed often here.
    keypool.passwords = Passwords(Cost(2**10))
    keypool.database.write(queries.set_password, keypool.passwords.encode(PASSWORD))
    inventory.restore_keys([1])
    inventory.update_pool(house.default_pool_id, description="Everybody's keys")
    research, token = inventory.create_pool(
        "research", policy="weighted", allowed_models=["gemini-*"], fallback_pool_id=house.default_pool_id
    )
    inventory.create_pool("spare", enabled=False)
    inventory.create_pool("doomed")
    house.add_keys(*(f"AIzaSyFirst{n:04d}" + "f" * 24 for n in range(5)))  # those that are switched off on the way
    house.add_keys(SPENT, REFUSED, RESEARCH, pool_id=research, project="lab-1", tags=("paid",), weight=5)
    house.add_keys(OPENAI_KEYS[0])
    house.add_keys(NAMED, name="laptop of Ann", note="spare", email="ann@example.com", weight=0)
    house.add_keys(NAMED, ELSEWHERE, pool_id=research)
    for_good, for_now, idle, binned = house.add_keys(OFF_FOR_GOOD, OFF_FOR_NOW, IDLE, BINNED)
    inventory.set_disabled([for_good], FOREVER)
    inventory.set_disabled([for_now], time.time() + 7_200)
    inventory.set_checked([idle], time.time() - 600)
    inventory.bin_keys([binned])
    house.add_keys(*(f"AIzaSyPlain{n:04d}" + "p" * 24 for n in range(PLAIN)))
    _call(house, token)
    _give_out(house, research)
    inventory.create_provider("local", dialect="openai", base_url="https://models.test/v1", enabled=False)
    house.add_keys("local-key-of-ours", provider="local")
    house.set(**CHANGED)
    keypool.database.write(queries.keep_draft, UNDER_WAY, b"", time.time())
    keypool.database.write(queries.begin_import, UNDER_WAY, time.time())
    keypool.database.write(queries.keep_draft, TESTED, b"", time.time())
    keypool.database.write(queries.begin_import, TESTED, time.time())
    told = {"pool_id": 1, "pool_name": "default", "fates": {"added": 2}, "counts": {}, "rejected": 0, "rejects": [],
            "import_id": None, "test_job": 1}  # fmt: skip
    keypool.database.write(queries.end_import, TESTED, json.dumps(told), time.time())
    _work(house)
    for _ in range(3):
        Visitor(house)


def _call(house: House, token: str) -> None:
    """Requests enough for two pages of them; on the way a key is spent for today and another turns out dead.

    One is a mistake of its client's, and one comes with a user key.
    """
    house.upstream.for_key(SPENT, gemini_error(429, message="You exceeded your current quota.", quota_id=DAY))
    house.upstream.for_key(REFUSED, refuse_key)
    for _ in range(3):
        house.post("/v1/chat/completions", BODY, headers={"Authorization": f"Bearer {token}"})
    for _ in range(52):
        house.chat(FLASH)
    house.upstream.script(gemini_error(400, message="There is no such field."))
    house.chat(FLASH)
    house.upstream.script(None)
    house.records()


def _give_out(house: House, research: int) -> None:
    inventory, now = house.keypool.inventory, time.time()
    for n in range(50):
        inventory.create_client(f"spare {n}", house.default_pool_id)
    _, token = inventory.create_client("for good", house.default_pool_id)
    house.post("/v1/chat/completions", BODY, headers={"Authorization": f"Bearer {token}"})
    house.records()
    inventory.create_client("for a day", research, expires_at=now + 86_400)
    inventory.create_client("expired", research, expires_at=now - 60)
    revoked, _ = inventory.create_client("revoked", research)
    inventory.revoke_client(revoked)


def _work(house: House) -> None:
    """Jobs of every state, a bin and a list of imports of more than a page each."""
    inventory, database, now = house.keypool.inventory, house.keypool.database, time.time()
    inventory.bin_keys(house.add_keys(*(f"AIzaSyBin{n:04d}" + "b" * 26 for n in range(52))))
    changed, _ = house.add_keys("AIzaSyLast0001" + "l" * 25, "AIzaSyLast0002" + "l" * 25)
    inventory.edit_keys([changed], note="ours")
    before = {"disabled": [[[None, None], [[changed, changed]]]]}
    entry = database.write(queries.add_to_trail, at=now, who="admin", via="session", ip="", action="key.disable",
                           object="job 1", before=before, after=None)  # fmt: skip
    database.write(queries.add_to_trail, at=now, who="admin", via="session", ip="", action="pool.change",
                   object=f"pool {house.default_pool_id}", before={"policy": None},
                   after={"policy": "random"})  # fmt: skip

    def begun(session: Any) -> None:
        jobs: list[dict[str, Any]] = [{"state": "done"}] * 50
        jobs += [{"state": state} for state in ("queued", "running", "running", "running")]
        jobs += [{"state": "done", "undo": {"import": 1}, "kind": "import"}, {"state": "failed", "error": "KeyError"}]
        jobs += [{"state": "done", "undo": {"audit": entry}, "rows": {"disabled": [changed]}}]
        usual_import = {"at": now, "who": "admin", "origin": "paste", "pool_id": house.default_pool_id, "name": "",
                        "counts": {"here": 1}}  # fmt: skip
        session.add_all(Import(**usual_import, ended_at=now) for _ in range(50))
        for each in jobs:
            usual = {"kind": "keys.disable", "who": "admin", "via": "session", "total": 9, "done": 4, "created_at": now}
            job = Job(**{**usual, "beat_at": now + 9_999, "fates": {"disabled": 4}, **each})
            session.add(job)
        session.flush()
        running = session.scalars(select(Job).where(Job.state == "running")).first()
        session.add(Import(**usual_import, job_id=running and running.id))

    database.write(begun)


class Marked(BaseLoader):
    """Templates whose every control and link carries where it was written, as `data-from`."""

    def __init__(self, loader: BaseLoader) -> None:
        self._loader = loader

    def get_source(self, environment: Environment, template: str) -> tuple[str, str | None, Callable[[], bool] | None]:
        source, path, fresh = self._loader.get_source(environment, template)
        return mark(source, template), path, fresh


def mark(source: str, template: str) -> str:
    lines = source.split("\n")
    return "\n".join(
        _CONTROL.sub(rf'<\1 data-from="{template}:{number} <\1>"', line) for number, line in enumerate(lines, 1)
    )


def marks(folder: Path) -> set[str]:
    """Every mark there is in a folder of templates."""
    found = set()
    for path in folder.rglob("*.html"):
        found.update(re.findall(r'data-from="([^"]+)"', mark(path.read_text(), path.relative_to(folder).as_posix())))
    return found

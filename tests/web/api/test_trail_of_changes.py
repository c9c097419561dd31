"""Every operation that changes something says in the trail who did it, by what way in, from where, and to what."""

import io
import itertools
import json
import time
from dataclasses import dataclass
from typing import Any

import gevent
import pytest

from pool.adapters import queries
from pool.adapters.passwords import Cost, Passwords
from pool.web.api.operations import OPERATIONS
from tests.adapters.foreign.schemas import gemini_balance
from tests.house import PASSWORD, open_house
from tests.web.visitor import rows_of

CHANGES_NOTHING = {
    "POST /admin/route/explain",  # a question too long for an address
    "POST /api/logout",  # ends who asks, and nobody else
}
PASSPHRASE = "a very long passphrase"
NUMBERS = itertools.count(1)


@dataclass
class Sent:
    """A request: `value` is the variable of its address, `form` stands for a body that is no JSON."""

    value: Any = None
    body: Any = None
    query: str = ""
    form: Any = None


class Stage:
    """A house in which every row of the table finds something of its own to change."""

    def __init__(self, house):
        self.house, self.keypool = house, house.keypool
        self.keypool.passwords = Passwords(Cost(2**10))
        self.keypool.database.write(queries.set_password, self.keypool.passwords.encode(PASSWORD))
        self.client = house.app.test_client(use_cookies=False)
        self.secrets = []

    def secret(self):
        self.secrets.append(f"AIzaSyTrail{next(NUMBERS):05d}" + "t" * 23)
        return self.secrets[-1]

    def key(self):
        return self.house.add_keys(self.secret())[0]

    def binned(self):
        key_id = self.key()
        self.keypool.inventory.bin_keys([key_id])
        return key_id

    def pool(self):
        pool_id, token = self.keypool.inventory.create_pool(f"pool {next(NUMBERS)}")
        self.secrets.append(token)
        return pool_id

    def holder(self):
        client_id, token = self.keypool.inventory.create_client(f"client {next(NUMBERS)}", self.house.default_pool_id)
        self.secrets.append(token)
        return client_id

    def provider(self):
        slug = f"other{next(NUMBERS)}"
        self.send("POST", "/admin/providers", {"slug": slug, "base_url": "https://other.example/v1"})
        return slug

    def imported(self):
        return self.send("POST", "/admin/keys/import?wait=1", {"text": self.secret()})["import_id"]

    def acted(self):
        told = self.send("POST", "/admin/keys/actions", {"action": "disable", "ids": [self.key()]})
        return told["undo"] if isinstance(told["undo"], int) else told["undo"]["id"]

    def dead(self):
        self.send("POST", "/admin/proxy-config", {"enabled": False})
        secret = self.secret()
        self.house.upstream.dead_keys.add(secret)
        (key_id,) = self.house.add_keys(secret)
        self.send("POST", f"/admin/keys/{key_id}/test")
        self.keypool.recorder.drain()
        return key_id

    def pool_with_key(self):
        pool_id = self.pool()
        self.house.add_keys(self.secret(), pool_id=pool_id)
        return pool_id

    def job(self):
        def work(progress):
            while True:
                progress.step()
                gevent.sleep(0.01)

        return self.keypool.jobs.begin("test", "admin", "password", work)

    def backup(self):
        backup = self.send("POST", "/admin/backup", {"password": PASSWORD, "passphrase": PASSPHRASE})
        return {"file": (io.BytesIO(backup), "keypool.backup"), "passphrase": PASSPHRASE}

    def exported(self):
        self.key()
        whole = self.send("POST", "/admin/export", {"password": PASSWORD, "format": "json"})
        return json.dumps({**whole, "keys": [{**whole["keys"][0], "key": self.secret()}]})

    def of_another_product(self, folder):
        file = gemini_balance(folder / f"{next(NUMBERS)}.db", API_KEYS=json.dumps([self.secret()]))
        return {"file": (io.BytesIO(file.read_bytes()), "default_db")}

    def send(self, method, path, body=None, form=None):
        sent = {"json": body} if body is not None else {"data": form}
        answer = self.client.open(path, method=method, headers={"X-Admin-Key": PASSWORD}, **sent)
        assert answer.status_code < 300, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json if answer.is_json else answer.data

    def trail(self):
        return rows_of(self.house, "audit")


def rows(stage, folder):
    """A body for each operation, and the address it goes to where that names something."""
    return {
        "POST /admin/keys": lambda: {"key": stage.secret()},
        "POST /admin/keys/batch": lambda: {"keys": [stage.secret()]},
        "POST /admin/keys/gemini": lambda: {"key": stage.secret()},
        "POST /admin/keys/import": lambda: {"text": stage.secret()},
        "POST /admin/keys/copy": lambda: {"ids": [stage.key()], "format": "lines", "password": PASSWORD},
        "PUT /admin/keys/<key_id>": lambda: (stage.key(), {"note": "new"}),
        "PATCH /admin/keys/<key_id>": lambda: (stage.key(), {"key": stage.secret()}),
        "DELETE /admin/keys/<key_id>": lambda: (stage.key(), None),
        "POST /admin/keys/<key_id>/toggle": lambda: (stage.key(), {"is_active": False}),
        "POST /admin/keys/<key_id>/restore": lambda: (stage.binned(), None),
        "POST /admin/keys/<key_id>/reveal": lambda: (stage.key(), {"password": PASSWORD}),
        "DELETE /admin/keys/gemini/<key_id>": lambda: (stage.key(), None),
        "POST /admin/keys/actions/<int:entry_id>/undo": lambda: (stage.acted(), None),
        "POST /admin/clients": lambda: {"name": f"client {next(NUMBERS)}"},
        "PUT /admin/clients/<int:client_id>": lambda: (stage.holder(), {"rpm_limit": 9}),
        "PATCH /admin/clients/<int:client_id>": lambda: (stage.holder(), {"rpm_limit": 9}),
        "POST /admin/keys/user": lambda: {"name": f"user {next(NUMBERS)}"},
        "PUT /admin/keys/user/<int:client_id>": lambda: (stage.holder(), {"rpm_limit": 9}),
        "PATCH /admin/keys/user/<int:client_id>": lambda: (stage.holder(), {"rpm_limit": 9}),
        "POST /admin/pools": lambda: {"name": f"pool {next(NUMBERS)}"},
        "PUT /admin/pools/<pool_id>": lambda: (stage.pool(), {"description": "new"}),
        "PATCH /admin/pools/<pool_id>": lambda: (stage.pool(), {"description": "new"}),
        "POST /api/pools": lambda: {"name": f"pool {next(NUMBERS)}", "geminiKeys": [{"key": stage.secret()}]},
        "PUT /api/pools/<pool_id>": lambda: (stage.pool(), {"description": "new"}),
        "PUT /api/pools/<pool_id>/keys": lambda: (stage.pool(), {"geminiKeys": [{"key": stage.secret()}]}),
        "POST /api/pools/<pool_id>/keys": lambda: (stage.pool(), {"geminiKeys": [{"key": stage.secret()}]}),
        "POST /api/tokens": lambda: {"action": "add", "tokens": stage.secret()},
        "POST /api/logs/settings": lambda: {"logLevel": "debug"},
        "POST /admin/providers": lambda: {"slug": f"p{next(NUMBERS)}", "base_url": "https://p.example/v1"},
        "PUT /admin/providers/<slug>": lambda: (stage.provider(), {"base_url": "https://q.example/v1"}),
        "PATCH /admin/providers/<slug>": lambda: (stage.provider(), {"base_url": "https://q.example/v1"}),
        "POST /admin/proxy-config": lambda: {"enabled": True, "baseUrl": "http://ann:Secret9@proxy.example:3128"},
        "PUT /admin/settings": lambda: {"max_attempts": 20 + next(NUMBERS) % 50},
        "PATCH /admin/settings": lambda: {"max_attempts": 20 + next(NUMBERS) % 50},
        "PUT /admin/settings/<name>": lambda: ("heartbeat_s", {"value": 20 + next(NUMBERS) % 50}),
        "PATCH /admin/settings/<name>": lambda: ("heartbeat_s", {"value": 20 + next(NUMBERS) % 50}),
        "DELETE /admin/settings/<name>": lambda: (changed_setting(stage), None),
        "POST /admin/config": lambda: {"cooldown_hours": str(20 + next(NUMBERS) % 50)},
        "POST /admin/reset": lambda: {"provider": "gemini"},
        "POST /admin/backup": lambda: {"password": PASSWORD, "passphrase": "a very long passphrase"},
        "POST /admin/export": lambda: {"password": PASSWORD, "format": "json"},
        "POST /admin/imports/<int:import_id>/undo": lambda: (stage.imported(), None),
        "DELETE /admin/keys/gemini/unhealthy": lambda: stage.dead() and Sent(),
        "POST /admin/keys/actions": lambda: {"action": "disable", "ids": [stage.key()]},
        "POST /api/pools/<pool_id>/test": lambda: (stage.pool_with_key(), None),
        "POST /admin/jobs/<int:job_id>/cancel": lambda: (stage.job(), None),
        "POST /admin/restore": lambda: Sent(query="?mode=merge&wait=true", form=stage.backup()),
        "POST /admin/import": lambda: Sent(query="?wait=true", form=stage.exported()),
        "POST /admin/import-from/<product>": lambda: Sent(
            "gemini-balance", query="?wait=true", form=stage.of_another_product(folder)
        ),
        "POST /admin/password": lambda: {"new": PASSWORD, "current": PASSWORD},
        "POST /admin/login": lambda: {"password": PASSWORD},
        "POST /api/login": lambda: {"password": PASSWORD},
    }


def changed_setting(stage):
    stage.send("PATCH", "/admin/settings", {"max_queue_s": 1 + next(NUMBERS) % 50})
    return "max_queue_s"


VARIABLES = {
    "key_id": Stage.key, "pool_id": Stage.pool, "client_id": Stage.holder, "slug": Stage.provider,
}  # fmt: skip
CHANGING = [each for each in OPERATIONS if each.method != "GET" and f"{each.method} {each.path}" not in CHANGES_NOTHING]


@pytest.fixture(scope="module")
def stage(instance_template, tmp_path_factory):
    with open_house(instance_template, tmp_path_factory.mktemp("trail") / "instance") as house:
        yield Stage(house)


def request_of(stage, operation, folder):
    made = rows(stage, folder).get(f"{operation.method} {operation.path}", lambda: None)()
    sent = made if isinstance(made, Sent) else Sent(*made) if isinstance(made, tuple) else Sent(body=made)
    begin, _, rest = operation.path.partition("<")
    variable, _, end = rest.partition(">")
    if variable and sent.value is None:
        sent.value = VARIABLES[variable.rpartition(":")[2]](stage)
    address = f"{begin}{sent.value}{end}" if variable else begin
    return operation.method, address + sent.query, sent.body, sent.form


@pytest.mark.parametrize("operation", CHANGING, ids=lambda each: f"{each.method} {each.path}")
def test_a_change_is_in_the_trail(stage, operation, tmp_path):
    asked = request_of(stage, operation, tmp_path)
    before = len(stage.trail())
    stage.send(*asked)
    # What many keys are asked for is a job's to do, and to write down.
    deadline = time.monotonic() + 5.0
    while not (entries := stage.trail()[before:]) and time.monotonic() < deadline:
        gevent.sleep(0.05)
    assert entries, f"{asked[0]} {asked[1]} changed something, and nobody will know"
    for entry in entries:
        assert (entry["who"], entry["ip"]) == ("admin", "127.0.0.1")
        assert entry["via"] == ("session" if "login" in operation.path else "password")
        assert entry["action"]
        assert entry["object"]
        told = json.dumps(entry, default=str)
        assert not [secret for secret in (*stage.secrets, PASSWORD, PASSPHRASE, "Secret9") if secret in told]


def test_every_operation_that_changes_something_is_tried():
    assert {f"{each.method} {each.path}" for each in OPERATIONS} >= CHANGES_NOTHING
    assert len(CHANGING) > 60

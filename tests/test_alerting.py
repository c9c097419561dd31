"""Alerts, from what happened in a Keypool to a receiver that listens on loopback."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from gevent.pywsgi import WSGIServer

from pool.adapters import queries
from pool.adapters.eyes import DatabaseEyes
from pool.adapters.webhook import Webhook
from pool.alerting import MINUTES, Alerting
from pool.core.keys import FOREVER
from tests.house import GEMINI_KEYS, House, open_house
from tests.upstream import gemini_error

FLASH = "gemini-2.5-flash"
SECRET = "T000-secret-of-a-chat"


class Receiver:
    """Takes what is posted; `status` is its answer."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.status = "204 No Content"
        self._server = WSGIServer(("127.0.0.1", 0), self._answer, log=None)
        self._server.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/services/{SECRET}"

    def _answer(self, environ: dict[str, Any], start: Any) -> list[bytes]:
        body = json.loads(environ["wsgi.input"].read())
        if self.status.startswith("2"):
            self.taken.append(body)
        start(self.status, [("Location", "http://127.0.0.1:1/")])
        return []

    def close(self) -> None:
        self._server.stop()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def alerting(house: House, url: str) -> Alerting:
    keypool = house.keypool
    return Alerting(
        DatabaseEyes(keypool.database, keypool.catalogue, lambda: "pacific", time.time),
        Webhook(url).tell,
        lambda: keypool.preferences.current,
        told=lambda: keypool.database.read(queries.meta, "alerts"),
        keep=lambda text: keypool.database.write(queries.set_meta, "alerts", text),
        clock=time.time,
    )


def test_a_pool_that_runs_out_of_keys_is_told_and_told_to_be_well_again(house: House, receiver: Receiver) -> None:
    ids = house.add_keys(*GEMINI_KEYS[:3])
    house.set(alert_keys_below=3)
    alerts = alerting(house, receiver.url)
    for _ in range(2):
        alerts.look()
    assert receiver.taken == []
    house.keypool.inventory.set_disabled(ids[:1], FOREVER)
    for _ in range(3):
        alerts.look()
    (first,) = receiver.taken
    assert first["text"] == first["content"] == "Keypool: pool “default” has 2 keys that can serve, fewer than 3."
    del first["text"], first["content"]
    assert first == {"alert": "keys_low", "state": "firing", "subject": "default", "value": 2, "threshold": 3}
    house.keypool.inventory.set_disabled(ids[:1], None)
    # Another worker takes over.
    alerts = alerting(house, receiver.url)
    for _ in range(3):
        alerts.look()
    assert [each["state"] for each in receiver.taken[1:]] == ["resolved"]


def test_requests_that_fail_are_told_and_a_clients_own_mistakes_are_not(house: House, receiver: Receiver) -> None:
    house.add_keys(GEMINI_KEYS[0])
    house.set(alert_success_below=90)
    alerts = alerting(house, receiver.url)
    alerts.look()
    house.upstream.script(gemini_error(400, message="No such field."))
    for _ in range(30):
        house.chat(FLASH)
    house.records()
    for _ in range(3):
        alerts.look()
    assert receiver.taken == []
    house.upstream.script(gemini_error(500, message="Internal."))
    for _ in range(30):
        house.chat(FLASH)
    house.records()
    for _ in range(2):
        alerts.look()
    assert [(each["alert"], each["state"], each["value"]) for each in receiver.taken] == [("success_low", "firing", 0)]
    house.upstream.script(None)
    house.keypool.inventory.end_cooldowns([1])
    for _ in range(MINUTES):  # until the failures are older than what is looked at
        house.chat(FLASH)
        house.chat(FLASH)
        house.records()
        alerts.look()
    alerts.look()
    assert [each["state"] for each in receiver.taken] == ["firing", "resolved"]


def serve(house: House, requests: int) -> None:
    for _ in range(requests):
        answer = house.chat(FLASH)
        assert answer.status_code == 200, answer.text
    house.records()


def test_a_model_that_runs_dry_before_its_quotas_return_is_told_once_and_so_is_its_end(
    instance_template: Path, tmp_path: Path, receiver: Receiver
) -> None:
    with open_house(instance_template, tmp_path / "instance", ALERT_WEBHOOK_URL=receiver.url) as house:
        (look,) = [chore.do for chore in house.keypool.chores._chores if chore.name == "tell the webhook"]
        began = datetime.now(UTC) - timedelta(hours=6)
        house.set(alert_dry_within_h=2, quota_reset=f"{began:%H}:00 UTC")
        house.add_keys(*GEMINI_KEYS[:3])
        quota = {"quota_id": "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "quota_value": "20"}
        house.upstream.for_key(GEMINI_KEYS[0], gemini_error(429, **quota))
        serve(house, 10)
        for _ in range(3):
            look()
        assert receiver.taken == [], "30 requests are left, 10 were made in the last hour or two"
        serve(house, 25)
        for _ in range(4):
            look()
        (dry,) = receiver.taken
        assert (dry["alert"], dry["state"], dry["subject"], dry["threshold"]) == ("runs_dry", "firing", FLASH, 2)
        assert 0 < dry["value"] < 2 * 5 / 35
        assert dry["text"].startswith(f"Keypool: model “{FLASH}” runs dry in 0.")
        house.add_keys(*GEMINI_KEYS[3:])
        for _ in range(4):
            look()
        assert [each["state"] for each in receiver.taken] == ["firing", "resolved"]
        assert receiver.taken[1]["value"] is None or receiver.taken[1]["value"] > 2


def test_what_is_not_taken_is_told_again_and_no_log_holds_the_address(
    house: House, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    house.add_keys(GEMINI_KEYS[0])
    house.set(alert_keys_below=2)
    alerts = alerting(house, receiver.url)
    with caplog.at_level(logging.DEBUG):
        for receiver.status in ("500 No", "302 Found", "404 Gone"):
            alerts.look()
            alerts.look()
        nobody = alerting(house, f"http://127.0.0.1:1/{SECRET}")
        for _ in range(2):
            nobody.look()
    assert receiver.taken == []
    assert "not delivered" in caplog.text
    assert SECRET not in "\n".join(each.getMessage() for each in caplog.records if each.name.startswith("pool"))
    assert SECRET not in repr(Webhook(receiver.url))
    receiver.status = "200 OK"
    alerts.look()
    assert len(receiver.taken) == 1


def test_a_chore_looks_where_an_address_is_named(instance_template: Any, tmp_path: Any, receiver: Receiver) -> None:
    with open_house(instance_template, tmp_path / "instance", ALERT_WEBHOOK_URL=receiver.url) as house:
        assert "tell the webhook" in [chore.name for chore in house.keypool.chores._chores]
    with open_house(instance_template, tmp_path / "another") as house:
        assert "tell the webhook" not in [chore.name for chore in house.keypool.chores._chores]

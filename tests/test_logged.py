"""What the whole suite logs holds no secret: and it would be noticed if it did."""

from __future__ import annotations

import base64
import hashlib
import logging
from pathlib import Path

import flask
import pytest

from pool.web.redacting import Redacting
from tests.house import GEMINI_KEYS, OPENAI_KEYS, PASSWORD, House, open_house
from tests.logged import listener, told
from tests.server import CLIENT_KEY

RANDOM = hashlib.sha256(b"as good as random").digest()


@pytest.mark.parametrize(
    "secret",
    [
        *(GEMINI_KEYS[0], OPENAI_KEYS[0], "ya29." + "a" * 40, "Zq8" * 12, CLIENT_KEY),
        *(PASSWORD, "a quite long passphrase", "keypool-" + RANDOM[:16].hex(), "s" * 32),
        *(base64.urlsafe_b64encode(RANDOM).decode().rstrip("="), base64.urlsafe_b64encode(RANDOM).decode()),
    ],
    ids=range(11),
)
def test_a_secret_in_a_line_of_debugging_is_noticed(secret: str) -> None:
    logging.getLogger("pool.web.anything").debug("tried with %s", secret)
    assert listener.found
    listener.found.clear()
    assert told(f"a line\nand {secret} in another one") == [f"and {secret} in another one"]


def test_what_the_app_makes_up_is_noticed_and_a_mask_is_none(house: House) -> None:
    _, user_key = house.keypool.inventory.create_client("ann", house.default_pool_id)
    with house.app.test_client() as client:
        assert client.post("/login", data={"password": PASSWORD}).status_code == 303
        session = flask.session["_user_id"]
    assert all(map(told, (house.auth_key, user_key, session)))
    assert not told("sk-proj-...0001 AIzaSyGe...xxxx")


def test_an_error_that_quotes_a_key_is_written_without_it() -> None:
    try:
        raise ValueError(f"Consumer 'api_key:{GEMINI_KEYS[0]}' has been suspended.")
    except ValueError:
        logging.getLogger("pool").exception("request 7 failed")
    assert listener.found == []


def test_a_secret_of_the_environment_is_hidden_that_looks_like_none(instance_template: Path, tmp_path: Path) -> None:
    secrets = {"SECRET_KEY": "four quite common words", "PROXY_API_KEY": "letters-of-mine"}
    with open_house(instance_template, tmp_path / "instance", **secrets):
        text = f"{secrets['SECRET_KEY']}, {secrets['PROXY_API_KEY']}"
        record = logging.makeLogRecord({"msg": "it broke with %s", "args": (text,)})
        Redacting().filter(record)
        assert record.getMessage() == "it broke with four qui...ords, ***"

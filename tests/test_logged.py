"""What the whole suite logs holds no secret: and it would be noticed if it did."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pool.web.redacting import Redacting
from tests.house import GEMINI_KEYS, OPENAI_KEYS, PASSWORD, House, open_house
from tests.logged import listener, told
from tests.server import CLIENT_KEY


@pytest.mark.parametrize("secret", [GEMINI_KEYS[0], OPENAI_KEYS[0], CLIENT_KEY, PASSWORD])
def test_a_secret_in_a_line_of_debugging_is_noticed(secret: str) -> None:
    logging.getLogger("pool.web.anything").debug("tried with %s", secret)
    assert listener.found
    listener.found.clear()
    assert told(f"a line\nand {secret} in another one") == [f"and {secret} in another one"]


def test_an_auth_key_is_noticed_and_a_mask_is_none(house: House) -> None:
    assert told(house.auth_key)
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

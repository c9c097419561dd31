"""Fixtures of management: passwords that cost little to hash, and answers that are what the document says."""

import gevent
import pytest
from flask import request
from pydantic import TypeAdapter

from pool.adapters import queries
from pool.adapters.passwords import Cost, Passwords
from pool.web.api.operations import OPERATIONS
from tests.house import GEMINI_KEYS, OPENAI_KEYS, PASSWORD


class Counting(Passwords):
    """Hashes of a cost that tests can pay, counted."""

    def __init__(self, pause_s=0.0):
        super().__init__(Cost(2**10))
        self.verified, self.pause_s = 0, pause_s

    def verify(self, password, encoded):
        self.verified += 1
        gevent.sleep(self.pause_s)
        return super().verify(password, encoded)


@pytest.fixture
def passwords(house):
    """What the house hashes with; its password is as ever."""
    hashes = house.keypool.passwords = Counting()
    house.keypool.database.write(queries.set_password, hashes.encode(PASSWORD))
    return hashes


@pytest.fixture
def call(house, passwords):
    """Ask as the admin: the JSON of an answer that must have the status, and never holds a key."""

    def send(method, path, body=None, status=200, **options):
        options.setdefault("headers", {"X-Admin-Key": PASSWORD})
        answer = house.app.test_client().open(path, method=method, json=body, **options)
        assert answer.status_code == status, (method, path, answer.text[:500])
        assert not any(secret in answer.text for secret in (*GEMINI_KEYS, *OPENAI_KEYS)) or "/reveal" in path
        return answer.json

    return send


@pytest.fixture(autouse=True)
def true_to_the_document(request):
    """Whatever else a test looks at: an answer of management has the members its operation was told to have."""
    if "house" in request.fixturenames:
        request.getfixturevalue("house").app.after_request_funcs.setdefault("api", []).append(hold_to_the_document)


def hold_to_the_document(response):
    operation = next((each for each in OPERATIONS if f"api.{each.endpoint}" == request.endpoint), None)
    if operation is not None and response.status_code in operation.answers and response.is_json:
        model = operation.answers[response.status_code]
        if model is not None:
            TypeAdapter(model).validate_json(response.get_data())
    return response

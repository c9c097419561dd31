"""Fixtures of management: passwords that cost little to hash."""

import gevent
import pytest

from pool.adapters import queries
from pool.adapters.passwords import Cost, Passwords
from tests.house import PASSWORD


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

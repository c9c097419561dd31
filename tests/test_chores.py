"""Chores that fail: tried again, told of once whole and then once a minute, and that they work again."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import gevent
import pytest

from pool.chores import Chore, Chores


class Disk:
    """Fails as long as it is full. A second passes with every try."""

    def __init__(self) -> None:
        self.now = 0.0
        self.error: Exception | None = OSError(28, "No space left on device")

    def work(self) -> None:
        self.now += 1.0
        if self.error is not None:
            raise self.error


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def until(disk: Disk) -> Iterator[Callable[[float], None]]:
    chores = Chores([Chore("write", 0.0001, disk.work)], lambda name, ttl_s: True, lambda: disk.now)
    chores.start()

    def wait(now: float) -> None:
        with gevent.Timeout(5):
            while disk.now < now:
                gevent.sleep(0)

    yield wait
    disk.error = None
    chores.stop()


def test_a_full_disk_is_told_of_once_whole_and_then_once_a_minute(
    disk: Disk, until: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    until(185.0)
    told = [record for record in caplog.records if record.name == "pool.chores"]
    assert [bool(record.exc_info) for record in told] == [True, False, False, False]
    assert "60 times more: OSError: [Errno 28] No space left on device" in told[1].getMessage()
    assert all("\n" not in record.getMessage() for record in told)


def test_another_error_is_told_of_whole_and_so_is_the_end_of_it(
    disk: Disk, until: Callable[[float], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "pool.chores")
    until(3.0)
    disk.error = ValueError("what is this")
    until(6.0)
    disk.error = None
    until(9.0)
    disk.error = OSError(28, "No space left on device")
    until(12.0)
    told = [(record.levelname, bool(record.exc_info)) for record in caplog.records if record.name == "pool.chores"]
    assert told == [("ERROR", True), ("ERROR", True), ("INFO", False), ("ERROR", True)]

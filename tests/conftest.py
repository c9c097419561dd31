"""Fixtures of the whole suite: an app in this process (`house`), and a scripted upstream behind it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import quick_apps
from tests.house import House, make_template, open_house

quick_apps.install()

# How long an example takes says more of what else the machine does than of what is tested.
settings.register_profile("keypool", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("keypool")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Names what failed to `tools/run_tests.py`, which runs it once more."""
    if report.failed and (file := os.environ.get("KEYPOOL_TEST_FAILED")):
        with Path(file).open("a") as failed:
            failed.write(f"{report.nodeid}\n")


@pytest.fixture(scope="session")
def instance_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("template"))


@pytest.fixture
def house(instance_template: Path, tmp_path: Path) -> Iterator[House]:
    """The app with an empty pool `default`."""
    with open_house(instance_template, tmp_path / "instance") as house:
        yield house

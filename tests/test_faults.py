"""The fault suite, played small: no error that need not be, no row lost, no key blamed that did nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from faults import matrix, restarts, services, upstreams
from faults.figures import Figures, table
from tests.redis_server import found

pytestmark = pytest.mark.slow

REQUESTS = 8
RESTARTED = 3000


def hold(rows: Sequence[Figures]) -> None:
    assert {row.fault: row.wrong for row in rows if row.wrong} == {}, table(rows)


def test_a_fault_of_an_upstream_is_seen_by_nobody_while_a_key_is_well_and_told_where_none_is(
    instance_template: Path, tmp_path: Path
) -> None:
    hold(upstreams.run(instance_template, tmp_path, REQUESTS))


def test_neither_the_disk_nor_files_nor_clients_cost_a_request_or_its_row(
    instance_template: Path, tmp_path: Path
) -> None:
    hold(matrix.on_one_server(instance_template, tmp_path))


@pytest.mark.timeout(600)
def test_neither_kills_nor_clocks_nor_a_full_disk_cost_a_request_or_its_row(
    instance_template: Path, tmp_path: Path
) -> None:
    hold(matrix.on_servers_of_their_own(instance_template, tmp_path))


@pytest.mark.timeout(600)
def test_everything_may_restart_under_load_one_after_another(tmp_path: Path) -> None:
    found(url_will_do=False)
    if services.missing():
        pytest.skip(f"not on PATH: {', '.join(services.missing())}")
    # Redis first: the most that can be counted twice is counted while the instances restart after it.
    steps = (restarts.REDIS_KILL, *range(restarts.REDIS_KILL))
    rows = restarts.run(tmp_path / "restarts", RESTARTED, steps, pause_s=0.03)
    hold(rows)
    assert rows[-1].sent >= RESTARTED

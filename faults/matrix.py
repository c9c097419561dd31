"""All faults there are, in the order of the table."""

from __future__ import annotations

from pathlib import Path

from faults import clients, machine, own, restarts, services, upstreams
from faults.figures import Figures
from tests.house import make_template

SHARING = (*own.SHARING, *machine.SHARING, *clients.SHARING)


def run(folder: Path, requests: int, restarted: int) -> list[Figures]:
    """`requests` to each fault of an upstream, and at least `restarted` while everything restarts."""
    template = make_template(folder / "template")
    (folder / "upstreams").mkdir()
    rows = upstreams.run(template, folder / "upstreams", requests)
    rows += on_one_machine(template, folder)
    if not services.missing():
        rows += restarts.run(folder / "restarts", restarted)
    return rows


def on_one_machine(template: Path, folder: Path) -> list[Figures]:
    """Every fault of a server with SQLite, and all that clients and admins do."""
    rows = []
    with own.house(template, _made(folder / "shared")) as at:
        for shared in SHARING:
            at.fresh()
            rows.append(shared(at))
    rows += [alone(template, _made(folder / alone.__name__)) for alone in (*own.ALONE, *machine.cases(folder))]
    return rows


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder

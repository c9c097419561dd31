"""All faults there are, in the order of the table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gevent.pool import Pool

from faults import clients, machine, own, restarts, services, upstreams
from faults.figures import Figures
from tests.house import make_template

AT_ONCE = 2
SHARING = (*own.SHARING, *machine.SHARING, *clients.SHARING)


def run(folder: Path, requests: int, restarted: int) -> list[Figures]:
    """`requests` to each fault of an upstream, and at least `restarted` while everything restarts."""
    template = make_template(folder / "template")
    (folder / "upstreams").mkdir()
    rows = upstreams.run(template, folder / "upstreams", requests)
    rows += on_one_server(template, folder) + on_servers_of_their_own(template, folder)
    if not services.missing():
        rows += restarts.run(folder / "restarts", restarted)
    return rows


def on_one_server(template: Path, folder: Path) -> list[Figures]:
    """What a server with SQLite goes on after, and all that clients and admins do: one after another."""
    rows = []
    with own.house(template, _made(folder / "shared")) as at:
        for shared in SHARING:
            at.fresh()
            rows.append(shared(at))
    return rows


def on_servers_of_their_own(template: Path, folder: Path) -> list[Figures]:
    """What ends a server, or takes a machine made for it. A few at a time: they wait more than they work."""

    def play(alone: Callable[[Path, Path], Figures]) -> Figures:
        return alone(template, _made(folder / alone.__name__))

    return Pool(AT_ONCE).map(play, (*own.ALONE, *machine.cases(folder)))


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder

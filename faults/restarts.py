"""Two instances over PostgreSQL and Redis, while each of the four restarts in turn, gently and by force."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import gevent
import requests

from faults.asking import Load, Tally
from faults.figures import Figures
from faults.rig import QUICK, Admin, blamed, keys, of_postgres, unknown
from faults.services import Postgres, Redis, free_ports
from tests.house import PASSWORD
from tests.server import CLIENT_KEY, Server
from tests.upstream import ScriptedUpstream

CLIENTS = 8
AWAY_S = 0.7
"""How long PostgreSQL and Redis stay away."""

CALM_S = 0.5
SECRET = "a secret of the fault suite, the same for both"
GENTLY_A, GENTLY_B, FORCE_A, FORCE_B, POSTGRES, POSTGRES_CRASH, REDIS, REDIS_KILL = range(8)
"""Places in `STEPS`."""


@dataclass(slots=True)
class Pair:
    """Two instances, what they share, and what an admin was told is stored."""

    servers: list[Server]
    postgres: Postgres
    redis: Redis
    upstream: ScriptedUpstream
    added: list[str] = field(default_factory=list)

    @property
    def ports(self) -> list[int]:
        return [server.port for server in self.servers]


@contextmanager
def pair(folder: Path) -> Iterator[Pair]:
    with ExitStack() as stack:
        first, second, of_postgres, of_redis = free_ports(4)
        postgres = stack.enter_context(Postgres(of_postgres))
        redis = Redis(_made(folder / "redis"), of_redis)
        stack.enter_context(redis)
        upstream = stack.enter_context(ScriptedUpstream())
        shared = {
            "DATABASE_URL": postgres.url, "REDIS_URL": redis.url, "SECRET_KEY": SECRET, "KEY_ENCRYPTION_SECRET": SECRET,
            "ADMIN_PASSWORD": PASSWORD, "OPENAI_API_KEYS": ",".join(keys("two", 4)),
        }  # fmt: skip
        servers = []
        for port in (first, second):
            server = Server(_made(folder / f"of-{port}"), upstream.url, PORT=str(port), **shared)
            server.port, server.url = port, f"http://127.0.0.1:{port}"
            servers.append(stack.enter_context(server))
        yield Pair(servers, postgres, redis, upstream)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _gently(server: Server) -> None:
    server.stop(within_s=30)
    server.start()


def _by_force(server: Server) -> None:
    server.kill()
    server.start()


def _postgres(two: Pair, how: signal.Signals) -> None:
    two.postgres.stop(how)
    gevent.sleep(AWAY_S)
    two.postgres.start()


def _redis(two: Pair, stop: Callable[[], None]) -> None:
    stop()
    gevent.sleep(AWAY_S)
    two.redis.start()


STEPS: tuple[tuple[str, Callable[[Pair], None]], ...] = (
    ("SIGTERM of instance A", lambda two: _gently(two.servers[0])),
    ("SIGTERM of instance B", lambda two: _gently(two.servers[1])),
    ("kill -9 of instance A", lambda two: _by_force(two.servers[0])),
    ("kill -9 of instance B", lambda two: _by_force(two.servers[1])),
    ("restart of PostgreSQL", lambda two: _postgres(two, signal.SIGINT)),
    ("crash of PostgreSQL", lambda two: _postgres(two, signal.SIGQUIT)),
    ("restart of Redis, empty", lambda two: _redis(two, two.redis.stop)),
    ("kill -9 of Redis, empty", lambda two: _redis(two, two.redis.kill)),
)


def _keep_adding(two: Pair, token: str) -> None:
    """An admin who adds a key again and again, and remembers those that were confirmed."""
    while True:
        (secret,) = keys("new", 1)
        for server in two.servers:
            try:
                Admin(server.url, token).add_keys("default", "openai", [secret])
            except requests.RequestException:
                continue
            two.added.append(secret)
            break
        gevent.sleep(0.3)


@dataclass(slots=True)
class Step:
    name: str
    sent: int
    calls: int
    told: int
    silent: int
    moved: int
    words: set[str]


def run(folder: Path, count: int, which: Sequence[int] = range(len(STEPS)), pause_s: float = 0.0) -> list[Figures]:
    """At least `count` requests while everything restarts; a row a step, and one of it all."""
    chosen = [STEPS[number] for number in which]
    with pair(folder) as two:
        admin = Admin(two.servers[0].url)
        admin.set(**QUICK)
        load = Load(two.ports, CLIENT_KEY, CLIENTS, pause_s)
        adding = gevent.spawn(_keep_adding, two, admin.token)
        steps = []
        for number, (name, act) in enumerate(chosen, 1):
            steps.append(_step(two, load, name, act, number * count // len(chosen)))
        adding.kill()
        tally = load.stop()
        for server in two.servers:
            server.stop(within_s=30)
        return _figures(two, steps, tally)


def _step(two: Pair, load: Load, name: str, act: Callable[[Pair], None], until: int) -> Step:
    tally, calls = load.tally, len(two.upstream.requests)
    before = (tally.sent, tally.told, tally.silent, tally.moved)
    act(two)
    gevent.sleep(CALM_S)
    while tally.sent < until:
        gevent.sleep(0.05)
    sent, told, silent, moved = (
        now - then for now, then in zip((tally.sent, tally.told, tally.silent, tally.moved), before, strict=True)
    )
    words, tally.words = tally.words, set()
    return Step(name, sent, len(two.upstream.requests) - calls, told, silent, moved, words)


def _figures(two: Pair, steps: list[Step], tally: Tally) -> list[Figures]:
    rows = of_postgres(two.postgres.url)
    lost = unknown(rows, tally.ids)
    hints = {row[0] for row in rows("SELECT hint_suffix FROM keys")}
    gone = sum(secret[-4:] not in hints for secret in two.added)
    broken = (f"{gone} keys lost",) if gone else ()
    ((pool_id,),) = rows("SELECT id FROM pools WHERE is_default")
    found = [
        Figures(
            step.name, step.sent, step.calls, step.told, step.silent, broken=tuple(step.words),
            note=f"{step.moved} went to the other",
        )
        for step in steps
    ]  # fmt: skip
    whole = Figures(
        "all of these", tally.sent, len(two.upstream.requests), tally.told, tally.silent, lost, blamed(rows, pool_id),
        broken=broken, note=f"{len(tally.ids):,} answers, {len(two.added)} keys added",
    )  # fmt: skip
    return [*found, whole]

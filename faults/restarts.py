"""Two instances over PostgreSQL and Redis, while each of the four restarts in turn, gently and by force."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import gevent
import requests
from gevent.event import Event

from faults.asking import PLAIN, Load, Tally
from faults.figures import Figures
from faults.rig import QUICK, Admin, blamed, keys, of_postgres, unknown
from faults.services import Postgres, Redis, free_ports
from tests.house import PASSWORD
from tests.server import CLIENT_KEY, Server
from tests.upstream import ScriptedUpstream

CLIENTS = 8
WORD_S = 2.0
"""So soon one instance knows what was changed at the other."""

AWAY_S = 0.7
"""How long PostgreSQL and Redis stay away."""

CALM_S = 0.5
CAP = 400
SHARED_AGAIN_S = 15.0
"""So soon two instances that met no Redis for a while have found it (5 s) and waited for the other (7.5 s)."""

DOUBTED = CAP // 5
"""So many may be counted though nobody was answered: what was under way when a process or Redis died is one each. More
is what an instance answered alone while Redis was away: an emptied one hears of it from storage and from that instance,
and counts both, for a limit may be kept too early, but not too late."""

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


BY_FORCE = {STEPS[number][0] for number in (FORCE_A, FORCE_B)}


def _keep_adding(two: Pair, token: str, over: Event) -> None:
    """An admin who adds a key again and again, and remembers those that were confirmed."""
    while not over.wait(0.3):
        (secret,) = keys("new", 1)
        for server in two.servers:
            try:
                Admin(server.url, token).add_keys("default", "openai", [secret])
            except requests.RequestException:
                continue
            two.added.append(secret)
            break


@dataclass(slots=True)
class Capped:
    """A client key of so many requests a day, used at both instances all the while: never more may be answered."""

    token: str
    two: Pair
    answered: int = 0
    refused: int = 0
    wrong: set[str] = field(default_factory=set)

    def keep_asking(self, over: Event) -> None:
        number = 0
        while not over.wait(0.05):
            number += 1
            self.ask(self.two.ports[number % 2])

    def ask(self, port: int) -> int:
        """The status; 0 where the instance is away."""
        url, headers = f"http://127.0.0.1:{port}/v1/chat/completions", {"Authorization": f"Bearer {self.token}"}
        try:
            answer = requests.post(url, data=PLAIN, headers=headers, timeout=30)
        except requests.RequestException:
            return 0
        self.answered += answer.status_code == 200
        self.refused += answer.status_code == 429
        if answer.status_code not in (200, 429, 503):
            self.wrong.add(answer.text[-200:])
        return answer.status_code

    def figures(self) -> Figures:
        """Whatever restarted, both instances agree in the end on what is left, and then that nothing is."""
        deadline = time.monotonic() + SHARED_AGAIN_S
        while self.answered < CAP and time.monotonic() < deadline:
            if [self.ask(port) for port in self.two.ports] == [429, 429]:
                gevent.sleep(0.5)  # each may still keep to its share
            else:
                deadline = time.monotonic() + SHARED_AGAIN_S
        broken = tuple(self.wrong)
        if [self.ask(port) for port in self.two.ports] != [429, 429]:
            broken += ("the instances do not agree that the limit is reached",)
        if not CAP - DOUBTED <= self.answered <= CAP:
            broken += (f"{self.answered - CAP:+} answers beside the limit",)
        return Figures(
            "a limit of both instances all the while", self.answered + self.refused, self.answered, self.refused,
            must_fail=None, broken=broken, note=f"{self.answered} answered of {CAP} allowed",
        )  # fmt: skip


def _made_client(admin: Admin) -> str:
    return admin.call("POST", "/admin/clients", name="capped", rpd_limit=CAP, rpm_limit=100 * CAP)["key"]


@dataclass(slots=True)
class Step:
    name: str
    sent: int
    calls: int
    told: int
    silent: int
    moved: int
    cut: int
    """Answers that had begun at an instance when it was killed: nobody can go on with them."""
    words: set[str]


def run(folder: Path, count: int, which: Sequence[int] = range(len(STEPS)), pause_s: float = 0.0) -> list[Figures]:
    """At least `count` requests while everything restarts; a row a step, and one of it all."""
    chosen = [STEPS[number] for number in which]
    with pair(folder) as two:
        admin = Admin(two.servers[0].url)
        admin.set(**QUICK)
        capped = Capped(_made_client(admin), two)
        gevent.sleep(WORD_S)
        over = Event()
        asking = gevent.spawn(capped.keep_asking, over)
        load = Load(two.ports, CLIENT_KEY, CLIENTS, pause_s)
        adding = gevent.spawn(_keep_adding, two, admin.token, over)
        steps = []
        for number, (name, act) in enumerate(chosen, 1):
            steps.append(_step(two, load, name, act, number * count // len(chosen)))
        tally = load.stop()
        # Not killed: in the middle of a connect that would leave a socket open.
        over.set()
        gevent.joinall([adding, asking], raise_error=True)
        limit = capped.figures()
        for server in two.servers:
            server.stop(within_s=30)
        return [limit, *_figures(two, steps, tally)]


def _step(two: Pair, load: Load, name: str, act: Callable[[Pair], None], until: int) -> Step:
    tally, calls = load.tally, len(two.upstream.requests)
    before = _counted(tally)
    act(two)
    gevent.sleep(CALM_S)
    while tally.sent < until:
        gevent.sleep(0.05)
    sent, told, silent, moved, cut = (now - then for now, then in zip(_counted(tally), before, strict=True))
    words, tally.words = tally.words, set()
    if name not in BY_FORCE:
        cut = 0
    return Step(name, sent, len(two.upstream.requests) - calls, told, silent - cut, moved, cut, words)


def _counted(tally: Tally) -> tuple[int, ...]:
    return tally.sent, tally.told, tally.silent, tally.moved, tally.cut


def _figures(two: Pair, steps: list[Step], tally: Tally) -> list[Figures]:
    rows = of_postgres(two.postgres.url)
    lost = unknown(rows, tally.ids)
    hints = {row[0] for row in rows("SELECT hint_suffix FROM keys")}
    gone = sum(secret[-4:] not in hints for secret in two.added)
    broken = (f"{gone} keys lost",) if gone else ()
    ((pool_id,),) = rows("SELECT id FROM pools WHERE is_default")
    found = [
        Figures(
            step.name, step.sent, step.calls, step.told, step.silent,
            broken=tuple(step.words) if step.told or step.silent else (),
            note=f"{step.moved} went to the other" + (f", {step.cut} broke off" if step.cut else ""),
        )
        for step in steps
    ]  # fmt: skip
    silent = tally.silent - sum(step.cut for step in steps)
    whole = Figures(
        "all of these", tally.sent, len(two.upstream.requests), tally.told, silent, lost,
        blamed(rows, pool_id), broken=broken, note=f"{len(tally.ids):,} answers, {len(two.added)} keys added",
    )  # fmt: skip
    return [*found, whole]

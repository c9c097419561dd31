"""What goes wrong with the machine: its clock jumps, no file is left to open, the disk is full to the last byte."""

from __future__ import annotations

import mmap
import os
import resource
import struct
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import gevent
import requests

from faults.asking import Caller, Tally
from faults.figures import Figures
from faults.own import House, house, loaded
from faults.rig import of_sqlite, unknown
from tests.server import CLIENT_KEY
from tests.upstream import SAYS, Action, Request, gemini_error, openai_stream, sse

PACIFIC = ZoneInfo("America/Los_Angeles")
FLASH = "gemini-2.5-flash"
GEMINI = tuple(f"AIzaSyClock{n:04d}" + "c" * 24 for n in range(2))
A_DAY = 3
"""So many requests a day and key the provider allows."""

DAYS = (date(2027, 3, 14), date(2027, 7, 1), date(2027, 11, 7))
"""One of 23 hours, one of 24, one of 25."""

AHEAD_S = 30 * 86_400.0
NOTICED_S = 12.0

FILES_LEFT = 8
CROWD = 40
DISK_BYTES = 12 * 2**20
SYSTEM_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
"""Debian keeps what makes disks off the path of who is not root."""

FULL_S = 2.5
LOG_UNFLUSHED = 120
"""What Python ends with whose stderr, here a file on that disk, takes no more."""

MOST_TRACEBACKS = 4
"""Of the few chores that write, one each."""


class Clock:
    """The wall clock of a server that runs with `clocked_gunicorn.py`."""

    def __init__(self, file: Path) -> None:
        file.write_bytes(bytes(8))
        with file.open("r+b") as opened:
            self._ahead = mmap.mmap(opened.fileno(), 8)

    def now(self) -> float:
        return time.time() + struct.unpack("d", self._ahead)[0]

    def set(self, to: float) -> None:
        self._ahead[:] = struct.pack("d", to - time.time())

    def jump(self, seconds: float) -> None:
        self.set(self.now() + seconds)

    def today(self) -> date:
        """As Google counts days."""
        return datetime.fromtimestamp(self.now(), PACIFIC).date()


def midnight(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=PACIFIC).timestamp()


class Google:
    """A provider whose keys have so many requests a day, by its own clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._used: Counter[tuple[str, date]] = Counter()

    def __call__(self, request: Request) -> Action | None:
        if not request.key or request.key not in GEMINI:
            return None
        self._used[request.key, self._clock.today()] += 1
        if self._used[request.key, self._clock.today()] <= A_DAY:
            return None
        quota = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
        return gemini_error(429, quota_id=quota, quota_value=str(A_DAY), retry_delay="17s")


class Asking:
    """Sends requests one after another, and notes each that came to something else than it should."""

    def __init__(self, at: House, clock: Clock) -> None:
        self.at, self.clock = at, clock
        self.tally = Tally()
        self.due = 0
        self.broken: list[str] = []

    def ask(self, refused: bool = False, waits_s: float = 0.0) -> None:
        url = f"{self.at.server.url}/v1beta/models/{FLASH}:generateContent"
        body = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
        answer = requests.post(url, json=body, headers={"x-goog-api-key": CLIENT_KEY}, timeout=30)
        self.tally.sent += 1
        self.tally.told += answer.status_code != 200
        self.due += refused
        when = datetime.fromtimestamp(self.clock.now(), PACIFIC).isoformat(" ", "minutes")
        if (answer.status_code == 429) != refused:
            self.broken.append(f"{answer.status_code} at {when}")
        elif refused and abs(float(answer.headers["Retry-After"]) - waits_s) > 5:
            self.broken.append(f"told to wait {answer.headers['Retry-After']} s at {when}, not {waits_s:.0f}")


def clock_jumps(template: Path, folder: Path) -> Figures:
    """Days of 23, 24 and 25 hours: a spent quota rests to the end of the day, and not a moment longer; then the clock
    goes back and forth by an hour, also in the middle of streams, and a month ahead and back."""
    clock = Clock(folder / "clock")
    variables = {"API_KEYS": ",".join(GEMINI), "FAULTS_CLOCK": str(folder / "clock")}
    with house(template, folder, config="faults/clocked_gunicorn.py", **variables) as at:
        asking = Asking(at, clock)
        at.upstream.script(Google(clock))
        for day in DAYS:
            begins, ends = midnight(day), midnight(day + timedelta(days=1))
            clock.set(begins + 60)
            for _ in range(A_DAY * len(GEMINI)):
                asking.ask()
            asking.ask(refused=True, waits_s=ends - clock.now())
            calls = len(at.upstream.requests)
            clock.set(ends - 30)
            asking.ask(refused=True, waits_s=30)
            if len(at.upstream.requests) != calls:
                asking.broken.append(f"keys were asked while they rested on {day}")
            clock.set(ends + 2)
            asking.ask()
        at.upstream.script(None)  # Google's clock does not go back
        for seconds in (-3600, 7200, -3600):
            clock.jump(seconds)
            asking.ask()
        _a_month_ahead_and_back(asking)
        streams = _streams_while_it_jumps(at, clock)
        told = asking.tally.told + streams.told
        broken = (*asking.broken, *streams.words)
        if "Traceback" in at.server.log:
            broken += ("Traceback in the log",)
        sent = asking.tally.sent + streams.sent
        return Figures(
            "clock jumps over the reset, DST both ways, and by an hour", sent, len(at.upstream.requests), told,
            streams.silent, at.rows_lost(sent), at.blamed(GEMINI), must_fail=asking.due, broken=broken,
            note="days of 23, 24 and 25 hours, a month ahead and back",
        )  # fmt: skip


def _a_month_ahead_and_back(asking: Asking) -> None:
    """What rests to the end of a day that is a month away is used again soon after the clock was set right."""
    upstream, clock = asking.at.upstream, asking.clock
    upstream.script(Google(clock))
    clock.jump(AHEAD_S)
    for _ in range(A_DAY * len(GEMINI)):
        asking.ask()
    asking.ask(refused=True, waits_s=midnight(clock.today() + timedelta(days=1)) - clock.now())
    clock.jump(-AHEAD_S)
    upstream.script(None)
    gevent.sleep(NOTICED_S)
    asking.ask()


def _streams_while_it_jumps(at: House, clock: Clock) -> Tally:
    at.upstream.script(sse(openai_stream([*SAYS[:-1], *[""] * 10, SAYS[-1]]), delay_s=0.1, done=True))
    tally = Tally()
    streams = [gevent.spawn(_comes, at, tally, True) for _ in range(10)]
    at.upstream.wait_until(lambda: sum(connection.idle is False for connection in at.upstream.connections) >= 10, 5)
    for seconds in (3600, -7200, 3600):
        clock.jump(seconds)
        gevent.sleep(0.2)
    gevent.joinall(streams, raise_error=True)
    return tally


def no_files_left(at: House) -> Figures:
    """The worker may open a few files more, and a crowd comes: who gets in is answered or told, the others wait."""
    tally = Tally()

    def crowd() -> None:
        pid = at.server.worker_pid()
        _, most = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        opened = len(os.listdir(f"/proc/{pid}/fd"))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (opened + FILES_LEFT, most))
        try:
            come = [gevent.spawn(_comes, at, tally) for _ in range(CROWD)]
            gevent.sleep(2.0)
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, most))
        gevent.joinall(come, raise_error=True)

    others = loaded(at.server, crowd)
    after = loaded(at.server, lambda: None)
    sent = tally.sent + others.sent + after.sent
    broken = tuple(after.words) if after.told or after.silent else ()
    return Figures(
        "no files left to open", sent, len(at.upstream.requests), tally.told + others.told + after.told,
        tally.silent + others.silent + after.silent, at.rows_lost(sent), at.blamed(), must_fail=None, broken=broken,
        note=f"{CROWD} clients come, room for {FILES_LEFT}",
    )  # fmt: skip


def _comes(at: House, tally: Tally, stream: bool = False) -> None:
    caller = Caller([at.server.port], CLIENT_KEY)
    caller.ask(tally, stream)
    caller.close()


def _as_root(*command: str) -> None:
    sudo = ("sudo", "-n") if os.geteuid() else ()
    subprocess.run([*sudo, *command], check=True, capture_output=True)


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    _as_root("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},uid={os.geteuid()}", "tmpfs", str(folder))
    try:
        yield
    finally:
        _as_root("umount", "-l", str(folder))


@contextmanager
def real_disk(folder: Path) -> Iterator[Callable[[], None]]:
    """ext4 in a file. What it yields mounts it anew, as after a restart of the machine."""
    image = folder.with_suffix(".image")
    with image.open("wb") as file:
        file.truncate(2 * DISK_BYTES)
    folder.mkdir(exist_ok=True)
    owner = f"root_owner={os.geteuid()}:{os.getegid()}"
    subprocess.run(["mkfs.ext4", "-q", "-E", owner, str(image)], check=True, env={"PATH": SYSTEM_PATH})

    def mount() -> None:
        _as_root("mount", "-o", "loop", str(image), str(folder))

    def anew() -> None:
        _as_root("umount", str(folder))
        mount()

    mount()
    try:
        yield anew
    finally:
        _as_root("umount", "-l", str(folder))


def may_mount(folder: Path) -> bool:
    """May disks be made here? With `CI=true` they must be: a row left out would look like one that held."""
    try:
        with small_disk(folder / "may-mount"), real_disk(folder / "may-mount-a-file"):
            return True
    except (OSError, subprocess.CalledProcessError):
        if os.environ.get("CI") == "true":
            raise
        return False


def disk_full(template: Path, folder: Path) -> Figures:
    """A disk of its own, filled to the last byte while requests come."""
    disk = folder / "disk"

    def fill() -> None:
        until = time.monotonic() + FULL_S
        with (disk / "filler").open("wb", buffering=0) as filler:
            while time.monotonic() < until:
                with suppress(OSError):
                    while filler.write(bytes(4096)):
                        pass
                gevent.sleep(0.05)
        (disk / "filler").unlink()

    with small_disk(disk), house(template, disk) as at:
        figures = at.figures("disk full to the last byte, the log's, too", loaded(at.server, fill), f"{FULL_S:g} s")
        tracebacks = at.server.log.count("Traceback")
        told = (f"{tracebacks} tracebacks in the log",) if tracebacks > MOST_TRACEBACKS else ()
        return replace(figures, broken=figures.broken + told)


def disk_read_only(template: Path, folder: Path) -> Figures:
    """A disk that failed, and that the kernel lets nobody write to any more, until the machine starts again.

    Clients notice nothing, a stop is a stop, and what was on the disk before is there afterwards.
    """
    disk = folder / "disk"
    with real_disk(disk) as mount_anew, house(template, disk) as at:
        before = loaded(at.server, lambda: None)
        lost = at.rows_lost(before.sent)
        os.sync()

        def fail() -> None:
            _as_root("mount", "-o", "remount,abort", str(disk))
            gevent.sleep(FULL_S)

        during = loaded(at.server, fail)
        code = at.server.stop()
        mount_anew()
        at.server.start()
        lost += unknown(of_sqlite(at.server), before.ids)
        after = loaded(at.server, lambda: None)
        broken = [*before.words, *during.words, *after.words]
        broken += [f"it ended with {code}"] if code not in (0, LOG_UNFLUSHED) else []
        return Figures(
            "disk the kernel made read-only", before.sent + during.sent + after.sent, len(at.upstream.requests),
            before.told + during.told + after.told, before.silent + during.silent + after.silent,
            lost, at.blamed(), broken=tuple(broken), note=f"{len(during.ids)} answers meanwhile",
        )  # fmt: skip


def cases(folder: Path) -> tuple[Callable[[Path, Path], Figures], ...]:
    """Each with a server of its own."""
    return (clock_jumps, disk_full, disk_read_only) if may_mount(folder) else (clock_jumps,)


SHARING = (no_files_left,)

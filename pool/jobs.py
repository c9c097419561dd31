"""Long work of the admin: jobs that any worker can show and cancel, and that never make a request wait."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import gevent
from gevent.lock import Semaphore

QUEUED, RUNNING, DONE, FAILED, CANCELLED, LOST = STATES = (
    "queued", "running", "done", "failed", "cancelled", "lost",
)  # fmt: skip

AT_ONCE = 2
"""Jobs a worker runs at a time; the others wait their turn."""

BEAT_S = 1.0
LOST_S = 30.0
"""A job that was not heard of for so long died with its process."""

KEPT_S = 7 * 86_400.0
MOST_NAMED = 1_000
"""Rows a job names of each fate; it counts them all."""

log = logging.getLogger(__name__)

Work = Callable[["Progress"], Mapping[str, Any] | None]


class Cancelled(Exception):
    """Somebody asked the work to stop. What it did so far stays."""


class Rows(Protocol):
    """Where jobs are written down: `pool.adapters.jobs.JobRows`."""

    def add(self, values: Mapping[str, Any]) -> int: ...
    def tell(self, job_id: int, values: Mapping[str, Any]) -> bool: ...
    def ask_to_cancel(self, job_id: int) -> bool: ...
    def bury(self, state: str, before: float, now: float) -> None: ...
    def forget(self, before: float) -> None: ...


class Progress:
    """How far a piece of work is. Counting costs no SQL: it is written down once a second."""

    def __init__(self, total: int = 0) -> None:
        self.job_id = 0
        self.total = total
        self.done = 0
        self.fates: Counter[str] = Counter()
        self.rows: dict[str, list[Any]] = {}
        self.undo: Mapping[str, Any] | None = None
        self.cancel_asked = False

    def step(self, n: int = 1, fate: str = "", ids: Iterable[Any] = ()) -> None:
        """`n` rows more are done. Raises `Cancelled` where somebody asked to, unless all of `total` are.

        To be called between slices, each of which is whole in itself. `fate` is what became of these rows, `ids`
        name them (ids, or what JSON can hold).
        """
        self.done += n
        self.note(fate, n, ids)
        if self.cancel_asked and (not self.total or self.done < self.total):
            raise Cancelled

    def note(self, fate: str, n: int = 1, ids: Iterable[Any] = ()) -> None:
        """Count rows of one fate without going on: a slice may hold several."""
        if fate and n:
            self.fates[fate] += n
            named = self.rows.setdefault(fate, [])
            named.extend(each for each, _ in zip(ids, range(MOST_NAMED - len(named)), strict=False))


class Jobs:
    """Runs each job in a greenlet of its own, two at a time."""

    def __init__(self, rows: Rows, clock: Callable[[], float]) -> None:
        self._rows = rows
        self._clock = clock
        self._slots = Semaphore(AT_ONCE)
        self._live: dict[int, Progress] = {}
        self._greenlets: dict[int, gevent.Greenlet] = {}
        self._beating: gevent.Greenlet | None = None
        self._stopping = False

    def begin(
        self, kind: str, who: str, via: str, work: Work, total: int = 0, undo: Mapping[str, Any] | None = None
    ) -> int:
        """Have work done beside requests; the job's id.

        What `work` returns, which JSON must be able to hold, is the job's result. It runs outside of any request.
        `undo` is whatever can take the work back; the work may say it later, as `progress.undo`.
        """
        now = self._clock()
        progress = Progress(total)
        progress.undo = undo
        values = {"kind": kind, "state": QUEUED, "who": who, "via": via, "total": total, "undo": undo}
        job_id = progress.job_id = self._rows.add({**values, "created_at": now, "beat_at": now})
        self._live[job_id] = progress
        self._greenlets[job_id] = gevent.spawn(self._run, job_id, progress, work)
        self._keep_beating()
        return job_id

    def cancel(self, job_id: int) -> bool:
        """Ask a job to stop after the slice it is at, whoever runs it; False where it is over or there is none."""
        asked = self._rows.ask_to_cancel(job_id)
        if asked and job_id in self._live:
            self._live[job_id].cancel_asked = True
        return asked

    def wait(self, job_id: int, timeout_s: float | None = None) -> bool:
        """Wait for a job of this worker; whether it is over."""
        greenlet = self._greenlets.get(job_id)
        if greenlet is not None:
            greenlet.join(timeout_s)
        return job_id not in self._live

    def stop(self, timeout_s: float = 5.0) -> None:
        """The process ends: what runs is asked to stop, and what does not is lost."""
        self._stopping = True
        for progress in self._live.values():
            progress.cancel_asked = True
        gevent.joinall(list(self._greenlets.values()), timeout=timeout_s)
        gevent.killall(list(self._greenlets.values()), timeout=timeout_s)

    def tidy(self) -> None:
        """Call dead jobs lost, and forget those that ended long ago."""
        now = self._clock()
        self._keep_beating()
        self._rows.bury(LOST, now - LOST_S, now)
        self._rows.forget(now - KEPT_S)

    def _run(self, job_id: int, progress: Progress, work: Work) -> None:
        state, result, error = LOST, None, ""
        try:
            with self._slots:
                self._tell(job_id, progress, state=RUNNING, started_at=self._clock())
                if progress.cancel_asked:
                    raise Cancelled
                result = work(progress)
            state = DONE
        except Cancelled:
            state = LOST if self._stopping else CANCELLED
        except Exception as failure:
            log.exception("job %d failed", job_id)
            state, error = FAILED, type(failure).__name__
        finally:
            ended = {"ended_at": self._clock(), "result": result, "error": error, "rows": progress.rows}
            try:
                self._tell(job_id, progress, state=state, undo=progress.undo, **ended)
            finally:
                del self._live[job_id], self._greenlets[job_id]

    def _keep_beating(self) -> None:
        if self._live and (self._beating is None or self._beating.dead):
            self._beating = gevent.spawn(self._beat)

    def _beat(self) -> None:
        while self._live:
            gevent.sleep(BEAT_S)
            for job_id, progress in list(self._live.items()):
                self._tell(job_id, progress)

    def _tell(self, job_id: int, progress: Progress, **more: Any) -> None:
        values = {"done": progress.done, "total": progress.total, "fates": dict(progress.fates), **more}
        if self._rows.tell(job_id, {**values, "beat_at": self._clock()}):
            progress.cancel_asked = True

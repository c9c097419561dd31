"""`make bench`: Keypool beside the yardstick, an import, and pages where very much is shown, in one run, as one table.

Each round measures everything once, one thing after another, so that a slow minute of the machine falls on all
of them; a figure is the median of the rounds. CPU is user and system time of all processes of a server, "all in":
until SETTLE_S after the last answer, so that work put off until later is on the bill.
"""

import http.client
import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from choosing import slowest_p99_us
from pages import KEYS, PASSWORD, REQUESTS, Browser, filled, served
from servers import CLIENT_KEY, DRIVER_CORES, NotRunning, Upstream, build, compiler, keypool, yardstick

ROUNDS = 3
SETTLE_S = 2
LOAD_S = 120
# What the yardstick took on the machine the aims in µs were set on.
REFERENCE_US = 670
CHOSEN_OF = (10, 1_000, 100_000)
TAKEN_IN = 10_000
PAGES = (
    "/dashboard", "/keys", "/keys?sort=-errors", "/keys?q=account+777", "/pools", "/pools/1", "/clients", "/stat",
    "/stat?window=90d", "/requests", "/requests?ended=failed", "/requests?model=gemini-2.5-flash", "/audit", "/imports",
    "/jobs", "/bin", "/providers", "/settings",
)  # fmt: skip
PROMPT = "Say in one sentence why measuring twice is cheaper than believing once. " * 12


@dataclass(frozen=True)
class Case:
    """One kind of request: who is asked, how often, how many at once, and what must come back."""

    name: str
    server: str
    model: str
    requests: int
    at_once: int
    events: int = 1
    stream: bool = False


CASES = (
    Case("yardstick", "yardstick", "gpt-bench", 3000, 32),
    Case("pass-through", "keypool", "gpt-bench", 5000, 32),
    Case("converted", "keypool", "gemini-bench", 5000, 32),
    Case("pass-through, apart", "keypool", "gpt-bench-50x20", 200, 100, 50, stream=True),
    Case("converted, apart", "keypool", "gemini-bench-50x20", 200, 100, 50, stream=True),
    Case("pass-through, at once", "keypool", "gpt-bench-50x0", 400, 50, 50, stream=True),
    Case("converted, at once", "keypool", "gemini-bench-50x0", 400, 50, 50, stream=True),
)
ALONE = (
    Case("direct, alone", "upstream", "gpt-bench", 1500, 1),
    Case("pass-through, alone", "keypool", "gpt-bench", 1500, 1),
    Case("direct, first byte", "upstream", "gpt-bench-5x0", 500, 1, 5, stream=True),
    Case("pass-through, first byte", "keypool", "gpt-bench-5x0", 500, 1, 5, stream=True),
)
MANY = Case("1,000 streams", "keypool", "gpt-bench-30x100", 1000, 1000, 30, stream=True)


@dataclass(frozen=True)
class Row:
    """A line of the table: the figure, and what it must and should be.

    `yard` is the yardstick's own CPU time of this run. Where `relative`, the aims are shares of it; else they are
    in `unit`, and speak of a machine whose yardstick takes REFERENCE_US: this one is `slower` by so many times.
    """

    title: str
    value: float | None
    unit: str
    must: float | None = None
    then: float | None = None
    yard: float | None = None
    relative: bool = False
    slower: float = 1

    def cells(self):
        aim_unit = "×" if self.relative else self.unit
        known = self.value is not None
        return (
            self.title,
            f"{figure(self.value)} {self.unit}" if known else "–",
            f"{self.value / self.yard:.3f} ×" if known and self.yard else "",
            "" if self.must is None else f"≤ {self.must:g} {aim_unit}",
            "" if self.then is None else f"≤ {self.then:g} {aim_unit}",
            self.verdict() if known and self.must is not None else "",
        )

    def verdict(self):
        if self.relative:
            return "held" if self.value / self.yard <= self.must else "missed"
        if self.value <= self.must:
            return "held"
        return "held at this machine's speed" if self.value <= self.must * self.slower else "missed"


def figure(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def wire(case, port, token=CLIENT_KEY):
    """The request as it goes on the wire: about 1 KB."""
    asked = {"model": case.model, "messages": [{"role": "user", "content": PROMPT}], "stream": case.stream}
    body = json.dumps(asked, separators=(",", ":")).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nAccept: */*\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def drive(case, port, folder, requests=None, token=CLIENT_KEY):
    """What the load generator saw; stops the run when an answer was wrong."""
    path = Path(folder, f"request-{port}")
    path.write_bytes(wire(case, port, token))
    count = requests or case.requests
    done = subprocess.run(
        [build("load"), str(port), str(min(case.at_once, count)), str(count), str(path), str(case.events)],
        capture_output=True,
        text=True,
        timeout=LOAD_S,
        preexec_fn=lambda: os.sched_setaffinity(0, DRIVER_CORES),
    )
    seen = json.loads(done.stdout) if done.stdout else {"errors": count, "first_error": done.stderr.strip()}
    if seen["errors"]:
        raise NotRunning(f"{case.name}: {seen['errors']} of {count} answers were wrong; {seen['first_error']}")
    return seen


class Run:
    """The servers of one run, and what was measured of them."""

    def __init__(self, folder):
        self.folder = folder
        self.servers = {"upstream": Upstream()}
        self.figures = {}
        self.slowest = (0.0, "")
        self.reasons = []

    def start(self, name, begin, *arguments):
        try:
            self.servers[name] = begin(self.servers["upstream"], *arguments)
        except NotRunning as reason:
            self.reasons.append(str(reason))

    def stop(self):
        for server in reversed(self.servers.values()):
            server.stop()

    def attempt(self, measure, case):
        """Measure a case whose server runs; one that fails is left out, and the reason is told."""
        if case.server not in self.servers or any(reason.startswith(f"{case.name}:") for reason in self.reasons):
            return
        try:
            measure(case)
        except NotRunning as reason:
            self.reasons.append(str(reason))
            if self.servers[case.server].process.poll() is not None:
                self.reasons.append(f"{case.server} ended: {self.servers.pop(case.server).last_words()}")

    def warm_up(self, case):
        drive(case, self.servers[case.server].port, self.folder, requests=min(case.requests, 300))

    def cpu(self, case):
        server = self.servers[case.server]
        began_s = server.cpu_s()
        seen = drive(case, server.port, self.folder)
        busy_s = server.cpu_s() - began_s
        time.sleep(SETTLE_S)
        all_in_s = server.cpu_s() - began_s
        units = seen["events"] if case.stream else seen["good"]
        self.note(case.name, busy_s / units * 1e6)
        self.note(case.name + ", all in", all_in_s / units * 1e6)
        self.note(case.name + ", a second", seen["per_s"])

    def latency(self, case):
        seen = drive(case, self.servers[case.server].port, self.folder)
        for name in ("p50_us", "p99_us", "first_byte_p50_us"):
            self.note(f"{case.name}, {name}", seen[name] / 1000)

    def memory(self, case):
        server = self.servers[case.server]
        before_mb, peak_mb, over = server.rss_mb(), [], threading.Event()

        def watch():
            while not over.wait(0.1):
                peak_mb.append(server.rss_mb())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            drive(case, server.port, self.folder)
        finally:
            over.set()
            watcher.join()
        self.note(case.name, max(peak_mb) - before_mb)

    def taking_in(self):
        """Seconds an import takes, by the API, on an instance that has no keys."""
        lines = "\n".join(f"AIzaSy{secrets.token_hex(17)[:33]}" for _ in range(TAKEN_IN))
        folder = tempfile.mkdtemp(dir=self.folder)
        server = served(folder)
        try:
            headers = {"X-Admin-Key": PASSWORD, "Content-Type": "application/json"}
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LOAD_S)
            connection.request("POST", "/login", headers=headers)  # the password is hashed once
            connection.getresponse().read()
            began_s = time.monotonic()
            connection.request("POST", "/admin/keys/import?wait=1", json.dumps({"text": lines}), headers)
            told = json.loads(connection.getresponse().read())
            self.note("import", time.monotonic() - began_s)
            if told.get("fates", {}).get("added") != TAKEN_IN:
                self.reasons.append(f"import: {str(told)[:200]}")
        finally:
            server.stop()

    def pages(self):
        """How long pages take, the least of several times, where very much is shown."""
        server = served(filled())
        try:
            browser = Browser(server)
            for path in PAGES:
                took_s = []
                for _ in range(ROUNDS + 1):
                    status, _, _, _, whole_s = browser.ask(path, {})
                    took_s.append(whole_s)
                if status != 200:
                    self.reasons.append(f"{path}: answered {status}")
                self.note("pages", min(took_s) * 1000)
                self.slowest = max(self.slowest, (min(took_s), path))
        finally:
            server.stop()

    def note(self, name, value):
        self.figures.setdefault(name, []).append(value)

    def median(self, name):
        return statistics.median(self.figures[name]) if name in self.figures else None

    def added(self, case, direct, name):
        with_proxy, without = self.median(f"{case}, {name}"), self.median(f"{direct}, {name}")
        return None if with_proxy is None else with_proxy - without


def rows(run):
    yard = run.median("yardstick, all in")
    slower = max(1.0, yard / REFERENCE_US) if yard else 1.0

    def cpu(title, name, must=None, then=None, relative=False):
        return Row(title, run.median(name), "µs", must, then, yard, relative and yard is not None, slower)

    def added(title, case, name, must, then=None):
        value = run.added(f"pass-through, {case}", f"direct, {case}", name)
        return Row(title, value, "ms", must, then, slower=slower)

    return (
        cpu("yardstick (Flask and requests): CPU a request", "yardstick, all in"),
        cpu("pass-through: CPU a request, until the last answer", "pass-through"),
        cpu("pass-through: CPU a request, all in", "pass-through, all in", 0.36, 0.22, relative=True),
        cpu("OpenAI to Gemini: CPU a request, until the last answer", "converted"),
        cpu("OpenAI to Gemini: CPU a request, all in", "converted, all in", 0.39, 0.28, relative=True),
        added("one at a time: added latency, p50", "alone", "p50_us", 0.5, 0.3),
        added("one at a time: added latency, p99", "alone", "p99_us", 2, 1),
        added("one at a time: time to first byte added on a stream", "first byte", "first_byte_p50_us", 1),
        cpu("pass-through: CPU an event, 20 ms apart", "pass-through, apart, all in", 25, 15),
        cpu("OpenAI to Gemini: CPU an event, 20 ms apart", "converted, apart, all in", 45),
        cpu("pass-through: CPU an event, all at once", "pass-through, at once, all in", 12, 8),
        cpu("OpenAI to Gemini: CPU an event, all at once", "converted, at once, all in", 30),
        *(
            Row(f"choosing a key of {count:,}, half of them cooling, p99 of the slowest policy",
                run.median(f"choosing of {count}"), "µs", 50, 10, slower=slower)
            for count in CHOSEN_OF
        ),
        Row(f"an import of {TAKEN_IN:,} keys", run.median("import"), "s", 2, slower=slower),
        Row(
            f"pages at {KEYS:,} keys and {REQUESTS:,} requests: the usual one", run.median("pages"), "ms", 300, 100,
            slower=slower,
        ),
        Row(
            f"pages: the slowest, {run.slowest[1]}", max(run.figures.get("pages", ()), default=None), "ms", 300, 100,
            slower=slower,
        ),
        Row("1,000 open streams, every event once and in order: memory grows by", run.median(MANY.name), "MB", 45, 30),
    )


def table(lines):
    header = ("figure", "measured", "of the yardstick", "must", "then", "")
    cells = [header, *(row.cells() for row in lines)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, tuple("-" * width for width in widths))
    padded = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in cells)
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def measure(run):
    run.start("yardstick", yardstick)
    run.start("keypool", keypool, run.folder)
    for case in (*CASES, *ALONE):
        run.attempt(run.warm_up, case)
    for number in range(ROUNDS):
        sys.stderr.write(f"Round {number + 1} of {ROUNDS}\n")
        for case in CASES:
            run.attempt(run.cpu, case)
        for case in ALONE:
            run.attempt(run.latency, case)
    run.attempt(run.memory, MANY)
    for _ in range(ROUNDS):
        for count in CHOSEN_OF:
            run.note(f"choosing of {count}", slowest_p99_us(count))
        run.taking_in()
    run.pages()


def main():
    if not compiler():
        print("Skipped: the upstream and the load generator are written in C, and there is no C compiler (cc).")
        return 0
    began_s = time.monotonic()
    folder = tempfile.mkdtemp(prefix="keypool-bench-")
    run = Run(folder)
    try:
        measure(run)
    finally:
        run.stop()
        shutil.rmtree(folder, ignore_errors=True)
    print(table(rows(run)))
    print(f"\nMedians of {ROUNDS} rounds, {time.monotonic() - began_s:.0f} s in all; one core for the server.")
    print(f"Aims in µs, ms and s speak of a machine on which the yardstick takes {REFERENCE_US} µs.")
    for reason in run.reasons:
        print(f"Left out: {reason}")
    return 1 if run.reasons else 0


if __name__ == "__main__":
    sys.exit(main())

"""How long the server takes for every page with 100,000 keys and 1,000,000 requests, and how long its HTML is.

`.venv/bin/python bench/pages.py [WORD]` prints a row a page (those whose address holds the word). The instance is kept
in bench/build, and made anew when it is older than a day; REQUESTS=10000000 in the environment makes a larger one. CPU
is that of all threads of the server; *cold* is the first time after a start, with nothing of the file in memory; warm
figures are the least of several. Of what is longer than 8 MB the rest is not waited for.
"""

import http.client
import os
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import run
from urllib.parse import urlencode

from servers import BUILD, ROOT, Server, end_with_a_signal, free_port, gunicorn, tree

KEYS, REQUESTS = 100_000, 1_000_000
KEPT_S = 86_400
TIMES = 3
MUST_MS, THEN_MS, MUST_KB = 300, 100, 200
MOST_READ = 8 * 1024 * 1024
"""Of a download: a table of ten million requests is 2 GB."""
REFRESH_MUST_MS = 20
PASSWORD = "bench " + os.urandom(8).hex()
HTMX = {"HX-Request": "true"}

HOUR_AGO, WEEK_AGO = (time.strftime("%Y-%m-%dT%H:%M", time.gmtime(time.time() - s)) for s in (3_600, 7 * 86_400))
FLASH = "gemini-2.5-flash"

KEY_FILTERS = (
    "", "state=healthy", "state=cooling", "state=limited", "state=disabled", "state=dead", "state=untested", "q=9f3",
    "q=AIzaSy", "q=nowhere+to+be+found", "q=account+777", "code=429", "code=quota_day", "code=503", "tag=paid",
    "tag=none-has-it", "project=project-70", "provider=openai", "pool=2", "pool=1", "pool=2&state=dead",
    "pool=3&q=account", "import=1", "after=90000", "after=400000", "size=500", "sort=-id", "sort=-last_used_at",
    "sort=last_used_at", "sort=-requests", "sort=-errors", "sort=-tokens", "sort=-cost_usd", "sort=success_rate",
    "sort=-errors&state=cooling", "sort=-tokens&pool=2", "sort=success_rate&q=account", "sort=-requests&tag=paid",
    "sort=-last_used_at&provider=openai&state=healthy", "sort=-errors&provider=openai", "state=cooling&code=429",
)  # fmt: skip
LOG_FILTERS = (
    "", "window=1h", "window=24h", "window=7d", f"since={WEEK_AGO}&until={HOUR_AGO}", "pool=2", "client=5", "key=77",
    f"model={FLASH}", "model=never-asked", "status=429", "status=200", "status=418", "code=overloaded",
    "code=client_gone", "code=none", "ended=ok", "ended=failed", "pool=2&status=503", f"pool=3&model={FLASH}",
    "client=5&ended=failed", "client=1999&status=200&pool=1", "key=77&ended=failed",
    f"model={FLASH}&code=overloaded&window=7d",
    "model=no-such-model-994&ended=failed", "pool=2&client=9&ended=failed", "status=200&pool=8&window=1h",
    "pool=1&ended=ok&model=no-such-model-994", "client=70&model=gpt-5", f"client=71&model={FLASH}&status=400",
)  # fmt: skip
STAT_FILTERS = tuple(
    filter_.strip("&")
    for window in ("", "1h", "24h", "7d", "30d", "90d")
    for filter_ in (
        f"window={window}", f"window={window}&show=used", f"window={window}&show=exhausted",
        f"window={window}&model={FLASH}", f"window={window}&model=no-such-model-994", f"window={window}&pool=2",
        f"window={window}&pool=2&model={FLASH}&show=used", f"window={window}&after=99000",
    )
)  # fmt: skip


def paths():
    """(path, headers) of every page, with what it can be asked for."""
    yield "/dashboard/figures", HTMX
    for window in ("1h", "24h", "7d", "30d", "90d"):
        yield f"/dashboard?window={window}", {}
        yield f"/dashboard/charts?window={window}", HTMX
    for table in ("traffic", "models", "pools", "clients", "runway"):
        yield f"/dashboard/{table}.csv?window=90d", {}
    for page in ("keys", "requests", "stat", "audit", "clients", "jobs", "imports", "bin"):
        yield f"/{page}?after=nonsense", {}
    yield from ((f"/keys?{each}", {}) for each in KEY_FILTERS)
    yield "/keys?q=account", HTMX
    yield from ((f"/requests?{each}", {}) for each in LOG_FILTERS)
    yield from ((f"/requests.csv?{each}", {}) for each in ("", "ended=failed", f"model={FLASH}", "key=77"))
    yield "/requests/500000", {}
    yield "/requests/bench-500000", {}
    yield from ((f"/stat?{each}", {}) for each in STAT_FILTERS)
    for table in ("keys", "models", "endpoints", "pools", "clients", "errors", "upstream-errors"):
        yield f"/stat/{table}.csv?window=90d", {}
    for each in ("", "action=key.disable", "action=key.", "object=key+77", "who=admin", "who=nobody",
                 "action=pool.update&object=key+77", f"since={WEEK_AGO}&until={HOUR_AGO}", "action=none"):  # fmt: skip
        yield f"/audit?{each}", {}
    yield "/audit/50000", {}
    yield "/audit.csv", {}
    for page in ("/pools", "/pools/1", "/pools/2", "/pools/new", "/pools/1/limits", "/pools/2/delete", "/clients",
                 "/clients/7/edit", "/clients/7/limits", "/clients/7/revoke", "/keys/77/edit", "/keys/77/limits",
                 "/keys/77/delete", "/keys/import", "/jobs", "/jobs/300", "/imports", "/imports/1", "/imports/5",
                 "/providers", "/providers/gemini", "/providers/gemini/delete", "/settings", "/settings/api",
                 "/playground", "/account", "/bin", "/bin?after=50000", "/status", "/metrics", "/health",
                 "/pools/1?models=read"):  # fmt: skip
        yield page, {}
    for path in ("/admin/keys", "/admin/status", "/admin/stats?days=90", "/api/pools", "/api/pools/1", "/model_usage",
                 "/admin/requests?limit=100", "/admin/audit?limit=100", "/admin/keys?limit=500",
                 "/admin/export"):  # fmt: skip
        yield path, {"Accept": "application/json"}


@dataclass
class Seen:
    """One page: milliseconds until the first byte (cold and warm) and of CPU, and bytes."""

    path: str
    status: int
    cold_ms: float
    first_ms: float
    cpu_ms: float
    whole_ms: float
    size: int
    html: bool

    @property
    def verdict(self):
        most = REFRESH_MUST_MS if self.path == "/dashboard/figures" else MUST_MS
        least_of = self.cpu_ms if self.path == "/dashboard/figures" else self.first_ms
        return " ".join(
            word
            for word, wrong in (
                (f"status {self.status}", self.status >= 400),
                ("SLOW", least_of > most),
                ("slow", THEN_MS < self.first_ms <= MUST_MS),
                ("cold", self.cold_ms > MUST_MS),
                ("LONG", self.html and self.size > MUST_KB * 1024),
            )
            if wrong
        )


def filled(keys=KEYS, requests=REQUESTS, name="filled", url=""):
    """The folder of the instance, made anew where it is too old."""
    folder = BUILD / name
    mark = folder / "filled"
    if not mark.exists() or time.time() - float(mark.read_text()) > KEPT_S:
        BUILD.mkdir(exist_ok=True)
        filling = [sys.executable, str(ROOT / "bench" / "filling.py"), str(folder), str(keys), str(requests), url]
        run(filling[: len(filling) - (not url)], check=True)
    return folder


def served(folder, url="", configuration="gunicorn.conf.py", **variables):
    """Keypool on a filled folder."""
    environment = {
        "HOST": "127.0.0.1", "PORT": str(free_port()), "KEYPOOL_INSTANCE": str(folder), "ADMIN_PASSWORD": PASSWORD,
        "DATABASE_URL": url, "REDIS_URL": "", "WEB_CONCURRENCY": "1", **variables,
    }  # fmt: skip
    if url:
        environment |= {"SECRET_KEY": "s" * 32, "KEY_ENCRYPTION_SECRET": "k" * 32}
    return Server("keypool", gunicorn("-c", configuration, "app:create_app()"), environment)


class Browser:
    """One connection of somebody who is signed in."""

    def __init__(self, server):
        self.server = server
        self.cookie = ""
        status, head, _, _, _ = self.ask("/login", {}, urlencode({"password": PASSWORD}))
        self.cookie = head.get("Set-Cookie", "").partition(";")[0]
        if status != 303:
            raise RuntimeError(f"signing in was answered {status}")

    def ask(self, path, headers, form=None):
        """(status, head, body, seconds until the first byte, seconds in all)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=120)
        sent = {"Accept": "text/html", "Cookie": self.cookie, **headers}
        if form is not None:
            sent |= {"Content-Type": "application/x-www-form-urlencoded"}
        began_s = time.perf_counter()
        connection.request("GET" if form is None else "POST", path, form, sent)
        answer = connection.getresponse()
        body = answer.read(1)
        first_s = time.perf_counter() - began_s
        body += answer.read(MOST_READ)
        whole_s = time.perf_counter() - began_s
        connection.close()
        return answer.status, answer.headers, body, first_s, whole_s


def cpu_ns(server):
    """All threads of all processes, to the nanosecond: ticks are too coarse for one page."""
    spent = 0
    for pid in tree(server.process.pid):
        for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            try:
                spent += int(thread.read_text().split()[0])
            except OSError:
                continue
    return spent


def forget(folder):
    """Let the system drop what it holds of the file in memory."""
    for path in Path(folder).glob("pool.sqlite*"):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def look(browser, path, headers, folder=None, times=TIMES):
    if folder is not None:
        forget(folder)
    status, head, body, cold_s, _ = browser.ask(path, headers)
    warm = []
    for _ in range(times):
        before_ns = cpu_ns(browser.server)
        _, _, _, first_s, whole_s = browser.ask(path, headers)
        warm.append((first_s, cpu_ns(browser.server) - before_ns, whole_s))
    first_s, cpu, whole_s = map(min, zip(*warm, strict=True))
    html = "html" in head.get("Content-Type", "")
    return Seen(path, status, cold_s * 1000, first_s * 1000, cpu / 1e6, whole_s * 1000, len(body), html)


@contextmanager
def looking(folder, url=""):
    server = served(folder, url)
    try:
        yield Browser(server)
    finally:
        server.stop()


def main(word="", url=""):
    end_with_a_signal()
    requests = int(os.environ.get("REQUESTS", 200_000 if url else REQUESTS))
    name = "filled-elsewhere" if url else "filled" if requests == REQUESTS else f"filled-{requests}"
    folder = filled(requests=requests, name=name, url=url)
    print("| page | cold ms | first byte ms | CPU ms | whole ms | KB | |\n| --- | --- | --- | --- | --- | --- | --- |")
    with looking(folder, url) as browser:
        for path, headers in paths():
            if word in path:
                seen = look(browser, path, headers, None if url else folder)
                figures = f"{seen.cold_ms:.0f} | {seen.first_ms:.0f} | {seen.cpu_ms:.0f} | {seen.whole_ms:.0f}"
                print(f"| `{seen.path}` | {figures} | {seen.size / 1024:.0f} | {seen.verdict} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

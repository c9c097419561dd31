"""`make bench-company`: how long proxied requests take while the server does long work beside them.

100 requests a second, each timed from the moment it was due; what is added to the p99 without company must stay within
20 ms. Every kind of work is begun as an operator would, through the management API, on an instance of 100,000 keys and
a million requests. Server and load generator have a core each: compare on an idle machine.
"""

import http.client
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from pages import KEYS, PASSWORD, filled, served
from run import Case, figure, wire
from servers import CLIENT_KEY, DRIVER_CORES, Upstream, build, compiler, end_with_a_signal

RATE, AT_ONCE = 100, 64
QUIET_S, LEAST_S, MOST_S = 10, 6, 90
MUST_MS = 20
PASSPHRASE = "a passphrase of the bench"
CASE = Case("company", "keypool", "gpt-bench", 0, AT_ONCE)


class Admin:
    """Asks the management API."""

    def __init__(self, port):
        self.port = port

    def ask(self, method, path, body=None, raw=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        sent = {"X-Admin-Key": PASSWORD, "Accept": "application/json", **headers}
        if body is not None:
            raw, sent["Content-Type"] = json.dumps(body).encode(), "application/json"
        connection.request(method, path, raw, sent)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:200]!r}")
        told = json.loads(content) if "json" in answer.headers.get("Content-Type", "") else content
        if answer.status == 202:
            self.wait(told["job"])
        return told

    def wait(self, job):
        while self.ask("GET", f"/admin/jobs/{job}")["state"] in ("queued", "running"):
            time.sleep(0.5)

    def newest(self, path, kind):
        return self.ask("GET", path)[kind][0]


@dataclass
class Kept:
    """What one work leaves to the next one."""

    backup: bytes = b""


def take_in(admin, kept):
    lines = "\n".join(f"AIzaSy{secrets.token_hex(17)[:33]}" for _ in range(KEYS))
    admin.ask("POST", "/admin/keys/import", {"text": lines})


def take_back(admin, kept):
    batch = admin.newest("/admin/imports?limit=1", "imports")
    admin.ask("POST", f"/admin/imports/{batch['id']}/undo", {})


def look_at_statistics(admin, kept):
    until = time.monotonic() + LEAST_S
    while time.monotonic() < until:
        admin.ask("GET", "/admin/stats?days=90")
        admin.ask("GET", "/model_usage?window=90d")


def look_for_keys(admin, kept):
    until = time.monotonic() + LEAST_S
    while time.monotonic() < until:
        for path in ("/admin/keys?q=nowhere", "/admin/keys?sort=tokens", "/admin/status", "/metrics"):
            admin.ask("GET", path)


def back_up(admin, kept):
    kept.backup = admin.ask("POST", "/admin/backup", {"password": PASSWORD, "passphrase": PASSPHRASE, "usage": False})


def bring_back(admin, kept):
    headers = {"Content-Type": "application/octet-stream", "X-Backup-Passphrase": PASSPHRASE}
    admin.ask("POST", "/admin/restore?mode=replace", raw=kept.backup, **headers)


def encrypt_anew(admin, kept):
    admin.ask("POST", "/admin/encryption/rotate")


def disable_all(admin, kept):
    admin.ask("POST", "/admin/keys/actions", {"action": "disable", "query": {"provider": "gemini"}})


def take_disabling_back(admin, kept):
    job = admin.newest("/admin/jobs?limit=1", "jobs")
    admin.ask("POST", f"/admin/keys/actions/{job['result']['undo']}/undo")


def export(admin, kept):
    admin.ask("GET", "/admin/export")


WORKS = {
    "statistics of 90 days, again and again": look_at_statistics,
    "searching and sorting 100,000 keys, /status, /metrics": look_for_keys,
    "an import of 100,000 keys": take_in,
    "undoing it": take_back,
    "a backup": back_up,
    "an export (masked)": export,
    "encrypting all keys anew": encrypt_anew,
    "disabling two thirds of the keys": disable_all,
    "undoing that": take_disabling_back,
    "restoring the backup in the place of everything": bring_back,
}


class Load:
    """Requests at a steady pace, until it is stopped."""

    def __init__(self, port, folder):
        path = Path(folder, "request")
        path.write_bytes(wire(CASE, port))
        words = [build("load"), str(port), str(AT_ONCE), str(RATE * 600), str(path), "1", str(RATE)]
        self.process = subprocess.Popen(
            words, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: os.sched_setaffinity(0, DRIVER_CORES)
        )

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        said, _ = self.process.communicate(timeout=60)
        return json.loads(said)


def measure(port, folder, work=None, *arguments):
    """What the load generator saw while `work` was done, and how long that took."""
    load = Load(port, folder)
    began_s = time.monotonic()
    try:
        if work is not None:
            worker = threading.Thread(target=work, args=arguments)
            worker.start()
            worker.join(MOST_S)
        took_s = time.monotonic() - began_s
        time.sleep(max(0.0, (QUIET_S if work is None else LEAST_S) - took_s))
    finally:
        seen = load.stop()
    return seen, took_s


def row(title, seen, took_s, quiet_ms):
    p99_ms = seen["p99_us"] / 1000
    added = p99_ms - quiet_ms
    cells = [title, f"{took_s:.1f}" if took_s else "", f"{seen['p50_us'] / 1000:.2f}", f"{p99_ms:.1f}",
             f"{seen['p999_us'] / 1000:.0f}", f"{seen['most_us'] / 1000:.0f}", f"{figure(added)} ms" if took_s else "",
             str(seen["errors"]), "" if not took_s else "held" if added <= MUST_MS else "missed"]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main(word=""):
    end_with_a_signal()
    if not compiler():
        print("Skipped: the upstream and the load generator are written in C, and there is no C compiler (cc).")
        return 0
    folder = tempfile.mkdtemp(prefix="keypool-company-", dir=filled().parent)
    upstream = Upstream()
    try:
        shutil.copytree(filled(), folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("lock", "*.lock"))
        address = f"http://127.0.0.1:{upstream.port}"
        urls = {"OPENAI_UPSTREAM_URL": f"{address}/v1", "GEMINI_UPSTREAM_URL": f"{address}/v1beta"}
        server = served(folder, PROXY_API_KEY=CLIENT_KEY, **urls)
        try:
            show(server, folder, word)
        finally:
            server.stop()
    finally:
        upstream.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def show(server, folder, word):
    admin, kept = Admin(server.port), Kept()
    measure(server.port, folder)
    quiet, _ = measure(server.port, folder)
    print("| beside | took s | p50 ms | p99 ms | p99.9 | most | added to p99 | errors | |\n|" + " --- |" * 9)
    print(row("nothing", quiet, 0, 0), flush=True)
    for title, work in WORKS.items():
        if word in title:
            print(row(title, *measure(server.port, folder, work, admin, kept), quiet["p99_us"] / 1000), flush=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""`make bench-growth`: what a request costs with 10, 1,000 and 100,000 keys, with 1 and 1,000 pools, and what a key
weighs in memory.

Each server is started anew on what was taken in, so that nothing of the import is on the bill; CPU is that of all its
threads, all in. The least of the rounds counts: what else the machine does makes them longer, never shorter.
"""

import secrets
import shutil
import sys
import tempfile
import time

from company import Admin
from pages import cpu_ns, served
from run import Case, drive
from servers import CLIENT_KEY, Upstream, compiler, end_with_a_signal

KEYS = (10, 1_000, 100_000)
POOLS = (1, 1_000)
ROUNDS, SETTLE_S = 3, 2
CASE = Case("growth", "keypool", "gpt-bench", 3_000, 32)
MOST_TIMES = 1.15
MOST_BYTES = 1024


def measured(upstream, keys, pools):
    """(µs of CPU a request, MB of the server before it was asked anything)."""
    folder = tempfile.mkdtemp(prefix="keypool-growth-")
    urls = {"OPENAI_UPSTREAM_URL": f"http://127.0.0.1:{upstream.port}/v1"}
    try:
        server = served(folder, PROXY_API_KEY=CLIENT_KEY, **urls)
        try:
            take_in(Admin(server.port), keys, pools)
        finally:
            server.stop()
        server = served(folder, PROXY_API_KEY=CLIENT_KEY, **urls)
        try:
            time.sleep(SETTLE_S)
            weighs_mb = server.rss_mb()
            # Each key once: it is decrypted when it is used first.
            drive(CASE, server.port, folder, requests=max(keys, CASE.requests))
            return min(cpu_us(server, folder) for _ in range(ROUNDS)), weighs_mb
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def take_in(admin, keys, pools):
    for n in range(1, pools):
        admin.ask("POST", "/api/pools", {"name": f"pool {n}", "geminiKeys": [f"AIzaSy{secrets.token_hex(17)[:33]}"]})
    lines = "\n".join(f"sk-proj-{secrets.token_hex(24)}" for _ in range(keys))
    admin.ask("POST", "/admin/keys/import?wait=1", {"text": lines})


def cpu_us(server, folder):
    began_ns = cpu_ns(server)
    seen = drive(CASE, server.port, folder)
    time.sleep(SETTLE_S)
    return (cpu_ns(server) - began_ns) / seen["good"] / 1000


def main():
    end_with_a_signal()
    if not compiler():
        print("Skipped: the upstream and the load generator are written in C, and there is no C compiler (cc).")
        return 0
    upstream, first = Upstream(), None
    print("| keys | pools | CPU µs a request | of the first | MB | bytes a key | |\n|" + " --- |" * 7)
    try:
        for keys, pools in [*((keys, 1) for keys in KEYS), *((KEYS[1], pools) for pools in POOLS[1:])]:
            us, weighs_mb = measured(upstream, keys, pools)
            first = first or (us, weighs_mb, keys)
            a_key = (weighs_mb - first[1]) * 1e6 / (keys - first[2]) if keys > 10_000 else 0
            held = us <= MOST_TIMES * first[0] and a_key <= MOST_BYTES
            cells = f"{keys:,} | {pools:,} | {us:.0f} | {us / first[0]:.2f} × | {weighs_mb:.0f}"
            print(f"| {cells} | {a_key:.0f} | {'held' if held else 'missed'} |" if a_key else
                  f"| {cells} | | {'held' if held else 'missed'} |", flush=True)  # fmt: skip
    finally:
        upstream.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

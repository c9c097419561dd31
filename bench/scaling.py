"""`make bench-scaling`: what a request costs Keypool, PostgreSQL and Redis, and how many a second get through.

Instances share one core, the load generator, the upstream, PostgreSQL and Redis the others. Each kind of deployment is
loaded with as much as it takes; CPU is that of all processes of a kind, all in, the counts are the servers' own.
"""

import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
from company import Admin
from pages import served
from run import CASES, drive
from servers import CLIENT_KEY, ROOT, TICKS_A_SECOND, Upstream, compiler, end_with_a_signal, tree

sys.path.insert(0, str(ROOT))

from faults.services import Postgres, Redis, free_ports, missing

CASE = CASES[1]
REQUESTS, WARM_UP = 20_000, 2_000
SETTLE_S = 12
"""PostgreSQL's own counts come up to ten seconds late."""

COLUMNS = {
    "PostgreSQL µs": 0, "Redis µs": 0, "scripts": 2, "commands": 1, "bytes to Redis": 0, "bytes from it": 0,
    "transactions": 3, "rows written": 1, "bytes on disk": 0,
}  # fmt: skip
"""What is counted for each request, and to how many digits."""

LIMITS = {
    "rpm_limit": 10**6, "tpm_limit": 10**9, "rpd_limit": 10**8, "concurrency_limit": 1000, "budget_usd_day": 10**5,
}  # fmt: skip


def ticks(pid):
    """User and system time of a process and its children, in ticks."""
    spent = 0
    for each in tree(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        spent += sum(map(int, fields[11:15]))
    return spent


class Counters:
    """What PostgreSQL and Redis count, and what their processes spent."""

    def __init__(self, postgres=None, redis_server=None):
        self.postgres, self.redis = postgres, redis_server

    def now(self):
        return {**self._of_redis(), **self._of_postgres()}

    def _of_redis(self):
        if self.redis is None:
            return {}
        told = self.redis.client.info()
        commands = self.redis.client.info("commandstats")
        return {
            "Redis µs": ticks(self.redis.process.pid) * 1e6 / TICKS_A_SECOND,
            "commands": sum(each["calls"] for each in commands.values()),
            "scripts": sum(commands.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("evalsha", "fcall")),
            "bytes to Redis": told["total_net_input_bytes"],
            "bytes from it": told["total_net_output_bytes"],
        }

    def _of_postgres(self):
        if self.postgres is None:
            return {}
        with psycopg.connect(self.postgres.url.replace("+psycopg", ""), autocommit=True) as connection:
            row = connection.execute(
                "SELECT xact_commit, tup_inserted + tup_updated + tup_deleted, pg_database_size(current_database())"
                " FROM pg_stat_database WHERE datname = current_database()"
            ).fetchone()
        return {
            "PostgreSQL µs": ticks(self.postgres.pid) * 1e6 / TICKS_A_SECOND,
            "transactions": row[0], "rows written": row[1],
            "bytes on disk": row[2],
        }  # fmt: skip


def driven(servers, folder, count, token):
    """Requests to all instances at once; how many, and in how many seconds."""
    began_s = time.monotonic()
    with ThreadPoolExecutor(len(servers)) as drivers:
        seen = list(drivers.map(lambda s: drive(CASE, s.port, folder, count // len(servers), token), servers))
    return sum(each["good"] for each in seen), time.monotonic() - began_s


def measure(title, servers, counters, folder, token=CLIENT_KEY):
    driven(servers, folder, WARM_UP, token)
    time.sleep(SETTLE_S)
    before, spent_s = counters.now(), sum(server.cpu_s() for server in servers)
    count, took_s = driven(servers, folder, REQUESTS, token)
    time.sleep(SETTLE_S)
    after, spent_s = counters.now(), sum(server.cpu_s() for server in servers) - spent_s
    each = {name: (after[name] - before[name]) / count for name in after}
    figures = [f"{each[name]:.{digits}f}" if name in each else "" for name, digits in COLUMNS.items()]
    print(f"| {' | '.join([title, f'{count / took_s:,.0f}', f'{spent_s / count * 1e6:.0f}', *figures])} |", flush=True)


def instance(folder, upstream, number=0, url="", redis_url=""):
    address = f"http://127.0.0.1:{upstream.port}"
    keys = {"OPENAI_API_KEYS": ",".join(f"sk-proj-{n:048x}" for n in range(100))}
    own = {"PROXY_API_KEY": CLIENT_KEY, "OPENAI_UPSTREAM_URL": f"{address}/v1", "REDIS_URL": redis_url, **keys}
    return served(Path(folder, f"instance{number}"), url, **own)


def limited(server):
    """A user key with a limit of every kind, none of which is reached."""
    return Admin(server.port).ask("POST", "/admin/clients", {"name": "limited", **LIMITS})["key"]


def alone(folder, upstream):
    server = instance(folder, upstream)
    try:
        measure("SQLite, no limits", [server], Counters(), folder)
        measure("SQLite, a client with limits", [server], Counters(), folder, limited(server))
    finally:
        server.stop()


def shared(folder, upstream):
    port, other = free_ports(2)
    with Postgres(port) as postgres, Redis(Path(folder), other) as redis_server:
        counters, where = Counters(postgres, redis_server), (postgres.url, redis_server.url)
        servers = [instance(folder, upstream, 1, *where)]
        try:
            measure("PostgreSQL and Redis, no limits", servers, counters, folder)
            token = limited(servers[0])
            measure("the same, a client with limits", servers, counters, folder, token)
            servers.append(instance(folder, upstream, 2, *where))
            measure("two instances on one core, a client with limits", servers, counters, folder, token)
        finally:
            for server in servers:
                server.stop()


def main():
    end_with_a_signal()
    if not compiler():
        print("Skipped: the upstream and the load generator are written in C, and there is no C compiler (cc).")
        return 0
    names = ("deployment", "requests/s", "Keypool µs", *COLUMNS)
    print(f"| {' | '.join(names)} |\n|{' --- |' * len(names)}")
    folder, upstream = tempfile.mkdtemp(prefix="keypool-scaling-"), Upstream()
    try:
        alone(folder, upstream)
        if missing():
            print(f"Skipped the rest: there is no {', '.join(missing())}.")
        else:
            shared(folder, upstream)
    finally:
        upstream.stop()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

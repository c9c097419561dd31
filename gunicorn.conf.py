"""gunicorn's configuration; every line has a reason that was measured."""

from gevent import monkey

monkey.patch_all()  # before anything imports ssl

import gc

gc.disable()  # until a worker has started: what a start makes stays, and looking through it costs a quarter of it

import os
import sys
from contextlib import suppress
from pathlib import Path

import gunicorn.sock
from dotenv import load_dotenv

os.umask(0o077)  # the database and its journal are nobody else's to read; gunicorn's own setting spares files
ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT))
load_dotenv(ROOT / ".env")

from pool.adapters.database import AlreadyRunning, acquire_instance_lock, server_locks
from pool.admin_socket import can_be_bound, socket_path
from pool.environment import BadStart, read_environment

try:
    environment = read_environment(os.environ, ROOT)
except BadStart as error:
    sys.exit(str(error))

address = (
    f"{environment.host}:{environment.port}"
    if ":" not in environment.host
    else f"[{environment.host}]:{environment.port}"
)
bind = [address]
if can_be_bound(environment.instance):
    bind.append(f"unix:{socket_path(environment.instance)}")  # where `flask keys …` comes in
umask = 0o177  # of that socket: its owner alone may open it
workers = environment.workers
worker_class = "pool.web.worker.Worker"
worker_connections = 8000  # above any stream count one worker carries; heads and idle connections have deadlines
keepalive = 75  # our worker's own deadlines bind; 0 would end every connection
timeout = 60  # a detector of a blocked hub only: the heartbeat is a greenlet
graceful_timeout = 3600  # the master's patience; the worker's own is the setting graceful_timeout_s

max_requests = 0  # a worker that recycles itself is an outage for its streams
preload_app = False
http_parser = "python"  # "auto" would pick up an outdated C parser silently
limit_request_line = 8190
limit_request_fields = 100
limit_request_field_size = 8190
forwarded_allow_ips = environment.forwarded_allow_ips
control_socket_disable = True  # it could stop and scale the server
SHARED_MEMORY = "/dev/shm"  # noqa: S108 — gunicorn makes its heartbeat file there safely, and it never waits for a disk
worker_tmp_dir = SHARED_MEMORY if os.path.isdir(SHARED_MEMORY) else None
accesslog = None
errorlog = "-"
loglevel = environment.log_level or "info"
logger_class = f"pool.web.logs.{environment.log_format.title()}Logger"
proc_name = "keypool"


close_as_gunicorn_does = gunicorn.sock.close_sockets


def close_sockets(listeners, unlink=True):
    """A disk that failed keeps the socket's file: the master would die of that, and wait for no stream."""
    with suppress(OSError):
        close_as_gunicorn_does(listeners, unlink)


gunicorn.sock.close_sockets = close_sockets


def on_starting(server):
    """One server an instance folder and an SQLite file; the master holds it, so a reload does not wait for itself."""
    try:
        server.keypool_locks = [
            acquire_instance_lock(lock) for lock in server_locks(environment.instance, environment.database_url)
        ]
    except AlreadyRunning as error:
        sys.exit(str(error))


def when_ready(server):
    server.log.info("Keypool is at http://%s", address)


def post_worker_init(worker):
    keypool = worker.wsgi.extensions["keypool"]
    worker.cfg.set("graceful_timeout", keypool.preferences.current.graceful_timeout_s)
    worker.drain_delay_s = environment.drain_delay_s
    # Work in a thread (sealing, reading rows) lets the hub have the interpreter after so long, not after 5 ms.
    sys.setswitchinterval(0.001)
    gc.collect()
    gc.freeze()  # the collector need not look at what the start made again and again
    # Requests for pools leave no rings, so what is new is looked through for little: not after 700 objects (2,000 from
    # Python 3.13 on), which a few requests in flight are, and not after so many that a look takes long (1 ms).
    gc.set_threshold(3_000, *gc.get_threshold()[1:])
    gc.enable()
    keypool.start()


def worker_exit(server, worker):
    app = getattr(worker, "wsgi", None)  # a worker that failed to boot has none
    if app is not None:
        app.extensions["keypool"].stop()

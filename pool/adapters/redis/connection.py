"""A connection to Redis by itself: how it is made, and what is asked before there is a session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from redis.backoff import NoBackoff
from redis.connection import Connection, parse_url
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from .scripts import SCRIPTS, script
from .session import OUTDATED, Fence, Op


def connection_options(url: str, timeout_s: float) -> dict[str, Any]:
    """What a connection is made with. Raises ValueError for a URL that is none of Redis."""
    options: dict[str, Any] = dict(parse_url(url))
    for of_pools in ("max_connections", "timeout"):
        options.pop(of_pools, None)
    # Nothing is retried: a worker that waits for Redis lets its clients wait.
    options.update(
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        decode_responses=False,
        health_check_interval=0,
        driver_info=None,
    )
    return options


def connect(options: Mapping[str, Any]) -> Connection:
    """A connection that is open. Raises what redis raises."""
    rest = dict(options)
    connection: Connection = rest.pop("connection_class", Connection)(**rest)
    try:
        connection.connect()
    except BaseException:
        connection.disconnect()
        raise
    return connection


def load_scripts(connection: Connection) -> None:
    """So that calls by digest are known, and go in order."""
    scripts = [script(name) for name in SCRIPTS]
    connection.send_command("SCRIPT", "EXISTS", *(each.digest for each in scripts))
    for each, known in zip(scripts, connection.read_response(), strict=True):
        if not known:
            connection.send_command("SCRIPT", "LOAD", each.text)
            connection.read_response()


def call(connection: Connection, fence: Fence, op: Op) -> Any:
    """Ask outside of a session, in which nothing waits behind it."""
    connection.send_command(*fence.command(op, 0, 0, by_text=True))
    return connection.read_response()


def push(connection: Connection, fence: Fence, ops: Iterable[Op]) -> None:
    for op in ops:
        if call(connection, fence, op) == OUTDATED:
            raise RedisError("the counters are gone again")


def run_id(connection: Connection) -> str:
    """Another run of the server may have fewer counts than we saw; "" where it does not tell."""
    try:
        connection.send_command("INFO", "server")
        told = connection.read_response()
    except ResponseError:
        return ""
    for line in told.split(b"\r\n"):
        if line.startswith(b"run_id:"):
            return line.removeprefix(b"run_id:").decode()
    return ""


def done_by(said: list[bytes]) -> dict[int, tuple[int, int, int]]:
    """Slot -> batch, offer, second: what the last calls of a former session did."""
    done = {}
    for slot, what in zip(said[::2], said[1::2], strict=True):
        if slot.isdigit():
            batch, offer, second = what.split()
            done[int(slot)] = (int(batch), int(offer), int(second))
    return done

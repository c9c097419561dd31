"""Blueprint `ops`: what load balancers and monitors ask: is it alive, can it serve, who is it."""

from __future__ import annotations

import time
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, make_response, render_template, request
from sqlalchemy.exc import SQLAlchemyError

from pool.adapters import queries
from pool.version import VERSION
from pool.web.pages import CALLS, HEADERS

ops = Blueprint("ops", __name__)


class Service:
    """What this process is about to do. `draining`: it stops, and lets what runs come to its end."""

    draining = False


@ops.get("/healthz")
def alive() -> Response:
    """The process answers. Nothing else is asked, and one that stops is no dead one: it is 200 all the while."""
    return jsonify(status="draining" if Service.draining else "ok")


@ops.get("/health")
def health() -> tuple[Response, int]:
    """Can it serve? 503 where it stops or the database fails; no available key is `degraded`, 503 with `?strict=1`.

    Without Redis it serves by its share of the limits: `degraded`, but never 503, or all would be taken out at once.
    """
    keypool = _keypool()
    began = time.perf_counter()
    database = _database_answers(keypool)
    keys = keypool.catalogue.ready_seats(time.time())
    alone = keypool.state.degraded
    serving = database and not Service.draining
    status = "unhealthy" if not serving else "degraded" if alone or not keys else "healthy"
    body = {
        "status": status,
        "ok": status == "healthy",
        "draining": Service.draining,
        "checks": {
            "database": "ok" if database else "error",
            "shared_state": "away" if alone else "ok",
            "kv_storage": "error" if alone else "ok",
            "available_keys": keys,
        },
        "timestamp": int(time.time()),
        "response_time_ms": _since(began),
        "version": VERSION,
        "environment": "production",
        "uptime": int(time.time() - keypool.began_at),
    }
    refused = status == "unhealthy" or (not keys and request.args.get("strict") == "1")
    return jsonify(body), 503 if refused else 200


@ops.get("/wake")
def wake() -> Response:
    """A predecessor had to be woken. This one is awake, and says how long it took to look."""
    keypool = _keypool()
    began = time.perf_counter()
    database = "ok" if _database_answers(keypool) else "error"
    shared = "error" if keypool.state.degraded else "ok"
    keys = keypool.catalogue.ready_seats(time.time())
    return jsonify(
        status="awake",
        timestamp=int(time.time()),
        wake_time_ms=_since(began),
        operations=[{"database": database, "key_count": keys}, {"kv": shared}],
        message="Service is now active",
    )


@ops.get("/status")
def status() -> Response:
    """Who answers here, for anybody: no counts of keys, no names of pools; models only where statistics are public."""
    keypool = _keypool()
    uptime = int(time.time() - keypool.began_at)
    models = keypool.models.known() if keypool.preferences.current.public_stats else []
    return jsonify(
        status="ok", name="Keypool", version=VERSION, timestamp=int(time.time()), uptime=uptime, models=models
    )  # fmt: skip


@ops.get("/hello")
def hello() -> Response:
    """A page that says what this is and where clients call it."""
    response = make_response(render_template("hello.html", base=request.host_url.rstrip("/"), calls=CALLS))
    response.headers.update(HEADERS)
    return response


def _database_answers(keypool: Any) -> bool:
    try:
        keypool.database.read(queries.meta, "revision")
    except SQLAlchemyError:
        return False
    return True


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 1)


def _keypool() -> Any:
    return current_app.extensions["keypool"]

"""Blueprint `ops`: what load balancers and monitors ask: is it alive, can it serve, who is it."""

from __future__ import annotations

import time
from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request
from sqlalchemy.exc import SQLAlchemyError

from pool.adapters import queries
from pool.version import VERSION

ops = Blueprint("ops", __name__)


@ops.get("/healthz")
def alive() -> Response:
    """The process answers. Nothing else is asked."""
    return jsonify(status="ok")


@ops.get("/health")
def health() -> tuple[Response, int]:
    """Can it serve? 503 where the database fails; no available key is `degraded`, 503 with `?strict=1`.

    Without Redis it serves by its share of the limits: `degraded`, but never 503, or all would be taken out at once.
    """
    keypool = _keypool()
    began = time.perf_counter()
    database = _database_answers(keypool)
    keys = keypool.catalogue.ready_seats(time.time())
    alone = keypool.state.degraded
    status = "unhealthy" if not database else "degraded" if alone or not keys else "healthy"
    body = {
        "status": status,
        "ok": status == "healthy",
        "checks": {
            "database": "ok" if database else "error",
            "shared_state": "away" if alone else "ok",
            "available_keys": keys,
        },
        "timestamp": int(time.time()),
        "response_time_ms": round((time.perf_counter() - began) * 1000, 1),
        "version": VERSION,
        "uptime": int(time.time() - keypool.began_at),
    }
    refused = status == "unhealthy" or (not keys and request.args.get("strict") == "1")
    return jsonify(body), 503 if refused else 200


@ops.get("/wake")
def wake() -> Response:
    return jsonify(status="awake", timestamp=int(time.time()), message="Service is now active")


@ops.get("/status")
def status() -> Response:
    """Who answers here, for anybody: no counts of keys, no names of pools."""
    uptime = int(time.time() - _keypool().began_at)
    return jsonify(status="ok", name="Keypool", version=VERSION, timestamp=int(time.time()), uptime=uptime)


def _database_answers(keypool: Any) -> bool:
    try:
        keypool.database.read(queries.meta, "revision")
    except SQLAlchemyError:
        return False
    return True


def _keypool() -> Any:
    return current_app.extensions["keypool"]

"""`/metrics`, in Prometheus' text format. Nothing is counted for it on the request path, and no key is a label."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from flask import Response, current_app

from pool.adapters import queries
from pool.metering import Totals
from pool.version import VERSION
from pool.web.api.operations import operation
from pool.web.here import keypool, now, read

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, Any]
Sample = tuple[str, Labels, float]


@operation("GET", "/metrics", tag="status", summary="Figures for Prometheus", media=("text/plain",))
def show_metrics() -> Response:
    """Counters are those of the whole database, so that every worker tells the same; they come about a second late.

    Gauges with the label `worker` are those of the process that answers.
    """
    totals: Totals = current_app.extensions.setdefault("totals", Totals())
    at = now()
    metered = totals.now(at, lambda since, until: read(queries.metered, since, until))
    lines = [line for family in (*_counted(metered), *_of_now(at)) for line in family]
    return Response("\n".join([*lines, ""]), content_type=CONTENT_TYPE)


def _counted(metered: queries.Metered) -> Iterator[Iterator[str]]:
    figures, endings = metered.figures, metered.endings
    requests = [
        ("", {"route": what, "status": status, "outcome": word}, times)
        for (side, what, status, word), times in sorted(endings.items()) if side == "request"
    ]  # fmt: skip
    yield _family("keypool_requests_total", "counter", "Requests by route, status and outcome.", requests)
    attempts: dict[tuple[str, int], int] = {}
    for (side, _, status, word), times in endings.items():
        if side == "attempt":
            attempts[word, status] = attempts.get((word, status), 0) + times
    samples = [("", {"outcome": word, "status": status}, times) for (word, status), times in sorted(attempts.items())]
    yield _family("keypool_attempts_total", "counter", "Calls of upstreams by outcome; status 0: no answer.", samples)
    tokens = [("", {"kind": kind}, figures[f"tokens_{kind}"]) for kind in ("in", "out", "cached", "thinking")]
    yield _family("keypool_tokens_total", "counter", "Tokens; cached ones are among in, thinking among out.", tokens)
    cost: list[Sample] = [("", {}, figures["cost_nano"] / 1e9)]
    yield _family("keypool_cost_usd_total", "counter", "What tokens cost, by list prices.", cost)
    buckets = [(edge_ms, figures[name]) for name, edge_ms in queries.BUCKETS.items()]
    latency = _histogram(buckets, figures["latency_ms"])
    yield _family("keypool_request_duration_seconds", "histogram", "How long requests took.", latency)
    firsts = dict.fromkeys(queries.BUCKETS.values(), 0)
    for (side, _, edge_ms, _), times in endings.items():
        if side == "first_byte":
            firsts[edge_ms or None] += times
    first = _histogram(list(firsts.items()), figures["ttfb_ms"])
    yield _family("keypool_time_to_first_token_seconds", "histogram", "Until an answer began to come.", first)


def _of_now(at: float) -> Iterator[Iterator[str]]:
    app, worker = keypool(), {"worker": os.getpid()}
    keys = sorted(read(queries.standing_by_pool, at).items())
    standings = [("", {"pool": pool, "state": state}, number) for (pool, state), number in keys]
    yield _family("keypool_keys", "gauge", "Keys of a pool by how they stand.", standings)
    flying = [("", worker, app.catalogue.vitals.flying)]
    yield _family("keypool_attempts_in_flight", "gauge", "Upstream calls under way.", flying)
    waiting = [("", worker, app.relay.waiting)]
    yield _family("keypool_requests_waiting", "gauge", "Requests that wait for a key.", waiting)
    open_ones = [("", worker, app.upstream.open_connections())]
    yield _family("keypool_upstream_connections", "gauge", "Connections to upstreams.", open_ones)
    behind: list[Sample] = [("", {}, app.recorder.behind())]
    yield _family("keypool_journal_behind_bytes", "gauge", "Of the journal here, not yet in the database.", behind)
    lost = [("", worker, app.spool.unwritten)]
    yield _family("keypool_journal_lost_total", "counter", "Records that a full disk lost.", lost)
    alone = [("", worker, int(app.state.degraded))]
    yield _family("keypool_shared_state_away", "gauge", "1 while Redis does not answer.", alone)
    storms = [
        ("", {"provider": slug}, 1) for slug, storm in sorted(app.relay.judge.outages.storms().items()) if storm.kind
    ]
    yield _family("keypool_storm", "gauge", "Upstreams that fail every key alike.", storms)
    yield _family("keypool_start_time_seconds", "gauge", "When this worker began.", [("", worker, app.began_at)])
    yield _family("keypool_info", "gauge", "The version that runs.", [("", {"version": VERSION}, 1)])


def _histogram(buckets: Iterable[tuple[int | None, int]], sum_ms: int) -> list[Sample]:
    samples: list[Sample] = []
    total = 0
    for edge_ms, count in buckets:
        total += count
        samples.append(("_bucket", {"le": "+Inf" if edge_ms is None else f"{edge_ms / 1000:g}"}, total))
    return [*samples, ("_sum", {}, sum_ms / 1000), ("_count", {}, total)]


def _family(name: str, kind: str, text: str, samples: Iterable[Sample]) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    for suffix, labels, value in samples:
        said = ",".join(f'{label}="{_escaped(str(each))}"' for label, each in labels.items())
        yield f"{name}{suffix}{{{said}}} {value!r}" if said else f"{name}{suffix} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

"""One line a record in both formats: what is in it, and that no secret is."""

from __future__ import annotations

import io
import json
import logging
import sys
import warnings
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import gevent
import pytest
from gunicorn.config import Config

from pool.web.logs import JsonLogger, TextLogger
from pool.web.request_ids import begin_request, end_request
from tests.house import GEMINI_KEYS

SECRET = GEMINI_KEYS[0]
LOGGERS = [TextLogger, JsonLogger]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """What a server of this logger writes. The root and warnings are as they were afterwards."""
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    root, server = logging.getLogger(), logging.getLogger("gunicorn.error")
    before = (root.handlers, root.level, server.handlers, server.level, server.propagate)
    server.handlers = []
    request.param(Config())
    yield file
    logging.captureWarnings(False)
    end_request()
    root.handlers, level, server.handlers, level_of_server, server.propagate = before
    root.setLevel(level)
    server.setLevel(level_of_server)


in_both = pytest.mark.parametrize("written", LOGGERS, indirect=True, ids=["text", "json"])
in_json = pytest.mark.parametrize("written", [JsonLogger], indirect=True, ids=["json"])
in_text = pytest.mark.parametrize("written", [TextLogger], indirect=True, ids=["text"])


def line_of(written: io.StringIO) -> dict[str, Any]:
    (line,) = written.getvalue().splitlines()
    return json.loads(line)


def fail(secret: str) -> None:
    raise ValueError(f"Consumer 'api_key:{secret}' has been suspended.")


@in_json
def test_a_line_of_json_says_when_who_and_what(written: io.StringIO) -> None:
    request_id = begin_request()
    logging.getLogger("pool.jobs").warning("job %d is late", 7)
    line = line_of(written)
    at = datetime.fromisoformat(line["time"])
    assert line["time"].endswith("Z") and len(line["time"]) == len("2026-11-21T20:00:00.000Z")
    assert abs(at.timestamp() - datetime.now().timestamp()) < 5
    assert isinstance(line.pop("pid"), int)
    del line["time"]
    assert line == {"level": "warning", "logger": "pool.jobs", "request_id": request_id, "message": "job 7 is late"}


@in_text
def test_a_line_of_text_names_the_request_and_none_where_there_is_none(written: io.StringIO) -> None:
    log = logging.getLogger("pool.jobs")
    end_request()  # that of an app that was called without a server
    log.warning("before")
    request_id = begin_request()
    log.warning("meanwhile")
    end_request()
    log.warning("after")
    ends = [line.partition("[WARNING] ")[2] for line in written.getvalue().splitlines()]
    assert ends == ["before", f"[{request_id}] meanwhile", "after"]


@in_json
def test_requests_served_at_the_same_time_keep_their_ids(written: io.StringIO) -> None:
    def serve(name: str) -> str:
        request_id = begin_request()
        gevent.sleep(0.001)
        logging.getLogger("pool").warning(name)
        return request_id

    ids = {name: gevent.spawn(serve, name) for name in ("one", "two", "three")}
    gevent.joinall(ids.values())
    lines = map(json.loads, written.getvalue().splitlines())
    assert {line["message"]: line["request_id"] for line in lines} == {name: each.value for name, each in ids.items()}


@in_both
@pytest.mark.parametrize("logger", ["pool.relay", "gunicorn.error"])
def test_neither_text_nor_stack_nor_what_is_attached_shows_a_key(written: io.StringIO, logger: str) -> None:
    log = logging.getLogger(logger)
    try:
        fail(SECRET)
    except ValueError:
        log.exception("with %s", SECRET, extra={"key": SECRET}, stack_info=True)
    log.error(f"look at {SECRET}")
    log.error("look", stack_info=bool(SECRET), extra={"asctime_": SECRET})
    text = written.getvalue()
    assert "ValueError" in text and "has been suspended" in text
    assert SECRET not in text
    assert SECRET[8:-4] not in text


@in_json
def test_an_exception_of_many_lines_is_one_line_of_json(written: io.StringIO) -> None:
    try:
        fail("x")
    except ValueError:
        logging.getLogger("pool").exception("it\nbroke")
    line = line_of(written)
    assert line["message"] == "it\nbroke"
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert line["exception"].endswith("ValueError: Consumer 'api_key:x' has been suspended.")


@in_both
@pytest.mark.parametrize("values", [(1, 2), (), ({},), ("x",)])
def test_a_line_whose_values_do_not_fit_is_written_and_fails_nobody(written: io.StringIO, values: Any) -> None:
    logging.getLogger("pool").error("%d of %(all)s", *values)
    assert "%d of %(all)s" in written.getvalue()


@in_json
def test_half_a_surrogate_and_chinese_cost_no_line(written: io.StringIO) -> None:
    logging.getLogger("pool").error("模型 %s", "\ud83d")
    assert line_of(written)["message"] == "模型 \ud83d"
    assert written.getvalue().isascii()


@in_json
def test_a_warning_of_python_is_a_line_like_others(written: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("this will go", DeprecationWarning, stacklevel=1)
    assert "this will go" in line_of(written)["message"]

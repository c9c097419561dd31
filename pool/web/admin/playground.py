"""The playground: one question to a pool, its answer, and how it came about. Neither is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
from flask import Response, make_response, render_template, request, stream_with_context
from flask_babel import gettext as _

from pool.core import lengths
from pool.web.admin import admin
from pool.web.asking import EVENTS, Question
from pool.web.here import keypool
from pool.web.ids import row_id
from pool.web.model_names import model_names
from pool.web.shown import count

MOST_TEXT = 100_000


@dataclass(slots=True)
class Asked:
    """What stands in the form, and what is wrong with it, by field."""

    pool_id: int
    model: str = ""
    text: str = ""
    errors: dict[str, str] = field(default_factory=dict)

    def check(self) -> bool:
        if self.pool_id not in keypool().catalogue.pools:
            self.errors["pool"] = _("Choose a pool.")
        if not self.model or len(self.model) > lengths.MODEL:
            self.errors["model"] = _("Name a model.")
        if not self.text.strip():
            self.errors["text"] = _("Write something.")
        elif len(self.text) > MOST_TEXT:
            self.errors["text"] = _("At most %(most)s characters.", most=count(MOST_TEXT))
        return not self.errors


@admin.get("/playground")
def playground() -> Response:
    default = keypool().catalogue.default_pool_id
    pool_id = request.args.get("pool", default, type=row_id)
    known = pool_id if pool_id in keypool().catalogue.pools else default
    return _page(Asked(known, request.args.get("model", "").strip()[: lengths.MODEL]))


@admin.post("/playground")
def ask_playground() -> Response:
    """The answer whole, on the page: for browsers without script."""
    asked = _sent()
    if not asked.check():
        return _page(asked, 422)
    question = Question(asked.pool_id, asked.model, asked.text, stream=False)
    question.ask()
    return _page(asked, told=question.told)


@admin.post("/playground/stream")
def stream_playground() -> Response:
    """The answer as it comes, in OpenAI's events. The last one, `told`, is HTML: how it came about."""
    asked = _sent()
    if not asked.check():
        return Response(_last("".join(f"{each} " for each in asked.errors.values())), 422, mimetype=EVENTS)
    question = Question(asked.pool_id, asked.model, asked.text, stream=True)
    question.ask()
    response = Response(stream_with_context(_events(question)), mimetype=EVENTS)
    response.headers["X-Accel-Buffering"] = "no"
    response.call_on_close(question.close)
    return response


def _events(question: Question) -> Iterator[bytes]:
    if question.streaming:
        yield from question.pieces()
    yield _last("", question.told)


def _last(error: str, told: Any = None) -> bytes:
    html = render_template("playground/_told.html", told=told, error=error)
    return b"\n\nevent: told\ndata: %b\n\n" % orjson.dumps({"html": html})


def _sent() -> Asked:
    given = request.form
    return Asked(given.get("pool", 0, type=row_id), given.get("model", "").strip(), given.get("text", ""))


def _page(asked: Asked, status: int = 200, told: Any = None) -> Response:
    pools = list(keypool().catalogue.pools.values())
    models = model_names(asked.pool_id)
    return make_response(
        render_template("playground/page.html", asked=asked, told=told, pools=pools, models=models), status
    )

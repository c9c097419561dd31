"""The whole app on a fresh instance folder, with a scripted upstream behind it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import select
from werkzeug.test import Client

from app import Keypool, create_app
from pool.adapters.inventory import NewKey
from pool.adapters.redis import RedisState
from pool.adapters.tables import Attempt, Key, Request
from tests import stores
from tests.upstream import ScriptedUpstream

PASSWORD = "correct horse battery"
GEMINI_KEYS = tuple(f"AIzaSyGemini{n:04d}" + "x" * 23 for n in range(1, 10))
OPENAI_KEYS = tuple(f"sk-proj-openai{n:04d}" + "y" * 30 for n in range(1, 10))


class House:
    """An app under test: `client` calls it, `keypool` is what it is made of, `upstream` what it calls."""

    def __init__(self, app: Any, upstream: ScriptedUpstream) -> None:
        self.app = app
        self.upstream = upstream
        self.keypool: Keypool = app.extensions["keypool"]
        self.client = Client(app)
        self.auth_key = self.keypool.inventory.auth_key(self.keypool.catalogue.default_pool_id)

    @property
    def default_pool_id(self) -> int:
        return self.keypool.catalogue.default_pool_id

    def add_keys(
        self, *secrets: str, provider: str | None = None, pool_id: int | None = None, **fields: Any
    ) -> list[int]:
        """Take keys in; their ids, in order."""
        keys = [
            NewKey(provider or ("gemini" if secret.startswith("AIza") else "openai"), secret, **fields)
            for secret in secrets
        ]
        taken = self.keypool.inventory.add_keys(keys, pool_id or self.default_pool_id, "paste", "test")
        return [each.key_id for each in taken]

    def headers(self, **more: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.auth_key}", **more}

    def post(self, path: str, body: Any = None, **options: Any) -> Any:
        """POST JSON (or bytes) with the auth key of pool `default`."""
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        options.setdefault("headers", self.headers())
        return self.client.post(path, data=data, content_type="application/json", **options)

    def chat(self, model: str = "gemini-2.5-flash", stream: bool = False, **fields: Any) -> Any:
        body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "stream": stream}
        return self.post("/v1/chat/completions", {**body, **fields})

    def generate(
        self, model: str = "gemini-2.5-flash", verb: str = "generateContent", query: str = "", **options: Any
    ) -> Any:
        body = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
        return self.post(f"/v1beta/models/{model}:{verb}{query}", body, **options)

    def set(self, **settings: Any) -> None:
        self.keypool.preferences.change(settings)

    def public_ids(self) -> dict[int, str]:
        """The names predecessors' clients know keys by, by the id."""
        return self.keypool.database.read(_public_ids)

    def records(self) -> list[dict[str, Any]]:
        """The request rows written so far, oldest first, each with its attempts."""
        self.keypool.recorder.drain()
        return self.keypool.database.read(_rows)


def _public_ids(session: Any) -> dict[int, str]:
    return {row[0]: row[1] for row in session.execute(select(Key.id, Key.public_id).order_by(Key.id))}


def _rows(session: Any) -> list[dict[str, Any]]:
    rows = [dict(row) for row in session.execute(select(*Request.__table__.c).order_by(Request.id)).mappings()]
    for row in rows:
        tries = select(*Attempt.__table__.c).where(Attempt.request_row == row["id"]).order_by(Attempt.n)
        row["tries"] = [dict(each) for each in session.execute(tries).mappings()]
    return rows


def make_template(folder: Path) -> Path:
    """An instance folder with its password set, to copy from: hashing one costs half a second."""
    shared = stores.shared()
    variables = shared.make(folder) if shared else {}
    environment = {"KEYPOOL_INSTANCE": str(folder), "ADMIN_PASSWORD": PASSWORD, **variables}
    app = create_app(environment=environment)
    app.extensions["keypool"].stop()
    return folder


@contextmanager
def open_house(template: Path, folder: Path, **variables: str) -> Iterator[House]:
    """On a fresh copy of the template, or on what an earlier house left in the folder."""
    if not (folder / "spool").exists():
        shutil.copytree(template, folder, dirs_exist_ok=True)
    shared = stores.shared() if "DATABASE_URL" not in variables else None
    with ScriptedUpstream() as upstream:
        environment = {
            "KEYPOOL_INSTANCE": str(folder),
            "GEMINI_UPSTREAM_URL": upstream.url + "/v1beta",
            "OPENAI_UPSTREAM_URL": upstream.url + "/v1",
            **(shared.copy(template, folder) if shared else {}),
            **variables,
        }
        app = create_app(environment=environment)
        house = House(app, upstream)
        state = house.keypool.state
        if isinstance(state, RedisState):
            state.start()
        try:
            yield house
        finally:
            house.keypool.stop()
            if shared:
                shared.close(folder)

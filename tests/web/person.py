"""Somebody with a user key, who asks in OpenAI's, Google's or no particular way."""

from __future__ import annotations

from typing import Any

import orjson
from werkzeug.test import Client

from tests.house import House

FORM = "multipart/form-data; boundary=x-y-z"


class Person:
    """`fields` are those of the user key: limits, permissions."""

    def __init__(self, house: House, name: str, **fields: Any) -> None:
        self.house = house
        self.id, self.token = house.keypool.inventory.create_client(name, house.default_pool_id, **fields)

    def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """As an OpenAI client does."""
        return self._ask("Authorization", f"Bearer {self.token}", method, path, body, options)

    def google(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        return self._ask("x-goog-api-key", self.token, method, path, body, options)

    def upload(self) -> str:
        """A file in OpenAI's store; its id."""
        response = self.ask("POST", "/v1/files", data=form(purpose="batch", file=b"{}"), content_type=FORM)
        assert response.status_code == 200, response.data
        return response.json["id"]

    def key_of(self, made: dict[str, str], name: str) -> Any:
        """The key that made an object, as the catalogue knows it."""
        return next(key for key in self.house.keypool.catalogue.keys.values() if key.secret == made[name])

    def _ask(self, name: str, value: str, method: str, path: str, body: Any, options: dict[str, Any]) -> Any:
        headers = {name: value, **options.pop("headers", {})}
        if body is not None and "data" not in options:
            options |= {"data": orjson.dumps(body), "content_type": "application/json"}
        return Client(self.house.app).open(path, method=method, headers=headers, **options)


def form(**fields: str | bytes) -> bytes:
    """A multipart form: texts are fields, bytes are files."""
    out = b""
    for name, value in fields.items():
        told = f'; filename="{name}.bin"' if isinstance(value, bytes) else ""
        out += f'--x-y-z\r\nContent-Disposition: form-data; name="{name}"{told}\r\n\r\n'.encode()
        out += (value if isinstance(value, bytes) else value.encode()) + b"\r\n"
    return out + b"--x-y-z--\r\n"

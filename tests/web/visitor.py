"""Somebody with a browser that runs no script: follows links, fills in forms, presses buttons."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import orjson

from pool.adapters import queries
from pool.adapters.tables import db
from pool.web.login import COOKIE
from tests.house import House
from tests.web.document import Document, Form, Node, encoded


class Page(Document):
    """An answer as somebody reads it: its links by their text, and all of its text."""

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.root.words()).split())

    @property
    def links(self) -> list[tuple[str, str]]:
        return [(node.text, node.get("href")) for node in self.all("a")]

    def form_of(self, button: str, action: str = "") -> tuple[Form, Node]:
        for form in self.forms:
            for each in form.buttons:
                if each.text.startswith(button) and action in form.target(each)[1]:
                    return form, each
        raise LookupError(f"no button {button!r} in {[[each.text for each in form.buttons] for form in self.forms]}")

    def link(self, text: str) -> str:
        return next(href for said, href in self.links if said.startswith(text))


class Visitor:
    """A browser without script, signed in as the admin unless told otherwise."""

    def __init__(self, house: House, signed_in: bool = True) -> None:
        self.house = house
        self.client = house.app.test_client()
        self.holds = False
        if signed_in:
            self.token = self._sign_in()

    def _sign_in(self) -> str:
        """As the login form would, without the half second a hash takes."""
        token, now = secrets.token_urlsafe(32), time.time()
        keypool = self.house.keypool
        keypool.database.write(
            queries.begin_session, keypool.vault.digest(token), now, now + 1000, "127.0.0.1", "test"
        )  # fmt: skip
        with self.client.session_transaction() as cookie:
            cookie["_user_id"] = token
            cookie["_fresh"] = True
        return token

    def twin(self) -> Visitor:
        """The same browser again, with cookies of its own to change."""
        twin = Visitor(self.house, signed_in=False)
        twin.holds = self.holds
        for name in (COOKIE, "theme", "language"):
            cookie = self.client.get_cookie(name)
            if cookie is not None:
                twin.client.set_cookie(name, cookie.value)
        return twin

    @classmethod
    def holding(cls, house: House, token: str) -> Visitor:
        """Somebody who signed in with a client key."""
        visitor = cls(house, signed_in=False)
        assert visitor.post("/login", password=token).status_code == 303
        visitor.holds = True
        return visitor

    @property
    def signed_in(self) -> bool:
        with self.client.session_transaction() as cookie:
            return "_user_id" in cookie

    def get(self, path: str, **options: Any) -> Any:
        return self.client.get(path, **options)

    def see(self, path: str) -> Page:
        """A page that must be there."""
        answer = self.client.get(path, follow_redirects=True)
        assert answer.status_code == 200, (path, answer.status_code)
        return Page(answer.text)

    def post(self, path: str, _headers: dict[str, str] | None = None, **form: Any) -> Any:
        return self.client.post(path, data=form, headers=_headers or {})

    def press(self, page: Page, button: str, action: str = "", **filled: Any) -> Any:
        """Fill in the form that `button` belongs to, and press it. The answer, redirects followed."""
        return self.submit(*page.form_of(button, action), filled)

    def submit(self, form: Form, button: Node, filled: Mapping[str, Any], headers: Mapping[str, str] = {}) -> Any:
        """Send a form by one of its buttons. The answer, redirects followed."""
        method, url, enctype = form.target(button)
        pairs = form.sends(button, filled)
        if method == "get":
            # As browsers do: the fields take the place of a query the address may have.
            address = f"{url.partition('?')[0]}?{urlencode(pairs)}"
            return self.client.get(address, headers=headers, follow_redirects=True)
        body, kind = encoded(pairs, enctype)
        return self.client.post(url, data=body, content_type=kind, headers=headers, follow_redirects=True)

    def audit(self) -> list[tuple[str, str]]:
        """(action, object) of every row of the trail, oldest first."""
        return [(row["action"], row["object"]) for row in rows_of(self.house, "audit")]


def as_stored(value: Any) -> Any:
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else value


def rows_of(house: House, table: str) -> list[dict[str, Any]]:
    """Every row of a table in the order of its primary key, as SQLite stores it: JSON as text."""
    from sqlalchemy import text

    names = ", ".join(f'"{column.name}"' for column in db.metadata.tables[table].primary_key)

    def all_rows(session: Any) -> list[dict[str, Any]]:
        found = session.execute(text(f"SELECT * FROM {table} ORDER BY {names}"))
        return [{name: as_stored(value) for name, value in row.items()} for row in found.mappings()]

    return house.keypool.database.read(all_rows)

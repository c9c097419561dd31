"""Somebody with a browser that runs no script: follows links, fills in forms, presses buttons."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from pool.adapters import queries
from tests.house import House

VOID = {"input", "meta", "link", "img", "br", "hr", "rect", "path"}


@dataclass
class Form:
    """A form as a browser sees it: where it goes, its fields, and its buttons by their text."""

    action: str
    method: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[tuple[str, str, str]] = field(default_factory=list)
    has_file: bool = False


class Page(HTMLParser):
    """A parsed answer: its forms, its links by text, and all of its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.links: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.tags: list[str] = []
        self._form: Form | None = None
        self._open: tuple[str, dict[str, str]] | None = None
        self._said = ""
        self._select = ""
        self._chosen: str | None = None
        self.feed(html)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        have = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        match tag:
            case "form":
                self._form = Form(have.get("action", ""), have.get("method", "get"))
                self.forms.append(self._form)
            case "a" | "button" | "textarea":
                self._open, self._said = (tag, have), ""
            case "select":
                self._select, self._chosen = have["name"], None
            case "option":
                if self._chosen is None or "selected" in have:
                    self._chosen = have.get("value", "")
            case "input":
                self._input(have)

    def _input(self, have: dict[str, str]) -> None:
        if self._form is None or "name" not in have:
            return
        if have.get("type") == "file":
            self._form.has_file = True
        elif have.get("type") != "checkbox" or "checked" in have:
            self._form.fields.append((have["name"], have.get("value", "")))

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        self._said += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "select" and self._form is not None:
            self._form.fields.append((self._select, self._chosen or ""))
        elif self._open is not None and tag == self._open[0]:
            said, have = " ".join(self._said.split()), self._open[1]
            if tag == "a":
                self.links.append((said, have.get("href", "")))
            elif tag == "textarea" and self._form is not None and "name" in have:
                self._form.fields.append((have["name"], self._said.removeprefix("\n")))
            elif self._form is not None and have.get("type") != "button":
                self._form.buttons.append((said, have.get("name", ""), have.get("value", "")))
            self._open = None

    def form_of(self, button: str, action: str = "") -> tuple[Form, tuple[str, str, str]]:
        for form in self.forms:
            for each in form.buttons:
                if each[0].startswith(button) and action in form.action:
                    return form, each
        raise LookupError(f"no button {button!r} in {[form.buttons for form in self.forms]}")

    def link(self, text: str) -> str:
        return next(href for said, href in self.links if said.startswith(text))


class Visitor:
    """A browser without script, signed in as the admin unless told otherwise."""

    def __init__(self, house: House, signed_in: bool = True) -> None:
        self.house = house
        self.client = house.app.test_client()
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
        form, (_, name, value) = page.form_of(button, action)
        fields = [(key, text) for key, text in form.fields if key not in filled]
        for key, given in filled.items():
            fields += [(key, each) for each in (given if isinstance(given, list) else [given])]
        if name:
            fields.append((name, value))
        data: dict[str, list[Any]] = {}
        for key, text in fields:
            data.setdefault(key, []).append(text)
        kind = "multipart/form-data" if form.has_file else None
        call = self.client.post if form.method == "post" else self.client.get
        options = {"data": data, "content_type": kind} if form.method == "post" else {"query_string": data}
        return call(form.action, follow_redirects=True, **options)

    def audit(self) -> list[tuple[str, str]]:
        """(action, object) of every row of the trail, oldest first."""
        return [(row["action"], row["object"]) for row in rows_of(self.house, "audit")]


def rows_of(house: House, table: str) -> list[dict[str, Any]]:
    """Every row of a table, as it is stored."""
    from sqlalchemy import text

    def all_rows(session: Any) -> list[dict[str, Any]]:
        found = session.execute(text(f"SELECT * FROM {table}"))
        return [dict(row) for row in found.mappings()]

    return house.keypool.database.read(all_rows)

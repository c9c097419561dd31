"""Changing what is said of one key: in its row with htmx, on a page of its own without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Response, request
from flask_babel import gettext as _
from pydantic import ValidationError

from pool.adapters import queries
from pool.core.importing_words import tags_of
from pool.web import htmx
from pool.web.admin import admin
from pool.web.admin.keys import back_of, found, shown_row
from pool.web.api.key_edits import KeyEdit, edit, said

TEXTS = ("name", "project", "email", "note")


@dataclass(frozen=True, slots=True)
class Places:
    """What a key is in its pools, by their ids, as the fields have it."""

    weights: Mapping[int, str]
    tiers: Mapping[int, str]
    on: Mapping[int, bool]

    @classmethod
    def held(cls, row: queries.KeyRow) -> Places:
        return cls(
            {seat.pool_id: str(seat.weight) for seat in row.places},
            {seat.pool_id: str(seat.tier) for seat in row.places},
            {seat.pool_id: seat.enabled for seat in row.places},
        )

    @classmethod
    def sent(cls, row: queries.KeyRow, form: Mapping[str, str]) -> Places:
        """What the form has no field for stays."""
        held = cls.held(row)
        return cls(
            {pool_id: form.get(f"weight-{pool_id}", text) for pool_id, text in held.weights.items()},
            {pool_id: form.get(f"tier-{pool_id}", text) for pool_id, text in held.tiers.items()},
            {
                pool_id: f"on-{pool_id}" in form if f"switch-{pool_id}" in form else on
                for pool_id, on in held.on.items()
            },
        )

    @property
    def wrong(self) -> dict[str, str]:
        fields = {f"weight-{pool_id}": text for pool_id, text in self.weights.items()}
        fields |= {f"tier-{pool_id}": text for pool_id, text in self.tiers.items()}
        return {name: _("A whole number from 0 to 100.") for name, text in fields.items() if not _is_small(text)}

    @property
    def asked(self) -> list[dict[str, Any]]:
        return [
            {"id": pool_id, "weight": int(text), "tier": int(self.tiers[pool_id]), "enabled": self.on[pool_id]}
            for pool_id, text in self.weights.items()
        ]


def _is_small(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= 100


@admin.get("/keys/<int:key_id>/edit")
def edit_key(key_id: int) -> Response:
    row = found(key_id)
    given = {name: getattr(row, name) for name in TEXTS}
    return _form(row, {**given, "tags": ", ".join(row.tags)}, Places.held(row), {}, back_of(request.args))


@admin.post("/keys/<int:key_id>/edit")
def change_key(key_id: int) -> Response:
    """Only what is different changes. What does not fit comes back beside its field."""
    row = found(key_id)
    given = {name: request.form.get(name, "") for name in (*TEXTS, "tags")}
    places = Places.sent(row, request.form)
    asked, errors = _asked(given, places)
    if asked is None:
        return _form(row, given, places, errors, back_of(request.form), 422)
    edit(row, said(row, asked))
    return shown_row(row, _("%(key)s is changed.", key=row.hint))


def _asked(given: Mapping[str, str], places: Places) -> tuple[KeyEdit | None, dict[str, str]]:
    """What was filled in, as the API takes it; else what is wrong, by field."""
    if places.wrong:
        return None, places.wrong
    body: dict[str, Any] = {**given, "tags": list(tags_of(given["tags"]))}
    if places.asked:
        body["pools"] = places.asked
    try:
        return KeyEdit.model_validate(body), {}
    except ValidationError as error:
        return None, {str(each["loc"][0]): _("That is too long, or too many.") for each in error.errors()}


def _form(
    row: queries.KeyRow, given: Mapping[str, str], places: Places, errors: Mapping[str, str], back: str,
    status: int = 200,
) -> Response:  # fmt: skip
    return htmx.page(
        "keys/edit.html", "keys/_edit_row.html", status, row=row, given=given, weights=places.weights,
        tiers=places.tiers, on=places.on, errors=errors, back=back,
    )  # fmt: skip

"""The settings page: every setting, its default and its meaning; saved at once, with a way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Response, abort, flash, make_response, render_template, request, url_for
from flask_babel import gettext as _

from pool.settings import BY_NAME, SETTINGS, BadSetting, Setting, coerce
from pool.web import htmx
from pool.web.admin import admin
from pool.web.admin.setting_words import GROUPS, choice, group_text, label, plain, unit_text, value_text, wrong
from pool.web.changing import Change, put_in_force
from pool.web.here import keypool
from pool.web.names import isolated
from pool.web.origin import own_path
from pool.web.shown import count

MOST_TOLD = 12
"""How many changes a message tells one by one: it travels in a cookie."""


@dataclass(frozen=True, slots=True)
class Field:
    """A setting as the form shows it: `typed` is what stands in its input, `was` what the page showed at first."""

    setting: Setting
    value: Any
    typed: Any
    was: Any
    error: str = ""

    @property
    def changed(self) -> bool:
        return bool(self.value != self.setting.default)

    @property
    def kind(self) -> str:
        if isinstance(self.setting.default, bool):
            return "switch"
        if self.setting.choices:
            return "choice"
        return "number" if isinstance(self.setting.default, int | float) else "text"


@admin.get("/settings")
def settings() -> Response:
    return make_response(render_template("settings/page.html", **_context(_fields())))


@admin.post("/settings")
def change_settings() -> Response:
    """Save what was changed on the page, and only that: another tab may have changed something else meanwhile."""
    if "default" in request.form:
        return _back_to_default(request.form["default"])
    fields = [_typed(field) for field in _fields()]
    if any(field.error for field in fields):
        return htmx.page("settings/page.html", "settings/_form.html", 422, **_context(fields))
    wanted = {field.setting.name: field.typed for field in fields if field.typed != field.was}
    _tell(put_in_force(wanted))
    return htmx.moved(url_for(".settings"))


@admin.post("/settings/undo")
def undo_settings() -> Response:
    """Bring back the values a message named."""
    wanted = {name: value for name, value in request.args.items() if name in BY_NAME}
    try:
        _tell(put_in_force(wanted))
    except BadSetting:
        abort(400)
    return htmx.moved(own_path(request.form.get("back", ""), url_for(".settings")))


def _back_to_default(name: str) -> Response:
    setting = BY_NAME.get(name)
    if setting is None:
        abort(404)
    changes = put_in_force({setting.name: setting.default})
    if not htmx.calling():
        _tell(changes)
    field = next(field for field in _fields() if field.setting is setting)
    return htmx.changed("settings/_field.html", url_for(".settings"), field=field, **_words())


def _tell(changes: Mapping[str, Change]) -> None:
    if not changes:
        flash(_("Nothing was changed."))
        return
    told = [
        f"{label(name)}: {isolated(value_text(BY_NAME[name], old))} → {isolated(value_text(BY_NAME[name], new))}"
        + (" · " + _("from the next start on") if BY_NAME[name].boot else "")
        for name, (old, new) in changes.items()
    ]
    before: dict[str, Any] = {name: str(old) for name, (old, _new) in changes.items()}
    undo = url_for(".undo_settings", **before)
    message = {"text": _("Saved."), "changes": told[:MOST_TOLD], "undo": undo}
    flash(message if len(told) <= MOST_TOLD else _("Saved: %(num)s settings.", num=count(len(told))))  # type: ignore[arg-type]


def _fields() -> list[Field]:
    current = keypool().preferences.current
    values = [(setting, getattr(current, setting.name)) for setting in SETTINGS]
    return [Field(setting, value, value, value) for setting, value in values]


def _typed(field: Field) -> Field:
    """A field with what the form says: its value, or what is wrong with it."""
    setting, form = field.setting, request.form
    if f"was-{setting.name}" not in form:
        return field
    given = form.get(setting.name, "off" if isinstance(setting.default, bool) else "")
    try:
        was = coerce(setting.name, form[f"was-{setting.name}"])
        typed = coerce(setting.name, given)
    except BadSetting:
        return Field(setting, field.value, given, field.value, wrong(setting))
    if typed != was and field.value not in (was, typed):
        text = _("Somebody else made it %(value)s meanwhile.", value=value_text(setting, field.value))
        return Field(setting, field.value, typed, field.value, text)
    return Field(setting, field.value, typed, was) if typed != was else field


def _context(fields: list[Field]) -> dict[str, Any]:
    by_name = {field.setting.name: field for field in fields}
    groups = [(group, [by_name.pop(name) for name in names]) for group, names in GROUPS.items()]
    return {"groups": [*groups, ("others", list(by_name.values()))] if by_name else groups, **_words()}


def _words() -> dict[str, Any]:
    return {
        "label": label,
        "unit": unit_text,
        "plain": plain,
        "choice": choice,
        "group_text": group_text,
        "value_text": value_text,
        "level_fixed": keypool().environment.log_level,
    }

"""Settings: `/admin/settings`, each with its default, its unit, its meaning, and where its value comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from flask import Response, make_response, redirect, url_for
from pydantic import AliasChoices, BeforeValidator, Field, WithJsonSchema, create_model

from pool.core.faults import Fault
from pool.settings import BY_NAME, SETTINGS, BadSetting, Setting, check
from pool.web.api.answers import answer
from pool.web.api.operations import Asked, Told, operation
from pool.web.changing import put_in_force
from pool.web.here import browsing, keypool

Scalar = bool | int | float | str

KINDS = {bool: "boolean", int: "integer", float: "number", str: "string"}


class SettingTold(Told):
    name: str
    value: Scalar
    default: Scalar
    type: Literal["boolean", "integer", "number", "string"]
    unit: str
    help: str
    choices: list[str]
    low: float | None
    high: float | None
    aliases: list[str] = Field(description="Other names that are accepted.")
    source: Literal["default", "stored", "environment"]
    read_only: bool = Field(description="The environment sets it.")
    live: bool = Field(description="In force at once; else from the next start on.")


class SettingsTold(Told):
    settings: list[SettingTold]
    next: None = Field(description="They all fit on one page.")


class SettingValuesTold(Told):
    before: Scalar
    after: Scalar


class SettingsChangeTold(Told):
    success: bool
    message: str
    changed: dict[str, SettingValuesTold]


class SettingValue(Asked):
    value: Scalar | None = Field(description="Null brings the default back.")


def _member(setting: Setting) -> tuple[Any, Any]:
    """A setting as a member of the body: checked like everywhere, told with its bounds."""

    def checked(value: Any) -> Any:
        try:
            return None if value is None else check(setting.name, value)[1]
        except BadSetting as error:
            raise ValueError(str(error).partition(": ")[2]) from None

    kind = Annotated[Any, BeforeValidator(checked), WithJsonSchema(_schema(setting))]
    names = AliasChoices(setting.name, *setting.aliases)
    return kind, Field(None, validation_alias=names, description=setting.help)


def _schema(setting: Setting) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": [KINDS[type(setting.default)], "null"], "default": setting.default}
    if setting.choices:
        schema["enum"] = [*setting.choices, None]
    if setting.low is not None:
        schema["minimum"] = setting.low
    if setting.high is not None:
        schema["maximum"] = setting.high
    return schema


_MEMBERS: dict[str, Any] = {setting.name: _member(setting) for setting in SETTINGS}
SettingsChange = create_model("SettingsChange", __base__=Asked, **_MEMBERS)
SettingsChange.__doc__ = "What is left out stays as it is; null brings a default back."


@operation("GET", "/admin/settings", tag="settings", summary="All settings", answers={200: SettingsTold})
def list_settings() -> Response:
    """A person's browser is led to the page."""
    if browsing():
        return make_response(redirect(url_for("admin.settings")))
    return answer({"settings": [told(setting) for setting in SETTINGS], "next": None})


def change_several(body: Asked) -> Response:
    """Change settings, all or none. They are in force at once, but for those that are not `live`."""
    return _changed(body.model_dump(exclude_unset=True))


for _method in ("PATCH", "PUT"):
    operation(
        _method, "/admin/settings", tag="settings", summary="Change settings", body=SettingsChange,
        answers={200: SettingsChangeTold}, example={"max_attempts": 20, "heartbeat_s": None},
    )(change_several)  # fmt: skip


@operation("GET", "/admin/settings/<name>", tag="settings", summary="One setting", answers={200: SettingTold})
def show_setting(name: str) -> Response:
    return answer(told(one(name)))


def change_setting(name: str, body: SettingValue) -> Response:
    """Change one setting."""
    return _changed({one(name).name: body.value})


for _method in ("PUT", "PATCH"):
    operation(
        _method, "/admin/settings/<name>", tag="settings", summary="Change a setting", body=SettingValue,
        answers={200: SettingsChangeTold}, example={"value": 20},
    )(change_setting)  # fmt: skip


@operation(
    "DELETE", "/admin/settings/<name>", tag="settings", summary="Back to the default", answers={200: SettingsChangeTold}
)  # fmt: skip
def reset_setting(name: str) -> Response:
    return _changed({one(name).name: None})


def one(name: str) -> Setting:
    """A setting by any of its names. Raises `Fault` 404."""
    if name not in BY_NAME:
        raise Fault(404, "setting_not_found", f"There is no setting {name!r}.", param="name", retryable=False)
    return BY_NAME[name]


def told(setting: Setting) -> dict[str, Any]:
    value, variable = in_force(setting), read_only(setting)
    return {
        "name": setting.name,
        "value": value,
        "default": setting.default,
        "type": KINDS[type(setting.default)],
        "unit": setting.unit,
        "help": setting.help,
        "choices": list(setting.choices),
        "low": setting.low,
        "high": setting.high,
        "aliases": list(setting.aliases),
        "source": "environment" if variable else "default" if value == setting.default else "stored",
        "read_only": bool(variable),
        "live": not setting.boot,
    }


def in_force(setting: Setting) -> Any:
    """The value that counts: the environment's where it says one."""
    if read_only(setting):
        return keypool().environment.log_level
    return getattr(keypool().preferences.current, setting.name)


def read_only(setting: Setting) -> str:
    """The variable of the environment that sets it; "" where none does."""
    return "LOG_LEVEL" if setting.name == "log_level" and keypool().environment.log_level else ""


def wanted(given: Mapping[str, Any]) -> dict[str, Any]:
    """Typed values by canonical name, without what is as wished; null stands for the default.

    Raises `BadSetting`; `Fault` 409 for what the environment sets.
    """
    values: dict[str, Any] = {}
    for name, value in given.items():
        canonical, typed = check(name, value)
        setting = BY_NAME[canonical]
        if typed == in_force(setting):
            continue
        if canonical in values and values[canonical] != typed:
            raise BadSetting(f"{name}: it is {canonical!r}, which has another value here, too")
        variable = read_only(setting)
        if variable:
            message = f"`{name}` is set by {variable} in the environment of this server: change it there."
            raise Fault(409, "set_by_environment", message, param=name, retryable=False)
        values[canonical] = typed
    return values


def _changed(given: Mapping[str, Any]) -> Response:
    try:
        changes = put_in_force(wanted(given))
    except BadSetting as error:
        name, _, text = str(error).partition(": ")
        raise Fault(400, "invalid_value", f"`{name}`: {text}.", param=name, retryable=False) from None
    message = f"{len(changes)} settings were changed." if changes else "Nothing was changed."
    changed = {name: {"before": old, "after": new} for name, (old, new) in changes.items()}
    return answer({"success": True, "message": message, "changed": changed})

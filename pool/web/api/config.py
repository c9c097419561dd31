"""`/admin/config` as two predecessors had it: a map of settings, or a list of pairs, all of it as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from flask import Response
from pydantic import ConfigDict, Field

from pool.settings import BY_NAME, SETTINGS, BadSetting, Setting
from pool.web.api.answers import answer
from pool.web.api.operations import Asked, Shapes, Told, operation
from pool.web.api.settings import Scalar, in_force, wanted
from pool.web.changing import put_in_force

PAIR_NEEDS = "key 和 value 是必填字段"
PAIR_CHANGED = "配置更新成功"


class Form(Asked):
    format: Literal["map", "list"] = Field("map", description="`list` puts the pairs into `data`.")


class ConfigPair(Asked):
    """One setting, as a predecessor had it."""

    key: str | None = Field(None, max_length=100)
    value: Scalar | None = None
    description: str | None = Field(None, description="Accepted, and not kept: settings describe themselves.")


class ConfigMap(Asked):
    """Settings by any of their names; values may be text."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Scalar | None]


class ConfigPairTold(Told):
    key: str
    value: str
    description: str


class ConfigTold(Told):
    success: bool
    message: str
    data: dict[str, str] | list[ConfigPairTold]
    configs: list[ConfigPairTold]


class ConfigDone(Told):
    key: str
    success: bool


class ConfigChangeTold(Told):
    success: bool
    message: str
    data: list[ConfigDone] | None = Field(None, description="Where a map was sent.")


@operation(
    "GET", "/admin/config", tag="compatible", summary="Settings as text", query=Form, answers={200: ConfigTold}
)  # fmt: skip
def show_config(query: Form) -> Response:
    """`/admin/settings` has them typed, with their meaning and their bounds."""
    pairs = [
        {"key": setting.name, "value": _bit(in_force(setting)), "description": _description(setting)}
        for setting in sorted(SETTINGS, key=lambda each: each.name)
    ]
    known = {name: _word(in_force(setting)) for name, setting in BY_NAME.items()}
    data = pairs if query.format == "list" else known
    return answer({"success": True, "message": "Success", "data": data, "configs": pairs})


def _shape(given: Mapping[str, Any]) -> type[Asked]:
    pair = ("key" in given or "value" in given or not given) and not any(name in BY_NAME for name in given)
    return ConfigPair if pair else ConfigMap


@operation(
    "POST", "/admin/config", tag="compatible", summary="Change settings", body=Shapes((ConfigPair, ConfigMap), _shape),
    answers={200: ConfigChangeTold}, example={"max_errors_threshold": "5"},
)  # fmt: skip
def change_config(body: ConfigPair | ConfigMap) -> Response:
    """One `{key, value}`, or a map of settings. Unlike there, all are changed or none, and none that is not known."""
    return _change_pair(body) if isinstance(body, ConfigPair) else _change_map(body)


def _change_pair(body: ConfigPair) -> Response:
    if not body.key or body.value is None:
        return answer({"success": False, "error": PAIR_NEEDS}, 400)
    try:
        put_in_force(wanted({body.key: body.value}))
    except BadSetting as error:
        return answer({"success": False, "error": str(error)}, 400)
    return answer({"success": True, "message": PAIR_CHANGED})


def _change_map(body: ConfigMap) -> Response:
    given: dict[str, Any] = body.model_extra or {}
    wrong = {name: text for name, value in given.items() if (text := _wrong(name, value))}
    if not wrong:
        try:
            put_in_force(wanted(given))
        except BadSetting as error:
            name, _, text = str(error).partition(": ")
            wrong[name] = text
    rows = [{"key": name, "success": not wrong} | ({"error": wrong[name]} if name in wrong else {}) for name in given]
    if not wrong:
        return answer({"success": True, "message": "Configuration updated successfully", "data": rows})
    message = "Some configuration updates failed"
    name, text = next(iter(wrong.items()))
    fault = {"message": f"{name}: {text}", "type": "invalid_request_error", "code": "invalid_value", "param": name}
    return answer({"success": False, "message": message, "error": fault, "data": rows}, 400)


def _wrong(name: str, value: Any) -> str:
    try:
        wanted({name: value})
    except BadSetting as error:
        return str(error).partition(": ")[2]
    return ""


def _description(setting: Setting) -> str:
    return f"{setting.help} ({setting.unit})" if setting.unit else setting.help


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _bit(value: Any) -> str:
    """As the list had it: a switch is 1 or 0."""
    return str(int(value)) if isinstance(value, bool) else _word(value)

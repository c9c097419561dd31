"""OpenAI's tools and tool_choice as Gemini's tools and toolConfig."""

from __future__ import annotations

from typing import Any

from pool.core.dialects.gemini.names import combines_tools, searches
from pool.core.dialects.gemini.schema import as_gemini
from pool.core.dialects.refusals import refuse, shown

NATIVE = {
    "googleSearch": "googleSearch",
    "google_search": "googleSearch",
    "googleSearchRetrieval": "googleSearchRetrieval",
    "google_search_retrieval": "googleSearchRetrieval",
    "codeExecution": "codeExecution",
    "code_execution": "codeExecution",
    "urlContext": "urlContext",
    "url_context": "urlContext",
    "googleMaps": "googleMaps",
    "google_maps": "googleMaps",
    "fileSearch": "fileSearch",
    "computerUse": "computerUse",
    "computer_use": "computerUse",
    "enterpriseWebSearch": "enterpriseWebSearch",
}
"""Google's own tools, which clients put among OpenAI's."""

MODES = {"none": "NONE", "auto": "AUTO", "required": "ANY", "any": "ANY", "validated": "VALIDATED"}


def tools_of(payload: dict[str, Any], model: str) -> list[dict[str, Any]]:
    """Every kind of tool in an object of its own: one object with two kinds is refused by Google."""
    stated = payload.get("tools")
    if stated is not None and not isinstance(stated, list):
        raise refuse("tools must be a list.", "tools")
    declarations: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    for index, tool in enumerate(stated or ()):
        where = f"tools[{index}]"
        if not isinstance(tool, dict):
            raise refuse("A tool must be an object.", where)
        if tool.get("type") == "function" or ("type" not in tool and "function" in tool):
            declarations.append(_declaration(tool.get("function"), f"{where}.function", model))
        else:
            others += _native(tool, where, declarations)
    legacy = payload.get("functions")
    for index, function in enumerate(legacy if isinstance(legacy, list) else ()):
        declarations.append(_declaration(function, f"functions[{index}]", model))
    if _wants_search(payload, model) and {"googleSearch": {}} not in others:
        others.append({"googleSearch": {}})
    allowed = _allowed(payload)
    if allowed:
        declarations = [declared for declared in declarations if _name(declared) in allowed]
    return ([{"functionDeclarations": declarations}] if declarations else []) + others


def _declaration(function: Any, where: str, model: str) -> dict[str, Any]:
    if not isinstance(function, dict) or not isinstance(function.get("name"), str) or not function["name"]:
        raise refuse("A function must have a name.", f"{where}.name")
    declared: dict[str, Any] = {"name": function["name"]}
    if isinstance(function.get("description"), str):
        declared["description"] = function["description"]
    parameters = function.get("parameters")
    if parameters is not None and not isinstance(parameters, dict):
        raise refuse("parameters must be a JSON schema.", f"{where}.parameters")
    # An object without properties is refused; a function without arguments simply declares none.
    if parameters and not _is_empty(parameters):
        field = as_gemini(parameters, f"{where}.parameters", model)
        if field.schema != {"type": "object"}:
            declared["parametersJsonSchema" if field.full else "parameters"] = field.schema
    return declared


_EMPTY = {"type", "properties", "additionalProperties", "required", "$schema", "strict", "title", "description"}


def _is_empty(parameters: dict[str, Any]) -> bool:
    """Whether there is nothing to pass; an object that takes any member is not empty."""
    return not (parameters.get("properties") or parameters.get("additionalProperties") or set(parameters) - _EMPTY)


def _native(tool: dict[str, Any], where: str, declarations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Google's tools as they are, OpenAI's search as Google's; any other kind cannot be carried over."""
    kind = tool.get("type")
    if isinstance(kind, str) and kind.startswith(("web_search", "google_search", "googleSearch")):
        return [{"googleSearch": {}}]
    if kind in ("code_interpreter", "code_execution"):
        return [{"codeExecution": {}}]
    if kind == "url_context":
        return [{"urlContext": {}}]
    declared = tool.get("functionDeclarations") or tool.get("function_declarations")
    for index, one in enumerate(declared if isinstance(declared, list) else ()):
        if not isinstance(one, dict):
            raise refuse("A function must be an object.", f"{where}.functionDeclarations[{index}]")
        declarations.append(one)
    found = [{name: tool[key] or {}} for key, name in NATIVE.items() if key in tool]
    if not found and not isinstance(declared, list):
        raise refuse(f"Tools of type {shown(kind)} cannot be sent to Gemini.", f"{where}.type")
    return found


def _wants_search(payload: dict[str, Any], model: str) -> bool:
    return isinstance(payload.get("web_search_options"), dict) or searches(model)


def _allowed(payload: dict[str, Any]) -> set[str]:
    """The names in tool_choice {"type": "allowed_tools"}: the other functions are not declared at all."""
    choice = payload.get("tool_choice")
    if not isinstance(choice, dict) or choice.get("type") != "allowed_tools":
        return set()
    listed = _dict(choice.get("allowed_tools")) or choice
    tools = listed.get("tools")
    named = (
        [_dict(_dict(tool).get("function")) or _dict(tool) for tool in tools if tool] if isinstance(tools, list) else []
    )
    return {name for one in named if (name := _name(one))}


def _name(holder: dict[str, Any]) -> str:
    name = holder.get("name")
    return name if isinstance(name, str) else ""


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def tool_config_of(payload: dict[str, Any], tools: list[dict[str, Any]], model: str) -> dict[str, Any] | None:
    """None without functions: Google refuses a calling mode that has nothing to call."""
    choice = payload.get("tool_choice")
    choice = payload.get("function_call") if choice is None else choice
    calling = _calling_config(choice) if choice is not None else None
    declared = any("functionDeclarations" in tool for tool in tools)
    config: dict[str, Any] = {"functionCallingConfig": calling} if calling and declared else {}
    if declared and len(tools) > 1 and combines_tools(model):
        config["includeServerSideToolInvocations"] = True
    return config or None


def _calling_config(choice: Any) -> dict[str, Any]:
    if isinstance(choice, dict):
        if choice.get("type") == "allowed_tools":
            mode = (_dict(choice.get("allowed_tools")) or choice).get("mode")
            return {"mode": MODES.get(mode, "AUTO") if isinstance(mode, str) else "AUTO"}
        name = (_dict(choice.get("function")) or choice).get("name")
        if isinstance(name, str) and choice.get("type", "function") == "function":
            return {"mode": "ANY", "allowedFunctionNames": [name]}
    elif isinstance(choice, str) and choice.lower() in MODES:
        return {"mode": MODES[choice.lower()]}
    raise refuse("tool_choice must be none, auto, required, or name a function.", "tool_choice")

"""A Messages request as an OpenAI chat request.

Source: https://docs.anthropic.com/en/api/messages
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from pool.core.calls import GEMINI
from pool.core.dialects.anthropic.signatures import picture_name, signatures_of
from pool.core.dialects.carried import with_signature
from pool.core.dialects.refusals import refuse, shown

TOOL_CHOICES = {"auto": "auto", "any": "required", "none": "none"}

EFFORTS = ((2_048, "low"), (16_384, "medium"))
"""Thinking budgets (tokens, up to) as OpenAI's reasoning effort; more than that is "high"."""

UNSEEN = {"type": "adaptive", "display": "omitted"}
"""Who says only how hard to think is shown no thoughts."""

SAME_EFFORTS = {"max": "xhigh"}
"""Anthropic's efforts that have another name at OpenAI."""

_NEW_LIMIT = re.compile(r"(?:.*/)?(?:o\d|gpt-[5-9])")
"""Models of OpenAI's that refuse `max_tokens`; many of their imitators know nothing else."""

UNTHREADED = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}

_IGNORED = ("thinking", "redacted_thinking", "server_tool_use", "web_search_tool_result")
"""Blocks of an earlier answer that only their own model could use again."""


def chat_payload(payload: Mapping[str, Any], model: str, provider_dialect: str) -> dict[str, Any]:
    """The chat request. Raises `Fault` 400 naming the field for content and tools that cannot be carried over."""
    _check_thread(payload.get("thread"))
    if payload.get("mcp_servers"):
        raise refuse("MCP servers are called by Anthropic only: offer their tools as tools of your own.", "mcp_servers")
    chat: dict[str, Any] = {"model": model, "messages": _messages(payload)}
    for ours, theirs in (("temperature", "temperature"), ("top_p", "top_p"), ("stop_sequences", "stop")):
        if payload.get(ours) is not None:
            chat[theirs] = payload[ours]
    if payload.get("top_k") is not None and provider_dialect == GEMINI:
        chat["top_k"] = payload["top_k"]
    if payload.get("max_tokens") is not None:
        new = provider_dialect != GEMINI and _NEW_LIMIT.match(model)
        chat["max_completion_tokens" if new else "max_tokens"] = payload["max_tokens"]
    _apply_tools(payload, chat)
    _apply_thinking(payload, chat, provider_dialect)
    _apply_format(payload, chat)
    return chat


def _check_thread(stated: Any) -> None:
    """Nobody here keeps a conversation. In these words Anthropic's SDK understands that it has to, and asks again."""
    if stated is None:
        return
    goes_on = isinstance(stated, dict) and stated.get("type") == "continue"
    fault = refuse("Threads are not kept for this model: send the whole conversation as messages.", "thread")
    told = {"error_code": "thread_not_found"} if goes_on else UNTHREADED
    fault.details = {"details": told}
    raise fault


# -- messages ---------------------------------------------------------------------------------------------------


def _messages(payload: Mapping[str, Any]) -> list[dict[str, Any]]:
    stated = payload.get("messages")
    if not isinstance(stated, list) or not stated:
        raise refuse("messages must be a list of at least one message.", "messages")
    messages = _system(payload.get("system"))
    for number, message in enumerate(stated):
        where = f"messages.{number}"
        if not isinstance(message, dict):
            raise refuse("A message must be an object.", where)
        match message.get("role"):
            case "user":
                messages += _user(message.get("content"), where)
            case "assistant":
                messages += _assistant(message.get("content"), where)
            case "system":
                messages += _system(message.get("content"))
            case role:
                raise refuse(f"role must be user or assistant, not {shown(role)}.", f"{where}.role")
    return messages


def _system(stated: Any) -> list[dict[str, Any]]:
    if stated is None:
        return []
    if isinstance(stated, str):
        return [{"role": "system", "content": stated}] if stated else []
    return [{"role": "system", "content": "\n\n".join(filter(None, _texts(stated, "system")))}]


def _texts(stated: Any, where: str) -> list[str]:
    texts = []
    for block in _blocks(stated, where):
        if not isinstance(block.get("text"), str):
            raise refuse("Only text can stand here.", where)
        texts.append(block["text"])
    return texts


def _blocks(stated: Any, where: str) -> list[dict[str, Any]]:
    if isinstance(stated, str):
        return [{"type": "text", "text": stated}]
    if not isinstance(stated, list) or not all(isinstance(block, dict) for block in stated):
        raise refuse("content must be a string or a list of blocks.", where)
    return stated


def _user(content: Any, where: str) -> list[dict[str, Any]]:
    """Results of tools first, as they answer the turn before; then what the person says and shows."""
    results: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    for number, block in enumerate(_blocks(content, f"{where}.content")):
        place = f"{where}.content.{number}"
        if block.get("type") == "tool_result":
            result, shown_beside = _tool_result(block, place)
            results.append(result)
            parts += shown_beside
        else:
            parts.append(_part(block, place))
    if parts and all(part["type"] == "text" for part in parts):
        joined = parts[0]["text"] if len(parts) == 1 else parts
        return [*results, {"role": "user", "content": joined}]
    return [*results, {"role": "user", "content": parts}] if parts else results


def _tool_result(block: dict[str, Any], where: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A tool's message, and the pictures it returned: those can only be shown beside it."""
    call_id = block.get("tool_use_id")
    if not isinstance(call_id, str):
        raise refuse("A tool_result must name its tool_use_id.", f"{where}.tool_use_id")
    content = block.get("content")
    parts = [] if content is None else _blocks(content, f"{where}.content")
    texts, media = [], []
    for number, inner in enumerate(parts):
        part = _part(inner, f"{where}.content.{number}")
        if part["type"] == "text":
            texts.append(part["text"])
        else:
            media.append(part)
    text = "\n".join(texts)
    if block.get("is_error"):
        text = orjson.dumps({"error": text}).decode()
    return {"role": "tool", "tool_call_id": call_id, "content": text}, media


def _part(block: dict[str, Any], where: str) -> dict[str, Any]:
    kind = block.get("type")
    maker = _PARTS.get(kind) if isinstance(kind, str) else None
    if maker is None:
        raise refuse(f"Blocks of type {shown(kind)} cannot be carried to this model.", f"{where}.type")
    return maker(block, where)


def _text(block: dict[str, Any], where: str) -> dict[str, Any]:
    if not isinstance(block.get("text"), str):
        raise refuse("text must be a string.", f"{where}.text")
    return {"type": "text", "text": block["text"]}


def _image(block: dict[str, Any], where: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": _address(block.get("source"), where)}}


def _document(block: dict[str, Any], where: str) -> dict[str, Any]:
    source = block.get("source")
    kind = source.get("type") if isinstance(source, dict) else None
    if isinstance(source, dict) and kind == "text":
        return _text({"text": source.get("data")}, f"{where}.source")
    if isinstance(source, dict) and kind == "content":
        return {"type": "text", "text": "\n".join(_texts(source.get("content"), f"{where}.source.content"))}
    title = block.get("title")
    name = title if isinstance(title, str) and title else "document.pdf"
    return {"type": "file", "file": {"filename": name, "file_data": _address(source, where)}}


def _search_result(block: dict[str, Any], where: str) -> dict[str, Any]:
    texts = _texts(block.get("content"), f"{where}.content")
    head = [block.get("title"), block.get("source")]
    return {"type": "text", "text": "\n".join(str(line) for line in [*head, *texts] if line)}


_PARTS: dict[str, Callable[[dict[str, Any], str], dict[str, Any]]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "search_result": _search_result,
}


def _address(source: Any, where: str) -> str:
    """A data URL, or the address the client named."""
    kind = source.get("type") if isinstance(source, dict) else None
    if isinstance(source, dict) and kind == "base64":
        media_type, data = source.get("media_type"), source.get("data")
        if isinstance(media_type, str) and isinstance(data, str):
            return f"data:{media_type};base64,{data}"
    if isinstance(source, dict) and kind == "url" and isinstance(source.get("url"), str):
        return str(source["url"])
    raise refuse("source must be base64 data with its media_type, or a url.", f"{where}.source")


def _assistant(content: Any, where: str) -> list[dict[str, Any]]:
    texts, calls = [], []
    pictures: list[dict[str, Any]] = []
    blocks = _blocks(content, f"{where}.content")
    signatures = signatures_of(blocks)
    for number, block in enumerate(blocks):
        place = f"{where}.content.{number}"
        match block.get("type"):
            case "text":
                texts.append(_text(block, place)["text"])
            case "image":
                # One of ours: no model of Anthropic's answers with pictures.
                pictures.append(with_signature(_image(block, place), signatures.get(picture_name(len(pictures)))))
            case "tool_use":
                calls.append(_call(block, place, signatures))
            case kind if kind in _IGNORED:
                pass
            case kind:
                raise refuse(f"Blocks of type {shown(kind)} cannot be carried to this model.", f"{place}.type")
    if not texts and not pictures and not calls:
        return []
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) or None}
    if pictures:
        message["images"] = pictures
    if calls:
        message["tool_calls"] = calls
    return [message]


def _call(block: dict[str, Any], where: str, signatures: Mapping[str, str]) -> dict[str, Any]:
    call_id, name = block.get("id"), block.get("name")
    if not isinstance(call_id, str) or not isinstance(name, str):
        raise refuse("A tool_use must have an id and a name.", where)
    arguments = orjson.dumps(block.get("input") or {}).decode()
    call: dict[str, Any] = {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}
    return with_signature(call, signatures.get(call_id))


# -- tools and settings -----------------------------------------------------------------------------------------


def _apply_tools(payload: Mapping[str, Any], chat: dict[str, Any]) -> None:
    stated = payload.get("tools")
    if stated:
        if not isinstance(stated, list):
            raise refuse("tools must be a list.", "tools")
        chat["tools"] = [_tool(tool, f"tools.{number}") for number, tool in enumerate(stated)]
    choice = payload.get("tool_choice")
    if not isinstance(choice, dict) or "tools" not in chat:
        return
    kind = choice.get("type")
    if kind == "tool":
        chat["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
    elif kind in TOOL_CHOICES:
        chat["tool_choice"] = TOOL_CHOICES[kind]
    else:
        raise refuse("tool_choice must be auto, any, tool or none.", "tool_choice.type")
    if choice.get("disable_parallel_tool_use"):
        chat["parallel_tool_calls"] = False


def _tool(tool: Any, where: str) -> dict[str, Any]:
    if not isinstance(tool, dict):
        raise refuse("A tool must be an object.", where)
    kind = tool.get("type") or "custom"
    if isinstance(kind, str) and kind.startswith("web_search"):
        return {"type": "web_search"}
    if kind != "custom":
        raise refuse(f"The tool {shown(kind)} exists at Anthropic only.", f"{where}.type")
    if not isinstance(tool.get("name"), str):
        raise refuse("A tool must have a name.", f"{where}.name")
    function = {"name": tool["name"], "parameters": tool.get("input_schema") or {"type": "object"}}
    if isinstance(tool.get("description"), str):
        function["description"] = tool["description"]
    return {"type": "function", "function": function}


def _apply_thinking(payload: Mapping[str, Any], chat: dict[str, Any], provider_dialect: str) -> None:
    """`thinking`, and `output_config.effort`: how much to think where no budget says it."""
    stated, config = payload.get("thinking"), payload.get("output_config")
    if isinstance(stated, dict) and stated.get("type") == "disabled" and provider_dialect == GEMINI:
        chat["reasoning_effort"] = "none"
        return
    thinking = stated if isinstance(stated, dict) and stated.get("type") in ("enabled", "adaptive") else {}
    effort = config.get("effort") if isinstance(config, dict) else None
    budget = thinking.get("budget_tokens") if thinking.get("type") == "enabled" else None
    if isinstance(budget, int) and provider_dialect != GEMINI:
        chat["reasoning_effort"] = next((effort for most, effort in EFFORTS if budget <= most), "high")
    elif isinstance(effort, str) and budget is None:
        chat["reasoning_effort"] = effort if provider_dialect == GEMINI else SAME_EFFORTS.get(effort, effort)
    if provider_dialect == GEMINI and (thinking or "reasoning_effort" in chat):
        chat["thinking"] = thinking or UNSEEN


def _apply_format(payload: Mapping[str, Any], chat: dict[str, Any]) -> None:
    """`output_config.format`, or `output_format` as it was called before."""
    config = payload.get("output_config")
    stated = config.get("format") if isinstance(config, dict) else payload.get("output_format")
    if isinstance(stated, dict) and stated.get("type") == "json_schema":
        schema = {"name": "answer", "schema": stated.get("schema"), "strict": True}
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}

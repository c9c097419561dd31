"""A Responses request as a chat request. Nothing is stored here, so every request brings its whole conversation.

Source: https://platform.openai.com/docs/api-reference/responses/create
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from pool.core.dialects.carried import with_signature
from pool.core.dialects.gemini.sniffing import head_of, sniffed
from pool.core.dialects.refusals import refuse, shown
from pool.core.dialects.responses.signatures import signatures_of

STORED = {
    "previous_response_id": "No earlier response is stored for this model: send the whole conversation as input.",
    "conversation": "Conversations are not stored for this model: send the whole conversation as input.",
    "prompt": "Stored prompts do not exist for this model: send instructions and input.",
}
"""What refers to something that OpenAI keeps and nobody keeps here."""

SAME = ("temperature", "top_p", "parallel_tool_calls", "top_logprobs", "user", "seed")

_UNSEEN = ("reasoning", "web_search_call", "code_interpreter_call", "file_search_call", "compaction")
"""Items of an earlier answer that only its own model could use again, or whose outcome the next message tells."""


def chat_payload(payload: Mapping[str, Any], model: str) -> dict[str, Any]:
    """The chat request. Raises `Fault` 400 naming the field for what cannot be carried over."""
    for name, message in STORED.items():
        if payload.get(name) is not None:
            raise refuse(message, name, "unsupported_parameter")
    if payload.get("background"):
        raise refuse("Answers in the background are not possible for this model.", "background")
    chat: dict[str, Any] = {"model": model, "messages": _messages(payload)}
    chat |= {name: payload[name] for name in SAME if payload.get(name) is not None}
    if payload.get("top_logprobs"):
        chat["logprobs"] = True
    if payload.get("max_output_tokens") is not None:
        chat["max_completion_tokens"] = payload["max_output_tokens"]
    if isinstance(payload.get("reasoning"), dict):
        chat["reasoning"] = payload["reasoning"]
    _apply_tools(payload, chat)
    _apply_format(payload.get("text"), chat)
    return chat | {name: payload[name] for name in ("extra_body", "google") if name in payload}


# -- input ------------------------------------------------------------------------------------------------------


def _messages(payload: Mapping[str, Any]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    instructions = payload.get("instructions")
    if isinstance(instructions, str) and instructions:
        messages.append({"role": "system", "content": instructions})
    elif isinstance(instructions, list):
        messages += _items(instructions, "instructions")
    stated = payload.get("input")
    if isinstance(stated, str):
        messages.append({"role": "user", "content": stated})
    elif isinstance(stated, list) and stated:
        messages += _items(stated, "input")
    else:
        raise refuse("input must be a string or a list of items.", "input")
    return messages


def _items(items: list[Any], field: str) -> list[dict[str, Any]]:
    """Pictures and calls that follow each other are one message of the assistant's, as the chat format has them."""
    messages: list[dict[str, Any]] = []
    signatures = signatures_of(items)
    for number, item in enumerate(items):
        where = f"{field}[{number}]"
        if not isinstance(item, dict):
            raise refuse("An item must be an object.", where)
        match item.get("type", "message"):
            case "message":
                messages.append(_message(item, where))
            case "function_call":
                _assistants(messages).setdefault("tool_calls", []).append(_call(item, where, signatures))
            case "image_generation_call":
                _assistants(messages).setdefault("images", []).append(_picture(item, where, signatures))
            case "function_call_output":
                messages += _result(item, where)
            case kind if kind in _UNSEEN:
                pass
            case kind:
                raise refuse(f"Items of type {shown(kind)} cannot be carried to this model.", f"{where}.type")
    return messages


def _assistants(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """The message of the assistant's that is at its end, else one that begins."""
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    return messages[-1]


def _message(item: dict[str, Any], where: str) -> dict[str, Any]:
    role = item.get("role")
    if role not in ("user", "assistant", "system", "developer"):
        raise refuse(f"role must be user, assistant, system or developer, not {shown(role)}.", f"{where}.role")
    content = item.get("content")
    if isinstance(content, str):
        return {"role": role, "content": content}
    parts = _parts(content, f"{where}.content")
    if role == "assistant":
        return {"role": role, "content": "".join(part.get("text", "") for part in parts)}
    return {"role": role, "content": parts}


def _parts(content: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(content, list) or not all(isinstance(part, dict) for part in content):
        raise refuse("content must be a string or a list of parts.", where)
    return [_part(part, f"{where}[{number}]") for number, part in enumerate(content)]


def _part(part: dict[str, Any], where: str) -> dict[str, Any]:
    match part.get("type"):
        case "input_text" | "output_text" | "text" | "summary_text" if isinstance(part.get("text"), str):
            return {"type": "text", "text": part["text"]}
        case "refusal" if isinstance(part.get("refusal"), str):
            return {"type": "text", "text": part["refusal"]}
        case "input_image" if isinstance(part.get("image_url"), str):
            detail = {"detail": part["detail"]} if part.get("detail") else {}
            return {"type": "image_url", "image_url": {"url": part["image_url"], **detail}}
        case "input_file":
            data = part.get("file_data") or part.get("file_url")
            if isinstance(data, str):
                file = {"file_data": data, "filename": part.get("filename") or "file"}
                return {"type": "file", "file": file}
        case "input_audio" if isinstance(part.get("input_audio"), dict):
            return {"type": "input_audio", "input_audio": part["input_audio"]}
    if part.get("file_id") is not None:
        message = "Uploaded files are not stored for this model: send the file itself, or its address."
        raise refuse(message, where, "unsupported_parameter")
    raise refuse(f"Parts of type {shown(part.get('type'))} cannot be carried to this model so.", where)


def _call(item: dict[str, Any], where: str, signatures: Mapping[str, str]) -> dict[str, Any]:
    call_id, name, arguments = item.get("call_id"), item.get("name"), item.get("arguments")
    if not isinstance(call_id, str) or not isinstance(name, str):
        raise refuse("A function_call must have a call_id and a name.", where)
    function = {"name": name, "arguments": arguments if isinstance(arguments, str) else "{}"}
    return with_signature({"id": call_id, "type": "function", "function": function}, signatures.get(call_id))


def _picture(item: dict[str, Any], where: str, signatures: Mapping[str, str]) -> dict[str, Any]:
    """A picture of an earlier answer: its data alone, whose first bytes tell the type, or its address."""
    result = item.get("result")
    if not isinstance(result, str) or not result:
        raise refuse("No earlier picture is stored for this model: send it as result.", f"{where}.result")
    url = result if "://" in result else f"data:{sniffed(head_of(result)) or 'image/png'};base64,{result}"
    return with_signature({"type": "image_url", "image_url": {"url": url}}, signatures.get(str(item.get("id"))))


def _result(item: dict[str, Any], where: str) -> list[dict[str, Any]]:
    """A tool's message; pictures among its output can only be shown after it."""
    call_id, output = item.get("call_id"), item.get("output")
    if not isinstance(call_id, str):
        raise refuse("A function_call_output must have a call_id.", f"{where}.call_id")
    if isinstance(output, str):
        return [{"role": "tool", "tool_call_id": call_id, "content": output}]
    if isinstance(output, dict):
        return [{"role": "tool", "tool_call_id": call_id, "content": orjson.dumps(output).decode()}]
    parts = _parts(output, f"{where}.output")
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    result: list[dict[str, Any]] = [{"role": "tool", "tool_call_id": call_id, "content": text}]
    media = [part for part in parts if part["type"] != "text"]
    return [*result, {"role": "user", "content": media}] if media else result


# -- tools and format -------------------------------------------------------------------------------------------


def _apply_tools(payload: Mapping[str, Any], chat: dict[str, Any]) -> None:
    stated = payload.get("tools")
    if not stated:
        return
    if not isinstance(stated, list):
        raise refuse("tools must be a list.", "tools")
    chat["tools"] = [_tool(tool, f"tools[{number}]") for number, tool in enumerate(stated)]
    choice = payload.get("tool_choice")
    if isinstance(choice, str):
        chat["tool_choice"] = choice
    elif isinstance(choice, dict) and choice.get("type") == "function":
        chat["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
    elif isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        allowed = [_allowed(tool) for tool in choice.get("tools") or () if isinstance(tool, dict)]
        chat["tool_choice"] = {
            "type": "allowed_tools",
            "allowed_tools": {"mode": choice.get("mode", "auto"), "tools": allowed},
        }
    elif choice is not None:
        raise refuse("tool_choice must be none, auto, required or name a function.", "tool_choice")


def _allowed(tool: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": tool.get("name")}} if tool.get("type") == "function" else tool


def _tool(tool: Any, where: str) -> dict[str, Any]:
    kind = tool.get("type") if isinstance(tool, dict) else None
    if kind == "function" and isinstance(tool.get("name"), str):
        function = {name: tool[name] for name in ("name", "description", "parameters", "strict") if tool.get(name)}
        return {"type": "function", "function": function}
    if isinstance(kind, str) and kind.startswith("web_search"):
        return {"type": "web_search"}
    if kind == "code_interpreter":
        return {"type": "code_execution"}
    raise refuse(f"The tool {shown(kind)} does not exist for this model.", where)


def _apply_format(text: Any, chat: dict[str, Any]) -> None:
    stated = text.get("format") if isinstance(text, dict) else None
    if not isinstance(stated, dict):
        return
    if stated.get("type") == "json_schema":
        schema = {name: stated[name] for name in ("name", "description", "schema", "strict") if name in stated}
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}
    else:
        chat["response_format"] = stated

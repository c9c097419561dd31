"""OpenAI's messages as Gemini's contents and systemInstruction."""

from __future__ import annotations

from typing import Any

import orjson

from pool.core.dialects.gemini import media
from pool.core.dialects.gemini.names import at_least
from pool.core.dialects.refusals import refuse, shown
from pool.core.dialects.settings import Resolver

Part = dict[str, Any]

SKIP_SIGNATURE = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="
"""base64 of "skip_thought_signature_validator": Gemini 3 refuses a replayed call without any signature,
and most OpenAI clients lose what they do not know. Source: https://ai.google.dev/gemini-api/docs/thought-signatures"""


class Conversation:
    """Builds the contents of one request, message by message."""

    def __init__(self, model: str, resolve: Resolver | None) -> None:
        self.contents: list[dict[str, Any]] = []
        self.system: list[Part] = []
        self._model = model
        self._resolve = resolve
        self._names: dict[str, str] = {}
        self._order: dict[str, int] = {}
        self._unanswered: list[tuple[str, str]] = []
        self._answered: set[str] = set()

    def add_all(self, messages: Any) -> None:
        if not isinstance(messages, list) or not messages:
            code = "missing_required_parameter" if messages is None else "invalid_value"
            raise refuse("messages must be a list with at least one message.", "messages", code)
        for index, message in enumerate(messages):
            if not isinstance(message, dict):
                raise refuse("A message must be an object.", f"messages[{index}]")
            self._add(message, f"messages[{index}]")
        if not self.contents:
            # Instructions alone: Gemini wants a turn to answer.
            self._turn("user", [{"text": " "}])
        self._sort_results()

    def instruct_first_turn(self) -> None:
        """Puts the instructions at the head of what the person says first, for models that know no others."""
        if self.contents[0]["role"] != "user":
            self.contents.insert(0, {"role": "user", "parts": []})
        self.contents[0]["parts"] = self.system + [part for part in self.contents[0]["parts"] if part != {"text": " "}]

    def _add(self, message: dict[str, Any], where: str) -> None:
        match message.get("role"):
            case "system" | "developer":
                self.system += self._system(message, where)
            case "user":
                self._turn("user", self._user(message, where))
            case "assistant":
                self._turn("model", self._assistant(message, where))
            case "tool" | "function":
                self._result(message, where)
            case role:
                raise refuse(f"Unknown message role: {shown(role)}.", f"{where}.role")

    def _turn(self, role: str, parts: list[Part]) -> None:
        """Neighbours of one role become one content; results of tools stay apart from what a person says."""
        last = self.contents[-1] if self.contents else None
        if last and last["role"] == role and is_result(last) == ("functionResponse" in parts[0]):
            last["parts"] += parts
        else:
            self.contents.append({"role": role, "parts": parts})

    def _system(self, message: dict[str, Any], where: str) -> list[Part]:
        return [{"text": text} for text in texts_of(message.get("content"), f"{where}.content") if text]

    def _user(self, message: dict[str, Any], where: str) -> list[Part]:
        content = message.get("content")
        if isinstance(content, str):
            return [{"text": content}]
        if not isinstance(content, list):
            raise refuse("content must be a string or a list of parts.", f"{where}.content")
        parts = [self._part(part, f"{where}.content[{index}]") for index, part in enumerate(content)]
        # An empty text beside other parts is refused or wasted.
        return [part for part in parts if part != {"text": ""}] or [{"text": ""}]

    def _part(self, part: Any, where: str) -> Part:
        if isinstance(part, str):
            return {"text": part}
        if not isinstance(part, dict):
            raise refuse("A part must be an object.", where)
        match part.get("type"):
            case "text" | "input_text":
                return {"text": text_of(part, where)}
            case "image_url" | "input_image":
                return media.from_image(part, where, self._model, self._resolve)
            case "input_audio":
                return media.from_audio(part, where)
            case "file" | "input_file":
                return media.from_file(part, where, self._resolve)
            case "video_url" | "audio_url" as kind:
                holder = part.get(kind)
                url = holder.get("url") if isinstance(holder, dict) else holder
                return media.from_url(url, f"{where}.{kind}.url", self._resolve)
            case kind:
                raise refuse(f"Parts of type {shown(kind)} cannot be sent to Gemini.", f"{where}.type")

    def _assistant(self, message: dict[str, Any], where: str) -> list[Part]:
        parts: list[Part] = []
        content = message.get("content")
        if content is not None:
            parts = [{"text": text} for text in texts_of(content, f"{where}.content") if text]
        if not parts and isinstance(message.get("refusal"), str):
            parts = [{"text": message["refusal"]}]
        parts += self._pictures(message, where)
        signature = signature_of(message)
        if signature:
            # Signatures sit on text as well, often on an empty one at the end of the answer.
            if not parts:
                parts = [{"text": ""}]
            parts[-1].setdefault("thoughtSignature", signature)
        parts += self._calls(message, where)
        return parts or [{"text": ""}]

    def _pictures(self, message: dict[str, Any], where: str) -> list[Part]:
        """Images of an earlier answer, as `answer.py` hands them out."""
        parts = []
        images = message.get("images")
        for index, image in enumerate(images if isinstance(images, list) else ()):
            spot = f"{where}.images[{index}]"
            if not isinstance(image, dict):
                raise refuse("An image must be an object.", spot)
            part = media.from_image(image, spot, self._model, self._resolve)
            if signature := signature_of(image):
                part["thoughtSignature"] = signature
            parts.append(part)
        return parts

    def _calls(self, message: dict[str, Any], where: str) -> list[Part]:
        calls = message.get("tool_calls") or []
        if not isinstance(calls, list):
            raise refuse("tool_calls must be a list.", f"{where}.tool_calls")
        parts = []
        for index, call in enumerate(calls):
            parts.append(self._call(call, f"{where}.tool_calls[{index}]"))
        legacy = message.get("function_call")
        if legacy and not calls:
            parts.append(self._call({"function": legacy, "id": ""}, where, "function_call"))
        if parts and "thoughtSignature" not in parts[0] and at_least(self._model, 3):
            parts[0]["thoughtSignature"] = SKIP_SIGNATURE
        return parts

    def _call(self, call: Any, where: str, member: str = "function") -> Part:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise refuse("Only calls of functions can be sent to Gemini.", f"{where}.{member}")
        name, call_id = function["name"], id_of(call, "id", where)
        self._names[call_id] = name
        self._order[call_id] = len(self._order)
        self._unanswered.append((call_id, name))
        args = arguments_of(function.get("arguments"), f"{where}.{member}.arguments")
        part: Part = {"functionCall": {"name": name, "args": args}}
        if signature := signature_of(call):
            part["thoughtSignature"] = signature
        return part

    def _result(self, message: dict[str, Any], where: str) -> None:
        call_id = id_of(message, "tool_call_id", where)
        name = self._called(call_id, message, where)
        response, extra = result_of(message.get("content"), where, self._part)
        part = {"functionResponse": {"name": name, "response": response}}
        self._turn("user", [part, *extra])
        self.contents[-1].setdefault("order", []).extend([self._order.get(call_id, 0)] * (1 + len(extra)))

    def _called(self, call_id: str, message: dict[str, Any], where: str) -> str:
        """The function whose result this is: a tool message names only an id, looked up over the whole
        history. Google's own OpenAI layer gives calls the id "": those are answered in order."""
        if call_id and call_id in self._answered:
            raise refuse("This call has its result already.", f"{where}.tool_call_id")
        for index, (waiting, name) in enumerate(self._unanswered):
            if waiting == call_id and (call_id or message.get("name") in (None, name)):
                del self._unanswered[index]
                self._answered.add(call_id)
                return name
        stated = message.get("name")
        if isinstance(stated, str) and stated:
            return stated
        raise refuse("No earlier message made a call with this id.", f"{where}.tool_call_id")

    def _sort_results(self) -> None:
        """Results in the order of their calls, whatever order they came in."""
        for content in self.contents:
            order = content.pop("order", None)
            if order and order != sorted(order):
                ranked = sorted(zip(order, content["parts"], strict=True), key=lambda pair: pair[0])
                content["parts"] = [part for _, part in ranked]


def id_of(holder: dict[str, Any], name: str, where: str) -> str:
    """The id of a call; "" where there is none, as Google's own OpenAI layer writes it."""
    stated = holder.get(name)
    if stated is not None and not isinstance(stated, str):
        raise refuse(f"{name} must be a string.", f"{where}.{name}")
    return stated or ""


def is_result(content: dict[str, Any]) -> bool:
    return "functionResponse" in content["parts"][0]


def text_of(part: dict[str, Any], where: str) -> str:
    text = part.get("text")
    if not isinstance(text, str):
        raise refuse("text must be a string.", f"{where}.text")
    return text


def texts_of(content: Any, where: str) -> list[str]:
    """The texts of a content that may hold nothing else (instructions, an assistant's words)."""
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        raise refuse("content must be a string or a list of parts.", where)
    texts = []
    for index, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(part, str):
            texts.append(part)
        elif kind in ("text", "input_text", "output_text"):
            texts.append(text_of(part, f"{where}[{index}]"))
        elif kind == "refusal" and isinstance(part.get("refusal"), str):
            texts.append(part["refusal"])
        else:
            raise refuse("Only text can stand here.", f"{where}[{index}].type")
    return texts


def signature_of(holder: dict[str, Any]) -> str | None:
    """`extra_content.google.thought_signature`, the channel of Google's own OpenAI layer; None if unusable."""
    extra = holder.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    return signature if isinstance(signature, str) and media.is_base64(signature) else None


def arguments_of(stated: Any, where: str) -> dict[str, Any]:
    if stated is None or stated == "":
        return {}
    if isinstance(stated, str):
        try:
            stated = orjson.loads(stated)
        except orjson.JSONDecodeError as e:
            raise refuse("arguments must be a JSON object.", where, "invalid_function_arguments") from e
    if not isinstance(stated, dict):
        raise refuse("arguments must be a JSON object.", where, "invalid_function_arguments")
    return stated


def result_of(content: Any, where: str, convert: Any) -> tuple[dict[str, Any], list[Part]]:
    """The response object, and media that came with it: Google takes any object, so text is wrapped."""
    extra: list[Part] = []
    if isinstance(content, list):
        parts = [convert(part, f"{where}.content[{index}]") for index, part in enumerate(content)]
        extra = [part for part in parts if "text" not in part]
        content = "".join(part["text"] for part in parts if "text" in part)
    if content is None:
        content = ""
    if isinstance(content, str):
        try:
            parsed = orjson.loads(content)
        except orjson.JSONDecodeError:
            parsed = content
    else:
        parsed = content
    return (parsed if isinstance(parsed, dict) else {"result": parsed}), extra

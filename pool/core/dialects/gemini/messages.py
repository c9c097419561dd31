"""OpenAI's messages as Gemini's contents and systemInstruction."""

from __future__ import annotations

from typing import Any

from pool.core.dialects.gemini import media
from pool.core.dialects.gemini.exact import arguments_of, result_of
from pool.core.dialects.gemini.fetched import MEDIA, Fetched
from pool.core.dialects.gemini.names import at_least, knows_call_ids
from pool.core.dialects.gemini.signatures import SKIP_SIGNATURE, plain_id, signature_of
from pool.core.dialects.refusals import refuse, shown
from pool.core.dialects.settings import Resolver

Part = dict[str, Any]


class Conversation:
    """Builds the contents of one request, message by message."""

    def __init__(self, model: str, resolve: Resolver | None) -> None:
        self.contents: list[dict[str, Any]] = []
        self.system: list[Part] = []
        self._model = model
        self._resolve = Fetched(resolve) if resolve else None
        self._names: dict[str, str] = {}
        self._order: dict[str, int] = {}
        self._made = 0
        self._unanswered: list[tuple[str, str]] = []
        self._answered: set[str] = set()

    def add_all(self, messages: Any) -> None:
        if messages is None:
            raise refuse("messages is missing.", "messages", "missing_required_parameter")
        if not isinstance(messages, list):
            raise refuse("messages must be a list.", "messages")
        if not messages:
            # What OpenAI answers (recorded).
            raise refuse("messages must hold at least one message.", "messages", "empty_array")
        if self._resolve:
            self._resolve.expect(messages)
        for index, message in enumerate(messages):
            if not isinstance(message, dict):
                raise refuse("A message must be an object.", f"messages[{index}]")
            self._add(message, f"messages[{index}]")
        if not self.contents or begins_with_call(self.contents[0]):
            # Instructions alone: Gemini wants a turn to answer. Nor may a history cut in the middle begin with a call.
            self.contents.insert(0, {"role": "user", "parts": [{"text": " "}]})
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
                return media.from_audio(part, where, self._resolve)
            case "file" | "input_file":
                return media.from_file(part, where, self._resolve)
            case "video_url" | "audio_url" as kind:
                return media.from_holder(part, kind, where, self._resolve)
            case kind:
                raise refuse(f"Parts of type {shown(kind)} cannot be sent to Gemini.", f"{where}.type")

    def _assistant(self, message: dict[str, Any], where: str) -> list[Part]:
        parts = self._said(message.get("content"), f"{where}.content")
        if not parts and isinstance(message.get("refusal"), str):
            parts = [{"text": message["refusal"]}]
        parts += self._pictures(message, where)
        parts += self._spoken(message.get("audio"), bool(parts or message.get("tool_calls")), f"{where}.audio")
        calls = self._calls(message, where)
        if signature := signature_of(message):
            # Signatures sit on text as well, often on an empty one at the end of the answer. Beside a call alone it
            # is the call's: Google's own OpenAI layer writes it so (recorded).
            if calls and not parts and "thoughtSignature" not in calls[0]:
                calls[0]["thoughtSignature"] = signature
            else:
                parts = parts or [{"text": ""}]
                parts[-1].setdefault("thoughtSignature", signature)
        if calls and "thoughtSignature" not in calls[0] and at_least(self._model, 3):
            calls[0]["thoughtSignature"] = SKIP_SIGNATURE
        return parts + calls or [{"text": ""}]

    def _said(self, content: Any, where: str) -> list[Part]:
        """What an assistant said: text, refusals, and media where a client puts them among its parts."""
        if content is None:
            return []
        if not isinstance(content, list):
            return [{"text": text} for text in texts_of(content, where) if text]
        parts: list[Part] = []
        for index, part in enumerate(content):
            if isinstance(part, dict) and part.get("type") in MEDIA:
                parts.append(self._part(part, f"{where}[{index}]"))
            else:
                parts += [{"text": text} for text in texts_of([part], where, index) if text]
        return parts

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

    def _spoken(self, audio: Any, said_otherwise: bool, where: str) -> list[Part]:
        """An earlier answer in speech: its data, else its words. Its id alone means nothing to Google."""
        if not isinstance(audio, dict):
            return []
        if isinstance(audio.get("data"), str) and audio["data"]:
            return [media.from_answer(audio["data"], f"{where}.data")]
        if isinstance(audio.get("transcript"), str) and audio["transcript"]:
            return [{"text": audio["transcript"]}]
        if said_otherwise:
            return []
        raise refuse("Gemini keeps no audio: send what was said as content.", where)

    def _calls(self, message: dict[str, Any], where: str) -> list[Part]:
        calls = message.get("tool_calls") or []
        if not isinstance(calls, list):
            raise refuse("tool_calls must be a list.", f"{where}.tool_calls")
        parts = [self._call(call, f"{where}.tool_calls[{index}]") for index, call in enumerate(calls)]
        legacy = message.get("function_call")
        if legacy and not calls:
            parts.append(self._call({"function": legacy, "id": ""}, where, "function_call"))
        return parts

    def _call(self, call: Any, where: str, member: str = "function") -> Part:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise refuse("Only calls of functions can be sent to Gemini.", f"{where}.{member}")
        name, call_id = function["name"], id_of(call, "id", where)
        self._names[call_id] = name
        self._made += 1
        self._order[call_id] = self._made
        self._unanswered.append((call_id, name))
        args = arguments_of(function.get("arguments"), f"{where}.{member}.arguments")
        part: Part = {"functionCall": {"name": name, "args": args, **self._native_id(call_id)}}
        if signature := signature_of(call):
            part["thoughtSignature"] = signature
        return part

    def _native_id(self, call_id: str) -> dict[str, str]:
        """Google's own id of a call, which it matches results by; ids of our making mean nothing to it."""
        native = plain_id(call_id)
        return {"id": native} if native and knows_call_ids(self._model) and not native.startswith("call_") else {}

    def _result(self, message: dict[str, Any], where: str) -> None:
        call_id = id_of(message, "tool_call_id", where)
        name = self._called(call_id, message, where)
        response, extra = result_of(message.get("content"), where, self._part)
        part = {"functionResponse": {"name": name, "response": response, **self._native_id(call_id)}}
        self._turn("user", [part, *extra])
        self.contents[-1].setdefault("order", []).extend([self._order.get(call_id, 0)] * (1 + len(extra)))

    def _called(self, call_id: str, message: dict[str, Any], where: str) -> str:
        """The function whose result this is: a tool message names only an id, looked up over the whole
        history. Google's own OpenAI layer gives calls the id "": those are answered in order. Some clients count
        their ids anew in every turn, so that one that was answered may wait again."""
        for index, (waiting, name) in enumerate(self._unanswered):
            if waiting == call_id and (call_id or message.get("name") in (None, name)):
                del self._unanswered[index]
                self._answered.add(call_id)
                return name
        if call_id and call_id in self._answered:
            raise refuse("This call has its result already.", f"{where}.tool_call_id")
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


def begins_with_call(content: dict[str, Any]) -> bool:
    """A call must come after a turn of the user's or a result: recorded 400."""
    return content["role"] == "model" and any("functionCall" in part for part in content["parts"])


def is_result(content: dict[str, Any]) -> bool:
    return "functionResponse" in content["parts"][0]


def text_of(part: dict[str, Any], where: str) -> str:
    text = part.get("text")
    if not isinstance(text, str):
        raise refuse("text must be a string.", f"{where}.text")
    return text


def texts_of(content: Any, where: str, first: int = 0) -> list[str]:
    """The texts of a content that may hold nothing else (instructions, an assistant's words).

    `first` is the place of the content's first part, for the name of one that is refused.
    """
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        raise refuse("content must be a string or a list of parts.", where)
    texts = []
    for index, part in enumerate(content, first):
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

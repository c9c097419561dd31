"""How many tokens something has, cheaply and roughly: what is reserved before a call, and told where nobody counted.

Text weighs a quarter of a token a character and 0.225 more for each byte that UTF-8 spends on it beyond the first:
0.7 a Chinese, Japanese or Korean character, half a token a Cyrillic one, nearly one an emoji.
"""

from __future__ import annotations

import math
import re
from typing import Any

import orjson

from .calls import GEMINI, Call

MESSAGE_TOKENS = 4
REPLY_TOKENS = 3
MEDIA_TOKENS = 258
"""A picture, a page or a clip in a prompt: what Google counts for a picture that fits one tile."""

PICTURE_TOKENS = 1_290
"""A picture in an answer: what Google counts for one of a megapixel."""

USUAL_OUTPUT = 4_096
"""What is reserved for an answer whose length the request does not bound."""

MOST_TOKENS = 2**40
MOST_NODES = 20_000
"""Objects and lists looked at. A body of more of them is weighed by its size: this must stay cheap, whatever comes."""

PROMPT = (
    "messages", "contents", "systemInstruction", "system_instruction", "system", "input", "instructions", "prompt",
    "content", "requests", "generateContentRequest", "query", "documents",
)  # fmt: skip
"""Members of a request that hold what a model reads."""

TOOLS = ("tools", "functions")

_MEDIA = frozenset(
    "image_url inlineData inline_data fileData file_data input_audio video_url audio_url file_url b64_json".split()
)
_MEDIA_OBJECTS = frozenset("file audio image video".split())
_MIME = ("mimeType", "mime_type", "media_type")
_NO_TEXT = frozenset(
    "role type id index model tool_call_id call_id mimeType mime_type media_type detail format status taskType "
    "task_type thoughtSignature thought_signature signature encrypted_content extra_content cache_control".split()
)
_STRUCTURE = frozenset(
    "content contents parts text name arguments function functionCall functionResponse tool_calls args response "
    "input output generateContentRequest systemInstruction system_instruction".split()
)
_NO_OUTPUT = frozenset({"embeddings", "embed", "batch_embed", "count_tokens", "object"})
_BOUNDS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_NUMBER = re.compile(rb"\s*:\s*(\d{1,15})")


def estimate_prompt(call: Call) -> int:
    """Tokens of what a call asks, before it is sent: text, tools, and a flat amount for each piece of media."""
    payload: Any = call.payload
    if payload is None:
        try:
            payload = orjson.loads(call.body)
        except orjson.JSONDecodeError:
            # A form with a file, as pictures and speech are sent.
            return MEDIA_TOKENS if call.body or (call.native and call.native.upload) else 0
    if not isinstance(payload, dict):
        return 0
    total = 0.0
    try:
        for name in PROMPT:
            if name in payload:
                total += _asked(payload[name])
        for name in TOOLS:
            if payload.get(name):
                total += _declared(payload[name])
    except _TooMany:
        return _whole(len(call.body) / 4)
    return _whole(total + REPLY_TOKENS) if total else 0


def wanted_output(call: Call) -> int:
    """Tokens the answer may have: the bound a request states times its candidates; 0 where none are generated."""
    if call.operation in _NO_OUTPUT:
        return 0
    if call.payload is None:
        bound, candidates = _stated_in(call)
    elif call.dialect == GEMINI:
        config = call.payload.get("generationConfig") or call.payload.get("generation_config")
        config = config if isinstance(config, dict) else {}
        bound = _count(config.get("maxOutputTokens")) or _count(config.get("max_output_tokens"))
        candidates = _count(config.get("candidateCount")) or _count(config.get("candidate_count"))
    else:
        bound = next((found for name in _BOUNDS if (found := _count(call.payload.get(name)))), 0)
        candidates = _count(call.payload.get("n"))
    return min((bound or USUAL_OUTPUT) * (candidates or 1), MOST_TOKENS)


def estimate_answer(said: Any) -> int:
    """Tokens of (parts of) an answer, as JSON."""
    return _whole(weigh(said))


def weigh(said: Any) -> float:
    """The same before rounding, to be added up."""
    try:
        return _weigh(said, PICTURE_TOKENS)
    except _TooMany:
        return float(MOST_NODES)


def of_text(text: str) -> float:
    """Tokens of a text."""
    if text.isascii():
        return len(text) / 4
    return len(text) / 40 + len(text.encode("utf-8", "surrogatepass")) * 0.225


class _TooMany(Exception):
    """More objects and lists than are worth looking at."""


def _asked(member: Any) -> float:
    tokens = _weigh(member, MEDIA_TOKENS)
    if isinstance(member, list) and member and type(member[0]) is dict:
        tokens += MESSAGE_TOKENS * len(member)
    return tokens


def _declared(tools: Any) -> float:
    """Tools are read as the JSON they are declared in."""
    try:
        return len(orjson.dumps(tools)) / 4
    except TypeError:
        return _weigh(tools, MEDIA_TOKENS)


def _weigh(value: Any, media: int) -> float:
    total = 0.0
    waiting, seen = [value], 0
    while waiting:
        node = waiting.pop()
        kind = type(node)
        if kind is str:
            total += _text(node, media)
            continue
        seen += 1
        if seen > MOST_NODES:
            raise _TooMany
        if kind is dict:
            for name, inner in node.items():
                if name in _NO_TEXT:
                    continue
                if name in _MEDIA or (name in _MEDIA_OBJECTS and type(inner) is dict):
                    total += media if inner else 0
                elif type(inner) is str:
                    total += media if name == "data" and _has_mime(node) else _text(inner, media)
                else:
                    waiting.append(inner)
                if name not in _STRUCTURE:
                    total += len(name) / 4
        elif kind is list:
            if node and type(node[0]) is int:
                # Token numbers.
                total += len(node)
            else:
                waiting += node
        elif kind is int or kind is float:
            total += 1
    return total


def _text(text: str, media: int) -> float:
    if text.startswith("data:") and ";base64," in text[:200]:
        return media
    return of_text(text)


def _has_mime(node: dict[str, Any]) -> bool:
    return any(name in node for name in _MIME)


def _stated_in(call: Call) -> tuple[int, int]:
    """The bounds in a body that nobody parsed. In a text they would stand behind backslashes."""
    if call.dialect == GEMINI:
        bound = _first(call.body, ("maxOutputTokens", "max_output_tokens"))
        return bound, _first(call.body, ("candidateCount", "candidate_count"))
    return _first(call.body, _BOUNDS), _first(call.body, ("n",))


def _first(body: bytes, names: tuple[str, ...]) -> int:
    for name in names:
        quoted = b'"%b"' % name.encode()
        at = body.find(quoted)
        while at >= 0:
            found = _NUMBER.match(body, at + len(quoted))
            if found:
                return min(int(found[1]), MOST_TOKENS)
            at = body.find(quoted, at + 1)
    return 0


def _count(stated: Any) -> int:
    """A bound as a whole number above 0; 0 for anything else."""
    if type(stated) is int or (type(stated) is float and math.isfinite(stated)):
        return int(min(max(stated, 0), MOST_TOKENS))
    return 0


def _whole(tokens: float) -> int:
    return min(math.ceil(tokens), MOST_TOKENS)

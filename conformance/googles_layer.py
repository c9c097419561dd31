"""What the model behind Google's own OpenAI layer must have said, put back into the native shape."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from conformance.meaning import WITHHELD

FINISHES = {"stop": "STOP", "tool_calls": "STOP", "function_call": "STOP", "length": "MAX_TOKENS"}
THOUGHT, THOUGHT_END = "<thought>", "</thought>"
TAGS = re.compile(f"({THOUGHT}|{THOUGHT_END})")
DATA_URL = re.compile(r"data:([^;,]*)(?:;[^,]*)?,(.*)", re.DOTALL)


def without_tags(answers: list[dict[str, Any]], member: str) -> list[dict[str, Any]]:
    """Copies whose thoughts stand in reasoning_content. A thought may go on over many chunks, its end glued to text."""
    made: list[dict[str, Any]] = json.loads(json.dumps(answers))
    thinking: dict[int, bool] = {}
    for answer in made:
        for choice in answer.get("choices") or ():
            said, index = choice.get(member) or {}, choice.get("index", 0)
            if not isinstance(said.get("content"), str):
                continue
            flagged = member == "delta" and bool(_google(said).get("thought"))
            thought, text, thinking[index] = _split(said["content"], thinking.get(index, False), flagged)
            if thought or text != said["content"]:
                said["content"] = text or None
                said["reasoning_content"] = (said.get("reasoning_content") or "") + thought
    return made


def _split(content: str, thinking: bool, flagged: bool) -> tuple[str, str, bool]:
    """Thoughts, words, and whether the thought goes on. A closing tag without an opening one counts in front only."""
    told = {True: "", False: ""}
    for piece in TAGS.split(content):
        begins = not (told[True] or told[False])
        if piece == THOUGHT:
            thinking = True
        elif piece == THOUGHT_END and (thinking or flagged or begins):
            thinking = flagged = False
        elif piece:
            told[thinking or flagged] += piece
    return told[True], told[False], thinking


def native_of(answers: list[dict[str, Any]], member: str) -> list[dict[str, Any]]:
    """Of answers without tags."""
    texts: dict[int, str] = {}
    return [_answer(answer, member, texts) for answer in answers]


def _answer(theirs: dict[str, Any], member: str, texts: dict[int, str]) -> dict[str, Any]:
    native: dict[str, Any] = {"modelVersion": theirs.get("model") or "m"}
    choices = theirs.get("choices") or []
    block = next((_block(choice.get(member) or {}, choice) for choice in choices), None)
    if block:
        native["promptFeedback"] = {"blockReason": block}
    elif choices or not theirs.get("usage"):
        native["candidates"] = [_candidate(choice, choice.get(member) or {}, texts) for choice in choices]
    if isinstance(theirs.get("usage"), dict):
        native["usageMetadata"] = _usage(theirs["usage"])
    return native


def word_of(finish: Any) -> str:
    """Google's own word in "content_filter: PROHIBITED_CONTENT" (recorded), or in small letters."""
    return str(finish).rpartition(": ")[2].upper()


def _block(said: dict[str, Any], choice: dict[str, Any]) -> str | None:
    """A reason that no candidate can have, with nothing said: the prompt was blocked."""
    finish = str(choice.get("finish_reason"))
    if not finish.startswith("content_filter: ") or word_of(finish) in WITHHELD:
        return None
    return None if any(said.get(name) for name in ("content", "reasoning_content", "tool_calls")) else word_of(finish)


def _candidate(choice: dict[str, Any], said: dict[str, Any], texts: dict[int, str]) -> dict[str, Any]:
    index = choice.get("index", 0)
    texts[index] = texts.get(index, "") + (said.get("content") or "")
    candidate: dict[str, Any] = {"index": index, "content": {"parts": list(_parts(said))}}
    finish = choice.get("finish_reason")
    if finish:
        word = "SAFETY" if finish == "content_filter" else word_of(finish)
        candidate["finishReason"] = FINISHES.get(finish) or word
    if isinstance((choice.get("logprobs") or {}).get("content"), list):
        candidate["logprobsResult"] = _logprobs(choice["logprobs"]["content"])
    if cited := [one["url_citation"] for one in said.get("annotations") or () if one.get("url_citation")]:
        candidate["groundingMetadata"] = _grounding(cited, texts[index])
    return candidate


def _parts(said: dict[str, Any]) -> Iterator[dict[str, Any]]:
    own = _signed(said)
    calls = list(said.get("tool_calls") or ())
    calls += [{"function": said["function_call"]}] if said.get("function_call") else []
    if said.get("reasoning_content"):
        yield {"text": said["reasoning_content"], "thought": True}
    if said.get("content") or (own and not calls):
        yield {"text": said.get("content") or "", **own}
        own = {}
    for call in calls:
        function = call.get("function") or {}
        args = json.loads(function.get("arguments") or "{}")
        yield {"functionCall": {"name": function.get("name", ""), "args": args}, **(_signed(call) or own)}
        own = {}
    yield from _media(said)


def _media(said: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for image in said.get("images") or ():
        url = image["image_url"]["url"]
        found = DATA_URL.fullmatch(url)
        media = {"inlineData": {"mimeType": found[1], "data": found[2]}} if found else {"fileData": {"fileUri": url}}
        yield media | _signed(image)
    if (said.get("audio") or {}).get("data"):
        yield {"inlineData": {"mimeType": "audio/wav", "data": said["audio"]["data"]}}


def _google(holder: dict[str, Any]) -> dict[str, Any]:
    google = (holder.get("extra_content") or {}).get("google")
    return google if isinstance(google, dict) else {}


def _signed(holder: dict[str, Any]) -> dict[str, Any]:
    signature = _google(holder).get("thought_signature")
    return {"thoughtSignature": signature} if signature else {}


def _logprobs(content: list[dict[str, Any]]) -> dict[str, Any]:
    tops = [{"candidates": [_token(other) for other in token.get("top_logprobs") or ()]} for token in content]
    return {"chosenCandidates": [_token(token) for token in content], "topCandidates": tops}


def _token(token: dict[str, Any]) -> dict[str, Any]:
    return {"token": token["token"], "logProbability": token["logprob"]}


def _grounding(cited: list[dict[str, Any]], text: str) -> dict[str, Any]:
    """Google counts bytes, OpenAI characters."""
    chunks = [{"web": {"uri": one.get("url") or "", "title": one.get("title") or ""}} for one in cited]
    supports = []
    for place, one in enumerate(cited):
        start, end = (len(text[: one.get(name) or 0].encode()) for name in ("start_index", "end_index"))
        supports.append({"segment": {"startIndex": start, "endIndex": end}, "groundingChunkIndices": [place]})
    return {"groundingChunks": chunks, "groundingSupports": supports}


def _usage(usage: dict[str, Any]) -> dict[str, Any]:
    """Thoughts are in the total only, unless they are told: then they may be among the completion's tokens."""
    read, written = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    total = max(usage.get("total_tokens") or 0, read + written)
    thoughts = total - read - written or thoughts_told(usage)
    native = {"promptTokenCount": read, "totalTokenCount": total, "cachedContentTokenCount": cached_told(usage)}
    return native | {"candidatesTokenCount": total - read - thoughts, "thoughtsTokenCount": thoughts}


def thoughts_told(usage: dict[str, Any]) -> int:
    return (usage.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0


def cached_told(usage: dict[str, Any]) -> int:
    return (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0

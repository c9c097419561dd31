"""What other gateways expect of a conversion, held against ours."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import orjson

from conformance import choices
from conformance.calls import PICTURE, UNTOUCHED, body_of, chat_call, codec_of
from conformance.cases import Case, Unmet, require, same
from conformance.claims import MISSING, Difference, Path, Stream, compared, differences
from conformance.errors import kept
from conformance.meaning import chunks_of, decoded, of_chunks
from pool.core import sse
from pool.core.calls import GEMINI, OPENAI, Ask
from pool.core.dialects import ConversionSettings
from pool.core.dialects.cutting import parts_of
from pool.core.faults import Fault

SOMEBODY = {"role": "user", "content": "x"}
SOME_MODEL = "gemini-2.5-flash"


def check(case: Case) -> list[str]:
    """The reasons for what is otherwise than the peer has it. Raises `Unmet` where no rule gives one."""
    pair = case.document
    match pair.get("direction"):
        case "openai_request->upstream_request":
            return _request(pair)
        case "upstream_response->openai_response":
            return _response(pair)
        case "upstream_stream->openai_stream":
            return _stream(pair)
    raise Unmet(f"nobody here knows the direction {pair.get('direction')!r}")


def _explained(pair: dict[str, Any], found: list[Difference], made: Any) -> list[str]:
    """A reason for each difference."""
    told = []
    for difference in found:
        reason = choices.reason_for(pair, difference, made)
        require(reason, str(difference))
        told.append(str(reason))
    return list(dict.fromkeys(told))


def _claims(pair: dict[str, Any]) -> list[dict[str, Any]]:
    return pair["expect"] if isinstance(pair["expect"], list) else []


def _compared(pair: dict[str, Any], wanted: Any, found: Any, path: Path = ()) -> list[Difference]:
    return list(compared(wanted, found, path, subset=str(pair["match"]).startswith("subset")))


def _operation(pair: dict[str, Any]) -> str:
    endpoint = str(pair.get("endpoint") or "chat/completions").strip("/")
    return "chat" if endpoint == "chat/completions" else endpoint


# -- requests --------------------------------------------------------------------------------------------------


def _request(pair: dict[str, Any]) -> list[str]:
    payload = _completed(pair)
    try:
        ask = _asked(payload, _operation(pair), _standing(pair))
    except Fault as fault:
        if _claims(pair) == [{"error": True}]:
            same(fault.status, 400, "status")
            return []
        reason = choices.reason_for_refusal(pair, fault)
        require(reason, f"refused: {fault.param}: {fault.message}")
        return [str(reason)]
    sent = json.loads(body_of(ask))
    if _claims(pair) == [{"error": True}]:
        return _explained(pair, [Difference((), "error", True, "no error")], sent)
    if pair["match"] == "assertions":
        found = [one for claim in _claims(pair) for one in differences(claim, sent)]
        shifted = choices.without_blank_turn(sent)
        if found and shifted is not None:
            again = [one for claim in _claims(pair) for one in differences(claim, shifted)]
            if not again:
                return [choices.BLANK_TURN]
    else:
        found = _compared(pair, pair["expect"], sent)
    return _explained(pair, found + _path(pair, ask), sent)


def _completed(pair: dict[str, Any]) -> dict[str, Any]:
    """Peers test functions, and write what a function needs: a request has a model and somebody who says something."""
    payload = dict(pair["input"])
    if _operation(pair) == "chat" and not payload.get("messages") and "contents" not in json.dumps(pair["expect"]):
        payload["messages"] = [SOMEBODY]
    if not payload.get("model"):
        payload["model"] = SOME_MODEL
    return payload


def _standing(pair: dict[str, Any]) -> ConversionSettings:
    """What is fetched is what the peer's test found at the address, where it tells."""
    kinds, datas = _named(pair["expect"], "mimeType"), _named(pair["expect"], "data")
    for claim in _claims(pair):
        if isinstance(claim, dict) and ({"inlineData", "inline_data"} & {claim.get("find"), *claim.get("path", ())}):
            known = [datas] if claim["path"][-1:] == ["data"] else [kinds] if claim["path"][-1:] == ["mimeType"] else []
            for told in known:
                told += [claim["equals"]] if isinstance(claim.get("equals"), str) else []
    fetched = next((raw for raw in map(decoded, datas) if raw), PICTURE[1])
    return replace(UNTOUCHED, resolve=lambda url: (next(iter(kinds), PICTURE[0]), fetched))


def _named(document: Any, name: str) -> list[str]:
    """The texts of that name inside of every inlineData."""
    if isinstance(document, list):
        return [text for one in document for text in _named(one, name)]
    if not isinstance(document, dict):
        return []
    inline = document.get("inlineData")
    own = [inline[name]] if isinstance(inline, dict) and isinstance(inline.get(name), str) else []
    return own + [text for one in document.values() for text in _named(one, name)]


def _asked(payload: dict[str, Any], operation: str, settings: ConversionSettings) -> Ask:
    codec = codec_of(OPENAI, GEMINI, operation, settings)
    call = chat_call(payload, operation)
    first = parts_of(codec, call, call.model)[0]
    return codec.ask(first, call.model)


def _path(pair: dict[str, Any], ask: Ask) -> list[Difference]:
    """The verb and the model: all that the paths of Google's two services have in common."""
    found = []
    wanted = pair.get("expect_path")
    if isinstance(wanted, str) and wanted.rpartition("/")[2] != ask.path.rpartition("/")[2]:
        found.append(Difference(("path",), "equals", wanted, ask.path))
    query = pair.get("expect_query")
    ours = "&".join(f"{name}={value}" for name, value in ask.query)
    if isinstance(query, str) and query != ours:
        found.append(Difference(("query",), "equals", query, ours))
    return found


# -- answers ---------------------------------------------------------------------------------------------------


def _response(pair: dict[str, Any]) -> list[str]:
    native = pair["input"]
    if isinstance(native, dict) and "error" in native:
        return _error(pair)
    expected = pair["expect"] if isinstance(pair["expect"], dict) else {}
    payload = {"model": expected.get("model") or "m"}
    call = chat_call(payload, _operation(pair))
    try:
        reply = codec_of(OPENAI, GEMINI, _operation(pair)).reply(call, {}, orjson.dumps(native))
    except ValueError as error:
        return _explained(pair, [Difference((), "read", True, f"unreadable: {error}")], native)
    answer = json.loads(reply.body)
    if pair["match"] == "assertions":
        found = [one for claim in _claims(pair) for one in differences(claim, answer)]
    else:
        found = _compared(pair, expected, answer)
    return _explained(pair, found, answer)


def _error(pair: dict[str, Any]) -> list[str]:
    """An upstream's error in OpenAI's shape, whatever shape the peer gives it; the message is what counts."""
    error = pair["input"]["error"]
    status = error.get("code") if isinstance(error, dict) else None
    kept(GEMINI, {"status": status if isinstance(status, int) and status >= 400 else 400, "body": pair["input"]})
    return [choices.OWN_ERRORS]


# -- streams ---------------------------------------------------------------------------------------------------


def _stream(pair: dict[str, Any]) -> list[str]:
    call = chat_call({"model": SOME_MODEL, "stream": True, "stream_options": {"include_usage": True}})
    reader = codec_of(OPENAI, GEMINI, "chat").reader(call, {})
    out = b"".join(reader.feed(sse.encode(orjson.dumps(chunk))) for chunk in pair["input"]) + reader.end()
    require(reader.failure is None, f"the stream cannot be read: {reader.failure!r}")
    require(out.endswith(sse.DONE), "a stream ends with [DONE]")
    made = chunks_of(out)
    if pair["match"] == "assertions":
        found = [one for claim in _claims(pair) for one in differences(claim, None, made)]
        return _explained(pair, found, made)
    return _whole_stream(pair, made)


def _whole_stream(pair: dict[str, Any], made: Stream) -> list[str]:
    """Chunks are cut differently by everybody: what they come to is compared, the usage, and the end."""
    expected = [json.loads(chunk) if isinstance(chunk, str) else chunk for chunk in pair["expect"] if chunk != "[DONE]"]
    wanted, given = of_chunks(expected), of_chunks(made)
    same(set(given), set(wanted), "choices")
    for index, said in wanted.items():
        for member in ("text", "thoughts", "calls", "finish"):
            same(getattr(given[index], member), getattr(said, member), member)
    stated = [chunk["usage"] for chunk in expected if chunk.get("usage")]
    found = _compared(pair, stated[-1], made[-1].get("usage", MISSING), ("usage",)) if stated else []
    reasons = _explained(pair, found, made)
    return reasons if len(expected) == len(made) else [choices.OWN_CHUNKS, *reasons]

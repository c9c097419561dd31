"""An OpenAI chat request as a Gemini generateContent request."""

from __future__ import annotations

from typing import Any

from pool.core.dialects.gemini.camel import camel_case, camel_keys
from pool.core.dialects.gemini.messages import Conversation
from pool.core.dialects.gemini.names import bare_model, takes_instructions
from pool.core.dialects.gemini.schema import as_gemini
from pool.core.dialects.gemini.speech import known_voice
from pool.core.dialects.gemini.thinking import AMOUNTS, thinking_config
from pool.core.dialects.gemini.tools import tool_config_of, tools_of
from pool.core.dialects.refusals import refuse
from pool.core.dialects.settings import ConversionSettings

SAMPLING = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
}
"""The logprobs names are crossed: OpenAI's switch is Google's responseLogprobs, its number is logprobs."""

PENALTIES = {"presence_penalty": "presencePenalty", "frequency_penalty": "frequencyPenalty"}
MAX_STOPS = 5

CATEGORIES = (
    "HARM_CATEGORY_HATE_SPEECH",
    "HARM_CATEGORY_SEXUALLY_EXPLICIT",
    "HARM_CATEGORY_DANGEROUS_CONTENT",
    "HARM_CATEGORY_HARASSMENT",
    "HARM_CATEGORY_CIVIC_INTEGRITY",
)
BLOCK_NONE = [{"category": category, "threshold": "BLOCK_NONE"} for category in CATEGORIES]

OUTSIDE_CONFIG = {
    "safetysettings": "safetySettings",
    "cachedcontent": "cachedContent",
    "toolconfig": "toolConfig",
    "systeminstruction": "systemInstruction",
    "labels": "labels",
    "modelarmorconfig": "modelArmorConfig",
    "servicetier": "serviceTier",
    "store": "store",
}
"""Members of `extra_body.google` that stand beside generationConfig; all others stand in it."""


def request_body(payload: dict[str, Any], model: str, settings: ConversionSettings) -> dict[str, Any]:
    """Raises `Fault` 400 naming the field for what cannot be carried over."""
    conversation = Conversation(bare_model(model), settings.resolve)
    conversation.add_all(payload.get("messages"))
    body: dict[str, Any] = {"contents": conversation.contents}
    if conversation.system and takes_instructions(bare_model(model)):
        body["systemInstruction"] = {"parts": conversation.system}
    elif conversation.system:
        conversation.instruct_first_turn()
    tools = tools_of(payload, model)
    if tools:
        body["tools"] = tools
        if tool_config := tool_config_of(payload, tools, bare_model(model)):
            body["toolConfig"] = tool_config
    if settings.safety_preset == "off":
        body["safetySettings"] = BLOCK_NONE
    if config := generation_config(payload, bare_model(model), settings):
        body["generationConfig"] = config
    _apply_google(payload, body)
    return body


def generation_config(payload: dict[str, Any], model: str, settings: ConversionSettings) -> dict[str, Any]:
    """Starts from a native generationConfig where the client sent one; OpenAI's own fields win."""
    native = payload.get("generationConfig") or payload.get("generation_config")
    config: dict[str, Any] = camel_keys(native) if isinstance(native, dict) else {}
    config |= {theirs: payload[ours] for ours, theirs in SAMPLING.items() if payload.get(ours) is not None}
    # Zero is OpenAI's default, and some models refuse any penalty at all.
    config |= {theirs: payload[ours] for ours, theirs in PENALTIES.items() if payload.get(ours)}
    limit = payload.get("max_completion_tokens")
    limit = payload.get("max_tokens") if limit is None else limit
    if limit is not None:
        config["maxOutputTokens"] = limit
    if isinstance(seed := config.get("seed"), int) and not isinstance(seed, bool):
        config["seed"] = _seed(seed)
    if payload.get("n") not in (None, 1):
        config["candidateCount"] = payload["n"]
    if stops := _stops(payload.get("stop")):
        config["stopSequences"] = stops
    _apply_format(payload.get("response_format"), config, model)
    _apply_modalities(payload, config)
    if isinstance(payload.get("image_config"), dict):
        # How most gateways to Google ask for a picture's shape and size.
        config["imageConfig"] = camel_keys(payload["image_config"])
    if thinking := thinking_config(payload, model, settings):
        config["thinkingConfig"] = thinking
    return config


def _seed(seed: int) -> int:
    """Google's seeds have 32 bits, OpenAI's 64: a larger one is folded, the same way every time."""
    return seed if -(2**31) <= seed < 2**31 else seed % 2**31


def _stops(stated: Any) -> list[str]:
    stops = [stated] if isinstance(stated, str) else stated or []
    if not isinstance(stops, list):
        raise refuse("stop must be a string or a list of strings.", "stop")
    return [stop for stop in stops if isinstance(stop, str) and stop][:MAX_STOPS]


def _apply_format(stated: Any, config: dict[str, Any], model: str) -> None:
    if stated is None:
        return
    kind = stated.get("type") if isinstance(stated, dict) else None
    match kind:
        case "text":
            return
        case "json_object":
            config["responseMimeType"] = "application/json"
        case "json_schema":
            _apply_schema(stated.get("json_schema"), config, model)
        case _:
            raise refuse("response_format must be text, json_object or json_schema.", "response_format.type")


def _apply_schema(stated: Any, config: dict[str, Any], model: str) -> None:
    where = "response_format.json_schema"
    if not isinstance(stated, dict):
        raise refuse("json_schema must be an object.", where)
    # responseSchema and responseJsonSchema exclude each other.
    config.pop("responseSchema", None)
    config.pop("responseJsonSchema", None)
    config["responseMimeType"] = "application/json"
    schema = stated.get("schema")
    if schema is None:
        return
    if not isinstance(schema, dict):
        raise refuse("schema must be an object.", f"{where}.schema")
    if isinstance(stated.get("description"), str) and not schema.get("description"):
        schema = {**schema, "description": stated["description"]}
    field = as_gemini(schema, f"{where}.schema", model)
    config["responseJsonSchema" if field.full else "responseSchema"] = field.schema
    if isinstance(schema.get("enum"), list) and not field.full:
        config["responseMimeType"] = "text/x.enum"


def _apply_modalities(payload: dict[str, Any], config: dict[str, Any]) -> None:
    modalities = payload.get("modalities")
    if not isinstance(modalities, list):
        return
    named = [modality.upper() for modality in modalities if isinstance(modality, str)]
    if named and named != ["TEXT"]:
        # Google's speech models answer in one modality at a time.
        config["responseModalities"] = ["AUDIO"] if "AUDIO" in named else named
    audio = payload.get("audio")
    voice = audio.get("voice") if isinstance(audio, dict) else None
    known = known_voice(voice) if "AUDIO" in named and isinstance(voice, str) else None
    if known:
        config["speechConfig"] = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": known}}}


def _apply_google(payload: dict[str, Any], body: dict[str, Any]) -> None:
    """`extra_body.google.*` wins over all else; OpenAI's SDK merges extra_body into the top level."""
    extra = payload.get("extra_body")
    nested = extra.get("google") if isinstance(extra, dict) else None
    for google in (payload.get("google"), nested):
        if not isinstance(google, dict):
            continue
        for name, value in google.items():
            _apply_one(name, value, body)
    for name in ("safety_settings", "safetySettings"):
        if isinstance(payload.get(name), list):
            body["safetySettings"] = payload[name]


def _with_amount(wish: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """A wish that says only whether thoughts are shown leaves it at how much was to be thought."""
    if wish.keys() & AMOUNTS:
        return wish
    return {name: amount for name, amount in before.items() if name in AMOUNTS} | wish


def _apply_one(name: str, value: Any, body: dict[str, Any]) -> None:
    plain = name.replace("_", "").lower()
    if plain in OUTSIDE_CONFIG:
        body[OUTSIDE_CONFIG[plain]] = value
    elif plain == "tools" and isinstance(value, list):
        body["tools"] = [*body.get("tools", []), *value]
    elif plain == "generationconfig" and isinstance(value, dict):
        body.setdefault("generationConfig", {}).update(camel_keys(value))
    elif plain not in ("tasktype", "title", "thoughtsignature", "thought"):
        camel = camel_case(name)
        config = body.setdefault("generationConfig", {})
        before = config.get(camel)
        config[camel] = camel_keys(value) if plain.endswith("config") else value
        if camel == "thinkingConfig" and isinstance(before, dict) and isinstance(config[camel], dict):
            config[camel] = _with_amount(config[camel], before)

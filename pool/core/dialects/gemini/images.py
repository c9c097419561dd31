"""OpenAI's images/generations for the models of Google's that make pictures.

Source: https://ai.google.dev/gemini-api/docs/image-generation and …/imagen
"""

from __future__ import annotations

from typing import Any

import orjson

from pool.core.calls import Ask, Call, Reply, StreamReader, Usage
from pool.core.dialects.gemini import chunks
from pool.core.dialects.gemini.names import bare_model
from pool.core.dialects.gemini.passthrough import model_path
from pool.core.dialects.gemini.request import BLOCK_NONE
from pool.core.dialects.openai import check_model, encoded, payload_of
from pool.core.dialects.passing import MISSHAPEN, Misshapen, parsed
from pool.core.dialects.refusals import refuse, shown
from pool.core.dialects.settings import ConversionSettings
from pool.core.faults import Fault

ASPECTS = {
    "1:1": 1.0, "2:3": 2 / 3, "3:2": 3 / 2, "3:4": 3 / 4, "4:3": 4 / 3, "4:5": 4 / 5, "5:4": 5 / 4, "9:16": 9 / 16,
    "16:9": 16 / 9, "21:9": 21 / 9,
}  # fmt: skip
IMAGEN_ASPECTS = ("1:1", "3:4", "4:3", "9:16", "16:9")
MOST_OF_IMAGEN = 4
FORMATS = {"png": "image/png", "jpeg": "image/jpeg"}


class ImagesCodec:
    """`imagen-…` is asked by predict, every other model for a picture as its answer."""

    def __init__(self, settings: ConversionSettings) -> None:
        self._settings = settings

    def ask(self, call: Call, model: str) -> Ask:
        check_model(model)
        name, payload = bare_model(model), payload_of(call)
        prompt = payload.get("prompt")
        if not isinstance(prompt, str) or not prompt:
            raise refuse("prompt must be a string.", "prompt")
        if payload.get("stream"):
            raise refuse("This model's pictures cannot be streamed.", "stream")
        wanted = payload.get("n") or 1
        most = MOST_OF_IMAGEN if _is_imagen(name) else 1
        if type(wanted) is not int or not 1 <= wanted <= most:
            raise refuse(f"This model makes {most} at a time at most.", "n")
        if _is_imagen(name):
            return Ask("POST", model_path(name, "predict"), encoded(_imagen_body(payload, prompt, wanted)))
        return Ask("POST", model_path(name, "generateContent"), encoded(self._body(payload, prompt)))

    def _body(self, payload: dict[str, Any], prompt: str) -> dict[str, Any]:
        config: dict[str, Any] = {"responseModalities": ["TEXT", "IMAGE"]}
        if aspect := _aspect(payload.get("size"), tuple(ASPECTS)):
            config["imageConfig"] = {"aspectRatio": aspect}
        body: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": prompt}]}], "generationConfig": config}
        if self._settings.safety_preset == "off":
            body["safetySettings"] = BLOCK_NONE
        return body

    def reply(self, call: Call, headers: dict[str, str], body: bytes) -> Reply:
        native = parsed(body)
        try:
            images, said = _pictures(native)
            usage = chunks.usage_of(native)
        except MISSHAPEN as e:
            raise Misshapen from e
        if not images:
            raise Fault(400, "content_policy_violation", said or "The model made no picture.", param="prompt")
        as_url = payload_of(call).get("response_format") == "url"
        data = [_datum(mime_type, picture, as_url) for mime_type, picture in images]
        made: dict[str, Any] = {"created": call.created, "data": data}
        if usage.total:
            made["usage"] = _usage(usage)
        return Reply(orjson.dumps(made), usage)

    def reader(self, call: Call, headers: dict[str, str]) -> StreamReader:
        raise ValueError("pictures are not streamed")


def _is_imagen(name: str) -> bool:
    return name.startswith("imagen")


def _imagen_body(payload: dict[str, Any], prompt: str, wanted: int) -> dict[str, Any]:
    parameters: dict[str, Any] = {"sampleCount": wanted}
    if aspect := _aspect(payload.get("size"), IMAGEN_ASPECTS):
        parameters["aspectRatio"] = aspect
    stated = payload.get("output_format")
    if stated in FORMATS:
        parameters["outputOptions"] = {"mimeType": FORMATS[stated]}
    return {"instances": [{"prompt": prompt}], "parameters": parameters}


def _aspect(size: Any, known: tuple[str, ...]) -> str | None:
    """The shape nearest to a size like "1792x1024"; None leaves it to the model."""
    if size is None or size == "auto":
        return None
    width, _, height = size.partition("x") if isinstance(size, str) else ("", "", "")
    if not (width.isdecimal() and height.isdecimal() and len(size) < 12 and int(width) and int(height)):
        raise refuse(f"size must be auto or like 1024x1024, not {shown(size)}.", "size")
    ratio = int(width) / int(height)
    return min(known, key=lambda name: max(ASPECTS[name], ratio) / min(ASPECTS[name], ratio))


def _pictures(native: dict[str, Any]) -> tuple[list[tuple[str, str]], str]:
    """Pictures (mime type, base64), and what was said instead of one."""
    if "predictions" in native:
        predictions = native["predictions"]
        found = [(str(each.get("mimeType", "image/png")), each.get("bytesBase64Encoded")) for each in predictions]
        reasons = [str(each["raiFilteredReason"]) for each in predictions if each.get("raiFilteredReason")]
        return [(mime_type, data) for mime_type, data in found if isinstance(data, str)], " ".join(reasons)
    images, texts = [], []
    for candidate in native.get("candidates") or ():
        for part in chunks.parts_of(candidate):
            media = part.get("inlineData") or {}
            if isinstance(media.get("data"), str) and not part.get("thought"):
                images.append((str(media.get("mimeType", "image/png")), media["data"]))
            elif isinstance(part.get("text"), str) and not part.get("thought"):
                texts.append(part["text"])
    block = chunks.block_of(native)
    return images, "".join(texts).strip() or (f"Google blocked this prompt: {block}." if block else "")


def _datum(mime_type: str, data: str, as_url: bool) -> dict[str, Any]:
    """Nothing is stored here, so a URL is one that holds the picture itself."""
    return {"url": f"data:{mime_type};base64,{data}"} if as_url else {"b64_json": data}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {"text_tokens": usage.input, "image_tokens": 0},
        "output_tokens": usage.output,
        "total_tokens": usage.total,
    }

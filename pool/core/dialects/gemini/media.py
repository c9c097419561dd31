"""Images, audio, video and files of an OpenAI message as parts of a Gemini content."""

from __future__ import annotations

import base64
import re
from typing import Any
from urllib.parse import unquote_to_bytes

from pool.core.dialects.gemini.camel import camel_keys
from pool.core.dialects.gemini.fetched import is_googles, is_http
from pool.core.dialects.gemini.names import at_least
from pool.core.dialects.gemini.sniffing import HEAD_BYTES, head_of, sniffed, told_type
from pool.core.dialects.refusals import refuse
from pool.core.dialects.settings import Resolver
from pool.core.faults import Fault

AUDIO_TYPES = {"mp3": "audio/mpeg", "m4a": "audio/mp4", "pcm16": "audio/pcm"}
SAME_TYPES = {"image/jpg": "image/jpeg", "audio/mp3": "audio/mpeg", "audio/x-wav": "audio/wav"}
ENDINGS = {
    "image/png": "png", "image/jpeg": "jpg jpeg", "image/webp": "webp", "image/gif": "gif", "image/heic": "heic",
    "image/heif": "heif", "image/bmp": "bmp", "image/avif": "avif", "image/tiff": "tif tiff", "image/svg+xml": "svg",
    "audio/wav": "wav", "audio/mpeg": "mp3", "audio/mp4": "m4a", "audio/aac": "aac", "audio/ogg": "ogg oga",
    "audio/flac": "flac", "audio/aiff": "aif aiff", "audio/opus": "opus", "audio/pcm": "pcm",
    "video/mp4": "mp4", "video/mpeg": "mpg mpeg", "video/webm": "webm", "video/quicktime": "mov",
    "video/x-msvideo": "avi", "video/x-ms-wmv": "wmv", "video/x-flv": "flv", "video/3gpp": "3gp",
    "video/x-matroska": "mkv", "application/pdf": "pdf", "application/json": "json", "text/html": "html htm",
    "text/css": "css", "text/csv": "csv", "text/xml": "xml", "text/rtf": "rtf", "text/markdown": "md",
    "text/javascript": "js mjs", "text/x-typescript": "ts", "text/x-python": "py",
    "text/plain": "txt log ini toml yaml yml sh sql c h rs go",
}  # fmt: skip
TYPES = {ending: kind for kind, endings in ENDINGS.items() for ending in endings.split()}
"""What a file's name says of its type. Not the standard library's: that one depends on the machine it runs on."""

RESOLUTIONS = {detail: f"MEDIA_RESOLUTION_{detail.upper()}" for detail in ("low", "medium", "high", "ultra_high")}
"""OpenAI's `detail`, and the two between and beyond that only Google knows. Without one, Google decides."""

GOOGLE_NAME = re.compile(r"files/[\w-]+")
FILES_OF_GOOGLE = "https://generativelanguage.googleapis.com/v1beta/"
WAV = "UklGR"
"""How every WAV file begins in base64."""
SAMPLES = "audio/L16;codec=pcm;rate=24000"
"""What Gemini's speech models answer with (recorded)."""
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-\s]*+={0,2}\s*+")


def type_of(name: Any) -> str | None:
    """The mime type of a file by the end of its name."""
    return TYPES.get(name.rpartition(".")[2].lower()) if isinstance(name, str) else None


def from_url(
    url: Any, where: str, resolve: Resolver | None, mime_type: str | None = None, name: Any = None
) -> dict[str, Any]:
    """A part for a data URL, a Google file, a YouTube or gs:// address, or whatever `resolve` fetches.

    `name` is the file's, where a client tells one.
    """
    if not isinstance(url, str) or not url:
        raise refuse("A URL is missing.", where)
    if url[:5].lower() == "data:":
        return inline(*_from_data_url(url, where, mime_type, name))
    # Not urlsplit, which refuses some addresses: "gs://[".
    by_name = type_of(name) or type_of(re.split(r"[?#]", url.partition("://")[2], maxsplit=1)[0].partition("/")[2])
    if url.startswith("gs://"):
        known = mime_type or by_name
        if known is None:
            raise refuse("The type of this gs:// object is unknown: name it in `format`.", where)
        return {"fileData": {"mimeType": known, "fileUri": url}}
    if is_googles(url):
        return {"fileData": {"fileUri": url, **({"mimeType": mime_type} if mime_type else {})}}
    if resolve is None or not is_http(url):
        raise refuse("This URL cannot be fetched for the model: send the data as a data: URL.", where)
    try:
        fetched_type, data = resolve(url)
    except Fault as fault:
        # Whoever fetches knows the address, but not where in the request it stands.
        fault.param = fault.param or where
        raise
    return inline(mime_type or told_type(fetched_type, data[:HEAD_BYTES], by_name), base64.b64encode(data).decode())


def stated_type(holder: dict[str, Any], name: str, where: str) -> str | None:
    """The mime type or format under `name`; None where it is left out or empty."""
    stated = holder.get(name)
    if stated and not isinstance(stated, str):
        raise refuse(f"{name} must be a string.", f"{where}.{name}")
    return stated or None


def inline(mime_type: str, data: str) -> dict[str, Any]:
    return {"inlineData": {"mimeType": SAME_TYPES.get(mime_type, mime_type), "data": data}}


def _from_data_url(url: str, where: str, mime_type: str | None, name: Any) -> tuple[str, str]:
    """Mime type and base64 of a data URL, which need not be in base64 itself (RFC 2397)."""
    head, comma, data = url[5:].partition(",")
    stated, *options = head.split(";")
    if not comma:
        raise refuse("This data: URL has no data.", where)
    if "base64" in (option.strip().lower() for option in options):
        data = checked_base64(data, where)
    else:
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    # RFC 2397: without a type it is text.
    stated = (mime_type or stated).strip().lower() or (type_of(name) or "text/plain")
    return told_type(stated, head_of(data), type_of(name)), data


def checked_base64(data: str, where: str) -> str:
    if "%" in data[:100]:
        data = unquote_to_bytes(data).decode("ascii", "replace")
    if not data or not _BASE64.fullmatch(data):
        raise refuse("This is no base64.", where)
    return data


def from_image(part: dict[str, Any], where: str, model: str, resolve: Resolver | None) -> dict[str, Any]:
    image = part.get("image_url")
    image = {"url": image} if isinstance(image, str) else image
    if not isinstance(image, dict):
        raise refuse("image_url must be an object with a url.", f"{where}.image_url")
    mime_type = stated_type(image, "format", f"{where}.image_url")
    made = from_url(image.get("url"), f"{where}.image_url.url", resolve, mime_type)
    detail = image.get("detail") or part.get("detail")
    level = RESOLUTIONS.get(detail) if isinstance(detail, str) else None
    if level and at_least(model, 3):
        made["mediaResolution"] = {"level": level}
    return made


def from_audio(part: dict[str, Any], where: str, resolve: Resolver | None) -> dict[str, Any]:
    audio = part.get("input_audio")
    if not isinstance(audio, dict) or not isinstance(audio.get("data"), str):
        raise refuse("input_audio must be an object with data and format.", f"{where}.input_audio")
    form = (stated_type(audio, "format", f"{where}.input_audio") or "").lower()
    data = audio["data"]
    if is_url(data):
        return from_url(data, f"{where}.input_audio.data", resolve)
    data = checked_base64(data, f"{where}.input_audio.data")
    if not form:
        return inline(sniffed(head_of(data)) or "audio/wav", data)
    return inline(AUDIO_TYPES.get(form, f"audio/{form}"), data)


def from_answer(data: str, where: str) -> dict[str, Any]:
    """Speech of an earlier answer, as `speech.py` hands it out: WAV, or samples without a head."""
    kind = "audio/wav" if data.startswith(WAV) else SAMPLES
    return inline(kind, checked_base64(data, where))


def from_holder(part: dict[str, Any], kind: str, where: str, resolve: Resolver | None) -> dict[str, Any]:
    """`video_url` and `audio_url`, which other gateways know beside OpenAI's `image_url`."""
    holder = part.get(kind)
    if not isinstance(holder, dict):
        return from_url(holder, f"{where}.{kind}.url", resolve)
    mime_type = stated_type(holder, "format", f"{where}.{kind}")
    return clipped(from_url(holder.get("url"), f"{where}.{kind}.url", resolve, mime_type), holder)


def clipped(part: dict[str, Any], holder: dict[str, Any]) -> dict[str, Any]:
    """The part with the piece of a video that is meant, and its frames a second."""
    clip = holder.get("video_metadata")
    return part | {"videoMetadata": camel_keys(clip)} if isinstance(clip, dict) else part


def from_file(part: dict[str, Any], where: str, resolve: Resolver | None) -> dict[str, Any]:
    """A file by its data, or by an address; an id of OpenAI's file store means nothing to Google.

    `input_file` of OpenAI's newer API has no object `file` around its members.
    """
    file, where = (part, where) if "file" not in part else (part["file"], f"{where}.file")
    if not isinstance(file, dict):
        raise refuse("file must be an object.", where)
    return clipped(_from_file(file, where, resolve), file)


def _from_file(file: dict[str, Any], where: str, resolve: Resolver | None) -> dict[str, Any]:
    mime_type = stated_type(file, "format", where) or stated_type(file, "mime_type", where)
    data, address = file.get("file_data"), file.get("file_id") or file.get("file_url")
    if isinstance(data, str):
        if is_url(data):
            return from_url(data, f"{where}.file_data", resolve, mime_type, file.get("filename"))
        data = checked_base64(data, f"{where}.file_data")
        known = mime_type or type_of(file.get("filename")) or sniffed(head_of(data))
        if known is None:
            raise refuse("The type of this file is unknown: name it in `filename`.", f"{where}.filename")
        return inline(known, data)
    if isinstance(address, str) and GOOGLE_NAME.fullmatch(address):
        address = FILES_OF_GOOGLE + address
    if isinstance(address, str) and "://" in address:
        place = f"{where}.file_id" if file.get("file_id") else f"{where}.file_url"
        return from_url(address, place, resolve, mime_type, file.get("filename"))
    raise refuse("Send the file's data: an id of OpenAI's files is unknown to Gemini.", f"{where}.file_id")


def is_url(text: str) -> bool:
    return text[:8].lower().startswith(("data:", "http://", "https://", "gs://"))


def is_base64(text: str) -> bool:
    """A thought signature that is none makes the whole request a 400."""
    return bool(text) and _BASE64.fullmatch(text) is not None

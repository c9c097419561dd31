"""Images, audio, video and files of an OpenAI message as parts of a Gemini content."""

from __future__ import annotations

import base64
import mimetypes
import re
from typing import Any
from urllib.parse import unquote_to_bytes

from pool.core.dialects.gemini.names import at_least
from pool.core.dialects.refusals import refuse
from pool.core.dialects.settings import Resolver

AUDIO_TYPES = {"mp3": "audio/mpeg", "m4a": "audio/mp4", "pcm16": "audio/pcm"}
SAME_TYPES = {"image/jpg": "image/jpeg", "audio/mp3": "audio/mpeg", "audio/x-wav": "audio/wav"}
RESOLUTIONS = {"low": "MEDIA_RESOLUTION_LOW", "high": "MEDIA_RESOLUTION_HIGH"}

GOOGLE_FILE = re.compile(r"https://generativelanguage\.googleapis\.com/v\w+/files/[\w-]+")
YOUTUBE = re.compile(r"https?://(?:www\.|m\.)?(?:youtube\.com/|youtu\.be/)")
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-\s]*+={0,2}\s*+")


def from_url(url: Any, where: str, resolve: Resolver | None, mime_type: str | None = None) -> dict[str, Any]:
    """A part for a data URL, a Google file, a YouTube or gs:// address, or whatever `resolve` fetches."""
    if not isinstance(url, str) or not url:
        raise refuse("A URL is missing.", where)
    if url.startswith("data:"):
        return inline(*_from_data_url(url, where, mime_type))
    if url.startswith("gs://"):
        # Not urlsplit, which refuses some addresses: "gs://[".
        name = re.split(r"[?#]", url[5:], maxsplit=1)[0].partition("/")[2]
        known = mime_type or mimetypes.guess_type(name)[0]
        if known is None:
            raise refuse("The type of this gs:// object is unknown: name it in `format`.", where)
        return {"fileData": {"mimeType": known, "fileUri": url}}
    if GOOGLE_FILE.match(url) or YOUTUBE.match(url):
        return {"fileData": {"fileUri": url, **({"mimeType": mime_type} if mime_type else {})}}
    if resolve is None or not url.startswith(("http://", "https://")):
        raise refuse("This URL cannot be fetched for the model: send the data as a data: URL.", where)
    fetched_type, data = resolve(url)
    return inline(mime_type or fetched_type, base64.b64encode(data).decode())


def stated_type(holder: dict[str, Any], name: str, where: str) -> str | None:
    """The mime type or format under `name`; None where it is left out or empty."""
    stated = holder.get(name)
    if stated and not isinstance(stated, str):
        raise refuse(f"{name} must be a string.", f"{where}.{name}")
    return stated or None


def inline(mime_type: str, data: str) -> dict[str, Any]:
    return {"inlineData": {"mimeType": SAME_TYPES.get(mime_type, mime_type), "data": data}}


def _from_data_url(url: str, where: str, mime_type: str | None) -> tuple[str, str]:
    """Mime type and base64 of a data URL, which need not be in base64 itself (RFC 2397)."""
    head, comma, data = url[5:].partition(",")
    stated, *options = head.split(";")
    if not comma:
        raise refuse("This data: URL has no data.", where)
    kind = (mime_type or stated or "text/plain").strip().lower()
    if "base64" not in (option.strip() for option in options):
        return kind, base64.b64encode(unquote_to_bytes(data)).decode()
    return kind, checked_base64(data, where)


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
    detail = image.get("detail")
    level = RESOLUTIONS.get(detail) if isinstance(detail, str) else None
    if level and at_least(model, 3):
        made["mediaResolution"] = {"level": level}
    return made


def from_audio(part: dict[str, Any], where: str) -> dict[str, Any]:
    audio = part.get("input_audio")
    if not isinstance(audio, dict) or not isinstance(audio.get("data"), str):
        raise refuse("input_audio must be an object with data and format.", f"{where}.input_audio")
    form = (stated_type(audio, "format", f"{where}.input_audio") or "wav").lower()
    data = audio["data"]
    if data.startswith("data:"):
        return from_url(data, f"{where}.input_audio.data", None)
    return inline(AUDIO_TYPES.get(form, f"audio/{form}"), checked_base64(data, f"{where}.input_audio.data"))


def from_file(part: dict[str, Any], where: str, resolve: Resolver | None) -> dict[str, Any]:
    """A file by its data, or by an address; an id of OpenAI's file store means nothing to Google."""
    file = part.get("file")
    if not isinstance(file, dict):
        raise refuse("file must be an object.", f"{where}.file")
    mime_type = stated_type(file, "format", f"{where}.file") or stated_type(file, "mime_type", f"{where}.file")
    data, address = file.get("file_data"), file.get("file_id") or file.get("file_url")
    if isinstance(data, str):
        if data.startswith("data:"):
            return from_url(data, f"{where}.file.file_data", None, mime_type)
        filename = file.get("filename")
        known = mime_type or mimetypes.guess_type(filename if isinstance(filename, str) else "")[0]
        if known is None:
            raise refuse("The type of this file is unknown: name it in `filename`.", f"{where}.file.filename")
        return inline(known, checked_base64(data, f"{where}.file.file_data"))
    if isinstance(address, str) and "://" in address:
        return from_url(address, f"{where}.file.file_id", resolve, mime_type)
    raise refuse("Send the file's data: an id of OpenAI's files is unknown to Gemini.", f"{where}.file.file_id")


def is_base64(text: str) -> bool:
    """A thought signature that is none makes the whole request a 400."""
    return bool(text) and _BASE64.fullmatch(text) is not None

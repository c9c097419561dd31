"""Media that one request names by address: none is fetched twice, and not more than a server can bear."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from pool.core.dialects.settings import Resolver
from pool.core.faults import Fault

MOST_ADDRESSES = 100
MOST_BYTES = 50 * 1024 * 1024
"""Google takes no larger request, and base64 makes it a third larger still."""

MEDIA = ("image_url", "input_image", "input_audio", "file", "input_file", "video_url", "audio_url")
PLACES = ("url", "data", "file_url", "file_data", "file_id", "image_url")

GOOGLE_FILE = re.compile(r"https://generativelanguage\.googleapis\.com/v\w+/files/[\w-]+")
YOUTUBE = re.compile(r"https?://(?:www\.|m\.)?(?:youtube\.com/|youtu\.be/)")
"""What Google fetches itself."""

Got = tuple[str, bytes] | Fault


@runtime_checkable
class Together(Protocol):
    """Somebody who fetches several addresses side by side."""

    def together(self, urls: Sequence[str], most_bytes: int) -> Mapping[str, Got]:
        """What stands at each address, or why it could not be had; all of it no more than `most_bytes`."""
        ...


class Fetched:
    """Asked like a `Resolver`."""

    def __init__(self, resolve: Resolver) -> None:
        self._resolve = resolve
        self._known: dict[str, Got] = {}
        self._bytes = 0

    def expect(self, messages: list[Any]) -> None:
        """Fetches what the messages name side by side, where somebody can. What failed is told when it is asked for."""
        urls = list(dict.fromkeys(addresses_in(messages)))
        if 1 < len(urls) <= MOST_ADDRESSES and isinstance(self._resolve, Together):
            self._known |= self._resolve.together(urls, MOST_BYTES)

    def __call__(self, url: str) -> tuple[str, bytes]:
        """Raises `Fault` 400."""
        if url not in self._known:
            self._known[url] = self._fetch(url)
        got = self._known[url]
        if isinstance(got, Fault):
            raise got
        return got

    def _fetch(self, url: str) -> tuple[str, bytes]:
        if len(self._known) >= MOST_ADDRESSES:
            raise _too_much(f"names more than {MOST_ADDRESSES} addresses")
        media_type, data = self._resolve(url)
        self._bytes += len(data)
        if self._bytes > MOST_BYTES:
            raise _too_much(f"names media of more than {MOST_BYTES // 1024 // 1024} MB")
        return media_type, data


def _too_much(what: str) -> Fault:
    return Fault(400, "invalid_media_url", f"This request {what}: send fewer.", retryable=False)


def addresses_in(messages: list[Any]) -> Iterator[str]:
    """The http addresses in the places where messages name media."""
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        images = message.get("images") if isinstance(message, dict) else None
        for part in (*_list(content), *_list(images)):
            kind = part.get("type") if isinstance(part, dict) else None
            if isinstance(kind, str) and kind in MEDIA:
                holder = part.get(kind)
                places = [holder.get(name) for name in PLACES] if isinstance(holder, dict) else [holder]
                places += [part.get(name) for name in PLACES]
                texts = (place for place in places if isinstance(place, str))
                yield from (url for url in texts if is_http(url) and not is_googles(url))


def is_googles(url: str) -> bool:
    return bool(GOOGLE_FILE.match(url) or YOUTUBE.match(url))


def is_http(text: str) -> bool:
    return text[:8].lower().startswith(("http://", "https://"))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []

"""What kind of media some bytes are, by how they begin: servers and clients often do not say, or say it wrong."""

from __future__ import annotations

import base64
import binascii
import re

MAGIC: tuple[tuple[bytes, int, bytes, str], ...] = (
    (b"\x89PNG", 0, b"", "image/png"),
    (b"\xff\xd8\xff", 0, b"", "image/jpeg"),
    (b"GIF8", 0, b"", "image/gif"),
    (b"RIFF", 8, b"WEBP", "image/webp"),
    (b"RIFF", 8, b"WAVE", "audio/wav"),
    (b"RIFF", 8, b"AVI ", "video/x-msvideo"),
    (b"FORM", 8, b"AIFF", "audio/aiff"),
    (b"II*\0", 0, b"", "image/tiff"),
    (b"MM\0*", 0, b"", "image/tiff"),
    (b"BM", 6, b"\0\0\0\0", "image/bmp"),
    (b"%PDF-", 0, b"", "application/pdf"),
    (b"ID3", 0, b"", "audio/mpeg"),
    (b"\xff\xfb", 0, b"", "audio/mpeg"),
    (b"\xff\xf3", 0, b"", "audio/mpeg"),
    (b"\xff\xf2", 0, b"", "audio/mpeg"),
    (b"\xff\xf1", 0, b"", "audio/aac"),
    (b"\xff\xf9", 0, b"", "audio/aac"),
    (b"fLaC", 0, b"", "audio/flac"),
    (b"OggS", 0, b"", "audio/ogg"),
    (b"", 4, b"ftypavif", "image/avif"),
    (b"", 4, b"ftyphei", "image/heic"),
    (b"", 4, b"ftypmif1", "image/heif"),
    (b"", 4, b"ftypM4A", "audio/mp4"),
    (b"", 4, b"ftypqt", "video/quicktime"),
    (b"", 4, b"ftyp3g", "video/3gpp"),
    (b"", 4, b"ftyp", "video/mp4"),
    (b"\0\0\1\xba", 0, b"", "video/mpeg"),
    (b"\0\0\1\xb3", 0, b"", "video/mpeg"),
    (b"FLV\1", 0, b"", "video/x-flv"),
)
"""How a file begins, and what it has at an offset. The first that fits wins."""

NO_TYPES = frozenset({"", "application/octet-stream", "binary/octet-stream", "application/force-download"})
"""Types that tell nothing: the file's name may."""
DEFAULTS = frozenset({"text/html", "text/plain"})
"""What servers say of what they do not know. It may be so, unless the bytes say otherwise."""
HEAD_BYTES = 96


def told_type(stated: str, head: bytes, by_name: str | None = None) -> str:
    """The stated type where it tells something, else what the bytes or the file's name say."""
    if stated in NO_TYPES:
        return sniffed(head) or by_name or stated or "application/octet-stream"
    return (sniffed(head) or stated) if stated in DEFAULTS else stated


def sniffed(head: bytes) -> str | None:
    for begins, offset, holds, kind in MAGIC:
        if head.startswith(begins) and head[offset : offset + len(holds)] == holds:
            return kind
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "video/webm" if b"webm" in head[:HEAD_BYTES] else "video/x-matroska"
    return None


def head_of(data: str) -> bytes:
    """How data in base64 of either alphabet begins."""
    text = re.sub(r"\s", "", data[: 2 * HEAD_BYTES]).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""

"""The file of a backup: a head that says how its key is made, then pieces that are compressed, sealed and in order.

docs/backup.md tells the format byte by byte. Nobody who lacks the passphrase can read it, change it, cut it short or
put pieces of two backups together unnoticed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pool.core.documents import Unreadable

MAGIC = b"KEYPOOL BACKUP\n"
FORMAT = 1
PIECE_BYTES = 64 * 1024
MOST_HEAD_BYTES = 4 * 1024
MOST_COST = 2**18
"""Reading a stranger's file takes no more memory than 256 MiB."""

MOST_LINE_BYTES = 16 * 1024 * 1024

_TAG_BYTES = 16
_LENGTH = struct.Struct(">I")


class BadBackup(Unreadable):
    """A file that no backup can be read from, or not with this passphrase."""


@dataclass(frozen=True, slots=True)
class Cost:
    """scrypt's n, with r = 8 and p = 1."""

    n: int = 2**17


class Lock:
    """What a passphrase and a head make: a cipher for the pieces, and a word that tells a wrong passphrase at once.

    To make one takes half a second of a processor, and 128 MiB.
    """

    def __init__(self, passphrase: str, head: dict[str, Any]) -> None:
        salt, n = base64.b64decode(head["salt"]), int(head["n"])
        secret = passphrase.encode("utf-8", "surrogatepass")
        made = hashlib.scrypt(secret, salt=salt, n=n, r=8, p=1, maxmem=2048 * n, dklen=64)
        self.cipher = AESGCM(made[:32])
        self.check = hmac.digest(made[32:], b"keypool backup: right passphrase", "sha256")[:16].hex()


class Seal:
    """Makes a backup of what is added to it, piece by piece. Every method is long enough to be run in a thread.

    `about` stands in the head for anybody to read: no secret.
    """

    def __init__(self, passphrase: str, about: dict[str, Any], cost: Cost | None = None) -> None:
        salt = base64.b64encode(secrets.token_bytes(32)).decode()
        head = {"format": FORMAT, "kdf": "scrypt", "n": (cost or Cost()).n, "r": 8, "p": 1, "salt": salt,
                "cipher": "AES-256-GCM", **about}  # fmt: skip
        lock = Lock(passphrase, head)
        text = json.dumps({**head, "check": lock.check}).encode() + b"\n"
        self.head = MAGIC + text
        self._cipher = lock.cipher
        self._bound = hashlib.sha256(text).digest()
        self._squeezed, self._kept, self._number = zlib.compressobj(6), bytearray(), 0

    def add(self, plain: bytes) -> bytes:
        """What can be written by now."""
        self._kept += self._squeezed.compress(plain)
        return self._full()

    def end(self) -> bytes:
        self._kept += self._squeezed.flush()
        return self._full() + self._box(bytes(self._kept), True)

    def _full(self) -> bytes:
        made = b""
        while len(self._kept) > PIECE_BYTES:
            made += self._box(bytes(self._kept[:PIECE_BYTES]), False)
            del self._kept[:PIECE_BYTES]
        return made

    def _box(self, piece: bytes, last: bool) -> bytes:
        """The flag marks the last piece: a file that was cut short lacks it."""
        box = self._cipher.encrypt(_nonce(self._number, last), piece, self._bound)
        self._number += 1
        return _LENGTH.pack(len(box)) + box


def unlock(file: IO[bytes], passphrase: str) -> Lock:
    """Raises `BadBackup` for what is no backup, or not of this passphrase."""
    head, _ = _head(file)
    lock = Lock(passphrase, head)
    if not hmac.compare_digest(lock.check, str(head.get("check", ""))):
        raise BadBackup("That is not the passphrase of this backup.")
    return lock


def lines_of(file: IO[bytes], lock: Lock) -> Iterator[bytes]:
    """The lines that were sealed, from the file's beginning. Raises `BadBackup` for damage where it is met."""
    _, text = _head(file)
    rest = bytearray()
    for some in _inflated(_opened(file, lock.cipher, hashlib.sha256(text).digest())):
        rest += some
        *lines, tail = rest.split(b"\n")
        if len(tail) > MOST_LINE_BYTES:
            raise BadBackup("This backup is damaged: a line of it is too long.")
        yield from (bytes(line) for line in lines)
        rest = bytearray(tail)
    if rest:
        raise BadBackup("This backup is damaged: it ends within a line.")


def _head(file: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    if file.read(len(MAGIC)) != MAGIC:
        raise BadBackup("This is no backup of Keypool.")
    text = file.readline(MOST_HEAD_BYTES)
    try:
        head = json.loads(text)
        known = head["format"], head["kdf"], head["r"], head["p"], head["cipher"]
        cost, salt = int(head["n"]), base64.b64decode(head["salt"], validate=True)
    except (ValueError, TypeError, KeyError):
        raise BadBackup("This backup is damaged: its head cannot be read.") from None
    if isinstance(known[0], int) and known[0] > FORMAT:
        raise BadBackup("This backup was made by a newer version of Keypool: restore it with that one.")
    if known != (FORMAT, "scrypt", 8, 1, "AES-256-GCM") or not 2 <= cost <= MOST_COST or cost & (cost - 1):
        raise BadBackup("This backup is damaged: its head asks for what no version does.")
    if len(salt) < 16:
        raise BadBackup("This backup is damaged: its salt is too short.")
    return head, text


def _opened(file: IO[bytes], cipher: AESGCM, bound: bytes) -> Iterator[bytes]:
    number = 0
    while True:
        length = file.read(_LENGTH.size)
        if len(length) < _LENGTH.size:
            raise BadBackup("This backup is incomplete: its end is missing.")
        size = _LENGTH.unpack(length)[0]
        if not _TAG_BYTES <= size <= PIECE_BYTES + _TAG_BYTES:
            raise BadBackup("This backup is damaged: a piece has an impossible length.")
        box = file.read(size)
        if len(box) < size:
            raise BadBackup("This backup is incomplete: its end is missing.")
        for last in (False, True):
            try:
                piece = cipher.decrypt(_nonce(number, last), box, bound)
                break
            except InvalidTag:
                continue
        else:
            raise BadBackup("This backup is damaged: a piece of it was changed.")
        yield piece
        if last:
            if file.read(1):
                raise BadBackup("This backup is damaged: something follows its end.")
            return
        number += 1


def _inflated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """A bounded amount at a time: whoever knows the passphrase may still have made a bomb."""
    squeezed = zlib.decompressobj()
    try:
        for piece in pieces:
            while piece:
                yield squeezed.decompress(piece, 16 * PIECE_BYTES)
                piece = squeezed.unconsumed_tail
        while not squeezed.eof:
            some = squeezed.decompress(b"", 16 * PIECE_BYTES)
            if not some:
                raise BadBackup("This backup is damaged: what is in it ends early.")
            yield some
    except zlib.error:
        raise BadBackup("This backup is damaged: what is in it cannot be unpacked.") from None


def _nonce(number: int, last: bool) -> bytes:
    """Twelve bytes, never twice under one key: every backup has a salt and so a key of its own."""
    return number.to_bytes(11, "big") + (b"\1" if last else b"\0")

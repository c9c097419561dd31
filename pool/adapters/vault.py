"""Encryption at rest: the ring that seals secrets, and the keyed digests that find them again."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from sqlalchemy import bindparam, func, select, text, update
from sqlalchemy.orm import Session

from pool.adapters.database import Database
from pool.adapters.tables import Key, Meta, Pool, Provider

FINGERPRINT_KEY = "fingerprint_key"
DIGESTS = b"keypool: digests of tokens"
WRONG = "KEY_ENCRYPTION_SECRET (or instance/encryption_key) is not the one this database was encrypted with."
MISSING = (
    "This database is encrypted and its key is missing: set KEY_ENCRYPTION_SECRET or restore instance/encryption_key."
)
# Columns the ring seals.
SEALED: tuple[tuple[Any, Any], ...] = (
    (Key, Key.secret),
    (Key, Key.proxy_url),
    (Pool, Pool.auth_sealed),
    (Provider, Provider.proxy_url),
)
BRIEFLY_SEALED = ("draft:", "answer:")
"""How rows of `meta` begin that the ring seals, for up to an hour."""

AT_ONCE = 500
"""Rows that are sealed anew in one transaction."""


class WrongKey(ValueError):
    """The ring cannot open what the database holds."""


class Vault:
    """Seals and opens secrets with a ring of encryption keys, newest first.

    `fingerprint_key` is random, made once, kept in `meta` sealed by the ring and never rotated, so that a secret's
    fingerprint and a token's digest stay the same when the ring turns.
    """

    __slots__ = ("_digest_key", "_fingerprint_key", "_newest", "_ring")

    def __init__(self, ring: list[Fernet], fingerprint_key: bytes) -> None:
        self._ring = MultiFernet(ring)
        self._newest = ring[0]
        self._fingerprint_key = fingerprint_key
        self._digest_key = _mac(fingerprint_key, DIGESTS)

    def encrypt(self, text: str) -> bytes:
        return self._newest.encrypt(text.encode())

    def decrypt(self, sealed: bytes) -> str:
        return _open(self._ring, sealed).decode()

    def decrypt_packed(self, sealed: bytes) -> str:
        return self.decrypt(base64.urlsafe_b64encode(sealed))

    def rewrap(self, sealed: bytes) -> bytes:
        """The same secret, sealed by the newest key of the ring; unchanged where it already is."""
        try:
            self._newest.decrypt(sealed)
        except InvalidToken:
            return self._newest.encrypt(_open(self._ring, sealed))
        return sealed

    def fingerprint(self, provider_slug: str, secret: str) -> bytes:
        """Finds a key without opening any: equal for equal secrets of one provider, meaningless elsewhere."""
        return _mac(self._fingerprint_key, f"{provider_slug}\0{secret}".encode())

    def digest(self, token: str) -> bytes:
        """Finds a client key, an auth key or a session by what its holder presents."""
        return _mac(self._digest_key, token.encode("utf-8", "surrogatepass"))

    def exported(self) -> str:
        """The fingerprint key itself, for a backup: client keys are found by it, so it must move with them."""
        return base64.b64encode(self._fingerprint_key).decode()

    def wrapped(self, exported: str) -> str:
        """An exported fingerprint key as `meta` stores it."""
        return self._newest.encrypt(base64.b64decode(exported, validate=True)).decode()

    def adopt(self, wrapped: str) -> bool:
        """Find things by the fingerprint key that `meta` holds by now: a backup was restored. Was it another one?"""
        known, self._fingerprint_key = self._fingerprint_key, _open(self._ring, wrapped.encode())
        self._digest_key = _mac(self._fingerprint_key, DIGESTS)
        return known != self._fingerprint_key

    def __repr__(self) -> str:
        return "<Vault>"

    def __reduce__(self) -> str:
        raise TypeError("a vault is not to be copied")


def open_vault(database: Database, instance: Path, configured: str | None = None) -> Vault:
    """The vault of this database; raises `WrongKey` where its rows were sealed by a key that is not in the ring.

    `configured` is KEY_ENCRYPTION_SECRET; without it the key is `instance/encryption_key`, made at the first start.
    """
    ring = try_ring(database, instance, configured)
    file = instance / "encryption_key"
    if ring is None:
        _generate(file)
        ring = encryption_ring(file.read_text())
    fernet = MultiFernet(ring)
    return Vault(ring, _open(fernet, database.write(_fingerprint_key, fernet.encrypt(secrets.token_bytes(32)))))


def try_ring(database: Database, instance: Path, configured: str | None = None) -> list[Fernet] | None:
    """The ring this database opens with; None where a key is yet to be made. Raises `WrongKey`, and changes nothing."""
    file = instance / "encryption_key"
    samples = database.read(_sealed_samples)
    if configured is None and not file.exists():
        if samples:
            raise WrongKey(MISSING)
        return None
    ring = encryption_ring(file.read_text() if configured is None else configured)
    for sample in samples:
        _open(MultiFernet(ring), sample)
    return ring


def encryption_ring(configured: str) -> list[Fernet]:
    """A comma-separated list of Fernet keys or passphrases, newest first."""
    ring = [_fernet(part.strip()) for part in configured.split(",") if part.strip()]
    if not ring:
        raise WrongKey("KEY_ENCRYPTION_SECRET is empty: set it to a long random string, or unset it.")
    return ring


def slices(session: Session, count: int = AT_ONCE) -> int:
    """How often `rewrap_some` is to be called, as things are."""
    numbers = [session.scalar(select(func.count(column)).select_from(table)) or 0 for table, column in SEALED]
    # Each kind of row ends with a call that finds none, and the fingerprint key is one more.
    return sum(-(-number // count) + 1 for number in numbers) + 1


def rewrap_some(session: Session, vault: Vault, after: tuple[int, int], count: int = AT_ONCE) -> tuple[int, int] | None:
    """Re-seal the next `count` rows under the ring's newest key; returns where to go on, None at the end.

    Start with (0, 0). Each call is one short transaction, so that rotation goes on beside traffic and after a crash;
    an older key may leave the ring once this has returned None.
    """
    place, last_id = after
    if place == len(SEALED):
        # The fingerprint key comes last: a start without the older key says so for as long as anything is left.
        for name in (*BRIEFLY_SEALED, FINGERPRINT_KEY):
            for meta in session.scalars(select(Meta).where(Meta.name.startswith(name)).with_for_update()):
                meta.value = vault.rewrap(meta.value.encode()).decode()
        return None
    table, column = SEALED[place]
    some = select(table.id, column).where(table.id > last_id, column.is_not(None)).order_by(table.id).limit(count)
    # Locked: somebody may be about to put another secret there. No more of a row than that, or streams would feel it.
    rows = session.execute(some.with_for_update()).all()
    if not rows:
        return place + 1, 0
    stored: Any = table.__table__
    change = update(stored).where(stored.c.id == bindparam("row")).values({column.key: bindparam("anew")})
    session.connection().execute(change, [{"row": row_id, "anew": vault.rewrap(sealed)} for row_id, sealed in rows])
    return place, rows[-1][0]


def _fingerprint_key(session: Session, fresh: bytes) -> bytes:
    stored = select(Meta.value).where(Meta.name == FINGERPRINT_KEY)
    if session.scalar(stored) is None:
        if _sealed_samples(session):
            raise WrongKey("This database holds encrypted rows but not its fingerprint key: restore it from a backup.")
        # Another worker may be making one too; whoever comes second takes the first one's.
        add = "INSERT INTO meta (name, value, number) VALUES (:name, :value, 0) ON CONFLICT (name) DO NOTHING"
        session.execute(text(add), {"name": FINGERPRINT_KEY, "value": fresh.decode()})
    return session.scalars(stored).one().encode()


def _sealed_samples(session: Session) -> list[bytes]:
    """The oldest and the newest sealed value of each kind: a rotation cut short shows between them."""
    found = list(session.scalars(select(Meta.value).where(Meta.name == FINGERPRINT_KEY)))
    samples = [value.encode() for value in found]
    for table, column in SEALED:
        for order in (table.id.asc(), table.id.desc()):
            samples += session.scalars(select(column).where(column.is_not(None)).order_by(order).limit(1))
    return samples


def _generate(file: Path) -> None:
    """Write a new key readable by its owner alone; a file that appeared meanwhile is left as it is."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(Fernet.generate_key() + b"\n")
        out.flush()
        os.fsync(out.fileno())
    try:
        os.link(draft, file)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _fernet(part: str) -> Fernet:
    try:
        return Fernet(part)
    except ValueError:
        # A person's words: worth 50 ms of stretching at start, should the file ever be stolen.
        stretched = hashlib.scrypt(part.encode(), salt=b"keypool encryption at rest", n=2**14, r=8, p=1, dklen=32)
        return Fernet(base64.urlsafe_b64encode(stretched))


def packed(sealed: bytes) -> bytes:
    """What is sealed in three quarters of its bytes, for `decrypt_packed`: there may be 100,000 of them in memory."""
    try:
        return base64.urlsafe_b64decode(sealed)
    except ValueError:
        return b""  # what is no token cannot be opened either way


def _open(ring: MultiFernet, sealed: bytes) -> bytes:
    try:
        return ring.decrypt(sealed)
    except InvalidToken:
        raise WrongKey(WRONG) from None


def _mac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")

"""A key as the hot path knows it: who it is, whether a person allows it. Its health lives in `Rotation`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Key:
    """One upstream credential. `sealed` is its ciphertext, packed; the plain text is unsealed on first use.

    `disabled_until` is None (enabled), a moment, or `FOREVER`; `dead` holds the upstream's reason. `limits` are an
    operator's, by model ("*" for every other one): {"rpm": …, "tpm": …, "rpd": …}. `used_at`: its last attempt.
    """

    id: int
    provider: str
    hint: str
    sealed: bytes = field(repr=False)
    project: str | None = None
    disabled_until: float | None = None
    dead: str | None = None
    max_requests: int | None = None
    max_requests_window: str = "none"
    proxy_url: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    limits: Mapping[str, Mapping[str, int]] | None = None
    used_at: float = 0.0
    fallback_to_direct: bool = False

    def become(self, other: Key) -> None:
        """Be as another one is."""
        for name in self.__slots__:
            setattr(self, name, getattr(other, name))

    def available(self, now: float) -> bool:
        """May it be used at all, as far as a person and the upstream's final word go?"""
        return self.dead is None and (self.disabled_until is None or self.disabled_until <= now)


BINNED_S = 7 * 86_400.0
"""How long the bin keeps a deleted key."""

FOREVER = float("inf")

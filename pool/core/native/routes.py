"""The words for what a passed-through route is about."""

from __future__ import annotations

from dataclasses import dataclass

INFERENCE, MAKING, OBJECT, LIST, OTHER = "inference", "making", "object", "list", "other"
"""INFERENCE asks a model, with any key; MAKING leaves an object with its key, which OBJECT and LIST come back to."""

DAY_S = 86_400.0


class RouteUnknown(ValueError):
    """The path has a part that leads elsewhere (`..`), or none at all."""


@dataclass(frozen=True, slots=True)
class Collection:
    """Objects of one kind. `life_s`: how long one is known where its answer does not say; None: for ever.

    `free`: making one costs nothing, whatever is in it. `words` are what may stand in the place of an id.
    """

    life_s: float | None = None
    free: bool = False
    words: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Route:
    """`name` is the object's ("files/file-abc"), `collection` what it is or would be part of, `model` one that the
    path names. `once`: it makes or changes something. `free`: no model is asked.
    """

    kind: str
    operation: str = "raw"
    collection: str = ""
    name: str = ""
    model: str = ""
    once: bool = False
    free: bool = False

    @property
    def topic(self) -> str:
        """What quotas are kept apart by where there is no model."""
        return f"/{self.collection or self.operation}"


def segments(path: str) -> list[str]:
    """The parts of a path. Raises `RouteUnknown` for one that an upstream may read as another path."""
    parts = path.removeprefix("/").removesuffix("/").split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise RouteUnknown(path)
    return parts

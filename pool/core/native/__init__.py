"""What a route is about that is passed through: an inference, an object that a key makes and holds, a list."""

from __future__ import annotations

from pool.core.calls import GEMINI
from pool.core.native import gemini, openai
from pool.core.native.routes import INFERENCE, LIST, MAKING, OBJECT, OTHER, Route, RouteUnknown

__all__ = ["INFERENCE", "LIST", "MAKING", "OBJECT", "OTHER", "Route", "RouteUnknown", "route_of"]


def route_of(dialect: str, method: str, path: str) -> Route:
    """What a method and a path below the version mean. Raises `RouteUnknown` for a path that is none."""
    return (gemini if dialect == GEMINI else openai).route(method, path)

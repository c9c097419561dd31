"""Names as Google answers with them; in requests it takes snake_case as well."""

from __future__ import annotations

from typing import Any


def camel_case(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in rest)


def camel_keys(value: Any) -> Any:
    """One level is enough for what clients write in snake_case; schemas keep their own names."""
    return {camel_case(name): inner for name, inner in value.items()} if isinstance(value, dict) else value

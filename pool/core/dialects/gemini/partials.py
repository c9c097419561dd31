"""Function arguments that arrive as JSONPath patches over many chunks.

Source: https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling#streaming-fc
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

_STEP = re.compile(r"""\.([^.\[\]]+)|\[(\d+)\]|\['([^']*)'\]|\["([^"]*)"\]""")
VALUES = ("stringValue", "numberValue", "boolValue")
MAX_INDEX = 10_000


class PartialCall:
    """One call under construction."""

    def __init__(self) -> None:
        self._name = ""
        self._id: str | None = None
        self._signature: str | None = None
        self._args: Any = {}
        self._open: str | None = None

    def add(self, part: dict[str, Any]) -> None:
        asked = part["functionCall"]
        self._name = asked.get("name") or self._name
        self._id = asked.get("id") or self._id
        self._signature = part.get("thoughtSignature") or self._signature
        if isinstance(asked.get("args"), dict):
            self._args |= asked["args"]
        for patch in asked.get("partialArgs") or ():
            self._patch(patch)

    def part(self) -> dict[str, Any]:
        """The call as if it had come whole."""
        asked: dict[str, Any] = {"name": self._name, "args": self._args}
        if self._id:
            asked["id"] = self._id
        return {"functionCall": asked, **({"thoughtSignature": self._signature} if self._signature else {})}

    def _patch(self, patch: dict[str, Any]) -> None:
        path = patch.get("jsonPath") or "$"
        value = next((patch[name] for name in VALUES if name in patch), None)
        steps = [int(found[2]) if found[2] else found[1] or found[3] or found[4] for found in _STEP.finditer(path)]
        if steps:
            self._put(steps, value, append=self._open == path and isinstance(value, str))
        self._open = path if patch.get("willContinue") else None

    def _put(self, steps: list[Any], value: Any, append: bool) -> None:
        holder = self._args
        for step, following in pairwise(steps):
            holder = _child(holder, step, [] if isinstance(following, int) else {})
        last = steps[-1]
        old = _child(holder, last, None)
        if isinstance(holder, dict) or (isinstance(holder, list) and isinstance(last, int) and last < len(holder)):
            holder[last] = old + value if append and isinstance(old, str) else value


def _child(holder: Any, step: Any, fresh: Any) -> Any:
    """What stands at `step`, put there first where nothing does."""
    if isinstance(holder, dict):
        return holder.setdefault(step, fresh)
    if not isinstance(holder, list) or not isinstance(step, int) or step > MAX_INDEX:
        return fresh
    while len(holder) <= step:
        holder.append(None)
    if holder[step] is None:
        holder[step] = fresh
    return holder[step]

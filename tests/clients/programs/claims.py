"""Claims of a client's program: every one is tried, and the exit code says whether all held."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

URL, KEY = os.environ["KEYPOOL_URL"], os.environ["KEYPOOL_KEY"]

GEMINI, GPT = "gemini-3-pro-preview", "gpt-4o"
"""One is converted for Google, the other passed through to OpenAI."""

SAYS = "Hello from the scripted upstream."
THOUGHT = "I think about it."
WEATHER = "sunny and 21 degrees"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

_claims: list[tuple[Callable[..., Any], tuple[str, ...]]] = []


def claim(*models: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Try a function once, or once with each of these models."""

    def taken(function: Callable[..., Any]) -> Callable[..., Any]:
        _claims.append((function, models))
        return function

    return taken


def run() -> None:
    failed = 0
    # One event loop, as a program has: clients keep connections that belong to theirs.
    with asyncio.Runner() as loop:
        for function, models in _claims:
            for arguments in [(model,) for model in models] or [()]:
                try:
                    made = function(*arguments)
                    if inspect.iscoroutine(made):
                        loop.run(made)
                except Exception:  # noqa: BLE001  (whatever a client raises, the claim failed)
                    failed += 1
                    print(f"\n{function.__name__}{arguments}:", file=sys.stderr)
                    traceback.print_exc()
    print(f"{failed} failed")
    sys.exit(failed > 0)

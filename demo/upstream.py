"""The simulated upstream: takes its time, streams words, and treats every key as its part says."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from demo.cast import FLAKY, FLASH, LITE, MINI, PRO, SCARCE, STEADY, Part
from demo.refusals import REFUSALS, overloaded
from pool.core.quota import next_reset
from tests.upstream import (
    Action,
    Pause,
    Request,
    answer,
    array_stream,
    cut_after,
    gemini_error,
    gemini_like,
    gemini_stream,
    gemini_text,
    openai_stream,
    openai_text,
    refuse_key,
    sse,
    stall,
)

BURST_EVERY_S, BURST_S = 240.0, 12.0
"""How often a burst of overload comes over the larger models, and how long it lasts."""

PLENTY = 100_000
"""What is left for today where nothing is short."""

SHARES = {"minute": 0.3, "tokens": 0.15, "rate": 0.25}
"""Reasons that go as they come: the share of requests they refuse."""

_MEDIAN_S = {PRO: 1.2, LITE: 0.35, MINI: 0.5}
_SENTENCE = (
    "A pool holds many keys , and a request needs one that is ready . When a quota is spent the next key takes over ,"
    " and the caller sees nothing of it . At midnight the quotas come back ."
).split()


class Provider:
    """Decides about every request; a behaviour for `ScriptedUpstream`. Lists of models are left to others."""

    def __init__(self, parts: Iterable[Part], clock: Callable[[], float], rng: random.Random) -> None:
        self._roles = {part.key.secret: part.role for part in parts}
        self._clock = clock
        self._rng = rng
        self._left: dict[tuple[str, str], tuple[int, float]] = {}

    def __call__(self, request: Request) -> Action | None:
        key = request.key or ""
        role, model = self._roles.get(key), _model_of(request)
        if role is None:
            return refuse_key(request)
        if self._refuses(key, role, model):
            reason = "day" if role == SCARCE else role
            return stall(self._rng.uniform(0.1, 0.3), then=REFUSALS[reason](key, model))
        if not model:
            return None
        return stall(self._latency_s(model), then=self._served(request, model, role))

    def _refuses(self, key: str, role: str, model: str) -> bool:
        if role in (STEADY, FLAKY):
            return False
        if role in SHARES:
            return bool(model) and self._rng.random() < SHARES[role]
        if role == "zero":
            return model == PRO
        if role in ("day", SCARCE):
            return bool(model) and self._spent(key, role, model)
        return True

    def _spent(self, key: str, role: str, model: str) -> bool:
        """Takes one of what is left until midnight in California; the day after there is plenty."""
        now = self._clock()
        left, until = self._left.get((key, model), (self._begins_with(role, model), next_reset(now)))
        if until <= now:
            left, until = PLENTY, next_reset(now)
        self._left[key, model] = (left - 1, until)
        return left <= 0

    def _begins_with(self, role: str, model: str) -> int:
        if model != FLASH:
            return PLENTY
        return self._rng.randint(1, 5) if role == SCARCE else 0

    def _latency_s(self, model: str) -> float:
        return min(max(self._rng.lognormvariate(0, 0.45) * _MEDIAN_S.get(model, 0.6), 0.2), 2.0)

    def _served(self, request: Request, model: str, role: str) -> Action:
        if mistake := _mistake(request, model):
            return mistake
        if model in (FLASH, PRO) and self._clock() % BURST_EVERY_S < BURST_S and self._rng.random() < 0.6:
            return overloaded()
        if "mbed" in request.route or ":countTokens" in request.route:
            return gemini_like(request)
        action = self._answer(request, model)
        if role == FLAKY and len(action.steps) > 4 and self._rng.random() < 0.5:
            return cut_after(action, events=3)
        return action

    def _answer(self, request: Request, model: str) -> Action:
        asked, words = len(request.body) // 4, self._words()
        if request.route.endswith("/chat/completions"):
            return self._openai_answer(request.json, words, model, asked)
        thinking = self._rng.randint(40, 400) if model == PRO or self._rng.random() < 0.2 else 0
        if ":streamGenerateContent" not in request.route:
            body = _with_usage(gemini_text("".join(words), model=model), asked, thinking)
            return answer(200, body)
        chunks = [_with_usage(chunk, asked, thinking) for chunk in gemini_stream(words, model=model)]
        if thinking:
            chunks[0]["candidates"][0]["content"]["parts"][0]["thought"] = True
        sent = sse(chunks, 0.04) if request.query.get("alt") == "sse" else array_stream(chunks, 0.04)
        return self._uneven(sent)

    def _openai_answer(self, body: dict[str, Any], words: list[str], model: str, asked: int) -> Action:
        if not body.get("stream"):
            text = openai_text("".join(words), model=model)
            text["usage"]["prompt_tokens"] = asked
            return answer(200, text)
        usage = bool((body.get("stream_options") or {}).get("include_usage"))
        chunks = openai_stream(words, model=model, usage=usage)
        if usage:
            chunks[-1]["usage"]["prompt_tokens"] = asked
        return self._uneven(sse(chunks, 0.04, done=True))

    def _words(self) -> list[str]:
        start, count = self._rng.randrange(len(_SENTENCE)), self._rng.randint(12, 60)
        return [_SENTENCE[(start + n) % len(_SENTENCE)] + " " for n in range(count)]

    def _uneven(self, action: Action) -> Action:
        """Words 20 to 60 ms apart."""
        steps = (Pause(self._rng.uniform(0.02, 0.06)) if isinstance(step, Pause) else step for step in action.steps)
        return replace(action, steps=tuple(steps))


def _model_of(request: Request) -> str:
    """Empty for a list of models."""
    if found := re.search(r"/models/([^/:]+):\w+$", request.route):
        return found[1]
    return str(request.json.get("model", "")) if request.body else ""


def _mistake(request: Request, model: str) -> Action | None:
    """What the caller did wrong."""
    if model.startswith("gemini-1."):
        message = f"models/{model} is not found for API version v1beta, or is not supported for generateContent."
        return gemini_error(404, message=message)
    if b'"temperature":9' in request.body.replace(b" ", b""):
        return gemini_error(400, message="Invalid value at 'generation_config.temperature': must be from 0 to 2.")
    return None


def _with_usage(chunk: dict[str, Any], asked: int, thinking: int) -> dict[str, Any]:
    usage = chunk["usageMetadata"]
    usage |= {"promptTokenCount": asked, "thoughtsTokenCount": thinking}
    usage["totalTokenCount"] = asked + thinking + usage["candidatesTokenCount"]
    return chunk

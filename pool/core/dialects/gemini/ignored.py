"""Which fields of an OpenAI request have no meaning for Gemini: they are left out, and only noted."""

from __future__ import annotations

from typing import Any

CHAT = frozenset(
    {
        *("model", "messages", "stream", "stream_options", "temperature", "top_p", "top_k", "seed", "n", "stop"),
        *("max_tokens", "max_completion_tokens", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs"),
        *("tools", "tool_choice", "functions", "function_call", "response_format", "modalities", "audio"),
        *("reasoning_effort", "reasoning", "web_search_options", "extra_body", "google", "safety_settings"),
        *("safetySettings", "generationConfig", "generation_config", "thinking", "image_config"),
    }
)
EMBEDDINGS = frozenset(
    {"model", "input", "dimensions", "encoding_format", "task_type", "extra_body", "google", "stream"}
)


MOST_CHARS = 300


def sentence(payload: dict[str, Any], carried: frozenset[str]) -> str:
    """For the log: names only, and "" where nothing was ignored. What is null asks for nothing.

    A client writes the names: what is none is not written, as a log is read line by line.
    """
    ignored = [name for name, value in payload.items() if name not in carried and value is not None]
    if not ignored:
        return ""
    names = ", ".join(sorted(name for name in ignored if name.isidentifier())) or "(no names)"
    return f"ignored, as Gemini has no such field: {names}"[:MOST_CHARS]

"""What tokens of a model cost: unit prices as values, in nano-USD (a thousand-millionth of a dollar)."""

from __future__ import annotations

from dataclasses import dataclass

from .calls import Usage

MOST_COST_NANO = 10**15
"""A million dollars. No request costs that much, and sums of absurd counts must stay within 64 bits."""


@dataclass(frozen=True, slots=True)
class Price:
    """List price of one model, in nano-USD a token ($2.50 a million tokens is 2,500).

    `cached_nano` is for input read from a cache; thinking is billed as output. `known` is False where nobody lists
    the model: it then costs 0. `beyond`: (input tokens, price) pairs, the largest first; a request with more input
    pays that price for all of its tokens, as Google, OpenAI and Anthropic bill long contexts.
    """

    input_nano: float = 0.0
    cached_nano: float = 0.0
    output_nano: float = 0.0
    known: bool = False
    beyond: tuple[tuple[int, Price], ...] = ()

    def cost_nano(self, usage: Usage) -> int:
        """Nano-USD for an answer, to the nearest whole one."""
        for limit, dearer in self.beyond:
            if usage.input > limit:
                return dearer.cost_nano(usage)
        cached = min(usage.cached, usage.input)
        cost = (usage.input - cached) * self.input_nano + cached * self.cached_nano + usage.output * self.output_nano
        return min(int(cost + 0.5), MOST_COST_NANO)


UNKNOWN = Price()

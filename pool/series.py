"""A call that its upstream takes only in parts: which part is next, and what the parts come to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .core.calls import NO_USAGE, Ask, Call, Reply, Usage
from .core.dialects.cutting import joined, total

if TYPE_CHECKING:
    from .choosing import Plan
    from .relay import Run


class Series:
    """The parts of one request that are answered, in order. A call that is asked as a whole never gets here."""

    def __init__(self) -> None:
        self._replies: list[Reply] = []

    def ask(self, plan: Plan) -> Ask:
        """How the next part is asked, or the call as a whole."""
        return plan.parts[len(self._replies)][1] if plan.parts else plan.ask

    def call(self, plan: Plan, whole: Call) -> Call:
        """The call that the next answer answers."""
        return plan.parts[len(self._replies)][0] if plan.parts else whole

    def added(self, run: Run, plan: Plan, reply: Reply) -> Reply | None:
        """The whole answer; None while parts of it are missing, and then any key may take the next.

        What a part cost is settled with its attempt: until all have come, the request's own usage is nothing.
        """
        if not plan.parts:
            return reply
        self._replies.append(reply)
        if len(self._replies) < len(plan.parts):
            run.record.usage = NO_USAGE
            run.choosing.go_on(plan)
            return None
        whole = joined(plan.codec, run.call, self._replies)
        run.record.usage = whole.usage
        self._replies.clear()
        return whole

    def spent(self, usage: Usage) -> Usage:
        """What the request cost: what it ended with, or the parts that came before it failed."""
        return total([usage, *(reply.usage for reply in self._replies)]) if self._replies else usage

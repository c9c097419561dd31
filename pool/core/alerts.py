"""When the operator is told: which conditions hold, which began or ended since, and how it is said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

KEYS, SUCCESS, DRY = KINDS = ("keys_low", "success_low", "runs_dry")

LOOKS = 2
"""Looks in a row that must agree before anything is said: a condition that comes and goes is no news."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a look found about one subject: a pool, a model, or "" for all requests. `value` in the unit of its kind:
    keys, percent, hours. `holds`: it is past its threshold."""

    kind: str
    subject: str
    value: float
    threshold: float

    @property
    def holds(self) -> bool:
        return self.value < self.threshold

    @property
    def name(self) -> str:
        return f"{self.kind} {self.subject}".rstrip()


@dataclass(frozen=True, slots=True)
class News:
    """A condition that began (`firing`) or ended."""

    finding: Finding
    firing: bool

    @property
    def text(self) -> str:
        """One English sentence, for a channel of people."""
        value, wanted = f"{self.finding.value:,.4g}", f"{self.finding.threshold:,.4g}"
        name = f"“{self.finding.subject}”"
        match self.finding.kind:
            case "keys_low" if self.firing:
                return f"Keypool: pool {name} has {value} keys that can serve, fewer than {wanted}."
            case "keys_low":
                return f"Keypool: pool {name} has {value} keys that can serve again."
            case "success_low" if self.firing:
                return f"Keypool: {value} % of the requests of the last minutes succeeded, less than {wanted} %."
            case "success_low":
                return f"Keypool: {value} % of the requests of the last minutes succeeded again."
        if self.firing:
            return f"Keypool: model {name} runs dry in {value} h at this pace, before its quotas return."
        return f"Keypool: model {name} does not run dry within {wanted} h any more."


class Alarms:
    """Turns looks into news. What was told of already (`told`: since when, by name) is no news at the next start."""

    def __init__(self, told: Mapping[str, float]) -> None:
        self.told = dict(told)
        self._agreed: dict[str, int] = {}

    def look(self, findings: Iterable[Finding]) -> list[News]:
        """What is to be said. It stays news until `said` is told that it was.

        A subject that is not found any more (a pool that was deleted, a threshold switched off) is forgotten in
        silence.
        """
        found = {finding.name: finding for finding in findings}
        self.told = {name: since for name, since in self.told.items() if name in found}
        differs = {name for name, finding in found.items() if finding.holds != (name in self.told)}
        self._agreed = {name: self._agreed.get(name, 0) + 1 for name in differs}
        return [News(found[name], found[name].holds) for name in sorted(differs) if self._agreed[name] >= LOOKS]

    def said(self, news: News, at: float) -> None:
        self._agreed.pop(news.finding.name, None)
        if news.firing:
            self.told[news.finding.name] = at
        else:
            self.told.pop(news.finding.name, None)

"""Looks at the pools once a minute and tells the webhook what began to go wrong, and what is right again."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from pool.core.alerts import DRY, KEYS, SUCCESS, Alarms, Finding, News
from pool.metering import Totals
from pool.settings import Settings

EVERY_S = 60.0
MINUTES = 10
"""Looks that a success rate is taken over."""

FEWEST = 20
"""Requests in that time below which their share says nothing."""


class Eyes(Protocol):
    """What alerts are about, each asked of the database only where its threshold is set."""

    def keys(self) -> Mapping[str, int]:
        """Keys that can serve now, by the name of their pool; pools that are switched off are none."""

    def endings(self, since: int, until: int) -> Counter[str]:
        """Requests that were `ok` and that `failed` by no fault of their callers, in some hours."""

    def hours_left(self) -> Mapping[str, float]:
        """By model, the hours until its quotas are used up at this pace; those that return before are not in it."""


class Alerting:
    """`told` and `keep` read and write what was told of already, so that neither a restart nor another worker that
    takes over says it again."""

    def __init__(
        self,
        eyes: Eyes,
        tell: Callable[[Mapping[str, Any]], bool],
        settings: Callable[[], Settings],
        told: Callable[[], str | None],
        keep: Callable[[str], object],
        clock: Callable[[], float],
    ) -> None:
        self._eyes, self._tell, self._settings = eyes, tell, settings
        self._told, self._keep, self._clock = told, keep, clock
        self._alarms = Alarms({})
        self._totals = Totals()
        self._seen: deque[Counter[str]] = deque(maxlen=MINUTES + 1)

    def look(self) -> None:
        """Once a minute, by one worker. What could not be delivered is tried again at the next look."""
        self._alarms.told = json.loads(self._told() or "{}")
        before = dict(self._alarms.told)
        for news in self._alarms.look(self._findings()):
            if self._tell(message(news)):
                self._alarms.said(news, self._clock())
        if self._alarms.told != before:
            self._keep(json.dumps(self._alarms.told))

    def _findings(self) -> Iterator[Finding]:
        wanted = self._settings()
        if wanted.alert_keys_below:
            for pool, number in self._eyes.keys().items():
                yield Finding(KEYS, pool, number, wanted.alert_keys_below)
        if wanted.alert_success_below:
            yield Finding(SUCCESS, "", self._success(), wanted.alert_success_below)
        if wanted.alert_dry_within_h:
            left = self._eyes.hours_left()
            known = {name.removeprefix(f"{DRY} ") for name in self._alarms.told if name.startswith(f"{DRY} ")}
            for model in sorted({*left, *known}):
                hours = left.get(model, float("inf"))
                yield Finding(DRY, model, hours, wanted.alert_dry_within_h)

    def _success(self) -> float:
        """Percent, 100 where there is too little to judge by."""
        self._seen.append(self._totals.now(self._clock(), self._eyes.endings))
        lately = self._seen[-1] - self._seen[0]
        number = lately["ok"] + lately["failed"]
        return 100 * lately["ok"] / number if number >= FEWEST else 100.0


def message(news: News) -> dict[str, Any]:
    """`text` is what Slack, Mattermost and the like show, `content` what Discord does; scripts read the others."""
    finding = news.finding
    return {
        "text": news.text,
        "content": news.text,
        "alert": finding.kind,
        "state": "firing" if news.firing else "resolved",
        "subject": finding.subject,
        "value": None if finding.value == float("inf") else round(finding.value, 2),
        "threshold": finding.threshold,
    }

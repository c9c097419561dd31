"""The settings somebody changed: stored as rows, in force as one `Settings` value that is replaced whole."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from . import tables
from .database import Database


class Preferences:
    """Handed how to build the value in force (`make`) and how to check a change (`check`, name and value)."""

    def __init__(
        self,
        database: Database,
        make: Callable[[Mapping[str, Any]], Any],
        check: Callable[[str, Any], tuple[str, Any]],
    ) -> None:
        self._database = database
        self._make = make
        self._check = check
        self._listeners: list[Callable[[Any], None]] = []
        self._known: dict[str, Any] = {}
        self.current = make({})

    def load(self) -> None:
        self._put(self._database.read(_stored))

    def catch_up(self) -> None:
        """Take over what another worker changed."""
        stored = self._database.read(_stored)
        if stored != self._known:
            self._put(stored)

    def _put(self, stored: dict[str, Any]) -> None:
        self._known = stored
        self.current = self._make(stored)
        for hear in self._listeners:
            hear(self.current)

    def on_change(self, hear: Callable[[Any], None]) -> None:
        self._listeners.append(hear)

    def change(self, values: Mapping[str, Any]) -> None:
        """Put settings in force, all or none. None as a value brings the default back. Raises what `check` raises."""
        checked = {}
        for name, value in values.items():
            canonical, typed = self._check(name, value)
            checked[canonical] = None if value is None else typed
        self._database.write(_store, checked, time.time())
        self.load()


def _stored(session: Session) -> dict[str, Any]:
    return dict(session.execute(select(tables.Setting.name, tables.Setting.value)).all())


def _store(session: Session, values: Mapping[str, Any], now: float) -> None:
    session.execute(delete(tables.Setting).where(tables.Setting.name.in_(values)))
    session.add_all(
        tables.Setting(name=name, value=value, updated_at=now) for name, value in values.items() if value is not None
    )

"""Changing settings, for the page and for the API alike: what really changes is put in force and audited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pool.settings import BY_NAME, coerce
from pool.web.here import audit, keypool

Change = tuple[Any, Any]
"""A setting's value before and after."""


def put_in_force(wanted: Mapping[str, Any]) -> dict[str, Change]:
    """Put settings in force, all or none; what that changed, by canonical name. Raises `BadSetting`."""
    now = keypool().preferences.current
    after = {BY_NAME[name].name if name in BY_NAME else name: coerce(name, value) for name, value in wanted.items()}
    before = {name: getattr(now, name) for name in after}
    changes = {name: (before[name], after[name]) for name in after if before[name] != after[name]}
    if changes:
        # One that is back at its default is stored no more, and follows the default of a later version.
        stored = {name: None if new == BY_NAME[name].default else new for name, (_old, new) in changes.items()}
        keypool().preferences.change(stored)
        audit(
            "settings.change",
            "settings",
            before={name: old for name, (old, _new) in changes.items()},
            after={name: new for name, (_old, new) in changes.items()},
        )
    return changes

"""What cannot be done twice: giving a name that is given, sending a form that was answered, what another one did."""

from __future__ import annotations


class NameTaken(ValueError):
    """Something of this name is there already."""


class KeyTaken(ValueError):
    """This very secret is a key already, maybe one in the bin: `key_id`."""

    def __init__(self, key_id: int) -> None:
        super().__init__(key_id)
        self.key_id = key_id


class AnsweredBefore(Exception):
    """This very form was sent before; what it was answered then still holds."""


class Overtaken(Exception):
    """Somebody else was faster: what a change stands on is gone, or is there already. Nothing of it was done."""

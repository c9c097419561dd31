"""What cannot be done twice: giving a name that is given, sending a form that was answered."""

from __future__ import annotations


class NameTaken(ValueError):
    """Something of this name is there already."""


class AnsweredBefore(Exception):
    """This very form was sent before; what it was answered then still holds."""

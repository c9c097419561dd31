"""What somebody typed about a pool: what is wrong with it, what it changes, what somebody else changed meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flask import request
from flask_babel import gettext as _

from pool.adapters.queries import PoolRow
from pool.core import lengths
from pool.core.rotation import POLICIES
from pool.web.shown import count, policy_text

FIELDS = ("name", "description", "policy", "models")
SAID = 40
"""Characters of a model's name that an error repeats."""


@dataclass(slots=True)
class PoolForm:
    """The fields as they are shown; `was`: as the page showed them first; `errors` by field."""

    name: str = ""
    description: str = ""
    policy: str = ""
    models: str = ""
    was: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, row: PoolRow) -> PoolForm:
        form = cls(row.name, row.description, row.policy, "\n".join(row.allowed_models))
        form.was = {name: getattr(form, name) for name in FIELDS}
        return form

    @classmethod
    def sent(cls, row: PoolRow | None = None) -> PoolForm:
        """What the request says. A field it lacks is as it was."""
        known, given = (cls.of(row) if row else cls()), request.form
        was = {name: given.get(f"was-{name}", getattr(known, name)) for name in FIELDS}
        return cls(**{name: given.get(name, was[name]).strip() for name in FIELDS}, was=was)

    @property
    def columns(self) -> dict[str, Any]:
        """The columns of the table."""
        return {
            "name": self.name,
            "description": self.description,
            "policy": self.policy or None,
            "allowed_models": allowed(self.models) or None,
        }

    def changes(self) -> dict[str, Any]:
        """The columns that were changed on the page, and only those: another tab may have changed something else."""
        before = self._before()
        return {name: value for name, value in self.columns.items() if value != before[name]}

    def _before(self) -> dict[str, Any]:
        """The columns as the page showed them first."""
        name, description, policy, models = (self.was.get(each, "") for each in FIELDS)
        return PoolForm(name, description, policy, models).columns

    def meet(self, row: PoolRow) -> bool:
        """Take over what changed since the page was shown. False where it was changed here, too, to something else:
        then both are told, and what was typed stands in the form for another try."""
        known, changed, shown = PoolForm.of(row), self.changes(), self._before()
        for name, column in zip(FIELDS, self.columns, strict=True):
            theirs = known.columns[column]
            if column not in changed:
                setattr(self, name, getattr(known, name))
            elif theirs not in (shown[column], changed[column]):
                self.errors[name] = _(
                    "Somebody else made it %(value)s meanwhile. Save again to put yours in its place.",
                    value=_told(known, name),
                )
        self.was = known.was
        return not self.errors

    def check(self, row: PoolRow | None = None) -> bool:
        """Note what is wrong with what was changed. The name `default` stays with the pool that cannot be deleted."""
        changed = self.changes() if row else self.columns
        if not self.name:
            self.errors["name"] = _("A pool needs a name.")
        elif "name" in changed and len(self.name) > lengths.POOL_NAME:
            self.errors["name"] = _("A name has at most %(most)s characters.", most=lengths.POOL_NAME)
        elif row is not None and row.is_default and "name" in changed:
            self.errors["name"] = _("The default pool keeps its name.")
        if "description" in changed and len(self.description) > lengths.DESCRIPTION:
            self.errors["description"] = _(
                "What it is for is said in at most %(most)s characters.", most=lengths.DESCRIPTION
            )
        if self.policy and self.policy not in POLICIES:
            self.errors["policy"] = _("There is no such policy.")
        self._check_models(allowed(self.models) if "allowed_models" in changed else [])
        return not self.errors

    def _check_models(self, models: list[str]) -> None:
        long = next((model for model in models if len(model) > lengths.MODEL), None)
        if len(models) > lengths.MODELS:
            self.errors["models"] = _("At most %(most)s models are listed.", most=count(lengths.MODELS))
        elif long is not None:
            self.errors["models"] = _(
                "The name of a model has at most %(most)s characters: %(model)s…", most=lengths.MODEL, model=long[:SAID]
            )


def allowed(models: str) -> list[str]:
    """The models of a list in any form."""
    return list(dict.fromkeys(models.replace(",", " ").split()))


def _told(form: PoolForm, name: str) -> str:
    """A field's value as a sentence may hold it."""
    value = getattr(form, name)
    match name:
        case "policy":
            return policy_text(value).split(" — ")[0] if value else _("as in the settings")
        case "models":
            return ", ".join(allowed(value)) or _("all")
    return f"“{value}”" if value else _("empty")

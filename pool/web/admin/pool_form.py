"""What somebody typed about a pool: what is wrong with it, what it changes, what somebody else changed meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from flask import request
from flask_babel import gettext as _

from pool.adapters.queries import PoolRow
from pool.core import lengths
from pool.core.rotation import POLICIES
from pool.web.here import keypool
from pool.web.names import isolated
from pool.web.shown import count, policy_text

FIELDS = ("name", "description", "policy", "models", "aliases", "fallback")
SAID = 40
"""Characters of a model's name that an error repeats."""


@dataclass(slots=True)
class PoolForm:
    """The fields as they are shown; `was`: as the page showed them first; `errors` by field.

    `models` has one a line, `aliases` "name = model", and `fallback` the id of a pool.
    """

    name: str = ""
    description: str = ""
    policy: str = ""
    models: str = ""
    aliases: str = ""
    fallback: str = ""
    was: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, row: PoolRow) -> PoolForm:
        aliases = "\n".join(f"{name} = {model}" for name, model in row.aliases.items())
        fallback = str(row.fallback_id or "")
        form = cls(row.name, row.description, row.policy, "\n".join(row.allowed_models), aliases, fallback)
        form.was = {name: getattr(form, name) for name in FIELDS}
        return form

    @classmethod
    def sent(cls, row: PoolRow | None = None) -> PoolForm:
        """What the request says. A field it lacks is as it was."""
        known, given = (cls.of(row) if row else cls()), request.form
        was = {name: given.get(f"was-{name}", getattr(known, name)) for name in FIELDS}
        form = cls(**{name: given.get(name, was[name]).strip() for name in FIELDS}, was=was)
        form.models = "\n".join(filter(None, [form.models, *given.getlist("listed")]))
        return form

    def ticked(self, listed: Sequence[str]) -> set[str]:
        """Models of a list that are allowed by their whole name."""
        return set(allowed(self.models)).intersection(listed)

    def typed(self, listed: Sequence[str]) -> str:
        """What is allowed beside the models of a list: patterns, and names it does not have."""
        if not listed:
            return self.models
        return "\n".join(name for name in allowed(self.models) if name not in set(listed))

    @property
    def columns(self) -> dict[str, Any]:
        """The columns of the table."""
        return {
            "name": self.name,
            "description": self.description,
            "policy": self.policy or None,
            "allowed_models": allowed(self.models) or None,
            "aliases": dict(self._pairs()) or None,
            "fallback_pool_id": int(self.fallback) if self._names_a_pool() else None,
        }

    def changes(self) -> dict[str, Any]:
        """The columns that were changed on the page, and only those: another tab may have changed something else."""
        before = self._before()
        return {name: value for name, value in self.columns.items() if value != before[name]}

    def _before(self) -> dict[str, Any]:
        """The columns as the page showed them first."""
        before: dict[str, str] = {name: self.was.get(name, "") for name in FIELDS}
        return PoolForm(**before).columns  # type: ignore[arg-type]  # no field among FIELDS is one of the two mappings

    def _pairs(self) -> list[tuple[str, str]]:
        """What clients call a model, and what it is: without lines that are none."""
        halves = (line.partition("=") for line in self.aliases.splitlines())
        pairs = ((name.strip(), model.strip()) for name, _, model in halves)
        return [(name, model) for name, model in pairs if name and model]

    def _names_a_pool(self) -> bool:
        return self.fallback.isascii() and self.fallback.isdigit() and len(self.fallback) <= 18

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
        if "aliases" in changed or self.aliases != self.was.get("aliases", ""):
            self._check_aliases()
        if self.fallback and ("fallback_pool_id" in changed or not self._names_a_pool()):
            self._check_fallback(row)
        return not self.errors

    def _check_aliases(self) -> None:
        lines, pairs = [line for line in self.aliases.splitlines() if line.strip()], self._pairs()
        named = [name for name, _ in pairs]
        twice = next((name for name in named if named.count(name) > 1), None) if len(named) <= lengths.MODELS else None
        long = next((each for pair in pairs for each in pair if len(each) > lengths.MODEL), None)
        if len(pairs) < len(lines):
            self.errors["aliases"] = _("Each line says a name, an equals sign and a model: fast = gemini-2.5-flash")
        elif len(pairs) > lengths.MODELS:
            self.errors["aliases"] = _("At most %(most)s aliases are listed.", most=count(lengths.MODELS))
        elif long is not None:
            self.errors["aliases"] = _too_long(long)
        elif twice is not None:
            self.errors["aliases"] = _("%(name)s is there twice.", name=isolated(twice[:SAID]))

    def _check_fallback(self, row: PoolRow | None) -> None:
        if not self._names_a_pool() or int(self.fallback) not in keypool().catalogue.pools:
            self.errors["fallback"] = _("There is no such pool.")
        elif row is not None and int(self.fallback) == row.id:
            self.errors["fallback"] = _("A pool is not its own fallback.")

    def _check_models(self, models: list[str]) -> None:
        long = next((model for model in models if len(model) > lengths.MODEL), None)
        if len(models) > lengths.MODELS:
            self.errors["models"] = _("At most %(most)s models are listed.", most=count(lengths.MODELS))
        elif long is not None:
            self.errors["models"] = _too_long(long)


def _too_long(name: str) -> str:
    return _("The name of a model has at most %(most)s characters: %(model)s…", most=lengths.MODEL, model=name[:SAID])


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
        case "aliases":
            return ", ".join(value.splitlines()) or _("empty")
        case "fallback":
            pool = keypool().catalogue.pools.get(int(value)) if value else None
            return isolated(pool.name) if pool else _("none")
    return f"“{value}”" if value else _("empty")

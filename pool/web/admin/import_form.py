"""What the form of an import says of all its keys: read, checked, and kept beside the paste until somebody says yes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from flask_babel import gettext as _

from pool.core import lengths
from pool.core.catalogue import Pool
from pool.core.importing_words import tags_of
from pool.importing_keys import Wish
from pool.web.here import keypool
from pool.web.ids import row_id

MOST_WEIGHT = 100


@dataclass(slots=True)
class ImportForm:
    """The fields as they were sent, and what is wrong with them, by field. `check`: test the keys once they are in."""

    pool_id: int = 0
    provider: str = ""
    unknown: str = "openai"
    tags: str = ""
    project: str = ""
    weight: str = ""
    check: bool = False
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def sent(cls, form: Any) -> ImportForm:
        texts = {name: form.get(name, "").strip() for name in ("provider", "unknown", "tags", "project", "weight")}
        found = cls(form.get("pool", 0, type=row_id), **texts, check=form.get("check") == "yes")
        providers = keypool().catalogue.providers
        found.provider = found.provider if found.provider in providers else ""
        found.unknown = found.unknown if found.unknown in providers else ""
        found.errors = found.wrong()
        return found

    def wrong(self) -> dict[str, str]:
        errors = {}
        if self.pool_id not in keypool().catalogue.pools:
            errors["pool"] = _("Choose a pool.")
        if len(self.tags) > lengths.NOTE:
            errors["tags"] = _("That is too long, or too many.")
        if len(self.project) > lengths.LINE:
            errors["project"] = _("That is too long, or too many.")
        whole = self.weight.isascii() and self.weight.isdigit()
        if self.weight and not (whole and len(self.weight) <= 3 and int(self.weight) <= MOST_WEIGHT):
            errors["weight"] = _("A whole number from 0 to 100.")
        return errors

    def beside(self, text: str) -> str:
        """A paste and what is wished of its keys, as one text to be sealed."""
        said: dict[str, Any] = asdict(self)
        del said["errors"]
        return f"{json.dumps(said)}\n{text}"

    def wish(self, pool: Pool) -> Wish:
        weight = int(self.weight) if self.weight else None
        return Wish(pool, self.provider, self.unknown, tags_of(self.tags), self.project, weight)


def apart(sealed: str) -> tuple[ImportForm, str]:
    """The form and the paste, of what `beside` made one of."""
    said, text = sealed.split("\n", 1)
    given: Mapping[str, Any] = json.loads(said)
    return ImportForm(**given), text

"""What is in the audit trail, in words: what was done, and to what."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flask import url_for
from flask_babel import gettext as _
from flask_babel import ngettext

from pool.adapters.queries import Changed
from pool.web.ids import row_id
from pool.web.names import isolated
from pool.web.shown import utc


def N_(text: str) -> str:
    return text


ACTIONS = {
    "key.": N_("Keys"),
    "key.add": N_("key added"),
    "key.import": N_("keys imported"),
    "key.edit": N_("key edited"),
    "key.limits": N_("limits of a key set"),
    "key.test": N_("keys tested"),
    "key.enable": N_("keys enabled"),
    "key.disable": N_("keys disabled"),
    "key.clear": N_("cooling ended"),
    "key.reset": N_("counters of keys reset"),
    "keys.reset": N_("keys reset"),
    "key.project": N_("project of keys set"),
    "key.weight": N_("weight of keys set"),
    "key.tag": N_("keys tagged"),
    "key.untag": N_("tags taken off keys"),
    "key.link": N_("keys added to a pool"),
    "key.unlink": N_("keys taken out of a pool"),
    "key.move": N_("keys moved to a pool"),
    "key.copy": N_("keys copied"),
    "key.reveal": N_("key shown whole"),
    "key.secret": N_("secret of a key replaced"),
    "key.delete": N_("keys put into the bin"),
    "key.restore": N_("keys brought back from the bin"),
    "key.purge": N_("keys deleted for good"),
    "key.undo": N_("change of keys undone"),
    "export.write": N_("keys exported"),
    "import.undo": N_("import undone"),
    "import.export": N_("export taken in"),
    "import.from": N_("moved in from another product"),
    "job.cancel": N_("job cancelled"),
    "pool.": N_("Pools"),
    "pool.create": N_("pool created"),
    "pool.update": N_("pool changed"),
    "pool.enable": N_("pool enabled"),
    "pool.disable": N_("pool disabled"),
    "pool.limits": N_("limits of a pool set"),
    "pool.keys": N_("keys of a pool changed"),
    "pool.reset": N_("figures of a pool reset"),
    "pool.reveal": N_("auth key shown"),
    "pool.regenerate": N_("auth key regenerated"),
    "pool.delete": N_("pool deleted"),
    "client.": N_("User keys"),
    "client.create": N_("user key created"),
    "client.update": N_("user key changed"),
    "client.limits": N_("limits of a user key set"),
    "client.rotate": N_("user key rotated"),
    "client.revoke": N_("user key revoked"),
    "client.delete": N_("user key deleted"),
    "provider.": N_("Providers"),
    "provider.add": N_("provider added"),
    "provider.change": N_("provider changed"),
    "provider.delete": N_("provider deleted"),
    "provider.proxy": N_("proxy of providers set"),
    "settings.": N_("Settings"),
    "settings.change": N_("settings changed"),
    "settings.undo": N_("settings put back"),
    "session.": N_("Sessions and passwords"),
    "session.begin": N_("signed in"),
    "session.end": N_("session ended"),
    "password.change": N_("password changed"),
    "encryption.rotate": N_("encryption key rotated"),
    "backup.write": N_("backup written"),
    "backup.restore": N_("backup restored"),
}
"""What can be done, in families: what ends in a dot stands for all that begins so."""

KINDS = {
    "key": N_("key %(name)s"),
    "pool": N_("pool %(name)s"),
    "client": N_("user key %(name)s"),
    "provider": N_("provider %(name)s"),
    "session": N_("session %(name)s"),
    "import": N_("import %(name)s"),
    "job": N_("job %(name)s"),
    "audit": N_("change %(name)s"),
}
SINGLE = {
    "settings": N_("settings"),
    "password": N_("password"),
    "admin": N_("admin"),
    "backup": N_("backup"),
    "encryption": N_("encryption"),
    "providers": N_("providers"),
    "import": N_("import"),
    "every other session": N_("every other session"),
}
VIAS = {
    "session": N_("web page"),
    "session token": N_("API, by a session's token"),
    "password": N_("API, by the password"),
    "admin socket": N_("command line"),
    "environment": N_("from the environment"),
}
_MANY = re.compile(r"([0-9]{1,12}) keys")
_ONE = re.compile(r"(\w+) (\S+)")
EARLIEST, LATEST = 1e9, 1e11
"""Numbers between are moments, where the member's name says so."""

MOST_SHOWN = 400
MOST_ROWS = 60


def action_text(action: str) -> str:
    return _(ACTIONS[action]) if action in ACTIONS else action


def via_text(via: str) -> str:
    return _(VIAS[via]) if via in VIAS else via


def object_text(thing: str) -> str:
    """ "key 7" in the visitor's language."""
    many, one = _MANY.fullmatch(thing), _ONE.fullmatch(thing)
    if many:
        return ngettext("%(num)d key", "%(num)d keys", int(many[1]))
    if one and one[1] in KINDS:
        return _(KINDS[one[1]], name=isolated(one[2]))
    return _(SINGLE[thing]) if thing in SINGLE else thing


def object_url(thing: str) -> str:
    """The page of what was changed; "" where there is none."""
    kind, _space, name = thing.partition(" ")
    try:
        return url_for("admin.pool", pool_id=row_id(name)) if kind == "pool" else ""
    except ValueError:
        return ""


def differences(entry: Changed) -> tuple[list[tuple[str, str, str]], int]:
    """(member, before, after) of what was written down, and how many more there are than a page shows."""
    before, after = entry.before or {}, entry.after or {}
    names = list(dict.fromkeys([*before, *after]))
    rows = [(name, _value(before, name), _value(after, name)) for name in names[:MOST_ROWS]]
    return rows, len(names) - len(rows)


def _value(table: Mapping[str, Any], name: str) -> str:
    """ "–" where it was not there."""
    if name not in table:
        return "–"
    value = table[name]
    dated = name.endswith(("until", "_at")) and isinstance(value, int | float) and not isinstance(value, bool)
    text = utc(value) if dated and EARLIEST < value < LATEST else _flat(value)
    return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "…"


def _flat(value: Any) -> str:
    match value:
        case None:
            return _("none")
        case True | False:
            return _("yes") if value else _("no")
        case dict():
            return ", ".join(f"{name}: {_flat(each)}" for name, each in value.items()) or _("empty")
        case list():
            return ", ".join(map(_flat, value)) or _("empty")
    return str(value) or _("empty")

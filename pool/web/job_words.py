"""Long work in words: what a job does, how it stands, what became of its rows."""

from __future__ import annotations

from flask_babel import gettext as _


def kind_text(kind: str) -> str:
    """What a job does."""
    words = {
        "import": _("Import keys"),
        "import.undo": _("Take an import back"),
        "import.export": _("Take an export in"),
        "import.from": _("Move in from another product"),
        "restore": _("Restore a backup"),
        "encryption.rotate": _("Encrypt anew"),
        "keys.undo": _("Undo an action"),
        "keys.enable": _("Enable keys"),
        "keys.disable": _("Disable keys"),
        "keys.test": _("Test keys"),
        "keys.clear": _("End cooldowns"),
        "keys.reset_counters": _("Reset counters"),
        "keys.link": _("Link keys to a pool"),
        "keys.unlink": _("Take keys out of a pool"),
        "keys.move": _("Move keys"),
        "keys.tag": _("Tag keys"),
        "keys.untag": _("Untag keys"),
        "keys.project": _("Set the project of keys"),
        "keys.weight": _("Weigh keys"),
        "keys.delete": _("Delete keys"),
        "keys.restore": _("Restore keys"),
        "keys.purge": _("Delete keys for good"),
    }
    if kind.startswith("import.") and kind not in words:
        return _("Move in from %(product)s", product=kind.removeprefix("import."))
    return words.get(kind, kind)


def job_state_text(state: str) -> str:
    words = {
        "queued": _("waiting"),
        "running": _("running"),
        "done": _("done"),
        "failed": _("failed"),
        "cancelled": _("cancelled"),
        "lost": _("lost: its process ended"),
    }
    return words.get(state, state)


def job_colour(state: str) -> str:
    """Which state of a key looks as a job's does."""
    return {"done": "healthy", "failed": "dead", "lost": "dead", "running": "cooling"}.get(state, "disabled")


def job_fate_text(fate: str) -> str:
    """What became of a row."""
    words = {
        "added": _("new"),
        "linked": _("linked"),
        "restored": _("restored"),
        "duplicate": _("already in this pool"),
        "removed": _("put into the bin"),
        "unlinked": _("taken out of the pool"),
        "kept": _("kept: changed since"),
        "enabled": _("enabled"),
        "disabled": _("disabled"),
        "cleared": _("used again"),
        "reset": _("reset"),
        "moved": _("moved"),
        "tagged": _("tagged"),
        "untagged": _("untagged"),
        "changed": _("changed"),
        "weighed": _("weighed"),
        "deleted": _("put into the bin"),
        "purged": _("deleted for good"),
        "put back": _("put back"),
        "gone": _("gone meanwhile"),
        "alive": _("alive"),
        "dead": _("refused"),
        "rests": _("resting"),
        "suspected": _("suspected"),
        "unreachable": _("without answer"),
        "undecided": _("undecided"),
    }
    return words.get(fate, fate)


def origin_text(origin: str) -> str:
    """Where an import came from."""
    words = {
        "paste": _("pasted"),
        "api": _("by a program"),
        "env": _("from the environment"),
        "file": _("from a file"),
    }
    return words.get(origin, origin)

"""A storm over an upstream, in words."""

from __future__ import annotations

from flask_babel import gettext as _
from flask_babel import ngettext

from pool.core.storms import Past, Storm
from pool.web.shown import clock


def storm_text(slug: str, storm: Storm) -> str:
    """What goes on at an upstream whose keys all fail alike."""
    said = {"provider": slug, "kind": kind_text(storm.kind), "time": clock(storm.since)}
    if storm.open:
        return ngettext(
            "The upstream %(provider)s fails every key alike (%(kind)s) since %(time)s UTC; %(num)d key untouched; "
            "one request at a time tries whether it is over.",
            "The upstream %(provider)s fails every key alike (%(kind)s) since %(time)s UTC; %(num)d keys untouched; "
            "one request at a time tries whether it is over.",
            storm.keys,
            **said,
        )
    return ngettext(
        "The upstream %(provider)s failed every key alike (%(kind)s) since %(time)s UTC; now one serves again, and "
        "%(num)d untouched key is asked once more.",
        "The upstream %(provider)s failed every key alike (%(kind)s) since %(time)s UTC; now one serves again, and "
        "%(num)d untouched keys are asked once more.",
        storm.keys,
        **said,
    )


def past_storm_text(slug: str, past: Past) -> str:
    return ngettext(
        "The upstream %(provider)s failed every key alike (%(kind)s) from %(since)s to %(until)s UTC; %(num)d key was "
        "spared.",
        "The upstream %(provider)s failed every key alike (%(kind)s) from %(since)s to %(until)s UTC; %(num)d keys "
        "were spared.",
        past.keys,
        provider=slug,
        kind=kind_text(past.kind),
        since=clock(past.since),
        until=clock(past.until),
    )


def kind_text(kind: str) -> str:
    """What all keys fail with: a status, or no answer at all."""
    return _("no connection") if kind == "unreachable" else kind

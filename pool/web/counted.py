"""Texts with a number in them: the number is written as the visitor's language writes it, `%(num)d` included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask
from flask_babel import Babel, Domain, format_decimal, get_domain
from jinja2 import pass_eval_context
from jinja2.nodes import EvalContext
from markupsafe import Markup


class Texts(Domain):
    """The texts of all pages. Gettext itself would write 6099 where 6,099 is meant."""

    def ngettext(self, singular: str, plural: str, num: float, **values: Any) -> str:
        return self.counted(singular, plural, num) % {"num": format_decimal(num), **values}

    def counted(self, singular: str, plural: str, num: float) -> str:
        text: str = self.get_translations().ungettext(singular, plural, num)
        return text.replace("%(num)d", "%(num)s")


@pass_eval_context
def _ngettext(context: EvalContext, singular: str, plural: str, num: float, **values: Any) -> str:
    """The same for templates, whose values are escaped."""
    text = get_domain().counted(singular, plural, num)
    said = Markup(text) if context.autoescape else text  # noqa: S704 — a text of ours; `%` escapes the values
    return said % {"num": format_decimal(num), **values}


def mount(app: Flask, language: Callable[[], str | None]) -> None:
    babel = Babel(app, locale_selector=language)
    babel.domain_instance = Texts()
    app.jinja_env.globals["ngettext"] = _ngettext

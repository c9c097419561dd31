"""Every word a page says is in the catalogue: none stands in a template, or in a view, as it is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jinja2 import Environment, nodes

ROOT = Path(__file__).parents[2]
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))

NAMES = {
    "Keypool", "CSV", "JSON", ".env", "UTC", "curl", "openai (Python)", "google-genai (Python)", "OpenAI", "Gemini",
    "openai (JavaScript)", "p95",
}  # fmt: skip
"""Proper names and formats, which are the same in every language."""

EXAMPLES = {
    "AIza…\nsk-…\nsomebody@example.com:AIza…", "gemini-2.5-*", "gemini-2.5-flash", "fast = gemini-2.5-flash", "groq",
    "https://api.groq.com/openai/v1", "api-key", "socks5://name:password@host:1080", "429 overloaded", "admin pool 3",
    "j", "k", "x", "Esc",
}  # fmt: skip
"""What a field may hold, shown in it; and what is printed on a keyboard."""

READ_ALOUD = {"placeholder", "title", "aria-label", "aria-roledescription", "alt", "label", "summary"}
LETTER = re.compile(r"[^\W\d_]")
HOLE = "\ue000"
"""Stands for what a template fills in, and between the words it may fill in there."""

SHOWN = {"state": (1,), "field": (0, 3), "snippet": (0,), "copyable": (1,), "tile": (0, 2), "sheet": (1,)}
"""Arguments of macros that come to the page: label, hint, figure."""

SHOWN_BY_NAME = {"label", "hint", "text", "title", "sub"}
PASSED_ON = {"default", "d", "e", "safe", "trim", "upper", "lower", "capitalize", "replace", "string"}


_ATTRIBUTES = re.compile(rf"[\s{HOLE}]*[\w-]+=")
"""How a macro begins that writes into a tag."""


class Written:
    """A template as one run of HTML: what is filled in is a hole, with the words that stand in its expression."""

    def __init__(self, source: str) -> None:
        environment = Environment(extensions=["jinja2.ext.i18n"], trim_blocks=True, lstrip_blocks=True)
        self._named: dict[str, set[str]] = {}
        tree = environment.parse(source)
        for loop in tree.find_all(nodes.For):
            self._name_items(loop)
        for each in tree.find_all(nodes.Assign):
            if isinstance(each.target, nodes.Name):
                self._named.setdefault(each.target.name, set()).update(self._words(each.node))
        self.html = "".join(self._walk(tree))

    def _walk(self, node: nodes.Node) -> Iterator[str]:
        match node:
            case nodes.TemplateData():
                yield node.data
            case nodes.Output():
                for each in node.nodes:
                    yield from self._walk(each) if isinstance(each, nodes.TemplateData) else self._filled(each)
            case nodes.AssignBlock():
                yield "<pre>"  # a sample of code
                for each in node.body:
                    yield from self._walk(each)
                yield "</pre>"
            case nodes.Macro() if _ATTRIBUTES.match("".join(map("".join, map(self._walk, node.body)))):
                yield "<i "
                for each in node.body:
                    yield from self._walk(each)
                yield ">"
            case nodes.Expr() | nodes.Block(name="layout"):
                return  # the latter is a class of the body
            case _:
                if isinstance(node, nodes.CallBlock):
                    yield from self._filled(node.call)
                for each in node.iter_child_nodes():
                    yield from self._walk(each)

    def _filled(self, expression: nodes.Node) -> Iterator[str]:
        yield HOLE + "".join(word + HOLE for word in sorted(self._words(expression)))

    def _words(self, node: nodes.Node | None) -> set[str]:
        """Strings that an expression may come to, as they are."""
        match node:
            case nodes.Const(value=str(text)):
                return {text}
            case nodes.CondExpr():
                return self._words(node.expr1) | self._words(node.expr2)
            case nodes.Or() | nodes.And() | nodes.Add():
                return self._words(node.left) | self._words(node.right)
            case nodes.Concat():
                return set().union(*(self._words(each) for each in node.nodes))
            case nodes.Getitem(node=nodes.Dict() as table):
                return set().union(*(self._words(pair.value) for pair in table.items))
            case nodes.Filter() if node.name in PASSED_ON:
                return set().union(*(self._words(each) for each in (node.node, *node.args)))
            case nodes.Name():
                return self._named.get(node.name, set())
            case nodes.Call():
                called = node.node.attr if isinstance(node.node, nodes.Getattr) else getattr(node.node, "name", "")
                places = SHOWN.get(called, ())
                shown = [each for place, each in enumerate(node.args) if place in places]
                if places:
                    shown += [each.value for each in node.kwargs if each.key in SHOWN_BY_NAME]
                return set().union(*map(self._words, shown))
        return set()

    def _name_items(self, loop: nodes.For) -> None:
        """What the names of a loop over a written-out list stand for."""
        if not isinstance(loop.iter, nodes.Tuple | nodes.List):
            return
        for item in loop.iter.items:
            single = isinstance(loop.target, nodes.Name)
            targets, values = ([loop.target], [item]) if single else (loop.target.items, getattr(item, "items", []))
            for target, value in zip(targets, values, strict=False):
                self._named.setdefault(target.name, set()).update(self._words(value))


class Reading(HTMLParser):
    """What of it somebody reads or hears."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.read: list[str] = []
        self._unread = 0
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unread += tag in ("script", "style", "pre", "code")
        given = dict(attrs)
        for name, value in attrs:
            pressed = name == "value" and tag == "input" and given.get("type") in ("submit", "button", "reset")
            told = name.startswith("data-") and re.search(r"[^\W\d_]\s+[^\W\d_]", value or "")
            if name in READ_ALOUD or pressed or told:
                self.read.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        self._unread -= tag in ("script", "style", "pre", "code")

    def handle_data(self, data: str) -> None:
        if not self._unread:
            self.read.append(data)


def untranslated(source: str) -> list[str]:
    """Words of a template that no catalogue can hold."""
    found = []
    for text in Reading(Written(source).html).read:
        plain = text.replace(HOLE, " ").strip()
        if plain in EXAMPLES:
            continue
        for name in NAMES:
            plain = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", " ", plain)
        if LETTER.search(plain):
            found.append(" ".join(plain.split()))
    return found


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.relative_to(ROOT / "templates").as_posix())
def test_a_template_says_nothing_that_is_not_in_the_catalogue(path):
    assert untranslated(path.read_text()) == [], 'put it in `{{ _("…") }}`; a name goes into NAMES'


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("<p>Hello</p>", ["Hello"]),
        ("<p>{{ name }} is here</p>", ["is here"]),
        ('<input placeholder="Search">', ["Search"]),
        ('<a title="Delete it"></a>', ["Delete it"]),
        ('<button aria-label="Close">×</button>', ["Close"]),
        ('<img alt="A chart">', ["A chart"]),
        ('<input type="submit" value="Save">', ["Save"]),
        ('<p data-done="Copied it">–</p>', ["Copied it"]),
        ('<p>{{ "Save" }}</p>', ["Save"]),
        ('<p>{{ "Save" if new else _("Change") }}</p>', ["Save"]),
        ('<p>{{ name or "nobody" }}</p>', ["nobody"]),
        ('<p>{{ name ~ " of " ~ pool }}</p>', ["of"]),
        ('<p>{{ {"a": "First", "b": _("Second")}[which] }}</p>', ["First"]),
        ('{% for id, said in (("a", "First"), ("b", _("Next"))) %}<b id="{{ id }}">{{ said }}{% endfor %}', ["First"]),
        ('{% set said = "Words" %}<p>{{ said }}</p>', ["Words"]),
        ('{{ m.state("dead", "Revoked") }}', ["Revoked"]),
        ('{% call(id, about) m.field(_("Name"), "name", hint="Up to 60") %}{% endcall %}', ["Up to 60"]),
        ("{% if x %}<p>One</p>{% else %}<p>Two</p>{% endif %}", ["One", "Two"]),
        ('<p title="{% if x %}Failed{% endif %}">{{ _("Words") }}</p>', ["Failed"]),
        ("{% trans %}Words{% endtrans %}<p>Zwei</p>", ["Zwei"]),
    ],
)  # fmt: skip
def test_what_stands_in_a_template_as_it_is_is_noticed(source, found):
    assert untranslated(source) == found


@pytest.mark.parametrize(
    "source",
    [
        '<p>{{ _("Hello") }}</p>',
        '<p class="card" data-state="dead" id="x" name="y">· – 7 %</p>',
        '<input type="hidden" name="back" value="week"><option value="day">{{ _("a day") }}</option>',
        '<p>{{ "dead" | standing }}</p>',
        '<p data-state="{{ \'dead\' if x else \'ok\' }}">{{ n | count }} UTC</p>',
        "<pre>from openai import OpenAI</pre><code>gemini</code>",
        '<h1>Keypool {{ VERSION }}</h1><a href="/x.csv">CSV</a>',
        '{{ ngettext("%(num)d key", "%(num)d keys", n) }}',
        '{{ m.state("healthy", _("On")) }}{{ m.icon("copy") }}',
        "{# a remark #}",
    ],
)
def test_what_is_translated_or_no_text_is_left_alone(source):
    assert untranslated(source) == []


def said_by(path: Path) -> Iterator[str]:
    """Strings that a view flashes, or puts beside a field, as they are."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(func=ast.Name(id="flash"), args=[said, *_]):
                yield from bare(said)
            case ast.Assign(targets=[ast.Subscript(value=target)], value=said) if named(target) == "errors":
                yield from bare(said)


def named(node: ast.AST) -> str:
    return getattr(node, "attr", getattr(node, "id", ""))


def bare(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr() | ast.BinOp() | ast.IfExp():
            for child in ast.iter_child_nodes(node):
                yield from bare(child)


@pytest.mark.parametrize("path", sorted((ROOT / "pool/web").rglob("*.py")), ids=lambda path: path.stem)
def test_a_view_says_nothing_that_is_not_in_the_catalogue(path):
    assert [text for text in said_by(path) if LETTER.search(text)] == [], 'put it in `_("…")`'

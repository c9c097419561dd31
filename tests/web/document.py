"""A page as a browser takes it that runs no script: a tree, the forms in it, and what they would send."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())
ENDS_A_PARAGRAPH = frozenset(
    "address article aside blockquote details div dl fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr"
    " li main menu nav ol p pre search section summary table ul".split()
)
ONLY_HOLDS = {
    "table": frozenset("caption colgroup thead tbody tfoot".split()),
    "thead": frozenset({"tr"}),
    "tbody": frozenset({"tr"}),
    "tfoot": frozenset({"tr"}),
    "tr": frozenset({"td", "th"}),
    "select": frozenset({"option", "optgroup"}),
}
"""Elsewhere a browser moves what it finds in these, out of the table or out of its form."""

NEVER_WITHIN = {"form": ("form",)} | dict.fromkeys("a button input select textarea details".split(), ("a", "button"))
BUTTON_TYPES = frozenset({"submit", "image", "reset", "button"})
URLENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"

Sent = str | tuple[str, bytes]
"""What a field sends: text, or a file's name and content."""


@dataclass(eq=False)
class Node:
    """An element."""

    tag: str
    attrs: dict[str, str]
    parent: Node | None = None
    children: list[Node | str] = field(default_factory=list, repr=False)

    def get(self, name: str, otherwise: str = "") -> str:
        return self.attrs.get(name, otherwise)

    def walk(self) -> Iterator[Node]:
        """Itself and everything in it, in the order of the page."""
        yield self
        for child in self.children:
            if isinstance(child, Node):
                yield from child.walk()

    def around(self) -> Iterator[Node]:
        """Itself and what it is in, from the inside out."""
        node: Node | None = self
        while node is not None:
            yield node
            node = node.parent

    def words(self) -> Iterator[str]:
        """Its text in pieces. A name that stands in a sentence is part of that piece."""
        piece = ""
        for child in self.children:
            if isinstance(child, str):
                piece += child
            elif child.tag == "bdi":
                piece += "".join(child.words())
            else:
                yield piece
                yield from child.words()
                piece = ""
        yield piece

    @property
    def text(self) -> str:
        return " ".join("".join(self.words()).split())

    @property
    def hidden(self) -> bool:
        """Does nobody see it while no script shows it?"""
        return any("hidden" in node.attrs for node in self.around()) or self.get("type") == "hidden"

    @property
    def disabled(self) -> bool:
        return "disabled" in self.attrs or any(
            node.tag == "fieldset" and "disabled" in node.attrs for node in self.around()
        )

    @property
    def submits(self) -> bool:
        kind = self.get("type", "submit" if self.tag == "button" else "text")
        return self.tag in ("button", "input") and kind in ("submit", "image")

    @property
    def value(self) -> str:
        """What it holds before anybody touches it. A select's is asked of its options."""
        if self.tag == "textarea":
            return "".join(self.words()).removeprefix("\n")
        return self.get("value", "on" if self.get("type") in ("checkbox", "radio") else "")

    def options(self) -> list[tuple[str, bool]]:
        """A select's choices: the value of each that is not disabled, and whether it is chosen."""
        found = [node for node in self.walk() if node.tag == "option" and not node.disabled]
        chosen = ["selected" in node.attrs for node in found]
        if found and not any(chosen) and "multiple" not in self.attrs:
            chosen[0] = True
        return [(node.get("value", node.text), on) for node, on in zip(found, chosen, strict=True)]


class Form:
    """A form with everything that belongs to it, by where it stands or by its `form` attribute."""

    def __init__(self, node: Node, controls: list[Node]) -> None:
        self.node = node
        self.controls = controls
        self.action = node.get("action")
        self.method = node.get("method", "get").lower()

    @property
    def buttons(self) -> list[Node]:
        return [each for each in self.controls if each.submits]

    @property
    def fields(self) -> list[tuple[str, Sent]]:
        """What it sends when nobody touched it, without the button."""
        return self.sends(None, {})

    def target(self, button: Node) -> tuple[str, str, str]:
        """Where a button sends it: method, address, encoding."""
        method = button.get("formmethod", self.method).lower()
        enctype = button.get("formenctype", self.node.get("enctype", URLENCODED))
        return method, button.get("formaction", self.action), enctype

    def sends(self, button: Node | None, filled: Mapping[str, Any]) -> list[tuple[str, Sent]]:
        """The successful controls, as `filled` in: text by name, a file as (name, content), ticks as their values."""
        unknown = set(filled) - {each.get("name") for each in self.controls}
        if unknown:
            raise LookupError(f"no field {sorted(unknown)} in the form to {self.action}")
        pairs: list[tuple[str, Sent]] = []
        for each in self.controls:
            name = each.get("name")
            if name and not each.disabled and (each is button or not self._is_button(each)):
                pairs += [(name, sent) for sent in self._sent(each, filled, name)]
        return pairs

    def complaints(self, button: Node, filled: Mapping[str, Any]) -> list[str]:
        """Why a browser would not let somebody fill it in so, or not send it."""
        lenient = "novalidate" in self.node.attrs or "formnovalidate" in button.attrs
        said = []
        for each in self.controls:
            name = each.get("name")
            if not name or each.disabled or self._is_button(each):
                continue
            if name in filled and (each.get("type") == "hidden" or "readonly" in each.attrs):
                said.append(f"{name} cannot be filled in")
            if name in filled and not self._offers(each, filled[name]):
                said.append(f"{name} does not offer {filled[name]!r}")
            if not lenient:
                said += [f"{name} {wrong}" for sent in self._sent(each, filled, name) for wrong in _invalid(each, sent)]
        return said

    @staticmethod
    def _is_button(node: Node) -> bool:
        return node.tag == "button" or node.get("type") in BUTTON_TYPES

    @staticmethod
    def _sent(node: Node, filled: Mapping[str, Any], name: str) -> list[Sent]:
        kind = node.get("type")
        if kind in ("checkbox", "radio"):
            ticked = node.value in _several(filled[name]) if name in filled else "checked" in node.attrs
            return [node.value] if ticked else []
        if kind == "file":
            return [filled.get(name, ("", b""))]
        if name in filled and kind != "hidden" and not Form._is_button(node):
            return [_as_sent(text) for text in _several(filled[name])]
        if node.tag == "select":
            return [value for value, chosen in node.options() if chosen]
        return [_as_sent(node.value)]

    def _offers(self, node: Node, given: Any) -> bool:
        if node.tag == "select":
            return set(_several(given)) <= {value for value, _ in node.options()}
        if node.get("type") in ("checkbox", "radio"):
            boxes = {each.value for each in self.controls if each.get("name") == node.get("name")}
            return set(_several(given)) <= boxes
        return True


def _several(given: Any) -> list[Any]:
    return list(given) if isinstance(given, list | tuple | set) else [str(given)]


def _as_sent(text: str) -> str:
    return "\r\n".join(text.replace("\r\n", "\n").split("\n"))


def _invalid(node: Node, sent: Sent) -> Iterator[str]:
    """What constraint validation says, of those constraints that our pages use."""
    text = sent if isinstance(sent, str) else sent[0]
    if "required" in node.attrs and not text:
        yield "is required"
    if text and len(text) < int(node.get("minlength", "0")):
        yield "is too short"
    if "maxlength" in node.attrs and len(text) > int(node.get("maxlength")):
        yield "is too long"
    if node.get("type") == "number" and text:
        low, high = (float(node.get(edge, "nan")) for edge in ("min", "max"))
        if float(text) < low or float(text) > high:
            yield "is out of its range"


def encoded(pairs: list[tuple[str, Sent]], enctype: str) -> tuple[bytes, str]:
    """The body of a POST and its type. Without multipart a file sends its name alone."""
    if enctype != MULTIPART:
        return urlencode([(name, sent if isinstance(sent, str) else sent[0]) for name, sent in pairs]).encode(), enctype
    boundary, parts = "----" + secrets.token_hex(12), b""
    for name, sent in pairs:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'
        if isinstance(sent, str):
            parts += f"{head}\r\n\r\n{sent}\r\n".encode()
        else:
            head += f'; filename="{sent[0]}"\r\nContent-Type: application/octet-stream'
            parts += f"{head}\r\n\r\n".encode() + sent[1] + b"\r\n"
    return parts + f"--{boundary}--\r\n".encode(), f"{MULTIPART}; boundary={boundary}"


class Document(HTMLParser):
    """A parsed answer. `faults` is what a browser would take for something else than it was written as."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.root = Node("#document", {})
        self._open = self.root
        self._ids: set[str] = set()
        self.feed(html)
        self.close()
        self.faults += [f"<{node.tag}> is never closed" for node in self._open.around() if node is not self.root]
        self.nodes = list(self.root.walk())[1:]
        self.by_id = {node.get("id"): node for node in self.nodes if "id" in node.attrs}
        controls: dict[int, list[Node]] = {}
        for node in self.all("button", "input", "select", "textarea"):
            controls.setdefault(id(self.owner(node)), []).append(node)
        self.forms = [Form(node, controls.get(id(node), [])) for node in self.all("form")]

    def all(self, *tags: str) -> list[Node]:
        return [node for node in self.nodes if node.tag in tags]

    def owner(self, node: Node) -> Node | None:
        """The form a control belongs to."""
        if "form" in node.attrs:
            named = self.by_id.get(node.get("form"))
            return named if named is not None and named.tag == "form" else None
        return next((each for each in node.around() if each.tag == "form"), None)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in reversed(attrs)}, self._open)
        self._judge(node, attrs)
        self._open.children.append(node)
        if tag not in VOID:
            self._open = node

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            if not any(node.tag == "svg" for node in self._open.around()):
                self.faults.append(f"<{tag}/> does not close itself")
            self._open = self._open.parent or self.root

    def handle_endtag(self, tag: str) -> None:
        if self._open.tag == tag and self._open.parent is not None:
            self._open = self._open.parent
            return
        self.faults.append(f"</{tag}> where <{self._open.tag}> is open")
        node = next((node for node in self._open.around() if node.tag == tag), None)
        self._open = node.parent if node is not None and node.parent is not None else self._open

    def handle_data(self, data: str) -> None:
        if data.strip() and self._open.tag in ONLY_HOLDS:
            self.faults.append(f"text in <{self._open.tag}>: {data.strip()[:40]!r}")
        self._open.children.append(data)

    def _judge(self, node: Node, attrs: list[tuple[str, str | None]]) -> None:
        if len(attrs) != len(node.attrs):
            self.faults.append(f"<{node.tag}> has an attribute twice")
        if node.tag not in ONLY_HOLDS.get(self._open.tag, {node.tag}):
            self.faults.append(f"<{node.tag}> directly in <{self._open.tag}>")
        ends = (*NEVER_WITHIN.get(node.tag, ()), *(("p",) if node.tag in ENDS_A_PARAGRAPH else ()))
        inside = {each.tag for each in self._open.around()} if ends else ()
        self.faults += [f"<{node.tag}> in <{outer}>" for outer in ends if outer in inside]
        name = node.get("id")
        if name and name in self._ids:
            self.faults.append(f"the id {name} twice")
        self._ids.add(name)

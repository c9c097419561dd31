"""What of a page would do nothing without script."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urljoin

from tests.web.document import Document, Form, Node

VERBS = ("get", "post", "put", "patch", "delete")
LOOKS = ("look from:body", "newday from:body", "soon from:body")
HANDLES = ("button", "input", "select", "textarea")


def leans_on_script(page: Document, path: str) -> list[str]:
    """Every element that is of no use to somebody without script, or would do something else then."""
    said = [*_idle_handles(page), *_forms_without_a_button(page)]
    for node in page.nodes:
        for verb in VERBS:
            if f"hx-{verb}" in node.attrs and not _has_a_plain_twin(page, node, verb, path):
                said.append(f'<{node.tag} hx-{verb}="{node.get(f"hx-{verb}")}"> does it by htmx alone')
    return said


def _idle_handles(page: Document) -> Iterator[str]:
    """What can be pressed or filled in, and sends nothing: script shows it, so it has to be hidden without."""
    for node in page.all(*HANDLES):
        if node.hidden or _unfolds(page, node):
            continue
        if page.owner(node) is None:
            yield f"<{node.tag} {node.attrs}> belongs to no form"
        elif node.get("type") == "button":
            yield f"the button {node.text!r} does nothing"


def _unfolds(page: Document, node: Node) -> bool:
    """Does the browser itself show something when it is pressed?"""
    shown = page.by_id.get(node.get("popovertarget"))
    return shown is not None and "popover" in shown.attrs


def _forms_without_a_button(page: Document) -> Iterator[str]:
    for form in page.forms:
        seen = [node for node in form.controls if not node.hidden]
        if seen and not any(node.submits for node in seen):
            yield f"the form to {form.action} has no button"


def _has_a_plain_twin(page: Document, node: Node, verb: str, path: str) -> bool:
    """Does the browser itself send the same to the same address?"""
    wanted = urljoin(path, node.get(f"hx-{verb}"))
    if node.tag == "a":
        return verb == "get" and urljoin(path, node.get("href")) == wanted
    if node.tag == "form":
        return node.get("method", "get").lower() == verb and urljoin(path, node.get("action")) == wanted
    owner = page.owner(node) if node.tag in HANDLES else None
    if owner is not None and node.submits:
        method, url, _ = Form(owner, [node]).target(node)
        return method == verb and urljoin(path, url) == wanted
    # A part of the page that looks again by itself; the walk compares where its address leads to.
    return verb == "get" and node.get("hx-trigger") in LOOKS and node.get("hx-target") == "this"

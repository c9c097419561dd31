"""Goes to every address an admin's pages lead to, and to every list and document of the management API."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

from tests.house import House
from tests.web.visitor import Page, Visitor

LEADING = ("href", "src", "hx-get", "hx-push-url", "data-href")
ALIKE = 1
"""Addresses followed of those that differ in numbers and values alone."""

LEADS_OUT = ("/static/", "/logout")
FILLED = {"path:model_and_verb": "m:generateContent", "version:version": "v1beta", "table": "keys"}


def beginnings(house: House) -> list[str]:
    """Every route that answers a GET, but those of client programs."""
    rules = [rule for rule in house.app.url_map.iter_rules() if "GET" in rule.methods]
    own = [rule for rule in rules if rule.endpoint.split(".")[0] not in ("proxy", "static")]
    return [re.sub(r"<([^>]+)>", lambda found: FILLED.get(found[1], "1"), rule.rule) for rule in own]


def crawl(visitor: Visitor, *also: str) -> Iterator[tuple[str, Any]]:
    """Every address with what it answered; where htmx is answered otherwise, that as well. `also`: in any case."""
    waiting, seen, followed = deque([*beginnings(visitor.house), *also]), set(), Counter()
    while waiting:
        address = waiting.popleft()
        known = followed[_shape(address)] >= ALIKE and address not in also
        if address in seen or known or address.startswith(LEADS_OUT):
            continue
        seen.add(address)
        followed[_shape(address)] += 1
        answer = visitor.get(address, headers={"Accept": "text/html"}, buffered=True)
        yield address, answer
        if answer.location:
            waiting.append(_own(address, answer.location))
        if answer.mimetype == "text/html":
            waiting.extend(_ways(address, Page(answer.text)))
        if "HX-Request" in answer.headers.get("Vary", ""):
            yield address, visitor.get(address, headers={"Accept": "text/html", "HX-Request": "true"}, buffered=True)


def _ways(address: str, page: Page) -> Iterator[str]:
    for node in page.root.walk():
        for name in LEADING:
            if (to := node.get(name)) and to not in ("true", "false"):
                yield _own(address, to)
    for form in page.forms:
        for button in form.buttons:
            method, to, _ = form.target(button)
            if method == "get":
                yield _own(address, to)


def _own(address: str, to: str) -> str:
    parts = urlsplit(urljoin(f"http://localhost{address}", to))
    if parts.netloc != "localhost":
        return "/static/"
    return parts.path + (f"?{parts.query}" if parts.query else "")


def _shape(address: str) -> tuple[str, ...]:
    parts = urlsplit(address)
    path = re.sub(r"\d+", "0", parts.path)
    return (path, *sorted(name for name, _ in parse_qsl(parts.query)))

"""Goes to every page somebody can reach, presses every button it finds there, and tells what became of it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from traceback import extract_tb
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

from sqlalchemy import text
from werkzeug.exceptions import HTTPException

from tests.house import House
from tests.web.document import Form, Node
from tests.web.scriptless.entry import EVERY_PAGE, Entry, Pressed, memory_of
from tests.web.scriptless.script import LOOKS, leans_on_script
from tests.web.scriptless.stage import ENV_CLIENT, TESTED, UNDER_WAY
from tests.web.visitor import Page, Visitor

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", "Accept-Language": "en"}
POSTED = {**BROWSER, "Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
OPERATOR, STRANGER, HOLDER = "", "a stranger at ", "a holder at "
"""How the name of a page begins, by who is on it."""

BEGINNINGS = {
    OPERATOR: ("/keys?size=25", "/dashboard", "/nowhere", "/stat?pool=3", f"/keys/import/{UNDER_WAY}/result",
               "/keys?size=100&tag=paid", "/keys/7", "/keys/8", f"/keys/import/{TESTED}/result",
               "/jobs/1?back=/keys", "/requests/nowhere", "/audit?who=nobody", "/clients?after=9", "/clients?q=nobody",
               "/imports/1"),
    STRANGER: ("/login", "/stat", "/nowhere"),
    HOLDER: ("/own", "/nowhere"),
}
"""Addresses to begin at: where one arrives, where nothing is, and what only a form or a bookmark leads to."""

NO_ENTRY = "is in no table of effects: say in tests/web/scriptless/effects_….py what it is for"

ALIKE = 6
"""Addresses followed of those that differ in numbers and values alone: every state, pool and window, not every key.
Of those with two filters or more, one of a kind."""


@dataclass
class Place:
    """A page somebody is on. Without an address it is there once, as the answer to a press."""

    who: str
    name: str
    page: Page
    visitor: Visitor
    path: str
    address: str | None
    as_of: int
    status: int
    led_here: Pressed | None = None


@dataclass
class Told:
    """What a walk found. `pressed`: what was wrong with each control, by its name; "" where nothing was."""

    pressed: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    pages: set[str] = field(default_factory=set)
    marks: set[str] = field(default_factory=set)


class Walk:
    def __init__(self, house: House, entries: Mapping[str, Entry]) -> None:
        self.told = Told()
        self._house = house
        self._entries = entries
        self._urls = house.app.url_map.bind("localhost")
        self._visitors = {
            OPERATOR: Visitor(house),
            STRANGER: Visitor(house, signed_in=False),
            HOLDER: Visitor.holding(house, ENV_CLIENT),
        }
        self._followed: Counter[tuple[str, ...]] = Counter()
        self._links: deque[tuple[str, str]] = deque()
        self._seen_on: dict[str, list[Place]] = {}
        self._waiting: list[str] = []
        self._changes = 0

    def begin(self) -> None:
        """Look at every page there is a way to, and press nothing."""
        self._followed.clear()
        self._changes += 1
        for who, addresses in BEGINNINGS.items():
            self._links += [(who, address) for address in addresses]
        self._look_around()

    def go(self) -> Told:
        self.begin()
        while self._waiting:
            control = min(self._waiting, key=self._rank)
            self._waiting.remove(control)
            self._come_and_press(control)
            self._look_around()
        return self.told

    def _rank(self, control: str) -> tuple[bool, bool]:
        """Frames first, for what a page is about may take it away; what takes other pages away comes last."""
        entry = self._entries.get(control)
        return entry is not None and entry.last, entry is not None

    def _entry(self, control: str) -> Entry | None:
        entry = self._entries.get(control) or self._entries.get(f"{EVERY_PAGE}: {control.partition(': ')[2]}")
        self.told.pressed.setdefault(control, "" if entry else NO_ENTRY)
        return entry

    # Looking

    def _look_around(self) -> None:
        """Follow every link to where nobody was yet."""
        while self._links:
            who, address = self._links.popleft()
            visitor = self._visitors[who].twin()
            place = self._arrive(visitor, visitor.get(address, headers=BROWSER, follow_redirects=True), address)
            if place is None or place.address is None:
                continue
            for control, _form, _button in self._controls(place):
                if control not in self._seen_on and control not in self.told.pressed:
                    self._waiting.append(control)
                self._seen_on.setdefault(control, []).append(place)

    def _arrive(self, visitor: Visitor, answer: Any, by: str, status: int = 200) -> Place | None:
        """Where an answer leads; what is wrong with the page is noted, and what it links to. None for a file."""
        who = (HOLDER if visitor.holds else OPERATOR) if visitor.signed_in else STRANGER
        path = answer.request.full_path.rstrip("?")
        if not 200 <= answer.status_code < 300 and answer.status_code != status and path not in BEGINNINGS[who]:
            self.told.wrong.append(f"{by} ends at {path} with {answer.status_code}")
        if answer.headers.get("Content-Disposition", "").startswith("attachment"):
            return None
        name = who + self._endpoint(answer.request.method, answer.request.path)
        place = Place(name=name, who=who, page=Page(answer.text), visitor=visitor, path=path, as_of=self._changes,
                      status=answer.status_code,
                      address=path if answer.request.method == "GET" else None)  # fmt: skip
        self.told.wrong += [f"{name} ({path}) {each}" for each in self._faults(place, answer)]
        self.told.pages.add(name)
        self.told.marks.update(node.get("data-from") for node in place.page.nodes)
        for link in place.page.all("a"):
            self._follow(who, path, link.get("href"))
        return place

    def _follow(self, who: str, path: str, href: str) -> None:
        if href.startswith("#"):
            return
        parts = urlsplit(urljoin(path, href))
        # A way back is no other page, and there are as many of those as there are pages.
        pairs = sorted(pair for pair in parse_qsl(parts.query) if pair[0] not in ("back", "next"))
        alike = who, self._endpoint("GET", parts.path), *(name for name, _ in pairs)
        most = ALIKE if len(pairs) < 2 else 1
        if (who, parts.path, str(pairs)) not in self._followed and self._followed[alike] < most:
            self._followed[alike] += 1
            self._followed[who, parts.path, str(pairs)] += 1
            self._links.append((who, parts._replace(fragment="").geturl()))

    def _faults(self, place: Place, answer: Any) -> Iterator[str]:
        page = place.page
        yield from page.faults
        yield from leans_on_script(page, place.path)
        if not answer.text.startswith("<!doctype html>") or not page.all("main"):
            yield "is no whole page"
        for link in page.all("a"):
            where = urlsplit(link.get("href"))
            if where.scheme or where.netloc or not link.get("href"):
                yield f"links to {link.get('href')!r}"
            elif not where.path and not where.query and where.fragment not in page.by_id:
                yield f"links to #{where.fragment}, which is not there"
        # The strip of work under way is on every page, and without script leads to the page of jobs.
        watching = (node for node in page.nodes if node.get("hx-trigger") in LOOKS and node.get("id") != "work")
        looks = {node.get("hx-get") for node in watching}
        for address in looks if place.name not in self.told.pages else ():
            plain = place.visitor.get(address, headers=BROWSER, follow_redirects=True)
            if plain.request.path != answer.request.path or not plain.text.startswith("<!doctype html>"):
                yield f"looks again at {address}, which is not this page"

    def _endpoint(self, method: str, path: str) -> str:
        try:
            return self._urls.match(path, method)[0]
        except HTTPException:
            return "nowhere"

    def _controls(self, place: Place) -> Iterator[tuple[str, Form, Node]]:
        """Every button of a page, by the name it has in the table of effects."""
        for form in place.page.forms:
            for button in form.buttons:
                if not button.hidden:
                    method, url, _ = form.target(button)
                    endpoint = self._endpoint(method.upper(), urlsplit(urljoin(place.path, url)).path)
                    value = f" {button.get('name')}={button.get('value')}" if "name" in button.attrs else ""
                    within = f" in #{form.node.get('id')}" if "id" in form.node.attrs else ""
                    yield f"{place.name}: {method.upper()} {endpoint}{value}{within}", form, button

    # Pressing

    def _come_and_press(self, control: str) -> None:
        """Come to a page with that control, and press it: wrongly filled in, then rightly."""
        entry = self._entry(control)
        for wrongly in (True, False) if entry is not None and entry.mistake is not None else (False,):
            place = self._place_with(control)
            if place is None:
                self.told.pressed[control] += "is on no page any more\n"
            elif entry is not None:
                self._press(control, entry, place, wrongly)

    def _place_with(self, control: str) -> Place | None:
        """One of the pages where a control was seen, as it is now, if it is there still."""
        for place in self._seen_on[control]:
            if place.as_of != self._changes:
                answer = place.visitor.get(place.address, headers=BROWSER)
                if answer.status_code != 200 and place.address not in BEGINNINGS[place.who]:
                    continue
                there = self._arrive(place.visitor, answer, control)
                if there is not None:
                    place.page, place.as_of = there.page, there.as_of
            if any(control == name for name, _, _ in self._controls(place)):
                return place
        return None

    def _press(self, control: str, entry: Entry, place: Place, wrongly: bool = False) -> None:
        form, button = next((form, button) for name, form, button in self._controls(place) if name == control)
        fill, status = (entry.mistake, 422) if wrongly else (entry.fill, entry.status)
        if entry.status == 403:
            self._house.keypool.database.write(_lock_sessions)
        # Who signs out is somebody else: the others go on in their session.
        visitor = Visitor(self._house) if control.endswith("login.sign_out") else place.visitor.twin()
        there = None
        try:
            filled = fill(form, self._house) if callable(fill) else fill or {}
            pressed = self._send(control, place, visitor, form, button, filled)
            there = self._arrive(visitor, pressed.answer, control, status)
            pressed.page = there.page if there is not None else Page("")
            assert pressed.answer.status_code in (status, place.status), f"answers {pressed.answer.status_code}"
            if wrongly:
                pressed.changes_nothing()
            else:
                entry.effect(pressed)
        except (AssertionError, LookupError) as error:
            line = extract_tb(error.__traceback__)[-1].line
            self.told.pressed[control] += f"on {place.path}: {str(error) or line}\n"
        if there is not None:
            there.led_here = pressed
            self._go_on(there)

    def _send(
        self, control: str, place: Place, visitor: Visitor, form: Form, button: Node, filled: Mapping[str, Any]
    ) -> Pressed:
        complaints = form.complaints(button, filled)
        assert not complaints, complaints
        method, url, _ = form.target(button)
        _, args = self._urls.match(urlsplit(urljoin(place.path, url)).path, method.upper())
        before, trail = memory_of(self._house)
        answer = visitor.submit(form, button, filled, POSTED if method == "post" else BROWSER)
        after, longer = memory_of(self._house)
        self._changes += before != after
        return Pressed(
            house=self._house, control=control, args=args, filled=filled, before=before, after=after,
            audit=longer[len(trail) :], answer=answer, visitor=visitor, address=place.address, led_here=place.led_here,
            page=place.page,
        )  # fmt: skip

    def _go_on(self, place: Place) -> None:
        """Press what is new on the page a press led to; and Undo, each time, for it undoes another deed."""
        new = []
        for control, form, _button in self._controls(place):
            undo = any(node.get("id") == "flash" for node in form.node.around())
            undoes_undo = place.led_here is not None and place.led_here.control == control
            if (undo and not undoes_undo) or (control not in self.told.pressed and control not in self._waiting):
                new.append(control)
        # All are known before the first is pressed: it may lead to the same page.
        entries = {control: self._entry(control) for control in sorted(dict.fromkeys(new), key=self._rank)}
        for control, entry in entries.items():
            if entry is not None and entry.mistake is not None:
                self._press(control, entry, place, wrongly=True)
            if entry is not None:
                self._press(control, entry, place)


def _lock_sessions(session: Any) -> None:
    """Let it be long ago that the password was typed again."""
    session.execute(text("UPDATE sessions SET elevated_until = 0"))

"""What the tests take for a browser is one: it sends what a browser sends, and sees what one would mend."""

import pytest

from tests.web.document import MULTIPART, Document, encoded
from tests.web.scriptless.script import leans_on_script

FORM = """
<input name="outside" value="1" form="f"><input name="stranger" value="1">
<form id="f" action="/a" method="post"><input type="hidden" name="back" value="/"><input name="text" value="t" required>
<input type="checkbox" name="tick" value="1" checked><input type="checkbox" name="tick" value="2">
<input type="checkbox" name="on"><input name="off" value="x" disabled><input value="no name">
<select name="one"><option value="a">A</option><option>B</option></select>
<select name="two"><option disabled>C</option><option selected>D</option></select>
<textarea name="area">
lines
of text</textarea><input type="file" name="file">
<button name="do" value="this">This</button><button name="do" value="that" formaction="/b">That</button>
<button type="button" hidden>Script</button></form>
"""


def form_and_button(number):
    (form,) = Document(FORM).forms
    return form, form.buttons[number]


def test_a_form_sends_its_successful_controls_and_the_button_that_was_pressed():
    form, this = form_and_button(0)
    assert [button.text for button in form.buttons] == ["This", "That"]
    assert form.sends(this, {}) == [
        ("outside", "1"), ("back", "/"), ("text", "t"), ("tick", "1"), ("one", "a"), ("two", "D"),
        ("area", "lines\r\nof text"), ("file", ("", b"")), ("do", "this"),
    ]  # fmt: skip
    assert form.target(this)[:2] == ("post", "/a")
    assert form.target(form_and_button(1)[1])[:2] == ("post", "/b")


def test_what_is_filled_in_takes_the_place_of_what_was_there():
    form, this = form_and_button(0)
    sent = form.sends(this, {"text": "new", "tick": ["2"], "on": ["on"], "one": "B", "file": ("k.txt", b"key")})
    assert [pair for pair in sent if pair[0] in ("text", "tick", "on", "one", "file")] == [
        ("text", "new"), ("tick", "2"), ("on", "on"), ("one", "B"), ("file", ("k.txt", b"key")),
    ]  # fmt: skip
    assert form.complaints(this, {"one": "Z"}) == ["one does not offer 'Z'"]
    assert form.complaints(this, {"back": "/x", "text": ""}) == ["back cannot be filled in", "text is required"]
    with pytest.raises(LookupError):
        form.sends(this, {"stranger": "2"})


def test_without_multipart_a_file_sends_its_name_alone():
    pairs = [("a", "1 2"), ("file", ("k.txt", b"key"))]
    assert encoded(pairs, "application/x-www-form-urlencoded")[0] == b"a=1+2&file=k.txt"
    body, kind = encoded(pairs, MULTIPART)
    assert b'name="file"; filename="k.txt"' in body
    assert b"\r\n\r\nkey\r\n" in body
    assert kind.startswith("multipart/form-data; boundary=")


@pytest.mark.parametrize(
    "html",
    [
        "<table><tbody><tr><form></form></tr></tbody></table>",
        "<form><div><form></form></div></form>",
        "<table><tr><td></td></tr></table>",
        "<p><form></form></p>",
        "<a href='/'><button>B</button></a>",
        "<div><span></div>",
        "<div>",
        "<i id=x></i><b id=x></b>",
        "<div/>",
        "<select><button>B</button></select>",
        "<form action='/a' action='/b'></form>",
    ],
)
def test_what_a_browser_would_mend_is_a_fault(html):
    assert Document(html).faults


@pytest.mark.parametrize(
    "html",
    [
        '<form action="/a" method="post"><button hx-post="/b">B</button></form>',
        '<form action="/a" hx-post="/a"><button>B</button></form>',
        '<form hx-post="/a" method="post"><button>B</button></form>',
        '<a href="/a" hx-get="/b">A</a>',
        '<a hx-post="/" href="/">A</a>',
        '<button hx-post="/a">B</button>',
        '<button type="button">B</button>',
        '<form action="/a"><button type="button">B</button><button>C</button></form>',
        '<form action="/a"><input name="n"></form>',
        '<input name="n">',
        '<div hx-get="/a" hx-trigger="click">D</div>',
        '<tr hx-delete="/a"></tr>',
    ],
)
def test_what_does_nothing_without_script_is_told(html):
    assert leans_on_script(Document(html), "/here")


@pytest.mark.parametrize(
    "html",
    [
        '<form action="/a" method="post" hx-post="/a"><button hx-post="/b" formaction="/b">B</button></form>',
        '<form action="/a"><button>B</button><button type="button" hidden>C</button></form>',
        '<a href="?after=2" hx-get="/here?after=2">A</a>',
        '<div hx-get="/a" hx-trigger="look from:body" hx-target="this">D</div>',
        "<label hidden><input type=checkbox></label>",
    ],
)
def test_what_htmx_only_makes_smaller_is_fine(html):
    assert leans_on_script(Document(html), "/here") == []

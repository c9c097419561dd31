"""Names that somebody typed keep their direction to themselves, wherever they stand."""

from pool.web.names import bdi, isolated, names, told
from tests.house import GEMINI_KEYS
from tests.web.visitor import Page, Visitor

TURNED = "pay\u202etxt.exe"
ALONE = {"bdi", "option", "title", "textarea"}
"""What a name may stand in: an element that ends its direction, or holds nothing else."""


def spilling(page):
    """The tags in which the name stands open to the sentence around it."""
    return [
        node.tag
        for node in page.nodes
        for child in node.children
        if isinstance(child, str) and "\u202e" in child.replace(isolated(TURNED), "") and node.tag not in ALONE
    ]


def test_a_name_cannot_end_its_own_isolate():
    assert bdi("a\u2069<b>\u2067") == "<bdi>a&lt;b&gt;</bdi>"
    assert isolated("a\u2069b") == "\u2068ab\u2069"
    assert names(["a", "", "b"]) == "<bdi>a</bdi>, <bdi>b</bdi>"


def test_a_message_shows_names_as_elements():
    assert told(f"The pool {isolated('<x>')} is gone.") == "The pool <bdi>&lt;x&gt;</bdi> is gone."


def test_a_name_that_turns_around_turns_no_sentence_with_it(house):
    visitor = Visitor(house)
    created = visitor.press(visitor.see("/pools/new"), "Create pool", name=TURNED, description=TURNED)
    assert f"The pool <bdi>{TURNED}</bdi> was created." in created.text
    house.add_keys(GEMINI_KEYS[0], pool_id=2, name=TURNED, note=TURNED, project=TURNED, tags=(TURNED,))
    made = visitor.press(visitor.see("/clients"), "Create user key", name=TURNED, pool="2")
    house.chat(model=TURNED)
    house.records()
    pasted = f"{GEMINI_KEYS[0]}\t{TURNED}\n{GEMINI_KEYS[1]}\t{TURNED}"
    preview = visitor.press(visitor.see("/keys/import?pool=2"), "Preview", text=pasted, pool="2")
    pages = {"created": created, "made": made, "preview": preview}
    pages["result"] = visitor.press(Page(preview.text), "Import 1 key")
    house.keypool.inventory.set_disabled([1, 2], float("inf"))
    for path in (
        "/dashboard", "/keys", "/keys/1/delete", "/pools", "/pools/2", "/pools/2/delete", "/pools/2/regenerate",
        "/pools/2/limits", "/clients", "/clients/1/revoke", "/clients/1/limits", "/stat", "/stat?pool=2",
        "/keys/import?pool=2",
    ):  # fmt: skip
        pages[path] = visitor.get(path)
    assert f"The pool <bdi>{TURNED}</bdi> has no key" in pages["/dashboard"].text
    shown = {name: Page(answer.text) for name, answer in pages.items()}
    assert {name: page.text for name, page in shown.items() if "\u202e" not in page.text} == {}
    assert {name: found for name, page in shown.items() if (found := spilling(page))} == {}

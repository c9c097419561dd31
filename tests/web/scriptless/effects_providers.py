"""Providers and the playground: what the buttons of their pages are for."""

from __future__ import annotations

from itertools import count

from tests.house import House
from tests.web.document import Form
from tests.web.scriptless.entry import Effect, Entries, Entry, Pressed, on

_numbers = count(11)


def a_new_provider(form: Form, house: House) -> dict[str, str]:
    return {"slug": f"api-{next(_numbers)}", "base_url": "https://api.test/v1"}


def adds_a_provider(p: Pressed) -> None:
    p.changes(("providers", p.filled["slug"]))
    p.tells_the_trail("provider.add", f"provider {p.filled['slug']}")
    assert p.path == "/providers"
    p.says(p.filled["slug"], "https://api.test/v1")
    p.house.add_keys(f"key-of-{p.filled['slug']}", provider=p.filled["slug"])  # deleting it has to ask for its name


def another_timeout(form: Form, house: House) -> dict[str, str]:
    return {"idle_s": str(next(_numbers))}


def changes_a_provider(p: Pressed) -> None:
    slug = p.args["slug"]
    p.changes(("providers", slug))
    p.tells_the_trail("provider.change", f"provider {slug}")
    (row,) = p.house.keypool.inventory.provider_rows(slug)
    assert row.timeouts["idle_s"] == float(p.filled["idle_s"])
    assert p.path == "/providers"


def switches_a_provider(on: bool) -> Effect:
    def effect(p: Pressed) -> None:
        slug = p.args["slug"]
        p.changes(("providers", slug))
        p.tells_the_trail("provider.change", f"provider {slug}")
        assert p.after["providers", slug]["enabled"] == on
        assert p.path == "/providers"
        p.house.keypool.inventory.update_provider(slug, enabled=not on)  # others ask through it

    return effect


def its_slug(form: Form, house: House) -> dict[str, str]:
    return {"slug": form.action.split("/")[2]}


def deletes_a_provider(p: Pressed) -> None:
    slug = p.args["slug"]
    assert {place[0] for place in p.changed} == {"providers", "keys", "memberships"}
    assert ("providers", slug) not in p.after
    p.tells_the_trail("provider.delete", f"provider {slug}")
    assert p.path == "/providers"


def asks_a_pool(p: Pressed) -> None:
    p.changes_nothing()
    assert p.path == "/playground"
    p.says("Status 200", "Tokens out", "Attempt")


PROVIDERS = "admin.providers, admin.add_provider"
QUESTION = {"model": "gemini-2.5-flash", "text": "Hello"}

ENTRIES: Entries = {
    **on(
        PROVIDERS,
        "POST admin.add_provider in #new-provider",
        Entry(adds_a_provider, a_new_provider, mistake={"slug": "No Slug", "base_url": "https://api.test/v1"}),
    ),
    **on(PROVIDERS, "POST admin.disable_provider", Entry(switches_a_provider(False))),
    **on(PROVIDERS, "POST admin.enable_provider", Entry(switches_a_provider(True))),
    **on(
        "admin.provider, admin.change_provider",
        "POST admin.change_provider in #change-provider",
        Entry(changes_a_provider, another_timeout, mistake={"idle_s": "many"}),
    ),
    **on(
        "admin.ask_delete_provider, admin.delete_provider",
        "POST admin.delete_provider",
        Entry(deletes_a_provider, its_slug, mistake={"slug": "another"}, last=True),
    ),
    **on(
        "admin.playground, admin.ask_playground",
        "POST admin.ask_playground in #question",
        Entry(asks_a_pool, QUESTION, mistake={**QUESTION, "text": " "}),
    ),
}

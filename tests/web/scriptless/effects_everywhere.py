"""What is on every page, the door, and statistics: what their buttons are for."""

from __future__ import annotations

from tests.web.scriptless.entry import EVERY_PAGE, TYPED, Effect, Entries, Entry, Pressed, on
from tests.web.visitor import rows_of

STRANGER = "a stranger at "


def chooses(name: str, value: str) -> Effect:
    def effect(p: Pressed) -> None:
        p.changes_nothing()
        cookie = p.visitor.client.get_cookie(name)
        assert cookie is not None
        assert cookie.value == value
        shown = {"auto": "", "en": "en", "zh_CN": "zh-CN"}.get(value, value)
        root = p.page.all("html")[0]
        assert root.get("data-theme" if name == "theme" else "lang") == shown
        if p.address == "/nowhere":
            assert p.path in ("/dashboard", "/login", "/own")
        elif p.address is not None:
            assert p.path == p.address, f"leads to {p.path}"
        else:  # the answer to a form: back to the page the form was on, or what is above it
            assert p.led_here is not None
            begun = p.led_here.answer.request.path
            assert begun.startswith("/" + p.path.split("/")[1].split("?")[0]), f"leads to {p.path} from {begun}"

    return effect


def signs_out(p: Pressed) -> None:
    assert p.the_one_in("sessions")
    assert len(p.after) == len(p.before) - 1
    assert p.path == "/login"
    p.says("You are signed out.")
    assert p.visitor.get("/keys").location == "/login?next=/keys"


def signs_in(p: Pressed) -> None:
    assert p.the_one_in("sessions")
    assert len(p.after) == len(p.before) + 1
    p.tells_the_trail("session.begin", "admin")
    assert p.path == "/dashboard"
    assert p.visitor.get("/keys").status_code == 200


def filters_statistics(p: Pressed) -> None:
    p.changes_nothing()
    assert p.path in ("/stat?show=exhausted&model=", "/stat?show=exhausted&pool=&model=")
    rows = [node for node in p.page.all("tr") if node.get("id").startswith("stat-")]
    stopped = [row for row in rows_of(p.house, "keys") if row["dead_at"] or row["disabled_at"]]
    assert 0 < len(stopped) <= len(rows) < 20
    for row in rows:
        assert any("data-spent" in node.attrs for node in row.walk())


ENTRIES: Entries = {
    **{
        f"{EVERY_PAGE}: POST pages.choose_{name} {name}={value}": Entry(chooses(name, value))
        for name, values in (("theme", ("auto", "light", "dark")), ("language", ("en", "zh_CN")))
        for value in values
    },
    f"{EVERY_PAGE}: POST login.sign_out": Entry(signs_out),
    **on(
        f"{STRANGER}login.form, {STRANGER}login.sign_in",
        "POST login.sign_in",
        Entry(signs_in, TYPED, mistake={"password": "guess"}),
    ),
    **on("stats.stat", "GET stats.stat", Entry(filters_statistics, {"show": "exhausted", "pool": ""})),
    **on(f"{STRANGER}stats.stat", "GET stats.stat", Entry(filters_statistics, {"show": "exhausted"})),
}

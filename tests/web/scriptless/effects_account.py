"""Settings and the account: what the buttons of their pages are for."""

from __future__ import annotations

from sqlalchemy import insert

from pool.adapters import queries
from pool.adapters.tables import LoginSession
from pool.settings import BY_NAME
from tests.house import PASSWORD
from tests.web.scriptless.entry import Effect, Entries, Entry, Pressed, brings_back, on
from tests.web.scriptless.stage import CHANGED
from tests.web.visitor import Visitor

NEW_PASSWORD = "another horse entirely"


def saves_settings(p: Pressed) -> None:
    p.changes(("settings", "heartbeat_s"), ("settings", "include_thoughts"))
    p.tells_the_trail("settings.change", "settings")
    current = p.house.keypool.preferences.current
    assert (current.heartbeat_s, current.include_thoughts) == (9, False)
    assert p.path == "/settings"
    p.says("3 seconds → 9 seconds")


def resets_a_setting(name: str) -> Effect:
    def effect(p: Pressed) -> None:
        p.changes(("settings", name))
        p.tells_the_trail("settings.change", "settings")
        assert getattr(p.house.keypool.preferences.current, name) == BY_NAME[name].default
        assert p.path == "/settings"

    return effect


def changes_the_password(p: Pressed) -> None:
    assert {place[0] for place in p.changed} == {"meta", "sessions"}
    p.tells_the_trail("password.change", "password")
    stored = p.after["meta", "password"]["value"]
    assert p.house.keypool.passwords.verify(NEW_PASSWORD, stored)
    assert len(admins_sessions(p)) == 1
    assert p.path == "/account"
    p.house.keypool.database.write(queries.set_password, p.before["meta", "password"]["value"])
    # All went out, and the one who did it goes on under another token: let the walk go on in the old one.
    ended = [row for place, row in p.before.items() if place[0] == "sessions" and place not in p.after]
    assert ended
    p.house.keypool.database.write(lambda session: session.execute(insert(LoginSession), ended) and None)
    come_again(p)


def ends_a_session(p: Pressed) -> None:
    p.changes(("sessions", p.args["session_id"]))
    p.tells_the_trail("session.end", f"session {p.args['session_id']}")
    assert ("sessions", p.args["session_id"]) not in p.after


def ends_other_sessions(p: Pressed) -> None:
    assert {place[0] for place in p.changed} == {"sessions"}
    assert len(admins_sessions(p)) == 1
    p.tells_the_trail("session.end", "every other session")
    assert p.path == "/account"
    come_again(p)


def admins_sessions(p: Pressed) -> list[object]:
    return [row for place, row in p.after.items() if place[0] == "sessions" and row["client_key_id"] is None]


def come_again(p: Pressed) -> None:
    """Let there be other sessions for who wants to end them."""
    for _ in range(3):
        Visitor(p.house)


SETTINGS = "admin.settings, admin.change_settings"
ACCOUNT = "admin.account, admin.change_password"
_passwords = {"current": PASSWORD, "new": NEW_PASSWORD, "again": NEW_PASSWORD}

ENTRIES: Entries = {
    **on(
        SETTINGS,
        "POST admin.change_settings in #settings",
        Entry(saves_settings, {"heartbeat_s": "9", "include_thoughts": []}, mistake={"heartbeat_s": "many"}),
    ),
    **on("admin.settings", "POST admin.undo_settings", Entry(brings_back("settings.change", "Saved."))),
    **on(
        ACCOUNT,
        "POST admin.change_password in #password",
        Entry(changes_the_password, _passwords, mistake={**_passwords, "again": "a third"}, last=True),
    ),
    **on(ACCOUNT, "POST admin.end_session", Entry(ends_a_session)),
    **on(ACCOUNT, "POST admin.end_other_sessions", Entry(ends_other_sessions, last=True)),
}
for _name in CHANGED:
    ENTRIES |= on(SETTINGS, f"POST admin.change_settings default={_name} in #settings", Entry(resets_a_setting(_name)))

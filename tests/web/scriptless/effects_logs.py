"""The log of requests and the audit trail: what the buttons of their pages are for."""

from __future__ import annotations

from tests.web.scriptless.entry import Entries, Entry, Pressed, on
from tests.web.visitor import rows_of


def shown(p: Pressed, kind: str) -> int:
    return sum(node.get("id").startswith(f"{kind}-") for node in p.page.all("tbody"))


def filters_requests(p: Pressed) -> None:
    p.changes_nothing()
    assert "model=gemini-2.5-pro" in p.path
    wanted = [row for row in rows_of(p.house, "requests") if row["model_used"] == "gemini-2.5-pro"]
    assert 0 < shown(p, "request") <= len(wanted)


def finds_a_request(p: Pressed) -> None:
    p.changes_nothing()
    assert p.path == "/requests/1"
    p.says(rows_of(p.house, "requests")[0]["request_id"], "chosen: ")


def filters_changes(p: Pressed) -> None:
    p.changes_nothing()
    assert "action=session.begin" in p.path
    assert shown(p, "change") <= len([row for row in rows_of(p.house, "audit") if row["action"] == "session.begin"])


ENTRIES: Entries = {
    **on("admin.requests", "GET admin.requests in #filters", Entry(filters_requests, {"model": "gemini-2.5-pro"})),
    **on("admin.requests", "GET admin.requests in #finder", Entry(finds_a_request, {"id": "1"})),
    **on("admin.audit_trail", "GET admin.audit_trail", Entry(filters_changes, {"action": "session.begin"})),
}

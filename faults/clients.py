"""What clients and admins do: leave at any moment, read slowly, change one thing all at once."""

from __future__ import annotations

import socket
import time
from typing import Any

import gevent
from gevent.pool import Pool

from faults.asking import STREAM, Tally, ask_all, judged
from faults.figures import Figures
from faults.own import House
from faults.rig import Admin, keys
from tests.server import CLIENT_KEY, Server
from tests.upstream import SAYS, ScriptedUpstream, openai_stream, sse, stall, stall_after

LEAVING = 20
ADMINS = 8
CONTESTED, ROUNDS = 12, 3
IMPORTED = 1000
LET_GO_S = 2.0
"""So soon an upstream must be let go once its client has left."""

SLOW_TEXT = "slow " * 40_000
_WELL = sse(openai_stream(SAYS), done=True)


def _opened(server: Server, content: bytes = STREAM, announced: int = 0) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {CLIENT_KEY}\r\n"
    sock.sendall(f"{head}Content-Length: {announced or len(content)}\r\n\r\n".encode() + content)
    return sock


def _busy(upstream: ScriptedUpstream) -> int:
    """Calls that are still under way."""
    return sum(not each.idle and each.closed_at is None for each in upstream.connections)


def _left(at: House, name: str, socks: list[socket.socket], rows: int) -> Figures:
    """All of them close at once: every upstream must be let go, and each request has its row."""
    upstream = at.upstream
    calls, began = len(upstream.requests), time.monotonic()
    for sock in socks:
        sock.close()
    while _busy(upstream) and time.monotonic() < began + LET_GO_S:
        gevent.sleep(0.005)
    took_s = time.monotonic() - began
    broken = (f"{_busy(upstream)} upstreams were not let go",) if _busy(upstream) else ()
    lost = at.rows_lost(rows)
    note = f"upstreams let go in {took_s * 1000:.0f} ms" if calls else ""
    return Figures(name, len(socks), calls, lost=lost, blamed=at.blamed(), broken=broken, note=note)


def leave_while_sending(at: House) -> Figures:
    """The body never comes whole: nothing is asked of anybody."""
    server = at.server
    socks = [_opened(server, STREAM[:-5], len(STREAM)) for _ in range(LEAVING)]
    gevent.sleep(0.3)
    return _left(at, "client leaves while it sends", socks, 0)


def leave_before_the_head(at: House) -> Figures:
    """The upstream is silent yet."""
    server, upstream = at.server, at.upstream
    at.admin.set(first_byte_timeout_s=60)
    upstream.script(stall())
    socks = [_opened(server) for _ in range(LEAVING)]
    upstream.wait_until(lambda: len(upstream.requests) == LEAVING, within_s=5)
    return _left(at, "client leaves before the first byte", socks, LEAVING)


def leave_mid_stream(at: House) -> Figures:
    """The upstream is silent again."""
    server, upstream = at.server, at.upstream
    at.admin.set(idle_timeout_s=60)
    upstream.script(stall_after(_WELL, events=2))
    socks = [_opened(server) for _ in range(LEAVING)]
    for sock in socks:
        sock.recv(10)
    return _left(at, "client leaves mid-stream", socks, LEAVING)


def read_slowly(at: House) -> Figures:
    """A little now and then: all of it comes, and others are not held up."""
    words = [SLOW_TEXT[at : at + 100] for at in range(0, len(SLOW_TEXT), 100)]
    server, upstream = at.server, at.upstream
    upstream.script(sse(openai_stream(words), done=True))
    tally = Tally()
    readers = [gevent.spawn(_reader, server, tally) for _ in range(LEAVING)]
    gevent.joinall(readers, raise_error=True)
    lost = at.rows_lost(tally.sent)
    calls = len(upstream.requests)
    return Figures("client reads slowly", tally.sent, calls, tally.told, tally.silent, lost, note="64 KB at a time")


def _reader(server: Server, tally: Tally) -> None:
    sock = _opened(server, STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    content = bytearray()
    while not content.endswith(b"0\r\n\r\n") and (piece := sock.recv(65_536)):
        content += piece
        gevent.sleep(0.05)
    sock.close()
    head, _, chunks = bytes(content).partition(b"\r\n\r\n")
    tally.add(judged(int(head.split()[1]), _unchunked(chunks), True, SLOW_TEXT), "", 0.0, bytes(content[-200:]))


def _unchunked(chunks: bytes) -> bytes:
    parts = []
    while chunks:
        size, _, rest = chunks.partition(b"\r\n")
        length = int(size, 16)
        parts.append(rest[:length])
        chunks = rest[length + 2 :]
    return b"".join(parts)


def admins_at_once(at: House) -> Figures:
    """All change the same key again and again: each change is there or refused, and the last one stands."""
    server = at.server
    key_id = server.rows("SELECT min(id) FROM keys")[0][0]
    wrong: list[int] = []
    token = at.admin.token
    notes: set[str] = set()

    def change(number: int) -> None:
        admin = Admin(server.url, token)
        for turn in range(10):
            note = f"admin {number}, turn {turn}"
            notes.add(note)
            status = admin.ask("PATCH", f"/admin/keys/{key_id}", note=note).status_code
            if status != 200:
                wrong.append(status)

    pool = Pool(ADMINS)
    pool.map(change, range(ADMINS))
    changed = server.rows("SELECT count(*) FROM audit WHERE action = 'key.edit'")[0][0]
    stands = server.rows(f"SELECT note FROM keys WHERE id = {key_id}")[0][0]  # noqa: S608
    broken = () if stands in notes else ("another note than any that was written",)
    sent = ADMINS * 10
    return Figures(
        "admins who change one key at once", sent, 0, told=len(wrong), lost=sent - len(wrong) - changed,
        broken=broken, note=f"{ADMINS} admins, each change in the audit trail",
    )  # fmt: skip


def imports_at_once(at: House) -> Figures:
    """All import the same keys: each is there once, and one of them is told that it brought it."""
    server = at.server
    secrets = keys("race", IMPORTED)
    before = server.rows("SELECT count(*) FROM keys")[0][0]
    brought: list[int] = []
    token = at.admin.token

    def take_in(_number: int) -> None:
        brought.append(Admin(server.url, token).add_keys("default", "openai", secrets))

    pool = Pool(ADMINS)
    pool.map(take_in, range(ADMINS))
    there = server.rows("SELECT count(*) FROM keys")[0][0] - before
    broken = () if sum(brought) == IMPORTED else (f"they say that they brought {sum(brought)}",)
    return Figures(
        "imports of the same keys at once", ADMINS, 0, lost=IMPORTED - there, broken=broken,
        note=f"{IMPORTED:,} keys each",
    )  # fmt: skip


def admins_against_each_other(at: House) -> Figures:
    """Keys of an import are deleted, restored, disabled and moved, their pool renamed, the import undone, all at once.

    Each is answered, done or refused; and what the server uses after it is what the database says.
    """
    admin, server = at.admin, at.server
    pool_id, auth = admin.add_pool("contested")
    told = admin.call("POST", "/admin/keys/import", text="\n".join(keys("race", CONTESTED)), pool="contested")
    ids = [row[0] for row in server.rows(f"SELECT key_id FROM memberships WHERE pool_id = {pool_id}")]  # noqa: S608
    everything: dict[str, list[tuple[str, str, dict[str, Any]]]] = {
        "deletes": [("DELETE", f"/admin/keys/{each}", {}) for each in ids],
        "restores": [("POST", f"/admin/keys/{each}/restore", {}) for each in ids],
        "disables": [("PATCH", f"/admin/keys/{each}", {"enabled": False}) for each in ids],
        "enables": [("PATCH", f"/admin/keys/{each}", {"enabled": True}) for each in ids],
        "moves": [("PATCH", f"/admin/keys/{each}", {"pools": ["default"]}) for each in ids],
        "moves back": [("PATCH", f"/admin/keys/{each}", {"pools": [pool_id]}) for each in ids],
        "renames": [("PATCH", f"/admin/pools/{pool_id}", {"name": f"contested {n}"}) for n in range(CONTESTED)],
        "undoes": [("POST", f"/admin/imports/{told['import_id']}/undo", {"force": True})],
    }
    wrong: list[str] = []

    def act(calls: list[tuple[str, str, dict[str, Any]]]) -> None:
        for method, path, fields in calls * ROUNDS:
            answer = Admin(server.url, admin.token).ask(method, path, **fields)
            if answer.status_code not in (200, 404, 409):
                wrong.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")

    Pool(len(everything)).map(act, everything.values())
    sent = ROUNDS * sum(len(calls) for calls in everything.values())
    return Figures(
        "admins who undo what others do", sent, 0, told=len(wrong), broken=(*wrong[:3], *_differs(at, pool_id, auth)),
        note="delete, restore, disable, move, rename, undo, all of the same keys",
    )  # fmt: skip


def _differs(at: House, pool_id: int, auth: str) -> tuple[str, ...]:
    """Does the pool use other keys than it has?"""
    stand = {
        row[0]
        for row in at.server.rows(
            "SELECT hint_suffix FROM keys JOIN memberships ON key_id = keys.id AND memberships.enabled"  # noqa: S608
            f" WHERE pool_id = {pool_id} AND removed_at IS NULL AND deleted_at IS NULL AND disabled_at IS NULL"
        )
    }
    at.upstream.requests.clear()
    tally = ask_all([at.server.port], auth, 4 * CONTESTED, at_once=1)
    used = {(request.key or "")[-4:] for request in at.upstream.requests}
    if used != stand or tally.silent or (tally.told and stand):
        return (f"{sorted(stand)} stand in the pool, {sorted(used)} were used; {tally.words}",)
    return ()


def pool_deleted_under_imports(at: House) -> Figures:
    """All import into a pool that is deleted meanwhile: each is told that it brought its keys, or brought none."""
    server, token = at.server, at.admin.token
    pool_id, _ = at.admin.add_pool("fleeting")
    brought: list[int] = []
    wrong: list[str] = []

    def take_in(number: int) -> None:
        for turn in range(ROUNDS * 4):
            if number == 0 and turn == ROUNDS:
                Admin(server.url, token).call("DELETE", f"/admin/pools/{pool_id}")
            text = "\n".join(keys("fleet", 20))
            answer = Admin(server.url, token).ask("POST", "/admin/keys/import", text=text, pool="fleeting")
            if answer.status_code == 200:
                brought.append(answer.json()["imported"])
            elif answer.status_code not in (404, 409):
                wrong.append(f"{answer.status_code} {answer.text[:200]}")

    before = server.rows("SELECT count(*) FROM keys")[0][0]
    Pool(ADMINS).map(take_in, range(ADMINS))
    there = server.rows("SELECT count(*) FROM keys")[0][0] - before
    broken = () if there == sum(brought) else (f"{there} keys came in where {sum(brought)} are told of",)
    return Figures(
        "imports into a pool that is deleted meanwhile", ADMINS * ROUNDS * 4, 0, told=len(wrong),
        broken=(*wrong[:3], *broken), note=f"{len(brought)} were in time",
    )  # fmt: skip


SHARING = (
    leave_while_sending, leave_before_the_head, leave_mid_stream, read_slowly, admins_at_once, imports_at_once,
    admins_against_each_other, pool_deleted_under_imports,
)  # fmt: skip

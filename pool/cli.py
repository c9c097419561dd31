"""`flask keys …` and `flask reset-password`: the management API from the shell.

A running server is reached through its admin socket. Where none runs, the app is made in this process, which holds the
instance's lock meanwhile. Exit codes: 0 all went well, 1 something was rejected, 2 nothing was done.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from secrets import token_urlsafe
from typing import Any, NoReturn
from urllib.parse import urlencode

import click
from flask import Flask, current_app
from flask.cli import AppGroup, with_appcontext

from pool.cli_doors import Closed, Door, open_door

OK, REJECTED, NOTHING = 0, 1, 2
POLL_S = 0.2
PAGE = 500

Query = Mapping[str, Any]

keys = AppGroup("keys", help="Upstream keys: import, list, export, switch, test.")


def mount(app: Flask, make: Callable[[], Flask], root: Path) -> None:
    """Give an app the commands. `make` makes the whole Keypool where no server runs."""
    app.extensions["keypool.command line"] = lambda: open_door(make, os.environ, root)
    app.cli.add_command(keys)
    app.cli.add_command(reset_password)


def door() -> Door:
    """The way in of this command. Ends it with one sentence where there is none."""
    try:
        opened: Door = click.get_current_context().with_resource(current_app.extensions["keypool.command line"]())
    except Closed as error:
        fail(str(error))
    return opened


def fail(message: str) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(NOTHING)


def ask(way: Door, method: str, path: str, query: Query | None = None, **sent: Any) -> dict[str, Any]:
    """A JSON answer. What is refused ends the command with the words of the refusal."""
    status, body = send(way, method, path + _query(query or {}), **sent)
    told = json.loads(body)
    if status >= 400:
        fail(told.get("message") or f"The server answered {status}.")
    return told


def send(way: Door, method: str, path: str, **sent: Any) -> tuple[int, bytes]:
    """Status and body of an answer, whatever it is."""
    try:
        return way.ask(method, path, **sent)
    except Closed as error:
        fail(str(error))


def result_of(way: Door, told: dict[str, Any], label: str) -> dict[str, Any]:
    """The job an answer began, when it is over, with a bar meanwhile."""
    job = ask(way, "GET", f"/admin/jobs/{told['job']}")
    with click.progressbar(length=max(job["total"], 1), label=label, file=sys.stderr) as bar:
        while job["ended_at"] is None:
            way.pause(POLL_S)
            job = ask(way, "GET", f"/admin/jobs/{told['job']}")
            bar.update(min(job["done"], bar.length or 1) - bar.pos)
    if job["state"] != "done":
        fail(f"Job {job['id']} is {job['state']}{': ' + job['error'] if job['error'] else ''}. {_counts(job['fates'])}")
    return job


def password_of(label: str = "Admin password") -> str:
    """Typed unseen, or the first line of what is piped in."""
    if sys.stdin.isatty():
        return str(click.prompt(label, hide_input=True, err=True))
    return sys.stdin.readline().rstrip("\n")


def _query(query: Query) -> str:
    given = {name: value for name, value in query.items() if value not in (None, "", (), False)}
    return "?" + urlencode(given, doseq=True) if given else ""


def _counts(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in numbers.items() if number)


@keys.command("import")
@click.argument("file", type=click.File("rb"))
@click.option("--pool", help="Which pool they join: its id or name.")
@click.option("--provider", help="Whose keys they are; else their shape tells.")
@click.option("--tag", "tags", multiple=True, help="May be given several times.")
@click.option("--project")
@click.option("--weight", type=click.IntRange(0, 100))
@click.option("--dry-run", is_flag=True, help="Show what would become of each row.")
@with_appcontext
def import_keys(file: Any, tags: tuple[str, ...], dry_run: bool, **options: Any) -> None:
    """Import the keys of FILE, in whatever form it has; `-` reads them from the standard input."""
    said = getattr(file, "name", "")
    name = Path(said).name[:200] if isinstance(said, str) and not said.startswith("<") else ""
    way, query = door(), {**options, "tags": ",".join(tags), "name": name, "dry_run": dry_run or None}
    sent = {"data": file.read(), "content_type": "text/plain"}
    told = ask(way, "POST", "/admin/keys/import", query, **sent)
    if dry_run:
        sys.exit(_show_preview(way, query, sent, told))
    if "job" in told:
        told = result_of(way, told, "Importing")["result"]
    for each in told["rejects"]:
        click.echo(f"line {each['line']}: {each['problem'].replace('_', ' ')}", err=True)
    counts = {**told["fates"], **told["counts"]}
    click.echo(f"{_counts(counts) or 'no keys'}" + (f" (import {told['import_id']})" if told["import_id"] else ""))
    sys.exit(NOTHING if not set(counts) - {"impossible", "left_out"} else REJECTED if told["rejected"] else OK)


def _show_preview(way: Door, query: Query, sent: Query, told: dict[str, Any]) -> int:
    counts, takeable = told["counts"], told["takeable"]
    while True:
        for row in told["rows"]:
            about = " ".join(filter(None, [row["provider"], row["problem"].replace("_", " "), ", ".join(row["pools"])]))
            click.echo(f"{row['line']}\t{row['key'] or '–'}\t{row['fate']}\t{about}")
        if told["next"] is None:
            break
        told = ask(way, "POST", "/admin/keys/import", {**query, "after": told["next"]}, **sent)
    click.echo(f"{_counts(counts) or 'no keys'}; {takeable:,} would be imported", err=True)
    return NOTHING if not set(counts) - {"impossible", "left_out"} else REJECTED if counts.get("impossible") else OK


def _confirm(question: str) -> None:
    """Ends the command where the answer is not yes."""
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort:
        agreed = False
    if not agreed:
        fail("Nothing was done.")


def selecting(command: Any) -> Any:
    """Options that narrow keys down, as the list does."""
    for option in (
        click.option("--search", "q", help="A part of the mask, the name, the note…"),
        click.option("--state", help="healthy, cooling, limited, disabled, dead, untested."),
        click.option("--tag"),
        click.option("--provider"),
        click.option("--pool", help="Its id or name."),
    ):
        command = option(command)
    return command


@keys.command("list")
@selecting
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@with_appcontext
def list_keys(as_json: bool, **wanted: Any) -> None:
    """List keys, with masks."""
    found = 0
    for key in _all_keys(door(), wanted):
        found += 1
        if as_json:
            click.echo(json.dumps(key, ensure_ascii=False))
            continue
        pools = ", ".join(pool["name"] for pool in key["pools"])
        click.echo("\t".join([str(key["id"]), key["key"], key["provider"], key["status"], pools, key["name"]]))
    sys.exit(OK if found else NOTHING)


def _all_keys(way: Door, wanted: Query) -> Iterator[dict[str, Any]]:
    after = ""
    while True:
        told = ask(way, "GET", "/admin/keys", {**wanted, "limit": PAGE, "after": after, "order": "asc"})
        yield from told["data"]
        if told["next"] is None:
            return
        after = told["next"]


@keys.command("export")
@click.option("--format", "form", type=click.Choice(["lines", "csv", "json", "env"]), default="lines")
@click.option("--pool", help="Only of this pool: its id or name.")
@click.option("--secrets", is_flag=True, help="In full; asks for the admin password.")
@click.option("--output", type=click.Path(dir_okay=False, writable=True), help="A file that only you can read.")
@with_appcontext
def export_keys(form: str, pool: str | None, secrets: bool, output: str | None) -> None:
    """Export keys: with masks, or in full with --secrets."""
    way, wanted = door(), {"format": form, "what": "keys", **({"pool": pool} if pool else {})}
    if secrets:
        status, body = send(way, "POST", "/admin/export", json={**wanted, "password": password_of()})
    else:
        status, body = send(way, "GET", "/admin/export" + _query(wanted))
    if status >= 400:
        fail(json.loads(body)["message"])
    if output is None:
        click.echo(body, nl=False)
        return
    with os.fdopen(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(body)


def _acting(name: str, about: str, **more: Any) -> None:
    """A command that does one thing to the keys that are named, or to all that options find."""

    @keys.command(name, help=about)
    @click.argument("ids", nargs=-1)
    @selecting
    @click.option("--all", "every", is_flag=True, help="All keys that the options find.")
    @click.option("--yes", is_flag=True, help="Do not ask.", hidden=not more.get("asks"))
    @click.option("--dry-run", is_flag=True, help="Only say how many there are.")
    @with_appcontext
    def act(ids: tuple[str, ...], every: bool, yes: bool, dry_run: bool, **wanted: Any) -> None:
        narrowed = {option: value for option, value in wanted.items() if value}
        if bool(ids) == (every or bool(narrowed)):
            raise click.UsageError("Name keys by their ids, or by options; --all stands for every key.")
        way = door()
        body = {"action": name, **({"ids": list(ids)} if ids else {"query": narrowed})}
        number = ask(way, "POST", "/admin/keys/actions", json={**body, "dry_run": True})["count"]
        if dry_run or not number:
            click.echo(f"{number:,} keys")
            sys.exit(OK if number else NOTHING)
        if more.get("asks") and not yes:
            _confirm(f"{about.rstrip('.')}: {number:,}?")
        sys.exit(_done(way, ask(way, "POST", "/admin/keys/actions", json=body), name))


FAILED = frozenset({"not_found", "dead", "refused", "failed", "unreachable", "suspected"})


def _done(way: Door, told: dict[str, Any], name: str) -> int:
    """Say what became of the keys."""
    if "job" in told:
        fates = result_of(way, told, name.capitalize())["fates"]
    else:
        fates = {}
        for each in told["results"]:
            fates[each["result"]] = fates.get(each["result"], 0) + 1
            if each["result"] in FAILED:
                click.echo(f"key {each['id']}: {each['result'].replace('_', ' ')}", err=True)
    click.echo(_counts(fates) or "no keys")
    bad = sum(fates.get(fate, 0) for fate in FAILED)
    return NOTHING if bad == sum(fates.values()) and name != "test" else REJECTED if bad else OK


_acting("enable", "Enable keys.")
_acting("disable", "Disable keys until somebody enables them.")
_acting("delete", "Put keys into the bin.", asks=True)
_acting("test", "Test keys. No quota is spent.")


@keys.command("undo-import")
@click.argument("import_id", type=int)
@click.option("--force", is_flag=True, help="Take back what was changed since, too.")
@with_appcontext
def undo_import(import_id: int, force: bool) -> None:
    """Take an import back: the keys and links it made, but for what was changed since."""
    way = door()
    told = ask(way, "POST", f"/admin/imports/{import_id}/undo", json={"force": force})
    if "job" in told:
        told = result_of(way, told, "Undoing")["result"]["fates"]
    numbers = {fate: told.get(fate, 0) for fate in ("removed", "unlinked", "kept")}
    click.echo(_counts(numbers) or "nothing was left of it")
    sys.exit(NOTHING if not any(numbers.values()) else REJECTED if numbers["kept"] else OK)


@keys.command("rotate-encryption")
@with_appcontext
def rotate_encryption() -> None:
    """Encrypt everything with the first key of KEY_ENCRYPTION_SECRET; afterwards older ones may leave the list."""
    way = door()
    result_of(way, ask(way, "POST", "/admin/encryption/rotate"), "Encrypting")
    click.echo("Everything is encrypted with the newest key.")


@click.command("reset-password")
@click.option("--generate", is_flag=True, help="Make one up and print it.")
@with_appcontext
def reset_password(generate: bool) -> None:
    """Set a new admin password. Every session ends."""
    new = token_urlsafe(12) if generate else password_of("New admin password")
    if not generate and sys.stdin.isatty() and new != password_of("Again"):
        fail("The two are not the same.")
    ask(door(), "POST", "/admin/password", json={"new": new})
    click.echo(new if generate else "The password is changed.")

"""`flask backup`, `flask restore` and `flask keys import-from`: what the API does, from a shell.

Exit codes as of every command: 0 all went well, 1 something was rejected, 2 nothing was done.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from flask import Flask
from flask.cli import with_appcontext

from pool.adapters.foreign import read_url
from pool.cli import NOTHING, REJECTED, ask, door, fail, keys, password_of, result_of, send
from pool.cli_doors import Door
from pool.core.documents import LEAST_PASSPHRASE, PRODUCTS, Unreadable, as_payload


def mount(app: Flask) -> None:
    app.cli.add_command(backup)
    app.cli.add_command(restore)


@click.command("backup")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--no-usage", is_flag=True, help="Leave the hourly figures out.")
@click.option("--force", is_flag=True, help="Take the place of a file that is there.")
@with_appcontext
def backup(file: Path, no_usage: bool, force: bool) -> None:
    """Write everything into FILE, under a passphrase of its own.

    It is asked for, or read from BACKUP_PASSPHRASE or the file that BACKUP_PASSPHRASE_FILE names; the admin password
    likewise, or from ADMIN_PASSWORD.
    """
    if file.exists() and not force:
        raise click.UsageError(f"{file} is there already: say --force to take its place.")
    passphrase = _secret("BACKUP_PASSPHRASE", "Passphrase of the backup", confirm=True)
    if len(passphrase) < LEAST_PASSPHRASE:
        raise click.UsageError(f"The passphrase has fewer than {LEAST_PASSPHRASE} characters.")
    password = _secret("ADMIN_PASSWORD", "Admin password")
    body = {"password": password, "passphrase": passphrase, "usage": not no_usage}
    status, content = send(door(), "POST", "/admin/backup", json=body)
    if status != 200:
        fail(json.loads(content)["message"])
    _save(content, file)
    click.echo(f"{file} has everything, in {len(content):,} bytes. Keep its passphrase: nobody can open it without.")


@click.command("restore")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Say what would be done; nothing changes.")
@click.option("--replace", "mode", flag_value="replace", help="In the place of everything that is here.")
@click.option("--merge", "mode", flag_value="merge", help="Add what is missing here.")
@with_appcontext
def restore(file: Path, dry_run: bool, mode: str | None) -> None:
    """Bring the backup in FILE back, whole or not at all. Unless a machine is empty, say --replace or --merge."""
    form = {"passphrase": _secret("BACKUP_PASSPHRASE", "Passphrase of the backup")}
    kind, data = _form(form, file)
    way = door()
    told = ask(way, "POST", "/admin/restore", {"dry_run": dry_run, "mode": mode}, data=data, content_type=kind)
    _tell_restore(_over(way, told, "Restoring"), dry_run)


@keys.command("import-from")
@click.argument("product", type=click.Choice(PRODUCTS))
@click.option("--database", required=True, help="A file, or a URL: sqlite, postgresql, or mysql with its driver.")
@click.option("--encryption-key", help="gpt-load's ENCRYPTION_KEY; else read from the variable of that name.")
@click.option("--pool", help="The pool for keys that name none: its id or name.")
@click.option("--dry-run", is_flag=True, help="Say what would be done; nothing changes.")
@with_appcontext
def import_from(product: str, database: str, encryption_key: str | None, pool: str | None, dry_run: bool) -> None:
    """Take in what another product left in its database, which is only read."""
    url = database if "://" in database else f"sqlite:///{Path(database).absolute()}"
    try:
        document = read_url(product, url, encryption_key or os.environ.get("ENCRYPTION_KEY", ""))
    except Unreadable as error:
        fail(str(error))
    way = door()
    query = {"dry_run": dry_run, "pool": pool, "product": product}
    told = ask(way, "POST", "/admin/import", query, json=as_payload(document))
    told = _over(way, told, "Importing")
    _tell_moved(told, dry_run, (*document.notes, *told["notes"]))
    sys.exit(REJECTED if told["keys"]["impossible"] else 0 if document.keys else NOTHING)


def _over(way: Door, told: dict[str, Any], label: str) -> dict[str, Any]:
    """What was answered; where a job is at it, what came of that."""
    if "job" not in told:
        return told
    result: dict[str, Any] = result_of(way, told, label)["result"]
    return result


def _secret(variable: str, prompt: str, confirm: bool = False) -> str:
    """From the environment, from the file it names, or from whoever sits there."""
    named = os.environ.get(f"{variable}_FILE")
    known = os.environ.get(variable) or (Path(named).read_text().strip("\r\n") if named else "")
    if known:
        return known
    typed = password_of(prompt)
    if confirm and sys.stdin.isatty() and typed != password_of("Again"):
        fail("The two are not the same.")
    return typed


def _form(fields: Mapping[str, str], file: Path) -> tuple[str, bytes]:
    """A form with a file, and its content type."""
    line = f"keypool-{secrets.token_hex(16)}"
    parts = [
        f'--{line}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{line}\r\nContent-Disposition: form-data; name="file"; filename="backup"\r\n\r\n'.encode()
    return f"multipart/form-data; boundary={line}", b"".join(
        [*parts, head, file.read_bytes(), f"\r\n--{line}--".encode()]
    )


def _save(content: bytes, file: Path) -> None:
    """Written beside the file, then put in its place: half a backup never looks like one."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def _tell_restore(told: Mapping[str, Any], dry_run: bool) -> None:
    made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(told["made_at"]))
    click.echo(f"Made {made} by Keypool {told['version']}.")
    for name, count in told["rows"].items():
        if count:
            click.echo(f"  {name:<16} {count:>9,}")
    if told.get("merge"):
        _tell_moved(told["merge"], dry_run, told["merge"]["notes"])
        return
    here = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in told["here"].items() if count)
    click.echo(f"{'It would take' if dry_run else 'It took'} the place of {here or 'nothing'}.")


def _tell_moved(told: Mapping[str, Any], dry_run: bool, notes: Sequence[str]) -> None:
    new = "to add" if dry_run else "added"
    for name in ("providers", "pools", "clients"):
        added, named = told[name]["added"], ", ".join(told[name]["added"][:20])
        click.echo(f"{name}: {len(added)} {new}{f' ({named})' if named else ''}, {told[name]['known']} known")
    click.echo("keys: " + (", ".join(f"{count:,} {fate}" for fate, count in told["keys"].items() if count) or "none"))
    for note in notes:
        click.echo(f"note: {note}")
    if told.get("import_id"):
        click.echo(f"This was import {told['import_id']}; it can be undone.")

"""Backups and moving in from the command line: what is printed, what is written, and how it ends."""

from __future__ import annotations

from contextlib import contextmanager

import orjson
import pytest
from flask import Flask

from pool import cli, cli_backup
from pool.adapters.backup import Cost
from pool.cli_doors import Within
from tests.adapters.foreign import schemas
from tests.house import GEMINI_KEYS, PASSWORD, make_template, open_house
from tests.web.visitor import rows_of

PASSPHRASE = "a quite long passphrase"
VARIABLES = {"ADMIN_PASSWORD": PASSWORD, "BACKUP_PASSPHRASE": PASSPHRASE}


@pytest.fixture
def run(house):
    house.keypool.backups.cost = Cost(2**10)

    def run(*arguments, at=house, variables=VARIABLES, typed=None):
        runner = commands(at).test_cli_runner()
        return runner.invoke(args=[str(each) for each in arguments], input=typed, env=variables)

    return run


def commands(house):
    """The command line, with a house behind it."""

    @contextmanager
    def opened():
        yield Within(house.app)

    app = Flask("commands")
    app.cli.add_command(cli.keys)
    cli_backup.mount(app)
    app.extensions["keypool.command line"] = opened
    return app


def test_a_backup_is_written_and_brought_back_elsewhere(run, house, tmp_path, tmp_path_factory):
    house.add_keys(*GEMINI_KEYS[:3])
    file = tmp_path / "keypool.backup"
    done = run("backup", file)
    assert (done.exit_code, "has everything" in done.output) == (0, True), done.output
    assert file.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.glob(".keypool*")] == []
    with open_house(make_template(tmp_path_factory.mktemp("other")), tmp_path / "elsewhere") as other:
        foreseen = run("restore", file, "--dry-run", at=other)
        assert (foreseen.exit_code, "keys" in foreseen.output) == (0, True), foreseen.output
        assert other.keypool.catalogue.keys == {}
        done = run("restore", file, at=other)
        assert (done.exit_code, "It took the place of nothing" in done.output) == (0, True), done.output
        assert len(other.keypool.catalogue.keys) == 3
        refused = run("restore", file, at=other)
        assert (refused.exit_code, "mode=replace" in refused.output) == (2, True)
        merged = run("restore", file, "--merge", at=other)
        assert (merged.exit_code, "keys: 3 duplicate" in merged.output) == (0, True), merged.output


def test_a_file_that_is_there_is_not_lost(run, tmp_path):
    file = tmp_path / "keypool.backup"
    file.write_text("precious")
    assert run("backup", file).exit_code == 2
    assert file.read_text() == "precious"
    assert run("backup", file, "--force").exit_code == 0
    before = file.read_bytes()
    wrong = run("backup", file, "--force", variables={**VARIABLES, "ADMIN_PASSWORD": "wrong"})
    assert (wrong.exit_code, file.read_bytes()) == (2, before)


def test_secrets_may_be_piped_in_or_lie_in_files(run, tmp_path):
    typed = f"{PASSPHRASE}\n{PASSWORD}\n"
    done = run("backup", tmp_path / "a.backup", variables={"ADMIN_PASSWORD": "", "BACKUP_PASSPHRASE": ""}, typed=typed)
    assert done.exit_code == 0, done.output
    assert PASSPHRASE not in done.output
    (tmp_path / "phrase").write_text(PASSPHRASE + "\n")
    variables = {"BACKUP_PASSPHRASE": "", "BACKUP_PASSPHRASE_FILE": str(tmp_path / "phrase")}
    assert run("restore", tmp_path / "a.backup", "--dry-run", variables=variables).exit_code == 0
    short = run("backup", tmp_path / "b.backup", variables={**VARIABLES, "BACKUP_PASSPHRASE": "short"})
    assert (short.exit_code, (tmp_path / "b.backup").exists()) == (2, False)


def test_a_wrong_passphrase_ends_with_a_sentence(run, tmp_path):
    run("backup", tmp_path / "a.backup")
    wrong = run("restore", tmp_path / "a.backup", variables={"BACKUP_PASSPHRASE": "some other passphrase"})
    assert (wrong.exit_code, wrong.output) == (2, "That is not the passphrase of this backup.\n")
    assert run("restore", tmp_path / "nowhere").exit_code == 2


def test_another_product_s_database_is_looked_at_and_taken_in(run, house, tmp_path):
    file = schemas.gpt_load(tmp_path / "gpt-load.db", "an-encryption-key")
    asked = ("keys", "import-from", "gpt-load", "--database", file)
    foreseen = run(*asked, "--encryption-key", "an-encryption-key", "--dry-run")
    assert foreseen.exit_code == 0, foreseen.output
    assert "pools: 3 to add (gemini, Silicon Flow, everything), 0 known" in foreseen.output
    assert "note: Group Silicon Flow has 2 upstreams" in foreseen.output
    assert house.keypool.catalogue.keys == {}
    done = run(*asked, variables={"ENCRYPTION_KEY": "an-encryption-key"})
    assert (done.exit_code, "keys: 3 added" in done.output, "it can be undone" in done.output) == (0, True, True)
    assert len(house.keypool.catalogue.keys) == 3
    entry = rows_of(house, "audit")[-1]
    assert (entry["action"], orjson.loads(entry["after"])["product"]) == ("import.from", "gpt-load")
    assert house.generate("fast", headers={"x-goog-api-key": "sk-gemini-group-02"}).status_code == 200
    for arguments in (
        ("gpt-load", "--database", tmp_path / "nowhere.db"),
        ("gpt-load", "--database", file),
        ("litellm", "--database", file),
        ("gpt-load",),
    ):
        assert run("keys", "import-from", *arguments, variables={"ENCRYPTION_KEY": ""}).exit_code == 2, arguments

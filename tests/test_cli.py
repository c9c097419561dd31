"""`flask keys …` from the shell: where no server runs, and through the admin socket of one that does."""

import json
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys

import pytest

from app import commands
from pool.adapters.database import acquire_instance_lock
from tests.house import GEMINI_KEYS, OPENAI_KEYS, PASSWORD
from tests.server import ROOT, Server

KEYS = "\n".join([*GEMINI_KEYS[:3], f"ann@example.com:{GEMINI_KEYS[3]}", OPENAI_KEYS[0]])


@pytest.fixture
def instance(instance_template, tmp_path, monkeypatch):
    folder = tmp_path / "instance"
    shutil.copytree(instance_template, folder)
    monkeypatch.setenv("KEYPOOL_INSTANCE", str(folder))
    for name in ("DATABASE_URL", "REDIS_URL", "ADMIN_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def flask(instance):
    """Runs a command; its exit code, what it said, and what it complained of. None of it has a key in full."""

    def run(*arguments, typed=None, whole=False):
        done = commands().test_cli_runner().invoke(args=arguments, input=typed)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        for secret in (*GEMINI_KEYS, *OPENAI_KEYS):
            assert whole or secret not in done.output
        return done.exit_code, done.stdout, done.stderr

    return run


def listed(flask, *options):
    return [json.loads(line) for line in flask("keys", "list", "--json", *options)[1].splitlines()]


def test_keys_are_imported_listed_and_taken_back(flask, tmp_path):
    (tmp_path / "keys.txt").write_text(KEYS)
    code, said, _ = flask(
        "keys", "import", str(tmp_path / "keys.txt"), "--tag", "paid", "--tag", "new", "--project", "p", "--weight", "4"
    )
    assert (code, said) == (0, "5 added (import 1)\n")
    keys = listed(flask)
    assert [key["id"] for key in keys] == [1, 2, 3, 4, 5]
    assert [(key["tags"], key["project"], key["pools"][0]["weight"]) for key in keys] == [(["paid", "new"], "p", 4)] * 5
    assert flask("keys", "list", "--provider", "openai")[1].split("\t")[:3] == ["5", "sk-proj-...yyyy", "openai"]
    assert flask("keys", "import", str(tmp_path / "keys.txt"))[:2] == (0, "5 here\n")
    assert flask("keys", "undo-import", "1") == (0, "5 removed\n", "")
    assert flask("keys", "undo-import", "1") == (2, "", "Import 1 was undone already.\n")
    assert flask("keys", "list") == (2, "", "")


def test_what_is_rejected_is_told_by_line_and_by_the_exit_code(flask):
    code, said, complained = flask("keys", "import", "-", typed=f"{GEMINI_KEYS[0]}\nya29.{'a' * 40}\n")
    assert (code, said) == (1, "1 added, 1 impossible (import 1)\n")
    assert complained == "line 2: access token\n"
    assert flask("keys", "import", "-", typed="hello\n")[0] == 2
    assert flask("keys", "import", "-", "--pool", "nowhere", typed=KEYS) == (2, "", "There is no pool 'nowhere'.\n")
    assert flask("keys", "import", "/no/such/file")[0] == 2
    assert flask("keys", "paint")[0] == 2


def test_a_dry_run_shows_every_row_and_imports_none(flask):
    many = "\n".join(f"AIzaSy{n:08d}" + "d" * 25 for n in range(700))
    code, said, complained = flask("keys", "import", "-", "--dry-run", typed=many)
    assert (code, len(said.splitlines())) == (0, 700)
    assert said.splitlines()[600] == "601\tAIzaSy00...dddd\tnew\tgemini"
    assert complained == "700 new; 700 would be imported\n"
    assert flask("keys", "list")[0] == 2


def test_a_long_import_is_a_job_and_shows_how_far_it_is(flask):
    many = "\n".join(f"AIzaSy{n:08d}" + "m" * 25 for n in range(6_000))
    code, said, complained = flask("keys", "import", "-", typed=many)
    assert (code, said) == (0, "6,000 added (import 1)\n")
    assert "Importing" in complained
    assert flask("keys", "disable", "--all")[:2] == (0, "6,000 disabled\n")
    assert flask("keys", "undo-import", "1", "--force")[:2] == (0, "6,000 removed\n")


def test_keys_are_switched_and_deleted_by_id_or_by_what_options_find(flask):
    flask("keys", "import", "-", "--tag", "a", typed="\n".join(GEMINI_KEYS[:3]))
    flask("keys", "import", "-", "--tag", "b", typed=GEMINI_KEYS[3])
    assert flask("keys", "disable", "1", "2", "77") == (1, "2 disabled, 1 not found\n", "key 77: not found\n")
    assert [key["id"] for key in listed(flask, "--state", "disabled")] == [1, 2]
    assert flask("keys", "enable", "--tag", "a", "--dry-run") == (0, "3 keys\n", "")
    assert flask("keys", "enable", "--tag", "a")[:2] == (0, "3 enabled\n")
    assert flask("keys", "delete", "--tag", "b", typed="n\n")[0] == 2
    assert flask("keys", "delete", "--tag", "b", typed="")[0] == 2
    assert flask("keys", "delete", "--tag", "b", "--yes")[:2] == (0, "1 deleted\n")
    assert [key["id"] for key in listed(flask)] == [1, 2, 3]
    assert flask("keys", "enable", "--tag", "nobody's") == (2, "0 keys\n", "")
    assert flask("keys", "disable")[0] == flask("keys", "disable", "1", "--all")[0] == 2


def test_an_export_has_masks_unless_the_password_is_typed(flask, tmp_path):
    flask("keys", "import", "-", typed=KEYS)
    assert flask("keys", "export")[1].splitlines()[0] == "AIzaSyGe...xxxx"
    assert flask("keys", "export", "--secrets", typed="wrong horse battery\n")[0] == 2
    code, said, _ = flask("keys", "export", "--secrets", typed=f"{PASSWORD}\n", whole=True)
    assert (code, said.splitlines()) == (0, [*GEMINI_KEYS[:4], OPENAI_KEYS[0]])
    file = tmp_path / "out.json"
    assert flask("keys", "export", "--format", "json", "--output", str(file))[:2] == (0, "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(json.loads(file.read_text())["keys"]) == 5


def test_the_password_is_set_anew(flask, instance, monkeypatch):
    code, made_up, _ = flask("reset-password", "--generate")
    assert (code, len(made_up)) == (0, 17)
    assert flask("keys", "export", "--secrets", typed=made_up)[0] == 0
    assert flask("reset-password", typed="short\n")[2] == "`new` is refused: it is shorter than 8 characters.\n"
    assert flask("reset-password", typed="another good one\n")[0] == 0
    assert flask("keys", "export", "--secrets", typed="another good one\n")[0] == 0
    monkeypatch.setenv("ADMIN_PASSWORD", PASSWORD)
    assert "ADMIN_PASSWORD in the environment" in flask("reset-password", "--generate")[2]


def test_everything_is_encrypted_with_the_newest_key(flask, instance, monkeypatch):
    old = (instance / "encryption_key").read_text().strip()
    flask("keys", "import", "-", typed=KEYS)
    monkeypatch.setenv("KEY_ENCRYPTION_SECRET", f"a new passphrase,{old}")
    assert flask("keys", "rotate-encryption")[:2] == (0, "Everything is encrypted with the newest key.\n")
    monkeypatch.setenv("KEY_ENCRYPTION_SECRET", "a new passphrase")
    assert len(listed(flask)) == 5


def test_beside_a_server_that_does_not_answer_nothing_is_done(flask, instance):
    lock = acquire_instance_lock(instance / "lock")
    try:
        code, said, complained = flask("keys", "list")
    finally:
        lock.release()
    assert (code, said) == (2, "")
    assert "is locked by process" in complained
    assert "admin.sock does not answer" in complained
    (instance / "admin.sock").touch()
    assert flask("keys", "list")[0] == 2, "what is left of a server that was killed bothers nobody"


def test_the_trail_says_that_somebody_came_from_the_shell(flask, instance):
    flask("keys", "import", "-", typed=KEYS)
    with sqlite3.connect(instance / "pool.sqlite") as database:
        rows = database.execute("SELECT action, via FROM audit").fetchall()
    database.close()
    assert rows == [("key.import", "admin socket")]


@pytest.mark.slow
def test_a_running_server_is_reached_through_its_socket_and_nobody_else_is(instance, tmp_path):
    def flask(*arguments, typed=""):
        command = [sys.executable, "-m", "flask", *arguments]
        return subprocess.run(command, cwd=ROOT, env=server.variables, input=typed, capture_output=True, text=True)

    with Server(instance) as server:
        path = instance / "admin.sock"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        many = "\n".join(f"AIzaSy{n:08d}" + "s" * 25 for n in range(6_000))
        done = flask("keys", "import", "-", typed=many)
        assert (done.returncode, done.stdout) == (0, "6,000 added (import 1)\n"), done.stderr
        done = flask("keys", "list", "--json")
        assert len(done.stdout.splitlines()) == 6_000
        done = flask("keys", "export", "--secrets", typed=PASSWORD + "\n")
        assert done.stdout.splitlines() == many.splitlines()
        asked = b"GET /admin/jobs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert raw(path, asked).startswith(b"HTTP/1.1 200")
        assert tcp(server.port, asked).startswith(b"HTTP/1.1 401")
        unusual = b"GET /admin/jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        assert raw(path, unusual.replace(b"Host: x", b"Host: x\r\nConnection: close")).startswith(b"HTTP/1.1 200")
        forged = b"GET /admin/jobs HTTP/1.1\r\nHost: x\r\nkeypool.by_admin_socket: 1\r\nConnection: close\r\n\r\n"
        assert tcp(server.port, forged).startswith(b"HTTP/1.1 401")
        assert server.stop() == 0
        assert not path.exists()
    assert flask("keys", "undo-import", "1").returncode == 0


def raw(path, request):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        return exchanged(client, request)


def tcp(port, request):
    with socket.create_connection(("127.0.0.1", port)) as client:
        return exchanged(client, request)


def exchanged(client, request):
    client.sendall(request)
    pieces = []
    while piece := client.recv(65_536):
        pieces.append(piece)
    return b"".join(pieces)

"""What an audit of the pinned packages comes to: only what is vulnerable fails it, not a service that is away."""

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

ROOT = Path(__file__).resolve().parent.parent
HOLE = {"id": "PYSEC-2026-1", "fix_versions": ["1.1"]}
WELL = {"name": "well", "version": "2.0", "vulns": []}
SICK = {"name": "sick", "version": "1.0", "vulns": [HOLE]}
UNKNOWN = {"name": "unknown", "skip_reason": "Dependency not found"}


AWAY = "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='advisories', port=443): Max retries exceeded"
LOCK = """well==2.0 \\
    --hash=sha256:00
sick[a,b]==1.0 ; python_version < '4' \\
    --hash=sha256:00
"""


def audited(tmp_path, answers, complaint=AWAY, node=None):
    """Runs the tool beside a pip-audit that answers so, service by service; where one answers None, it complains.

    `node`: what npm prints of a lock for Node, where there is one.
    """
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "audit.py").write_bytes((ROOT / "tools" / "audit.py").read_bytes())
    program = tmp_path / ".venv-audit" / "bin" / "pip-audit"
    program.parent.mkdir(parents=True)
    for service, dependencies in answers.items():
        told = "" if dependencies is None else orjson.dumps({"dependencies": dependencies}).decode()
        (tmp_path / service).write_text(told)
    program.write_text(
        '#!/bin/sh\nfor last; do test "$before" = -s && service=$last; before=$last; done\n'
        f'cat "$last" >> asked\ntest -s $service && exec cat $service\necho "{complaint}" >&2\nexit 1\n'
    )
    program.chmod(0o755)
    (tmp_path / "r.txt").write_text(LOCK)
    (tmp_path / "other.txt").write_text(LOCK.replace("well==2.0", "well==1.9"))
    path = os.environ["PATH"]
    if node is not None:
        lock = tmp_path / "tests" / "clients" / "node" / "package-lock.json"
        lock.parent.mkdir(parents=True)
        lock.write_text("{}")
        npm = tmp_path / "bin" / "npm"
        npm.parent.mkdir()
        npm.write_text(f"#!/bin/sh\necho '{node}'\n")
        npm.chmod(0o755)
        path = f"{npm.parent}:{path}"
    command = [sys.executable, tmp_path / "tools" / "audit.py", "r.txt", "other.txt"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PATH": path})
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("answers", "code", "said"),
    [
        ({"pypi": [WELL, UNKNOWN], "osv": None}, 0, "1 packages audited, 0 vulnerabilities found, 2 unknown."),
        ({"pypi": [WELL, SICK], "osv": None}, 1, "sick 1.0: PYSEC-2026-1, fixed in 1.1"),
        ({"pypi": [UNKNOWN], "osv": [SICK]}, 1, "sick 1.0: PYSEC-2026-1, fixed in 1.1"),
        ({"pypi": None, "osv": [WELL]}, 0, "1 packages audited"),
        (
            {"pypi": [UNKNOWN], "osv": None},
            0,
            "of the 3 packages pinned in 2 files, or none answers",
        ),
        ({"pypi": None, "osv": None}, 0, "nothing was audited"),
    ],
)
def test_only_what_is_vulnerable_fails_it(tmp_path, answers, code, said):
    ended, told = audited(tmp_path, answers)
    assert ended == code
    assert said in told


@pytest.mark.parametrize(
    ("node", "code", "said"),
    [
        ('{"vulnerabilities": {}}', 0, "npm: 0 vulnerable packages."),
        ('{"vulnerabilities": {"ws": {"range": "<8.17.1", "severity": "high"}}}', 1, "ws <8.17.1: high"),
        ('{"message": "405 Method Not Allowed"}', 0, "nothing of the clients in Node was audited"),
        ("npm error", 0, "nothing of the clients in Node was audited"),
    ],
)
def test_so_does_a_lock_of_node(tmp_path, node, code, said):
    ended, told = audited(tmp_path, {"pypi": [WELL], "osv": None}, node=node)
    assert ended == code
    assert said in told


def test_every_pin_of_every_lock_is_asked_for_once_whatever_others_say(tmp_path):
    audited(tmp_path, {"pypi": [WELL], "osv": None})
    assert sorted((tmp_path / "asked").read_text().split()) == ["sick==1.0", "well==1.9", "well==2.0"]


def test_a_failure_of_its_own_is_no_service_that_is_away(tmp_path):
    assert audited(tmp_path, {"pypi": None, "osv": None}, "ERROR: package well has duplicate requirements")[0] == 2


def test_all_that_is_locked_is_audited():
    asked = subprocess.run(["make", "-n", "audit"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    # Within another make there are lines of its own around it.
    (line,) = (line.split() for line in asked.splitlines() if "tools/audit.py" in line)
    assert set(line[line.index("tools/audit.py") + 1 :]) == {path.name for path in ROOT.glob("requirements*.txt")}

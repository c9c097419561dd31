"""What an audit of the pinned packages comes to: only what is vulnerable fails it, not a service that is away."""

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


def audited(tmp_path, answers):
    """Runs the tool beside a pip-audit that answers so, service by service; None where one does not answer."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "audit.py").write_bytes((ROOT / "tools" / "audit.py").read_bytes())
    program = tmp_path / ".venv-audit" / "bin" / "pip-audit"
    program.parent.mkdir(parents=True)
    for service, dependencies in answers.items():
        told = "" if dependencies is None else orjson.dumps({"dependencies": dependencies}).decode()
        (tmp_path / service).write_text(told)
    program.write_text('#!/bin/sh\nfor last; do test "$before" = -s && cat "$last"; before=$last; done\nexit 1\n')
    program.chmod(0o755)
    done = subprocess.run([sys.executable, tmp_path / "tools" / "audit.py", "r.txt"], capture_output=True, text=True)
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("answers", "code", "said"),
    [
        ({"pypi": [WELL, UNKNOWN], "osv": None}, 0, "1 packages audited, 0 vulnerabilities found, 1 unknown."),
        ({"pypi": [WELL, SICK], "osv": None}, 1, "sick 1.0: PYSEC-2026-1, fixed in 1.1"),
        ({"pypi": [UNKNOWN], "osv": [SICK]}, 1, "sick 1.0: PYSEC-2026-1, fixed in 1.1"),
        ({"pypi": None, "osv": [WELL]}, 0, "1 packages audited"),
        ({"pypi": [UNKNOWN], "osv": None}, 0, "nothing was audited"),
        ({"pypi": None, "osv": None}, 0, "nothing was audited"),
    ],
)
def test_only_what_is_vulnerable_fails_it(tmp_path, answers, code, said):
    ended, told = audited(tmp_path, answers)
    assert ended == code
    assert said in told

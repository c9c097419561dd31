"""Asks whether anything we pin has a known vulnerability, by pip-audit; its arguments are the requirements files.

Ends with 1 where something has one. Where no advisory service answers it says that nothing is known, and ends with 0:
a machine without a network can still check the rest.
"""

import subprocess
import sys
from pathlib import Path

import orjson

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ("pypi", "osv")
PROGRAM = ROOT / ".venv-audit" / "bin" / "pip-audit"


def main(files):
    for service in SERVICES:
        said = orjson.loads(asked(service, files) or b'{"dependencies": []}')["dependencies"]
        known = [each for each in said if "vulns" in each]
        if known:
            return judged(known, said)
    sys.stdout.write("No advisory service knows anything of what is pinned, or none answers: nothing was audited.\n")
    return 0


def asked(service, files):
    """pip-audit's report, as JSON; empty where the service does not answer."""
    chosen = [argument for file in files for argument in ("-r", file)]
    how = ("--require-hashes", "--disable-pip", "--progress-spinner", "off", "-f", "json", "-s", service)
    return subprocess.run([PROGRAM, *how, *chosen], cwd=ROOT, check=False, capture_output=True).stdout


def judged(known, said):
    """The exit code, and what is told of it."""
    found = [(each, vulnerability) for each in known for vulnerability in each["vulns"]]
    for each, vulnerability in found:
        fixed = ", ".join(vulnerability["fix_versions"]) or "no version yet"
        sys.stdout.write(f"{each['name']} {each['version']}: {vulnerability['id']}, fixed in {fixed}\n")
    unknown = len(said) - len(known)
    sys.stdout.write(f"{len(known)} packages audited, {len(found)} vulnerabilities found, {unknown} unknown.\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

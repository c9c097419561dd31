"""What a browser loads beside a page: packed for those that take it, and the same for all."""

import gzip
from pathlib import Path

import pytest

STATIC = Path(__file__).parents[2] / "static"
FIRST_PAGE_BYTES = 100_000


def fetch(house, path, **headers):
    """Read whole, so that no file stays open."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return house.client.get(path, headers=named, buffered=True)


@pytest.mark.parametrize("name", ["style.css", "page.js", "icon.svg"])
def test_styles_and_scripts_are_packed_for_those_that_take_it(house, name):
    packed = fetch(house, f"/static/{name}", accept_encoding="br, gzip")
    plain = fetch(house, f"/static/{name}")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert gzip.decompress(packed.data) == plain.data == (STATIC / name).read_bytes()
    assert int(packed.headers["Content-Length"]) == len(packed.data)
    assert all("Accept-Encoding" in each.headers["Vary"] for each in (packed, plain))


def test_who_refuses_gzip_gets_none(house):
    answer = fetch(house, "/static/style.css", accept_encoding="gzip;q=0, identity")
    assert "Content-Encoding" not in answer.headers


def test_what_has_not_changed_is_not_sent_again(house):
    first = fetch(house, "/static/style.css", accept_encoding="gzip")
    again = fetch(house, "/static/style.css", accept_encoding="gzip", if_none_match=first.headers["ETag"])
    assert (again.status_code, again.data) == (304, b"")
    assert "Accept-Encoding" in again.headers["Vary"]


def test_a_first_page_is_light(house):
    loaded = [fetch(house, "/login", accept="text/html").data]
    loaded += [fetch(house, f"/static/{name}", accept_encoding="gzip").data
               for name in ("style.css", "page.js", "icon.svg", "chevron.svg")]  # fmt: skip
    htmx = 51_238  # at most: it is packed, too, where set-up could fetch it
    assert sum(map(len, loaded)) + htmx < FIRST_PAGE_BYTES

"""Holds the README's table of settings to the settings there are."""

from pathlib import Path

import pytest

from pool.settings import SETTINGS, table

README = Path(__file__).parents[1] / "README.md"
HINT = "run `python -m pool.settings` and put what it prints between the two markers"


def test_the_readme_tells_every_setting_as_it_is():
    told = README.read_text().split("<!-- settings:start -->")[1].split("<!-- settings:end -->")[0]
    assert told.strip() == table(), HINT


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_row_has_the_name_the_default_and_the_meaning(setting):
    row = next(line for line in table().splitlines() if line.startswith(f"| `{setting.name}`"))
    assert row.count(" | ") == 2
    assert setting.help in row
    assert all(f"`{name}`" in row for name in (*setting.aliases, *setting.choices))
    assert ("Read at the start only." in row) == setting.boot

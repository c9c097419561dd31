"""Every text of every page is translated, and what is compiled is what is written."""

import gettext
import re

import pytest

from tools import translate

FILES = sorted(translate.FOLDER.glob("*/LC_MESSAGES/messages.po"))
HINT = "run tools/translate.py, translate what it names, run it again"


def first(text):
    return text[0] if isinstance(text, list | tuple) else text


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.parent.name)
def test_every_text_is_translated_with_its_places_to_fill_in(path):
    catalog = translate.read(path)
    for message in translate.texts():
        if not message.id:
            continue
        known = catalog.get(message.id)
        assert known is not None, f"{message.id!r}: {HINT}"
        for said in known.string if isinstance(known.string, list | tuple) else [known.string]:
            assert said, f"{message.id!r}: {HINT}"
            assert set(re.findall(r"%\(\w+\)", said)) <= set(re.findall(r"%\(\w+\)", str(message.id)))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.parent.name)
def test_what_pages_read_is_what_was_written(path):
    with path.with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for message in translate.read(path):
        if isinstance(message.id, str) and message.id:
            assert compiled.gettext(message.id) == message.string, HINT
        elif message.id:
            assert compiled.ngettext(*message.id, 1) == first(message.string), HINT


def test_there_is_a_chinese_translation():
    assert [path.parent.parent.name for path in FILES] == ["zh_Hans_CN"]

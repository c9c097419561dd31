"""Brings the translations up to date: new texts of pages into each .po, then each .po into the .mo pages read.

Both are committed, so that a fresh clone needs no tool. Run it after changing a text; `tests/test_translations.py`
says so when it was forgotten.
"""

import os
import sys
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "pool" / "web" / "translations"
WHERE = [("pool/web/**.py", "python"), ("pool/settings.py", "python"), ("templates/**.html", "jinja2")]
KEYWORDS = {**DEFAULT_KEYWORDS, "Setting": (4,)}
"""The fourth argument of a `Setting` is its help, which its page shows."""
OPTIONS = {"templates/**.html": {"trimmed": "true", "silent": "false"}}


def texts():
    """Every text of the pages, as a catalogue without translations."""
    catalog = Catalog(project="Keypool")
    for name, _line, message, comments, context in extract_from_dir(ROOT, WHERE, OPTIONS, KEYWORDS):
        catalog.add(message, None, [(name, None)], auto_comments=comments, context=context)
    return catalog


def compiled(catalog):
    """The bytes of a .mo."""
    out = BytesIO()
    write_mo(out, catalog)
    return out.getvalue()


def read(path):
    with path.open("rb") as file:
        return read_po(file, locale=path.parent.parent.name)


def put(path, data):
    """At once or not at all: somebody may be reading."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_bytes(data)
    beside.replace(path)


def main():
    template, missing = texts(), 0
    for path in sorted(FOLDER.glob("*/LC_MESSAGES/messages.po")):
        catalog = read(path)
        catalog.update(template, no_fuzzy_matching=True)
        text = BytesIO()
        write_po(text, catalog, width=120, omit_header=False, ignore_obsolete=True, include_lineno=False)
        put(path, text.getvalue())
        put(path.with_suffix(".mo"), compiled(read(path)))
        untranslated = [message.id for message in catalog if message.id and not all_of(message.string)]
        missing += len(untranslated)
        for text in untranslated:
            sys.stdout.write(f"{path.parent.parent.name}: {text!r}\n")
    return 1 if missing else 0


def all_of(string):
    return all(string) if isinstance(string, (list, tuple)) else bool(string)


if __name__ == "__main__":
    sys.exit(main())

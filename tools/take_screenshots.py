"""Takes the README's pictures from a demo that runs: `make demo` in one shell, this in another (DEMO_PORT as there).

Chromium's PNG has 24 bits a dot. Pages have few colours: a palette of the commonest 256 takes a third of the bytes.
"""

import os
import shutil
import struct
import sys
import zlib
from collections import Counter
from pathlib import Path

from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "screenshots"
PASSWORD = "keypool-demo"
WIDE, PHONE = {"width": 1280, "height": 860}, {"width": 360, "height": 780}
PICTURES = (
    ("dashboard-light", "/dashboard", WIDE, "light"),
    ("dashboard-dark", "/dashboard", WIDE, "dark"),
    ("keys-light", "/keys", WIDE, "light"),
    ("keys-dark", "/keys", WIDE, "dark"),
    ("stat-light", "/stat", WIDE, "light"),
    ("keys-phone", "/keys", PHONE, "light"),
    ("dashboard-phone", "/dashboard", PHONE, "light"),
)
SIGNATURE = b"\x89PNG\r\n\x1a\n"
DOT = 3


def main():
    url = f"http://127.0.0.1:{os.environ.get('DEMO_PORT') or 8010}"
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(locale="en-US")
        page.goto(f"{url}/login")
        page.fill("input[type=password]", PASSWORD)
        page.press("input[type=password]", "Enter")
        page.wait_for_url(f"{url}/dashboard")
        for name, path, size, scheme in PICTURES:
            page.set_viewport_size(size)
            page.emulate_media(color_scheme=scheme)
            page.goto(url + path)
            FOLDER.joinpath(f"{name}.png").write_bytes(with_palette(page.screenshot()))
        browser.close()


def with_palette(picture):
    """The same PNG with at most 256 colours; every other one becomes the nearest of those."""
    width, height, rows = dots(picture)
    counted = Counter(dot for row in rows for dot in row)
    palette = [dot for dot, _ in counted.most_common(256)]
    places = {dot: place for place, dot in enumerate(palette)}
    for dot in counted.keys() - places.keys():
        places[dot] = min(range(len(palette)), key=lambda place: distance(palette[place], dot))
    lines = b"".join(b"\0" + bytes(places[dot] for dot in row) for row in rows)
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"PLTE", b"".join(palette)), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    return SIGNATURE + b"".join(chunk(kind, content) for kind, content in chunks)


def distance(one, other):
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def dots(picture):
    """Width, height and rows of dots of a PNG with 24 bits a dot, as Chromium writes it."""
    place, data, width, height = len(SIGNATURE), b"", 0, 0
    while place < len(picture):
        size, kind = struct.unpack(">I4s", picture[place : place + 8])
        content = picture[place + 8 : place + 8 + size]
        if kind == b"IHDR":
            width, height = struct.unpack(">II", content[:8])
        elif kind == b"IDAT":
            data += content
        place += size + 12
    raw, rows, above = zlib.decompress(data), [], bytearray(width * DOT)
    for start in range(0, len(raw), width * DOT + 1):
        above = unfiltered(raw[start], bytearray(raw[start + 1 : start + 1 + width * DOT]), above)
        rows.append([bytes(above[at : at + DOT]) for at in range(0, len(above), DOT)])
    return width, height, rows


def unfiltered(kind, line, above):
    """A line as it was before its filter: https://www.w3.org/TR/png-3/#9Filters."""
    for at in range(len(line)):
        left, corner = (line[at - DOT], above[at - DOT]) if at >= DOT else (0, 0)
        guesses = (0, left, above[at], (left + above[at]) // 2, paeth(left, above[at], corner))
        line[at] = (line[at] + guesses[kind]) & 255
    return line


def paeth(left, up, corner):
    guess = left + up - corner
    return min((left, up, corner), key=lambda each: abs(guess - each))


if __name__ == "__main__":
    sys.exit(main())

"""A form on its way through: what is read of it, and that no piece of it can hide another."""

from __future__ import annotations

import io
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.formparser import MultiPartParser

from pool.core.faults import Fault
from pool.web.proxy.multipart import Form, boundary_of

WANTED = ("model", "stream")


def part(name: str, value: bytes, more: str = "") -> bytes:
    return f'--b0\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"


END = b"--b0--\r\n"


def read(body: bytes, sizes=(1 << 20,)) -> Form:
    form, at, turn = Form(b"b0", WANTED), 0, 0
    while at < len(body):
        size = sizes[turn % len(sizes)]
        form.feed(body[at : at + size])
        at, turn = at + size, turn + 1
    form.end()
    return form


def test_a_wanted_field_is_read_with_its_place_and_files_are_passed_over() -> None:
    body = part("file", b"model\r\n--b0x\r\n" * 3, '; filename="a.bin"\r\nContent-Type: audio/wav')
    body += part("model", b"whisper-1") + part("language", b"en") + END
    body = body.replace(b"--b0x", b"--c0")
    field = read(body).fields["model"]
    assert field.value == "whisper-1"
    assert body[field.start : field.end] == b"whisper-1"


@pytest.mark.parametrize("sizes", [(1,), (2,), (3,), (7,), (64,), (1, 5, 2)])
def test_it_does_not_matter_how_a_form_is_cut(sizes) -> None:
    body = b"preamble\r\n" + part("file", b"\r\n--b\r\n-" * 20, '; filename="x"') + part("model", b"m-1")
    body += part("stream", b"") + END + b"epilogue"
    form = read(body, sizes)
    assert {name: field.value for name, field in form.fields.items()} == {"model": "m-1", "stream": ""}
    model = form.fields["model"]
    assert body[model.start : model.end] == b"m-1"


@pytest.mark.parametrize(
    "head",
    [
        'form-data; name=model', 'form-data; NAME="model"', 'form-data; name="model"; x=y',
        'form-data ; name = "model"', 'form-data; name="mod\\el"',
    ],
)  # fmt: skip
def test_a_name_is_read_however_it_is_written(head: str) -> None:
    body = f"--b0\r\ncontent-disposition: {head}\r\n\r\nm\r\n".encode() + END
    assert read(body).fields["model"].value == "m"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"--b0", END[:-4], part("model", b"m"), part("model", b"a") + part("model", b"b") + END,
        b"--b0\r\nContent-Type: text/plain\r\n\r\nm\r\n" + END,
        b"--b0\r\nContent-Disposition: form-data; name=\"model\"\r\nContent-Disposition: form-data\r\n\r\nm\r\n" + END,
        b"--b0\r\nContent-Disposition: form-data; name=\"a\"; name=\"model\"\r\n\r\nm\r\n" + END,
        b"--b0\r\nContent-Disposition: form-data; name=\"a\"; name*=utf-8''model\r\n\r\nm\r\n" + END,
        b"--b0\r\nContent-Disposition: form-data; name=\"model\r\n\r\nm\r\n" + END,
        b"--b0 x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n" + END,
        part("model", b"\xff\xfe") + END, part("model", b"m" * 5000) + END,
        b"--b0\r\n" + b"X: y\r\n" * 5000, b"x" * 100_000,
    ],
)  # fmt: skip
def test_what_can_be_read_in_two_ways_is_refused(body: bytes) -> None:
    with pytest.raises(Fault) as caught:
        read(body)
    assert (caught.value.status, caught.value.code) == (400, "invalid_form")


def test_a_part_without_content_hides_no_field_behind_it() -> None:
    hidden = b'--b0\r\nContent-Disposition: form-data; name="x"\r\n\r\n' + part("model", b"hidden") + END
    assert read(hidden).fields["model"].value == "hidden"
    with pytest.raises(Fault):
        read(part("model", b"shown") + hidden)


def test_the_boundary_is_read_from_the_type() -> None:
    assert boundary_of('multipart/form-data; boundary="a b"') == b"a b"
    assert boundary_of("Multipart/Form-Data; charset=utf-8; boundary=xyz") == b"xyz"
    assert boundary_of("multipart/form-data") is None
    assert boundary_of("multipart/related; boundary=x") is None
    assert boundary_of("application/json") is None


VALUES = st.binary(max_size=40) | st.sampled_from([b"\r\n", b"--b0", b"\r\n--b", b"-", b"\r\n\r\n", b'name="model"'])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(["model", "stream", "file", "x"]), VALUES), max_size=6), st.randoms())
def test_it_reads_what_another_reader_reads(fields, rng: random.Random) -> None:
    body = b"".join(part(name, value, '; filename="f"' if name == "file" else "") for name, value in fields) + END
    sizes = [rng.randint(1, 50) for _ in range(5)]
    try:
        ours = {name: field.value for name, field in read(body, sizes).fields.items()}
    except Fault:
        return
    theirs, _ = MultiPartParser(stream_factory=lambda *_, **__: io.BytesIO()).parse(io.BytesIO(body), b"b0", len(body))
    assert ours == {name: theirs.getlist(name)[0] for name in WANTED if name in theirs}
    assert all(len(theirs.getlist(name)) < 2 for name in WANTED)

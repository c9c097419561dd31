"""Bodies that are not in memory: sent piece by piece, with their length, as often as it takes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.adapters.upstream_kit import HttpProxy, both, target
from tests.upstream import answer, in_turn, then_close


class Pieces:
    """An upload that counts how often it was begun."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces
        self.begun = 0

    def __len__(self) -> int:
        return sum(map(len, self._pieces))

    def pieces(self) -> Iterator[bytes]:
        self.begun += 1
        yield from self._pieces

    def spliced(self, start: int, end: int, middle: bytes) -> Pieces:
        raise NotImplementedError


WHOLE = (b"one " * 50_000, b"", b"two", b"\x00" * 300_000)


def test_an_upload_arrives_whole_with_its_length() -> None:
    with both(answer(200, b"ok")) as (server, engine):
        for _ in range(2):
            assert engine.start(target(server, body=Pieces(*WHOLE))).read(100) == b"ok"
    for request in server.requests:
        assert request.body == b"".join(WHOLE)
        assert request.headers["content-length"] == str(len(request.body))
        assert "transfer-encoding" not in request.headers
    assert len(server.connections) == 1


def test_an_upload_goes_through_a_proxy() -> None:
    with both(answer(200, b"ok")) as (server, engine), HttpProxy() as proxy:
        assert engine.start(target(server, body=Pieces(*WHOLE), proxy_url=proxy.url)).read(100) == b"ok"
    assert server.requests[0].body == b"".join(WHOLE)
    assert server.requests[0].headers["content-length"] == str(len(server.requests[0].body))


def test_an_upload_begins_anew_where_a_kept_connection_had_ended() -> None:
    with both(in_turn(then_close(answer(200, b"ok")), answer(200, b"ok"))) as (server, engine):
        engine.start(target(server)).read(100)
        server.wait_until(lambda: not server.open_connections)
        upload = Pieces(*WHOLE)
        assert engine.start(target(server, body=upload)).read(100) == b"ok"
    assert server.requests[-1].body == b"".join(WHOLE)


def test_an_upload_that_cannot_be_read_ends_its_connection() -> None:
    class Torn(Pieces):
        def pieces(self) -> Iterator[bytes]:
            yield b"begin"
            raise RuntimeError("the disk is gone")

    with both(answer(200, b"ok")) as (server, engine):
        with pytest.raises(RuntimeError):
            engine.start(target(server, body=Torn(b"begin", b"end")))
        server.wait_until(lambda: not server.open_connections)
        assert server.requests == []
        assert engine.start(target(server)).read(100) == b"ok"

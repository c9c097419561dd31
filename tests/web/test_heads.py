"""Plain requests are read as gunicorn reads them, and nothing is plain that it would refuse."""

from io import BytesIO

import pytest
from gunicorn.config import Config
from gunicorn.http import wsgi
from gunicorn.http.errors import ParseException
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader
from hypothesis import example, given
from hypothesis import strategies as st

from pool.web.heads import MOST_BYTES, Parser, environ_base, plain

PEER, HERE = ("127.0.0.1", 50123), ("127.0.0.1", 8000)
# What two requests to the same listener do not share, or what is nobody's business.
NOT_COMPARED = {"wsgi.input", "wsgi.errors", "wsgi.early_hints"}


def config():
    cfg = Config()
    cfg.set("http_parser", "python")
    return cfg


def quick(raw):
    """What the quick way makes of bytes: the environment, the body, and what is left for the next request."""
    unreader = IterUnreader([])
    request = plain(raw, unreader)
    if request is None:
        return None
    environ = request.environ(environ_base(config(), HERE), None, PEER)
    return seen(environ, request, unreader)


def thorough(raw):
    """What gunicorn makes of the same."""
    cfg, unreader = config(), IterUnreader([raw])
    try:
        request = Request(cfg, unreader, PEER, 1)
        _, environ = wsgi.create(request, None, PEER, HERE, cfg)
    except (ParseException, StopIteration):
        return None
    environ["wsgi.multithread"] = True
    return seen(environ, request, unreader)


def seen(environ, request, unreader):
    told = {name: value for name, value in environ.items() if name not in NOT_COMPARED}
    body = environ["wsgi.input"].read()
    return told, body, unreader.read(), request.should_close()


def wire(first="POST /v1/chat/completions HTTP/1.1", *lines, body=b"{}", length=True):
    head = [first, "Host: 127.0.0.1", *lines, *([f"Content-Length: {len(body)}"] if length else [])]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


PLAIN = [
    wire(),
    wire("GET /v1/models?key=abc&x=%20 HTTP/1.1", length=False, body=b""),
    wire("GET /keys%20and%C3%A9/?q=%C3%A9 HTTP/1.1", "Accept: */*", "X-Empty:", "connection: Keep-Alive"),
    wire("POST /x HTTP/1.1", "Connection: close", "Content-Type: application/json"),
    wire() + b"GET / HTTP/1.1\r\n\r\n",
    wire("POST /v1beta/models/m:generateContent?alt=sse HTTP/1.1", "X-Forwarded-For: 1.2.3.4, 5.6.7.8"),
]


@pytest.mark.parametrize("raw", PLAIN)
def test_a_plain_request_is_what_gunicorn_says_it_is(raw):
    assert quick(raw) is not None
    assert quick(raw) == thorough(raw)


UNUSUAL = [
    wire("POST /x HTTP/1.1", "Transfer-Encoding: chunked", length=False),
    wire("POST /x HTTP/1.1", "Transfer-Encoding: chunked"),
    wire("POST /x HTTP/1.1", "Content-Length: 2"),
    wire("POST /x HTTP/1.1", "Content-Length: +2", length=False),
    wire("POST /x HTTP/1.1", "Content-Length: 2, 2", length=False),
    wire("POST /x HTTP/1.1", "Content-Length: \xb2", length=False),
    wire("POST /x HTTP/1.1", "Content_Length: 5"),
    wire("POST /x HTTP/1.1", "Expect: 100-continue"),
    wire("POST /x HTTP/1.1", "X-Forwarded-Proto: https"),
    wire("POST /x HTTP/1.1", " folded: yes"),
    wire("POST /x HTTP/1.1", "X: a\n b"),
    wire("POST /x HTTP/1.1", "X : a"),
    wire("POST /x HTTP/1.1", "no colon"),
    wire("POST /x HTTP/1.1", "X: a\rb"),
    wire("POST /x HTTP/1.1", "X: a\x00b"),
    wire("POST /x HTTP/1.1", "Host: other"),
    wire("POST /x HTTP/1.1", "Accept: a", "Accept: b"),
    wire("POST /x HTTP/1.1", "Connection: upgrade"),
    wire("POST /x HTTP/1.0"),
    wire("POST http://elsewhere/x HTTP/1.1"),
    wire("POST //elsewhere/x HTTP/1.1"),
    wire("POST /x#part HTTP/1.1"),
    wire("CONNECT 127.0.0.1:80 HTTP/1.1"),
    wire("post /x HTTP/1.1"),
    wire("POST  /x HTTP/1.1"),
    wire("POST /x HTTP/1.1 "),
    wire("POST /\xe9 HTTP/1.1"),
    wire()[:-5],
    b"\r\n" + wire(),
    wire("POST /x HTTP/1.1", "X: " + "a" * MOST_BYTES),
    wire("POST /x HTTP/1.1", *(f"X-{n}: a" for n in range(95))),
]


@pytest.mark.parametrize("raw", UNUSUAL)
def test_what_is_unusual_is_left_to_gunicorn(raw):
    unreader = IterUnreader([])
    assert plain(raw, unreader) is None
    assert unreader.read() == b"", "what was not read must not be put back by this"


names = st.sampled_from(
    ["Host", "content-length", "Content-Length", "Content_Length", "Transfer-Encoding", "Connection", "X-A", "x-a",
     "Expect", "X-Forwarded-Proto", "Accept", "Content-Type", "Auth orization", "", "X:", "Script_Name"]
)  # fmt: skip
values = st.one_of(
    st.sampled_from(["2", "0", "chunked", "close", "keep-alive", "100-continue", "a, b", "+2", "0x2", " 2 ", "\t2"]),
    st.text(st.characters(max_codepoint=255), max_size=6),
)
targets = st.one_of(
    st.sampled_from(["/", "/v1/models", "/a?b=c", "//x", "*", "http://x/y", "/%zz", "/a;b?c#d", "/[", "/a:b"]),
    st.text(st.characters(max_codepoint=255), max_size=6).map(lambda text: "/" + text),
)
heads = st.builds(
    lambda method, target, version, fields, body, separator: (
        f"{method} {target} {version}\r\n".encode("latin-1")
        + "".join(f"{name}:{separator}{value}\r\n" for name, value in fields).encode("latin-1")
        + b"\r\n"
        + body
    ),
    st.sampled_from(["GET", "POST", "HEAD", "DELETE", "get", "CONNECT", "P OST"]),
    targets,
    st.sampled_from(["HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "http/1.1"]),
    st.lists(st.tuples(names, values), max_size=4),
    st.binary(max_size=4),
    st.sampled_from([" ", "", "\t "]),
)


@given(heads)
@example(wire())
def test_nothing_is_read_in_another_way_than_gunicorns(raw):
    found = quick(raw)
    if found is not None:
        assert found == thorough(raw)


def test_a_body_that_is_still_on_its_way_is_read_from_the_connection():
    raw = wire(body=b"x" * 5000)
    request = plain(raw[:1000], unreader := IterUnreader([raw[1000:], wire("GET /next HTTP/1.1", body=b"")]))
    assert not isinstance(request.body, BytesIO)
    assert request.body.read() == b"x" * 5000
    assert plain(unreader.read(), unreader).path == "/next"


def test_the_next_request_begins_where_an_unread_body_ends():
    first = wire(body=b"x" * 3000)
    parser = Parser(config(), [first[:2000], first[2000:], wire("GET /next HTTP/1.1")], PEER)
    assert [parser.plain().path, parser.plain().path] == ["/v1/chat/completions", "/next"]


def test_a_connection_that_is_to_close_has_no_next_request():
    parser = Parser(config(), [wire("GET /x HTTP/1.1", "Connection: close"), wire()], PEER)
    assert parser.plain().path == "/x"
    with pytest.raises(StopIteration):
        parser.plain()

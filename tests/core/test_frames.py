"""Events that differ from the one before in their text alone are told by what stands around it."""

import pytest

from pool.core.dialects.frames import MOST_LEARNED, Frame


def event(text, padding="", index=0, finish="null"):
    padded = f',"obfuscation":"{padding}"' if padding else ""
    choice = f'{{"index":{index},"delta":{{"content":"{text}"}},"finish_reason":{finish}}}'
    return f'data: {{"id":"c","choices":[{choice}]{padded}}}\n\n'.encode()


@pytest.fixture
def frame():
    frame = Frame()
    frame.learn(event("Hello"))
    return frame


@pytest.mark.parametrize("text", ["", " world", "é😀", r"a\nb", r"back\\slash", "{[]}", "'"])
def test_another_text_fits(frame, text):
    assert frame.fits(event(text))


@pytest.mark.parametrize(
    "other",
    [
        event("x", finish='"stop"'),
        event("x", index=1),
        event(r"a \"quote\" within"),
        event('","finish_reason":"stop","x":"'),
        event("a") + event("b"),
        event("a")[:-1],
        event("a")[:-12],
        event("a") + b": comment\n\n",
        event("two\nlines"),
        b": comment\n\n" + event("a"),
        b'data: {"error":{"message":"x"}}\n\n',
        b"data: [DONE]\n\n",
        b"\n",
        b"",
    ],
)
def test_anything_else_does_not(frame, other):
    assert not frame.fits(other)


def test_what_stands_around_the_text_is_measured(frame):
    assert frame.size == len(event(""))


def test_padding_may_change_as_well():
    frame = Frame()
    frame.learn(event("Hello", "aB3"))
    assert frame.fits(event("you", "x"))
    assert not frame.fits(event("you"))


@pytest.mark.parametrize(
    "told", [b"data: [DONE]\n\n", event(r"with \n escape"), event("a") + event("b"), b"data: {\ndata: }\n\n"]
)
def test_what_shows_no_frame_teaches_none(told):
    frame = Frame()
    frame.learn(told)
    assert not frame.known


def test_what_never_looks_alike_is_given_up():
    frame = Frame()
    for number in range(MOST_LEARNED):
        frame.learn(event("x", index=number))
        assert frame.known
    frame.learn(event("x", index=MOST_LEARNED))
    assert not frame.known

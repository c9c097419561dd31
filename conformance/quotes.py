"""What an answer rests on: Google's grounding and citations, and the annotations of OpenAI's that must say the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from conformance.cases import require, shown

SOURCES = ("web", "maps", "retrievedContext")
FENCED = re.compile(r"```.*?```", re.DOTALL)
WORD_FOR_WORD = 16_000
"""Of a longer text a stream keeps no words, only about where they stand."""


@dataclass(frozen=True)
class Quote:
    """A page, and the words that rest on it: any of `words`; whichever where there are none.

    One of ours has the place of its words instead.
    """

    url: str
    title: str
    words: frozenset[str] = frozenset()
    place: tuple[int, int] = (0, 0)


def quotes_of(candidate: dict[str, Any], text: str, parts: list[str]) -> list[Quote]:
    """`text`: all that is visible so far; `parts`: that of each part."""
    return [*_grounded(candidate.get("groundingMetadata"), text, parts), *_cited(candidate, text, parts)]


def _grounded(grounding: Any, text: str, parts: list[str]) -> Iterator[Quote]:
    if not isinstance(grounding, dict):
        return
    pages = [_page(chunk) for chunk in grounding.get("groundingChunks") or ()]
    supports = [support for support in grounding.get("groundingSupports") or () if isinstance(support, dict)]
    for support in supports:
        words = _words(support.get("segment") or {}, text, parts)
        for index in support.get("groundingChunkIndices") or ():
            page = pages[index] if isinstance(index, int) and 0 <= index < len(pages) else None
            if page:
                yield Quote(page.url, page.title, words)
    if not supports:
        yield from (page for page in pages if page)


def _page(chunk: Any) -> Quote | None:
    if not isinstance(chunk, dict):
        return None
    source = next((chunk[name] for name in SOURCES if chunk.get(name)), None)
    return Quote(source["uri"], source.get("title") or "") if source and source.get("uri") else None


def _cited(candidate: dict[str, Any], text: str, parts: list[str]) -> Iterator[Quote]:
    cited = candidate.get("citationMetadata")
    sources = (cited.get("citationSources") or cited.get("citations")) if isinstance(cited, dict) else None
    for source in sources if isinstance(sources, list) else ():
        if isinstance(source, dict) and source.get("uri"):
            yield Quote(source["uri"], source.get("title") or "", _words(source, text, parts))


def _words(segment: dict[str, Any], text: str, parts: list[str]) -> frozenset[str]:
    """Google counts bytes, of all that is visible or of one part; where that is not what it quotes, anything goes."""
    start, end = segment.get("startIndex") or 0, segment.get("endIndex") or 0
    slices = {whole.encode()[start:end].decode("utf-8", "ignore") for whole in (text, *parts)}
    quoted = segment.get("text")
    if quoted:
        return frozenset({quoted} & slices)
    return frozenset() if end <= start else frozenset(slices - {""})


def quotes_told(annotations: Any) -> list[Quote]:
    found = []
    for annotation in annotations if isinstance(annotations, list) else ():
        cited = annotation.get("url_citation")
        if isinstance(cited, dict):
            place = (cited.get("start_index") or 0, cited.get("end_index") or 0)
            found.append(Quote(cited.get("url") or "", cited.get("title") or "", place=place))
    return found


def are_told(native: list[Quote], ours: list[Quote], text: str, interrupted: bool) -> None:
    """`text`: what the client reads; `interrupted` where more stands in it than Google's text."""
    pages = {(quote.url, quote.title) for quote in native}
    for quote in ours:
        require((quote.url, quote.title) in pages, f"an annotation of nothing that was cited: {shown(quote.url)}")
        require(quote.place[1] <= len(text), f"an annotation of more than was said, to {quote.place[1]}")
    for wanted in native:
        found = [one for one in ours if (one.url, one.title) == (wanted.url, wanted.title)]
        require(found, f"no annotation for {shown(wanted.url)}")
        read = [text[slice(*one.place)] for one in found]
        if wanted.words and len(text) < WORD_FOR_WORD:
            fits = any(_fits(words, one, interrupted) for words in wanted.words for one in read)
            require(fits, f"annotations of {shown(read)}, recorded {shown(sorted(wanted.words))}")


def _fits(words: str, read: str, interrupted: bool) -> bool:
    return words == read or (interrupted and _unbroken(words) == _unbroken(read))


def _unbroken(text: str) -> str:
    """Without code and white space."""
    return "".join(FENCED.sub("", text).split())

"""Google's grounding and citations as OpenAI's `annotations`: which words of the answer rest on which page."""

from __future__ import annotations

from typing import Any

Annotation = dict[str, Any]


def annotations_of(candidate: dict[str, Any], texts: list[str]) -> list[Annotation]:
    """One url_citation for each supported segment and page; whole pages where no segment is named.

    `texts` are the texts of the candidate's parts, "" where a part has none that reached the client.
    """
    return _grounded(candidate, texts) + _cited(candidate, "".join(texts))


def _cited(candidate: dict[str, Any], text: str) -> list[Annotation]:
    """What the answer was recited from, where that has an address. The list has had two names (recorded)."""
    cited = candidate.get("citationMetadata")
    sources = (cited.get("citationSources") or cited.get("citations")) if isinstance(cited, dict) else None
    found = []
    for source in sources if isinstance(sources, list) else ():
        if isinstance(source, dict) and source.get("uri"):
            page = {"url": source["uri"], "title": source.get("title") or ""}
            found.append(citation(page, *_span({**source, "partIndex": 0}, [text])))
    return found


def _grounded(candidate: dict[str, Any], texts: list[str]) -> list[Annotation]:
    grounding = candidate.get("groundingMetadata")
    if not isinstance(grounding, dict):
        return []
    pages = [page_of(chunk) for chunk in grounding.get("groundingChunks") or ()]
    supports = [support for support in grounding.get("groundingSupports") or () if isinstance(support, dict)]
    if not supports:
        return [citation(page, 0, 0) for page in pages if page]
    found = []
    for support in supports:
        start, end = _span(support.get("segment") or {}, texts)
        for index in support.get("groundingChunkIndices") or ():
            page = pages[index] if isinstance(index, int) and 0 <= index < len(pages) else None
            if page:
                found.append(citation(page, start, end))
    return found


def page_of(chunk: Any) -> dict[str, str] | None:
    """The page behind a grounding chunk: a web page, a place on a map, a retrieved document."""
    if not isinstance(chunk, dict):
        return None
    source = chunk.get("web") or chunk.get("maps") or chunk.get("retrievedContext") or {}
    uri = source.get("uri")
    return {"url": uri, "title": source.get("title") or ""} if uri else None


def citation(page: dict[str, str], start: int, end: int) -> Annotation:
    return {"type": "url_citation", "url_citation": {"start_index": start, "end_index": end, **page}}


def _span(segment: dict[str, Any], texts: list[str]) -> tuple[int, int]:
    """Google counts bytes of UTF-8 inside one part, OpenAI characters of the whole content.

    proto3 leaves zeros out: no partIndex is the first part, no startIndex its beginning.
    """
    part = segment.get("partIndex") or 0
    if not isinstance(part, int) or part >= len(texts):
        return 0, 0
    before = sum(len(text) for text in texts[:part])
    raw = texts[part].encode()
    start = len(raw[: segment.get("startIndex") or 0].decode("utf-8", "ignore"))
    end = len(raw[: segment.get("endIndex") or 0].decode("utf-8", "ignore"))
    return before + start, before + end

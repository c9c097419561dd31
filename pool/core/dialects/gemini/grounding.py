"""Google's grounding and citations as OpenAI's `annotations`: which words of the answer rest on which page."""

from __future__ import annotations

from typing import Any

from pool.core.dialects.gemini.written import Written

Annotation = dict[str, Any]


def annotations_of(candidate: dict[str, Any], written: Written) -> list[Annotation]:
    """One url_citation for each supported segment and page; whole pages where no segment is named."""
    return _grounded(candidate, written) + _cited(candidate, written)


def _cited(candidate: dict[str, Any], written: Written) -> list[Annotation]:
    """What the answer was recited from, where that has an address. The list has had two names (recorded)."""
    cited = candidate.get("citationMetadata")
    sources = (cited.get("citationSources") or cited.get("citations")) if isinstance(cited, dict) else None
    found = []
    for source in sources if isinstance(sources, list) else ():
        if isinstance(source, dict) and source.get("uri"):
            page = {"url": source["uri"], "title": source.get("title") or ""}
            found.append(citation(page, *written.span(source)))
    return found


def _grounded(candidate: dict[str, Any], written: Written) -> list[Annotation]:
    grounding = candidate.get("groundingMetadata")
    if not isinstance(grounding, dict):
        return []
    pages = [page_of(chunk) for chunk in grounding.get("groundingChunks") or ()]
    supports = [support for support in grounding.get("groundingSupports") or () if isinstance(support, dict)]
    if not supports:
        return [citation(page, 0, 0) for page in pages if page]
    found = []
    for support in supports:
        start, end = written.span(support.get("segment") or {})
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

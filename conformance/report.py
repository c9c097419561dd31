"""What a run came to, as a page of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from conformance.cases import FAILED, KNOWN, PASSED, Result

MOST_FILES = 6
"""Of a reason that explains many cases, so many are named."""


def lines(results: Iterable[Result]) -> Iterator[str]:
    results = list(results)
    yield from _table("kind", [(result.case.kind, result) for result in results])
    yield ""
    yield from _table(
        "feature",
        [(f"{result.case.kind} {feature}", result) for result in results for feature in result.case.features],
    )
    yield from _reasons([result for result in results if result.verdict == KNOWN])
    yield from _failures([result for result in results if result.verdict == FAILED])
    yield ""
    yield _sum(results)


def _table(title: str, rows: list[tuple[str, Result]]) -> Iterator[str]:
    counts: dict[str, Counter[str]] = {}
    for name, result in rows:
        counts.setdefault(name, Counter())[result.verdict] += 1
    width = max([len(title), *map(len, counts)], default=0)
    yield f"{title:{width}}  passed/total  known  failed"
    for name in sorted(counts):
        count = counts[name]
        share = f"{count[PASSED] + count[KNOWN]}/{count.total()}"
        yield f"{name:{width}}  {share:>12}  {count[KNOWN] or '':>5}  {count[FAILED] or '':>6}".rstrip()


def _reasons(known: list[Result]) -> Iterator[str]:
    found: dict[str, list[str]] = {}
    for result in known:
        for note in result.notes:
            found.setdefault(note, []).append(result.case.file)
    if found:
        yield ""
        yield "otherwise than recorded, and why"
    for reason, files in sorted(found.items(), key=lambda item: -len(item[1])):
        more = f" and {len(files) - MOST_FILES} more" if len(files) > MOST_FILES else ""
        yield f"{len(files):4}  {reason}"
        yield f"      {', '.join(files[:MOST_FILES])}{more}"


def _failures(failed: list[Result]) -> Iterator[str]:
    if failed:
        yield ""
        yield "failed"
    for result in failed:
        yield f"  {result.case.file}"
        for note in result.notes:
            yield f"      {note}"


def _sum(results: list[Result]) -> str:
    count = Counter(result.verdict for result in results)
    return (
        f"{len(results)} cases: {count[PASSED]} as recorded, {count[KNOWN]} otherwise for a reason, "
        f"{count[FAILED]} failed without one"
    )

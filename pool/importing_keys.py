"""Imports, from a text to keys that are in: what each row would mean, and the job that takes the wanted ones in.

The page and the API share it. It is handed what it asks the world outside: `known` finds keys by their fingerprints,
`aside` runs long pure work in a thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pool.core.catalogue import Catalogue, Pool
from pool.core.heap import uncollected
from pool.core.importing import Row, parse
from pool.jobs import Progress

NEW, LINKED, RESTORED, HERE, TWICE, IMPOSSIBLE, LEFT = FATES = (
    "new", "linked", "restored", "here", "twice", "impossible", "left_out",
)  # fmt: skip

SLICE = 500
"""Keys written in one transaction: nobody else waits for it longer than a tenth of a second."""

PIECE = 1_000
LISTED = 1_000
"""Rejected lines a result lists."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Where keys are to go, and what is true of all of them.

    `provider` says whose they are, whatever their shape; `unknown` whose those are that no shape tells.
    """

    pool: Pool
    provider: str = ""
    unknown: str = ""
    tags: tuple[str, ...] = ()
    project: str = ""
    weight: int | None = None

    def of(self, row: Row, providers: Collection[str]) -> None:
        """Make a row say what is wished. What stands beside a key itself goes before."""
        row.provider = next(
            (slug for slug in (self.provider, row.named, row.provider, self.unknown) if slug in providers), ""
        )
        row.tags = tuple(dict.fromkeys((*row.tags, *self.tags)))
        row.project = row.project or self.project
        if self.weight is not None and row.weight == 1:
            row.weight = self.weight


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row of the text and what taking it in would mean."""

    index: int
    row: Row
    fate: str
    pools: tuple[str, ...] = ()

    @property
    def takeable(self) -> bool:
        return self.fate in (NEW, LINKED, RESTORED)


@dataclass(frozen=True, slots=True)
class Sums:
    """The figures of a preview: rows by fate, those of unfamiliar shape, and those that can be taken."""

    counts: Counter[str]
    unsure: int
    takeable: int


class Known(Protocol):
    """A key that is here already: see `queries.KnownKey`."""

    @property
    def provider(self) -> str: ...
    @property
    def fingerprint(self) -> bytes: ...
    @property
    def binned(self) -> bool: ...
    @property
    def pools(self) -> tuple[str, ...]: ...
    @property
    def here(self) -> bool: ...


class Importer:
    """Reads texts, and takes their keys in."""

    def __init__(
        self,
        catalogue: Catalogue,
        fingerprint: Callable[[str, str], bytes],
        known: Callable[[Sequence[bytes], int], Sequence[Known]],
        begin: Callable[..., Any],
        aside: Callable[..., Any],
    ) -> None:
        self._catalogue, self._fingerprint, self._known = catalogue, fingerprint, known
        self._begin, self._aside = begin, aside

    def candidates(self, text: str, wish: Wish) -> list[Candidate]:
        """Every row of a text. To be let go of by `forget`."""
        rows, prints = self._aside(_read, text, wish, frozenset(self._catalogue.providers), self._fingerprint)
        found = self._known([print_ for print_ in prints if print_], wish.pool.id)
        return self._aside(_judged, rows, prints, found)

    def holds_keys(self, text: str) -> bool:
        return self._aside(_holds_keys, text)

    def sums(self, candidates: Sequence[Candidate]) -> Sums:
        return self._aside(_sums, candidates)

    def forget(self, pile: list[Any]) -> None:
        """Free many values bit by bit. Freed as one, 100,000 of them stop every thread for 100 ms."""
        self._aside(_let_go, pile)

    def take_in(
        self,
        candidates: list[Candidate],
        wanted: Callable[[Candidate], bool],
        about: Mapping[str, Any],
        progress: Progress,
    ) -> dict[str, Any]:
        """Add the keys that are wanted, slice by slice; what came of it. The candidates are gone afterwards.

        `about` names pool_id, origin, who and name. Where somebody cancels, what is in stays in, as one import.
        """
        chosen, counts, rejects = self._aside(_sorted, candidates, wanted)
        self.forget(candidates)
        told = {"counts": counts, "rejected": len(rejects), "rejects": rejects[:LISTED]}
        progress.total = len(chosen)
        batch = self._begin(**about, job_id=progress.job_id or None)
        try:
            with uncollected():
                self._take(batch, chosen, progress)
        finally:
            batch.end()
            self.forget(chosen)
        return {**told, "import_id": batch.id if batch.brought else None, "fates": dict(batch.fates)}

    def _take(self, batch: Any, chosen: list[Row], progress: Progress) -> None:
        for taken in batch.take_all(_slices(chosen)):
            if batch.brought:
                progress.undo = {"import": batch.id}
            for fate, number in Counter(each.fate for each in taken).items():
                progress.note(fate, number, (each.key_id for each in taken if each.fate == fate))
            progress.step(len(taken))


def _slices(rows: list[Row]) -> Iterator[list[Row]]:
    return (rows[at : at + SLICE] for at in range(0, len(rows), SLICE))


def _read(
    text: str, wish: Wish, providers: Collection[str], fingerprint: Callable[[str, str], bytes]
) -> tuple[list[Row], list[bytes]]:
    """Rows as they are wished, and the fingerprint of each that can be taken (else empty). Runs aside."""
    rows, prints = parse(text).rows, []
    for row in rows:
        wish.of(row, providers)
        prints.append(fingerprint(row.provider, row.secret) if row.usable and row.provider else b"")
    return rows, prints


def _judged(rows: Sequence[Row], prints: Sequence[bytes], found: Sequence[Known]) -> list[Candidate]:
    """Each row with what taking it in would mean. Runs aside."""
    known = {(each.provider, each.fingerprint): each for each in found}
    judged = []
    for index, (row, print_) in enumerate(zip(rows, prints, strict=True)):
        match = known.get((row.provider, print_))
        judged.append(Candidate(index, row, _fate(row, match), match.pools if match else ()))
    return judged


def _holds_keys(text: str) -> bool:
    rows = parse(text).rows
    found = bool(rows)
    _let_go(rows)
    return found


def _let_go(pile: list[Any]) -> None:
    while pile:
        del pile[-PIECE:]


def _sums(candidates: Sequence[Candidate]) -> Sums:
    return Sums(
        Counter(each.fate for each in candidates),
        sum(each.takeable and each.row.kind == "unsure" for each in candidates),
        sum(each.takeable for each in candidates),
    )


def _sorted(
    candidates: Sequence[Candidate], wanted: Callable[[Candidate], bool]
) -> tuple[list[Row], Counter[str], list[dict[str, Any]]]:
    """The rows to take in, how many of the others there are by fate, and the impossible ones. Runs aside."""
    chosen = [each.row for each in candidates if each.takeable and wanted(each)]
    counts = Counter(each.fate for each in candidates if not each.takeable)
    counts[LEFT] += sum(each.takeable for each in candidates) - len(chosen)
    impossible = (each.row for each in candidates if each.fate == IMPOSSIBLE)
    return chosen, +counts, [{"line": row.line, "problem": row.problem} for row in impossible]


def _fate(row: Row, known: Known | None) -> str:
    if row.kind in (TWICE, IMPOSSIBLE):
        return row.kind
    if not row.provider:
        return LEFT
    if known is None:
        return NEW
    if known.binned:
        return RESTORED
    return HERE if known.here else LINKED

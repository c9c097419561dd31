"""Importing keys: a paste becomes a sealed draft, the draft a preview, a yes the result."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from flask import Response, flash, make_response, redirect, render_template, request, url_for
from flask_babel import gettext as _

from pool.adapters import queries
from pool.core.catalogue import Pool
from pool.core.heap import uncollected
from pool.core.importing import Row, parse
from pool.web import htmx
from pool.web.admin import admin
from pool.web.here import aside, audit, keypool, now, read, write
from pool.web.ids import row_id

MOST_BYTES = 50_000_000
SHOWN = 200
"""Rows of a preview that can be ticked one by one."""

PIECE = 1_000
LISTED = 1_000
"""Rejected lines a result lists."""

NEW, LINKED, RESTORED, HERE, TWICE, IMPOSSIBLE, LEFT = (
    "new", "linked", "restored", "here", "twice", "impossible", "left_out",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row of the paste and what taking it in would mean."""

    index: int
    row: Row
    fate: str
    pools: tuple[str, ...] = ()

    @property
    def takeable(self) -> bool:
        return self.fate in (NEW, LINKED, RESTORED)


@admin.before_request
def _allow_long_pastes() -> None:
    if request.endpoint == "admin.draft_import":
        request.max_content_length = request.max_form_memory_size = MOST_BYTES


@admin.get("/keys/import")
def import_keys() -> Response:
    return _form()


@admin.post("/keys/import")
@uncollected()
def draft_import() -> Response:
    """Keep the paste, sealed, until somebody says yes to its preview."""
    text, pool_id = _pasted(), request.form.get("pool", 0, type=row_id)
    unknown = request.form.get("unknown", "")
    unknown = unknown if unknown in keypool().catalogue.providers else ""
    if pool_id not in keypool().catalogue.pools:
        return _form(text_error="", pool_error=_("Choose a pool."))
    if not aside(_holds_keys, text):
        return _form(text_error=_("There is no key in that. Paste one key a line, or a file that holds some."))
    token = secrets.token_urlsafe(16)
    sealed = aside(keypool().vault.encrypt, f"{pool_id}\n{unknown}\n{text}")
    write(queries.keep_draft, token, sealed, now())
    return make_response(redirect(url_for(".preview_import", token=token), 303))


@admin.get("/keys/import/<token>")
@uncollected()
def preview_import(token: str) -> Response:
    known, sealed = _result(token), read(queries.draft, token, now())
    if known is not None or sealed is None:
        return known or _gone()
    pool, missing, unknown, candidates = _candidates(sealed)
    page = make_response(
        render_template(
            "imports/preview.html",
            token=token,
            pool=pool,
            missing=missing,
            unknown=unknown,
            candidates=candidates[:SHOWN],
            total=len(candidates),
            **aside(_sums, candidates),
        )
    )
    aside(_let_go, candidates)
    return page


@admin.post("/keys/import/<token>")
@uncollected()
def confirm_import(token: str) -> Response:
    """Take in what was ticked. What became of it has a page of its own, where a second yes leads to as well."""
    known, sealed = _result(token), read(queries.draft, token, now())
    if known is not None or sealed is None:
        return known or _gone()
    pool, _missing, _unknown, candidates = _candidates(sealed)
    if request.form.get("pool", pool.id, type=row_id) != pool.id:
        # The pool was deleted while somebody looked at the preview: nothing goes where nobody said it should.
        return htmx.moved(url_for(".preview_import", token=token))
    ticked = frozenset(request.form.getlist("take", type=row_id))
    if not any(_wanted(each, ticked) for each in candidates):
        flash(_("No key is ticked, so none was imported."))
        return htmx.moved(url_for(".preview_import", token=token))
    if not write(queries.begin_import, token, now()):
        return _result(token) or _gone()
    told = None
    try:
        told = _take_in(candidates, ticked, pool)
    finally:
        if told is None:
            write(queries.give_up_import, token)
    write(queries.end_import, token, json.dumps(told), now())
    return htmx.moved(url_for(".import_result", token=token))


@admin.get("/keys/import/<token>/result")
def import_result(token: str) -> Response:
    """What became of a paste, for an hour. While its keys are being taken in, the page asks again by itself."""
    told = read(queries.import_result, token, now())
    if told is None:
        return _gone()
    if not told:
        page = make_response(render_template("imports/under_way.html"))
        page.headers["Refresh"] = "2"
        return page
    known = json.loads(told)
    counted = {name: Counter(known[name]) for name in ("fates", "counts")}
    return make_response(render_template("imports/result.html", **{**known, **counted}))


def _result(token: str) -> Response | None:
    """The way to what became of a paste; None where nothing is known of it."""
    if read(queries.import_result, token, now()) is None:
        return None
    return htmx.moved(url_for(".import_result", token=token))


def _take_in(candidates: list[Candidate], ticked: frozenset[int], pool: Pool) -> dict[str, Any]:
    """Add the keys that are wanted; what the page of the result says."""
    chosen, counts, rejects = aside(_sorted, candidates, ticked)
    taken = keypool().inventory.add_keys(chosen, pool.id, "paste", "admin") if chosen else []
    fates = aside(_fates, taken)
    lines = [(each.row.line, each.row.problem) for each in rejects[:LISTED]]
    for pile in (candidates, chosen, taken):
        aside(_let_go, pile)
    audit("key.import", f"pool {pool.id}", after={"pool": pool.name, **fates})
    return {
        "pool_id": pool.id,
        "pool_name": pool.name,
        "fates": fates,
        "counts": counts,
        "rejects": lines,
        "rejected": len(rejects),
    }


def _form(text_error: str = "", pool_error: str = "") -> Response:
    catalogue = keypool().catalogue
    return htmx.page(
        "imports/new.html",
        "imports/_new.html",
        422 if text_error or pool_error else 200,
        pools=list(catalogue.pools.values()),
        providers=list(catalogue.providers),
        pool_id=request.values.get("pool", catalogue.default_pool_id, type=row_id),
        unknown=request.form.get("unknown", "openai"),
        errors={"text": text_error, "pool": pool_error},
    )


def _pasted() -> str:
    """The text area and the file, one after the other."""
    file = request.files.get("file")
    uploaded = _decoded(file.read()) if file and file.filename else ""
    pasted = request.form.get("text", "")
    return f"{pasted}\n{uploaded}" if pasted.strip() and uploaded else pasted.strip("\r\n") or uploaded


def _decoded(content: bytes) -> str:
    """A file's text. Spreadsheets save "Unicode text" as UTF-16."""
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    return content.decode("utf-16" if wide else "utf-8", "replace")


def _gone() -> Response:
    flash(_("That paste is gone: it is older than an hour."))
    return make_response(redirect(url_for(".import_keys"), 303))


def _candidates(sealed: bytes) -> tuple[Pool, bool, str, list[Candidate]]:
    """A draft's pool, or `default` where it is missing by now; what its keys of unknown shape are taken for; and all
    of its rows."""
    vault, catalogue = keypool().vault, keypool().catalogue
    pool_text, unknown, text = aside(vault.decrypt, sealed).split("\n", 2)
    chosen = catalogue.pools.get(int(pool_text))
    pool = chosen or catalogue.pools[catalogue.default_pool_id]
    rows, prints = aside(_read, text, unknown, frozenset(catalogue.providers), vault)
    found = read(queries.known_keys, [print_ for print_ in prints if print_], pool.id)
    return pool, chosen is None, unknown, aside(_judged, rows, prints, found)


def _read(text: str, unknown: str, providers: frozenset[str], vault: Any) -> tuple[list[Row], list[bytes]]:
    """Rows with their providers settled, and the fingerprint of each that can be taken (else empty). Runs aside."""
    rows, prints = [], []
    for row in parse(text).rows:
        if row.provider not in providers:
            row = replace(row, provider=unknown if unknown in providers else "")
        rows.append(row)
        prints.append(vault.fingerprint(row.provider, row.secret) if row.usable and row.provider else b"")
    return rows, prints


def _judged(rows: Sequence[Row], prints: Sequence[bytes], found: Sequence[queries.KnownKey]) -> list[Candidate]:
    """Each row with what taking it in would mean. Runs aside."""
    known = {(each.provider, each.fingerprint): each for each in found}
    judged = []
    for index, (row, print_) in enumerate(zip(rows, prints, strict=True)):
        match = known.get((row.provider, print_))
        judged.append(Candidate(index, row, _fate(row, match), match.pools if match else ()))
    return judged


def _holds_keys(text: str) -> bool:
    rows = list(parse(text).rows)
    found = bool(rows)
    _let_go(rows)
    return found


def _let_go(pile: list[Any]) -> None:
    """Free many values bit by bit. Freed as one, 100,000 of them stop every thread for 100 ms. Runs aside."""
    while pile:
        del pile[-PIECE:]


def _sums(candidates: Sequence[Candidate]) -> dict[str, Any]:
    """The figures of a preview. Runs aside."""
    return {
        "counts": Counter(each.fate for each in candidates),
        "unsure": sum(each.takeable and each.row.kind == "unsure" for each in candidates),
        "takeable": sum(each.takeable for each in candidates),
    }


def _sorted(candidates: Sequence[Candidate], ticked: frozenset[int]) -> tuple[list[Row], Counter[str], list[Candidate]]:
    """The rows to take in, how many of the others there are by fate, and the impossible ones. Runs aside."""
    chosen = [each.row for each in candidates if _wanted(each, ticked)]
    counts = Counter(each.fate for each in candidates if not each.takeable)
    counts[LEFT] += sum(each.takeable for each in candidates) - len(chosen)
    return chosen, counts, [each for each in candidates if each.fate == IMPOSSIBLE]


def _wanted(each: Candidate, ticked: frozenset[int]) -> bool:
    """Is it to be taken in? Beyond the rows that are shown nobody could tick or untick."""
    return each.takeable and (each.index >= SHOWN or each.index in ticked)


def _fates(taken: Sequence[Any]) -> Counter[str]:
    return Counter(each.fate for each in taken)


def _fate(row: Row, known: queries.KnownKey | None) -> str:
    if row.kind in (TWICE, IMPOSSIBLE):
        return row.kind
    if not row.provider:
        return LEFT
    if known is None:
        return NEW
    if known.binned:
        return RESTORED
    return HERE if known.here else LINKED

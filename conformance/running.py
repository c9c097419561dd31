"""Every case of a folder through the check of its kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from conformance import compat, errors, native, openai, pairs, stories
from conformance.cases import FAILED, KNOWN, PASSED, Case, Result, Unmet, cases
from pool.core.faults import Fault

CHECKS: dict[str, Callable[[Case], list[str]]] = {
    "gemini_native": native.check,
    "gemini_openai_compat": compat.check,
    "openai": openai.check,
    "pairs": pairs.check,
    "errors": errors.check,
    "stories": stories.check,
}

BROKEN = (AssertionError, AttributeError, LookupError, TypeError, ValueError, RecursionError)
"""What a recording of a shape nobody foresaw, or a fault of ours, ends in: a failed case, and the others go on."""


def run(folder: Path) -> Iterator[Result]:
    for case in cases(folder):
        yield judged(case)


def judged(case: Case) -> Result:
    check = CHECKS.get(case.kind)
    if check is None:
        return Result(case, FAILED, (f"nobody here knows the kind {case.kind!r}",))
    if isinstance(case.document, Unmet):
        return Result(case, FAILED, (str(case.document),))
    try:
        reasons = tuple(dict.fromkeys(check(case)))
    except Unmet as unmet:
        return Result(case, FAILED, (str(unmet),))
    except Fault as fault:
        return Result(case, FAILED, (f"refused: {fault.param}: {fault.message}",))
    except BROKEN as error:
        return Result(case, FAILED, (f"{type(error).__name__}: {error}",))
    return Result(case, KNOWN if reasons else PASSED, reasons)

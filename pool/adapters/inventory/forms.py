"""Forms that count once: a change asked for by the same form again finds the first one's answer instead."""

from __future__ import annotations

from sqlalchemy.orm import Session

from pool.adapters.database import next_revision
from pool.adapters.queries import answers
from pool.adapters.vault import Vault
from pool.core.twice import AnsweredBefore


def begin(session: Session, form: str, now: float) -> None:
    """Let no other writer in before the commit, so that who comes second sees what the first did.

    Raises `AnsweredBefore` where the one-time token `form` was seen before.
    """
    next_revision(session)
    if form and answers.answer(session, form, now) is not None:
        raise AnsweredBefore


def keep_answer(session: Session, vault: Vault, form: str, parts: tuple[object, ...], now: float) -> None:
    if form:
        answers.keep_answer(session, form, vault.encrypt("\n".join(map(str, parts))), now)

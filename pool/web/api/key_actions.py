"""Many keys at once, by their ids or by a query: `POST /admin/keys/actions`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from flask import Response
from pydantic import Field

from pool.adapters import queries
from pool.core.faults import Fault
from pool.core.keys import FOREVER
from pool.web.acts import Deed, can_be_put_back
from pool.web.api.answers import answer
from pool.web.api.key_edits import Tags, Tier, Weight
from pool.web.api.key_shapes import KeyFilters, Line, Reference, ids_of, pool_of
from pool.web.api.keys import TAG
from pool.web.api.operations import Asked, Told, operation
from pool.web.bulk import Selection, act_as_job, act_at_once, few, undo
from pool.web.here import now, read

MOST_IDS = 10_000

Action = Literal[
    "enable", "disable", "test", "clear", "reset_counters", "link", "unlink", "move", "tag", "untag", "project",
    "weight", "delete", "restore",
]  # fmt: skip


class Selected(Asked):
    """Which keys: `ids` of either kind, or a `query` as the list takes it; `{}` means all."""

    ids: Annotated[list[Reference], Field(max_length=MOST_IDS)] | None = None
    query: KeyFilters | None = None

    def selection(self) -> tuple[Selection, list[str]]:
        """The keys, and the ids that are nobody's. Raises `Fault` 400 unless one way to name keys is used."""
        if (self.ids is None) == (self.query is None):
            message = "Name keys by `ids`, or all that a `query` finds."
            raise Fault(400, "missing_required_parameter", message, param="ids", retryable=False)
        if self.query is not None:
            return Selection(wanted=self.query.wanted()), []
        found, unknown = ids_of(self.ids or ())
        return Selection(found), unknown


class ActionsAsked(Selected):
    action: Action
    dry_run: bool = Field(False, description="Only tell how many there are.")
    pool: Reference | None = Field(None, description="Of link, unlink and move; of weight: in this pool only.")
    tags: Tags | None = Field(None, description="Of tag and untag.")
    project: Line | None = Field(None, description="Of project; empty: none.")
    weight: Weight | None = None
    tier: Tier | None = None
    until: float | None = Field(None, ge=0, le=32_503_680_000, description="Of disable; else until somebody enables.")


class Result(Told):
    id: int | str
    result: str


class ActedTold(Told):
    success: bool
    message: str
    count: int
    results: list[Result] = Field(default_factory=list)
    undo: int | None = Field(None, description="What to name in `/admin/keys/actions/{undo}/undo`.")
    dry_run: bool = False


class BegunTold(Told):
    success: bool
    message: str
    count: int
    job: int = Field(description="Its progress is at `/admin/jobs/{job}`, and in its result what leads back.")


@operation(
    "POST", "/admin/keys/actions", tag=TAG, summary="Do something to many keys", body=ActionsAsked,
    answers={200: ActedTold, 202: BegunTold},
    example={"action": "disable", "query": {"state": "cooling", "pool": "default"}, "dry_run": True},
)  # fmt: skip
def act_on_keys(body: ActionsAsked) -> Response:
    """At once for up to 500 keys (50 to test), with a result for each; more are done by a job, slice by slice."""
    selection, unknown = body.selection()
    return acted(deed_of(body), selection, unknown, body.dry_run)


def acted(deed: Deed, selection: Selection, unknown: list[str], dry_run: bool = False) -> Response:
    if dry_run:
        count = selection.count(deed.action)
        return answer({"success": True, "message": f"{count} keys", "count": count, "dry_run": True, "results": []})
    if not few(selection, deed.action):
        total = selection.count(deed.action)
        job = act_as_job(deed, selection, total)
        return answer({"success": True, "message": f"{total} keys: under way.", "count": total, "job": job}, 202)
    key_ids = selection.ids if selection.wanted is None else selection.first(deed.action, 500)
    fates, entry = act_at_once(deed, key_ids)
    gone = [*unknown, *(key_id for key_id in selection.ids if key_id not in fates)]
    results = [{"id": key_id, "result": fate} for key_id, fate in fates.items()]
    results += [{"id": each, "result": "not_found"} for each in gone]
    message = f"{len(fates)} keys: done." if fates else "No key was found."
    return answer({"success": True, "message": message, "count": len(fates), "results": results, "undo": entry})


def deed_of(body: ActionsAsked) -> Deed:
    """Raises `Fault` 400 for what the action needs and was not said."""
    places = {name: value for name in ("weight", "tier") if (value := getattr(body, name)) is not None}
    needed: dict[str, tuple[str, Any]] = {
        "link": ("pool", body.pool), "unlink": ("pool", body.pool), "move": ("pool", body.pool),
        "tag": ("tags", body.tags), "untag": ("tags", body.tags), "weight": ("weight", places or None),
        "project": ("project", "" if body.project == "" else body.project or None),
    }  # fmt: skip
    name, value = needed.get(body.action, ("", ""))
    if name and (value is None or value == []):
        raise Fault(400, "missing_required_parameter", f"`{name}` is missing.", param=name, retryable=False)
    if body.until is not None and body.until <= now():
        raise Fault(400, "invalid_value", "`until` is over already.", param="until", retryable=False)
    pool_id = pool_of(body.pool) if body.pool is not None else 0
    return Deed(
        body.action, FOREVER if body.until is None else body.until, pool_id, tuple(body.tags or ()),
        body.project or "", places,
    )  # fmt: skip


class ActionTakenBackTold(Told):
    success: bool
    message: str
    job: int | None = None


@operation("POST", "/admin/keys/actions/<int:entry_id>/undo", tag=TAG, summary="Take an action back",
           answers={200: ActionTakenBackTold, 202: ActionTakenBackTold})  # fmt: skip
def undo_action(entry_id: int) -> Response:
    """As it was before, key by key. 404 where the trail has no such entry, or one that cannot be taken back."""
    found = read(queries.entry, entry_id)
    if found is None or not can_be_put_back(*found):
        message = "There is no action to take back at this address."
        raise Fault(404, "not_found", message, retryable=False)
    job = undo(entry_id, *found)
    if job is None:
        return answer({"success": True, "message": "Undone.", "job": None})
    return answer({"success": True, "message": "Under way.", "job": job}, 202)


@operation("POST", "/admin/health/check-all", tag=TAG, summary="Test all keys",
           answers={200: ActedTold, 202: BegunTold})  # fmt: skip
def check_all() -> Response:
    """Asks each key's provider for the list of models, which spends no quota."""
    return acted(Deed("test"), Selection(wanted=queries.Wanted(now())), [])

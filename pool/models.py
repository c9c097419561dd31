"""Which models a pool's keys can reach: fetched through the pool itself, kept an hour, stale while refreshing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from gevent.lock import RLock

from .core.calls import GEMINI, OPENAI, Call
from .core.catalogue import Catalogue, allows
from .core.faults import Fault
from .relay import Answer, Caller, Relay
from .settings import Settings

_JSON = [("Content-Type", "application/json")]
_MOST_PAGES = 50
AGAIN_S = 30.0
"""How soon a list is asked for again that some provider is missing from."""


@dataclass(frozen=True, slots=True)
class Model:
    """One model of one provider: its id without `models/`, and the upstream's own description."""

    id: str
    provider: str
    dialect: str
    described: Mapping[str, Any]


@dataclass(slots=True)
class _Cached:
    models: tuple[Model, ...]
    fetched_at: float
    refreshing: bool = False


class ModelList:
    """Handed the relay (lists are fetched like any request, failover included) and a way to work beside it."""

    def __init__(
        self,
        relay: Relay,
        catalogue: Catalogue,
        settings: Callable[[], Settings],
        clock: Callable[[], float],
        beside: Callable[[Callable[[], None]], Any],
    ) -> None:
        self._relay = relay
        self._catalogue = catalogue
        self._settings = settings
        self._clock = clock
        self._beside = beside
        self._cache: dict[int, _Cached] = {}
        self._locks: dict[int, RLock] = {}

    def answer(
        self, operation: str, model: str, dialect: str, caller: Caller, page: Mapping[str, str], provider: str = ""
    ) -> Answer:
        """`GET …/models` and `GET …/models/{id}` in a dialect, of one provider or of all.

        Raises `Fault` 404 for a model not in the list.
        """
        models = [each for each in self.of(caller) if not provider or each.provider == provider]
        if operation == "models":
            return Answer(200, _JSON, orjson.dumps(_render_list(models, dialect, page)))
        wanted = model.removeprefix("models/")
        found = next((item for item in models if item.id == wanted), None)
        if found is None or (dialect == GEMINI and found.dialect != GEMINI):
            raise Fault(404, "model_not_found", f"This pool has no model {model!r}.", param="model", retryable=False)
        return Answer(200, _JSON, orjson.dumps(_render(found, dialect)))

    def of(self, caller: Caller) -> list[Model]:
        """The models this caller may use: the union over its pool's providers, then the allow-lists."""
        cached = self._cache.get(caller.pool.id)
        if cached is None:
            # One fetch for all who wait for it; if its caller leaves, the next one fetches.
            with self._locks.setdefault(caller.pool.id, RLock()):
                cached = self._cache.get(caller.pool.id) or self._remembered(caller)
        elif self._clock() - cached.fetched_at > self._settings().model_cache_ttl_s and not cached.refreshing:
            cached.refreshing = True
            self._beside(lambda: self._refresh(caller, cached))
        patterns = caller.client.allowed_models if caller.client else ()
        return [model for model in cached.models if caller.pool.allows(model.id) and allows(patterns, model.id)]

    def lists(self, pool_id: int, model: str) -> bool:
        """Is a model in the list we have of a pool, however old? Nothing is fetched."""
        cached = self._cache.get(pool_id)
        return cached is not None and any(item.id == model for item in cached.models)

    def forget(self, pool_id: int | None = None) -> None:
        """A pool's keys changed: ask again. None: every pool."""
        if pool_id is None:
            self._cache.clear()
        else:
            self._cache.pop(pool_id, None)

    def _remembered(self, caller: Caller) -> _Cached:
        models, whole = self._fetch(caller)
        cached = self._cache[caller.pool.id] = _Cached(models, self._fetched_at(whole))
        return cached

    def _refresh(self, caller: Caller, cached: _Cached) -> None:
        whole = False
        try:
            models, whole = self._fetch(caller)
            if whole:
                cached.models = models
        except Fault:
            pass  # the stale list serves on
        finally:
            cached.fetched_at = self._fetched_at(whole)
            cached.refreshing = False

    def _fetched_at(self, whole: bool) -> float:
        """Now; for a list some provider is missing from so long ago that it is asked again in half a minute."""
        return self._clock() - (0 if whole else self._settings().model_cache_ttl_s - AGAIN_S)

    def _fetch(self, caller: Caller) -> tuple[tuple[Model, ...], bool]:
        """Every provider's list, one after another, and whether all answered. Raises `Fault` where none does."""
        found: dict[str, Model] = {}
        fault: Fault | None = None
        for slug, provider in self._catalogue.candidates(caller.pool.id).items():
            try:
                for described in self._pages(slug, provider.dialect, caller):
                    model_id = str(described.get("name") if provider.dialect == GEMINI else described.get("id"))
                    model_id = model_id.removeprefix("models/")
                    found.setdefault(model_id, Model(model_id, slug, provider.dialect, described))
            except Fault as failed:
                fault = failed
        if not found and fault is not None:
            raise fault
        for alias, target in caller.pool.aliases.items():
            if target in found:
                found.setdefault(alias, found[target])
        return tuple(found.values()), fault is None

    def _pages(self, slug: str, dialect: str, caller: Caller) -> list[Mapping[str, Any]]:
        models: list[Mapping[str, Any]] = []
        query: tuple[tuple[str, str], ...] = (("pageSize", "1000"),) if dialect == GEMINI else ()
        token = None
        for _ in range(_MOST_PAGES):
            asked = query + ((("pageToken", token),) if token else ())
            call = Call("", dialect, "raw", "", False, b"", None, "GET", "/models", asked, provider=slug)
            page = _page_of(self._relay.answer(call, caller))
            rows = page.get("models" if dialect == GEMINI else "data") or []
            models += [row for row in rows if isinstance(row, dict)]
            token = page.get("nextPageToken")
            if not token:
                break
        return models


def _page_of(answer: Answer) -> dict[str, Any]:
    try:
        page = orjson.loads(answer.body) if isinstance(answer.body, bytes) else None
    except orjson.JSONDecodeError:
        page = None
    if answer.status != 200 or not isinstance(page, dict):
        raise Fault(502, "upstream_error", "The upstream's list of models could not be read.", retry_after_s=1)
    return page


def _render_list(models: list[Model], dialect: str, page: Mapping[str, str]) -> dict[str, Any]:
    if dialect == OPENAI:
        return {"object": "list", "data": [_render(model, OPENAI) for model in models]}
    return {"models": [_render(model, GEMINI) for model in models if model.dialect == GEMINI]}


def _render(model: Model, dialect: str) -> dict[str, Any]:
    if dialect == GEMINI:
        return {**model.described, "name": f"models/{model.id}"}
    created = model.described.get("created")
    return {
        "id": model.id,
        "object": "model",
        "created": created if isinstance(created, int) else 0,
        "owned_by": model.described.get("owned_by") or ("google" if model.dialect == GEMINI else model.provider),
    }

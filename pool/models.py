"""Which models a pool's keys can reach: fetched through the pool itself, kept an hour, stale while refreshing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson
from gevent.lock import RLock

from .core.calls import GEMINI, OPENAI, Call
from .core.catalogue import Catalogue, Pool, allows
from .core.dialects.gemini.names import bare_model
from .core.faults import Fault
from .core.providers import route_model
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
        self._last: dict[int, list[str]] = {}
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
        return [model for model in self._held(caller).models if _allowed(model.id, caller)]

    def reached(self, pool: Pool) -> list[str]:
        """The models that a pool's keys reach, by name, whatever it allows. Raises `Fault` where no upstream says."""
        return sorted({model.id for model in self._held(Caller(pool)).models})

    def listed(self, pool_id: int) -> list[str]:
        """The same as the last list of the pool had it, however old. Nothing is fetched."""
        return self._last.get(pool_id, [])

    def _held(self, caller: Caller) -> _Cached:
        """The list of a pool, fetched where there is none, stale while it is asked for again."""
        cached = self._cache.get(caller.pool.id)
        if cached is None:
            # One fetch for all who wait for it; if its caller leaves, the next one fetches.
            with self._locks.setdefault(caller.pool.id, RLock()):
                cached = self._cache.get(caller.pool.id) or self._remembered(caller)
        elif self._clock() - cached.fetched_at > self._settings().model_cache_ttl_s and not cached.refreshing:
            cached.refreshing = True
            self._beside(lambda: self._refresh(caller, cached))
        return cached

    def lists(self, pool_id: int, model: str) -> bool:
        """Is a model in the list we have of a pool, however old? Nothing is fetched."""
        cached = self._cache.get(pool_id)
        return cached is not None and any(item.id == model for item in cached.models)

    def known(self) -> list[str]:
        """The models of every list we have, however old, by name. Nothing is fetched."""
        return sorted({item.id for cached in self._cache.values() for item in cached.models})

    def forget(self, pool_id: int | None = None) -> None:
        """A pool's keys changed: ask again. None: every pool."""
        if pool_id is None:
            self._cache.clear()
        else:
            self._cache.pop(pool_id, None)

    def _remembered(self, caller: Caller) -> _Cached:
        models, whole = self._fetch(caller)
        self._last[caller.pool.id] = sorted({model.id for model in models})
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
        by_provider: dict[tuple[str, str], Model] = {}
        fault: Fault | None = None
        candidates = self._catalogue.candidates(caller.pool.id)
        for slug, provider in candidates.items():
            try:
                for described in self._pages(slug, provider.dialect, caller):
                    model_id = str(described.get("name") if provider.dialect == GEMINI else described.get("id"))
                    model_id = model_id.removeprefix("models/")
                    model = by_provider[slug, model_id] = Model(model_id, slug, provider.dialect, described)
                    found.setdefault(model_id, model)
            except Fault as failed:
                fault = failed
                fault.told()  # another provider's may be told instead
        if not found and fault is not None:
            raise fault
        for alias, target in caller.pool.aliases.items():
            route = route_model(target, candidates, {})
            name = bare_model(route.model)
            meant = next((by_provider[slug, name] for slug in route.providers if (slug, name) in by_provider), None)
            if meant is not None:
                # An alias wins over a model of the same name, as it does when it is called.
                alias = alias.removeprefix("models/")
                found[alias] = replace(meant, id=alias)
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


def _allowed(name: str, caller: Caller) -> bool:
    """By its own name or, for an alias, by what it stands for: as a call of it is."""
    names = {name, caller.pool.aliases.get(name, name)}
    patterns = caller.client.allowed_models if caller.client else ()
    return any(caller.pool.allows(each) for each in names) and any(allows(patterns, each) for each in names)


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

"""List prices of models, from the data that comes with `genai-prices`: no network, no thread, nothing at import."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pool.core.prices import UNKNOWN, Price

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

MOST_KEPT = 2_000
"""Prices remembered. Strangers name models, so there is no end of them."""

SLOT_S = 1_800
"""Prices change with the date, some with the time of day; all of those at half hours."""

NANO_A_TOKEN = 1_000
"""One dollar a million tokens is a thousand nano-dollars a token."""

IDS = {"gemini": "google"}
"""Our slugs (and dialects) that the data has under another name."""

PRODUCED = ("output_mtok", "output_image_mtok", "output_video_mtok")
"""What a model puts out. Usage does not tell pictures from text, and a model made for pictures is asked for them."""

_PREVIEW = re.compile(r"-(?:preview|exp|experimental)(?:-.*)?$")
_VARIANT = re.compile(r"-(?:\d{2,8}|latest|stable|search|thinking|maxthinking|nothinking)$")
MOST_TRIMS = 4


class Prices:
    """Looks a model's price up once every half hour at most; from then on it is a dictionary's answer.

    These are list prices of paid tiers, also for keys of Gemini's free tier: what the tokens are worth, not what a
    bill says. Left out, because usage does not tell them: web searches, audio that costs more than text, storage.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._providers: list[Provider] | None = None
        self._known: dict[tuple[str, str, int], Price] = {}

    def load(self) -> None:
        """Read the data, once: 0.1 s of CPU and 14 MB, so at the start and not within a request."""
        if self._providers is None:
            from genai_prices.data import providers

            self._providers = providers

    def of(self, provider: str, model: str, at: float | None = None) -> Price:
        """The price of a model at a moment (now), asked of a provider: its slug, or its dialect.

        A model that its provider does not list costs what its maker asks for it, and a variant that nobody lists
        ("…-preview-12-2026", "…-001", "…:search") what the model it is a variant of costs. Else `known` is False.
        """
        slot = int((self._clock() if at is None else at) // SLOT_S)
        place = (provider, model, slot)
        price = self._known.get(place)
        if price is None:
            price = self._look_up(provider, model, slot * SLOT_S)
            if len(self._known) >= MOST_KEPT:
                # All at once: nobody waits long for the few that are asked again, and two threads may do it.
                self._known.clear()
            self._known[place] = price
        return price

    def _look_up(self, provider: str, model: str, at: float) -> Price:
        self.load()
        found = self._find(provider.lower(), model.lower().removeprefix("models/"))
        if found is None:
            return UNKNOWN
        return _price(found.get_prices(datetime.fromtimestamp(at, UTC)))

    def _find(self, provider: str, model: str) -> ModelInfo | None:
        everybody = self._providers or []
        asked = _provider(everybody, IDS.get(provider, provider))
        for name in _names(model):
            if asked is not None and (found := asked.find_model(name, all_providers=everybody)):
                return found
            for maker in everybody:
                if maker is not asked and maker.model_match is not None and maker.model_match.is_match(name):
                    if found := maker.find_model(name, all_providers=everybody):
                        return found
                    break
        return None


def _provider(everybody: list[Provider], name: str) -> Provider | None:
    exactly = next((each for each in everybody if each.id == name), None)
    alike = (each for each in everybody if each.provider_match is not None and each.provider_match.is_match(name))
    return exactly or next(alike, None)


def _names(model: str) -> Iterator[str]:
    """What a model may be listed as, the fullest name first: without its maker, without what makes it a variant."""
    yield model
    bare = model.rpartition("/")[2]
    if bare != model:
        yield bare
    name = bare
    for shorten in (_without_flag, _without_preview, *[_without_variant] * MOST_TRIMS):
        shorter = shorten(name)
        if shorter != name:
            yield shorter
        name = shorter


def _without_flag(name: str) -> str:
    return name.partition(":")[0]


def _without_preview(name: str) -> str:
    return _PREVIEW.sub("", name)


def _without_variant(name: str) -> str:
    return _VARIANT.sub("", name)


def _price(stated: ModelPrice) -> Price:
    limits = {tier.start for value in vars(stated).values() for tier in getattr(value, "tiers", ())}
    beyond = tuple((limit, _price_above(stated, limit)) for limit in sorted(limits, reverse=True))
    base = _price_above(stated, 0)
    return Price(base.input_nano, base.cached_nano, base.output_nano, True, beyond)


def _price_above(stated: ModelPrice, limit: int) -> Price:
    """What is paid by requests of more than `limit` tokens of input."""
    read = _nano(stated.input_mtok, limit)
    cached = read if stated.cache_read_mtok is None else _nano(stated.cache_read_mtok, limit)
    return Price(read, cached, max(_nano(getattr(stated, name), limit) for name in PRODUCED), True)


def _nano(value: Any, limit: int) -> float:
    """Nano-USD a token of a price a million tokens: a number, tiers of them, or None."""
    if value is None:
        return 0.0
    if not isinstance(value, Decimal):
        reached = [tier.price for tier in value.tiers if limit >= tier.start]
        value = reached[-1] if reached else value.base
    return float(value * NANO_A_TOKEN)

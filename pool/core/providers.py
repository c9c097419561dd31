"""Who can be called: providers as data, and which of them serves a model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from .calls import GEMINI, OPENAI, Ask, Timeouts

RESERVED_SLUGS = frozenset(
    "pools login logout models chat embeddings images audio responses messages tokens stats logs "
    "session keys admin v1".split()
)
"""Words that are routes below `/api/` and so can never name a provider."""

_GEMINI_MODEL = re.compile(
    r"(?:models/)?(?:gemini-|gemma-|learnlm-|imagen-|veo-|text-embedding-004|gemini-embedding|aqa)"
)
_VERSION = re.compile(r"/v\d[0-9a-z]*$")


@dataclass(frozen=True, slots=True)
class Provider:
    """Somebody with keys: a dialect, a base URL, and the way a key is sent.

    `openai_url`: where a Gemini provider takes OpenAI-style calls itself, so that none is converted. `key_header`: the
    header that takes the key where that is not the dialect's own. `timeouts`: those of its own, in seconds, by the
    names of `Timeouts`.
    """

    slug: str
    dialect: str
    base_url: str
    proxy_url: str | None = field(default=None, repr=False)
    fallback_to_direct: bool = False
    openai_url: str | None = None
    key_header: str | None = None
    timeouts: Mapping[str, float] | None = None

    def speaking(self, dialect: str) -> Provider:
        """The same provider as a client of `dialect` meets it."""
        if dialect == OPENAI and self.dialect == GEMINI and self.openai_url:
            return replace(self, dialect=OPENAI, base_url=self.openai_url)
        return self

    def credential(self, secret: str) -> tuple[str, str]:
        """The header that carries the key. Never a query parameter: URLs are logged."""
        if self.key_header and self.key_header.lower() != "authorization":
            return (self.key_header, secret)
        if self.dialect == GEMINI and not self.key_header:
            return ("x-goog-api-key", secret)
        return ("Authorization", f"Bearer {secret}")

    def patience(self, connect_s: float, first_byte_s: float, idle_s: float, plain: bool) -> Timeouts:
        """How long to wait for it: as usual, but where it has its own. A plain answer is silent until it is whole."""
        own = self.timeouts
        if own:
            connect_s, idle_s = own.get("connect_s", connect_s), own.get("idle_s", idle_s)
            first_byte_s = own.get("first_byte_s", first_byte_s)
        return Timeouts(connect_s, 5 * first_byte_s if plain else first_byte_s, idle_s)

    @property
    def root(self) -> str:
        """The base URL without the version it ends in."""
        return _VERSION.sub("", self.base_url.rstrip("/"))

    def url(self, ask: Ask) -> str:
        """The full URL of an upstream request; a version the client named replaces the one the base URL ends in."""
        base = self.base_url.rstrip("/")
        if ask.version is not None:
            base = f"{self.root}/{ask.version}" if ask.version else self.root
        if not ask.query:
            return base + ask.path
        return f"{base}{ask.path}?{encode_query(ask.query)}"


PROVIDERS = {
    "gemini": Provider("gemini", GEMINI, "https://generativelanguage.googleapis.com/v1beta"),
    "openai": Provider("openai", OPENAI, "https://api.openai.com/v1"),
}
"""The built-in ones. An admin adds others; the environment may move these two elsewhere."""


def encode_query(pairs: Iterable[tuple[str, str]]) -> str:
    """`a=1&b=2`, escaped."""
    return urlencode(list(pairs))


def served_by_gemini(model: str) -> bool:
    """Does this model's name belong to Google's families?"""
    return bool(_GEMINI_MODEL.match(model)) or model.startswith("models/")


@dataclass(frozen=True, slots=True)
class Route:
    """Where a model goes: the providers in the order to try, and the upstream's name for the model."""

    providers: tuple[str, ...]
    model: str


def route_model(model: str, candidates: Mapping[str, Provider], aliases: Mapping[str, str]) -> Route:
    """Which of a pool's providers serve `model`.

    The order of the rules: the pool's alias map, an explicit `provider/model`, Google's families, the
    OpenAI-style providers. A pool with a single provider sends everything there. A prefix `x/` is cut only
    where x is a provider of this pool: many upstreams have slashes in their own model names.
    """
    model = aliases.get(model, model)
    head, slash, rest = model.partition("/")
    if slash and rest and head in candidates:
        return Route((head,), rest)
    if len(candidates) == 1:
        return Route(tuple(candidates), model)
    if served_by_gemini(model):
        gemini = tuple(slug for slug, provider in candidates.items() if provider.dialect == GEMINI)
        if gemini:
            return Route(gemini, model)
    others = tuple(slug for slug, provider in candidates.items() if provider.dialect != GEMINI)
    return Route(others or tuple(candidates), model)


def route_native(dialect: str, candidates: Mapping[str, Provider], topic: str) -> Route:
    """Where a call goes that names no model: to those who speak its dialect. `topic` stands for the model."""
    return Route(tuple(slug for slug, each in candidates.items() if each.speaking(dialect).dialect == dialect), topic)


def known_model(route: Route, candidates: Mapping[str, Provider]) -> bool:
    """Is a provider of the pool known for this model? OpenAI-style providers may have any; Google has families."""
    return any(candidates[slug].dialect != GEMINI for slug in route.providers) or served_by_gemini(route.model)

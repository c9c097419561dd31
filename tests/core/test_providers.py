import pytest

from pool.core.calls import GEMINI, OPENAI, Ask
from pool.core.providers import PROVIDERS, RESERVED_SLUGS, Provider, Route, encode_query, known_model, route_model

BOTH = PROVIDERS
GOOGLE = {"gemini": PROVIDERS["gemini"]}
OTHERS = {
    "gemini": PROVIDERS["gemini"],
    "openai": PROVIDERS["openai"],
    "groq": Provider("groq", OPENAI, "https://api.groq.test/openai/v1"),
}


def ask(path="/models/m:generateContent", version=None, query=()):
    return Ask("POST", path, b"", query, version=version)


@pytest.mark.parametrize(
    "model",
    [
        "gemini-2.5-flash", "models/gemini-2.5-flash", "gemma-3-27b-it", "learnlm-2.0", "imagen-4.0", "veo-3.0",
        "text-embedding-004", "gemini-embedding-001", "aqa", "models/anything",
    ],
)  # fmt: skip
def test_googles_families_go_to_gemini(model):
    assert route_model(model, BOTH, {}) == Route(("gemini",), model)


@pytest.mark.parametrize("model", ["gpt-5", "text-embedding-3-small", "o3", "my-gemini-tune", "meta/llama-3"])
def test_everything_else_goes_to_the_openai_style_providers(model):
    assert route_model(model, OTHERS, {}) == Route(("openai", "groq"), model)


def test_an_alias_is_looked_up_first():
    aliases = {"fast": "gemini-2.5-flash", "gpt-4": "groq/llama-3", "gemini-pro": "gpt-5"}
    assert route_model("fast", BOTH, aliases) == Route(("gemini",), "gemini-2.5-flash")
    assert route_model("gpt-4", OTHERS, aliases) == Route(("groq",), "llama-3")
    assert route_model("gemini-pro", BOTH, aliases) == Route(("openai",), "gpt-5")


def test_a_provider_may_be_named_before_the_model():
    assert route_model("openai/gemini-like", BOTH, {}) == Route(("openai",), "gemini-like")
    assert route_model("gemini/gemini-2.5-flash", GOOGLE, {}) == Route(("gemini",), "gemini-2.5-flash")
    assert route_model("groq/meta/llama-3", OTHERS, {}) == Route(("groq",), "meta/llama-3")


@pytest.mark.parametrize("model", ["groq/llama-3", "openai/", "/x", "unknown/model"])
def test_only_a_provider_of_the_pool_is_cut_off(model):
    assert route_model(model, BOTH, {}).model == model


@pytest.mark.parametrize("model", ["gpt-5", "gemini-2.5-flash", "x/y"])
def test_a_single_provider_takes_everything(model):
    assert route_model(model, GOOGLE, {}) == Route(("gemini",), model)
    assert route_model(model, {"openai": PROVIDERS["openai"]}, {}) == Route(("openai",), model)


def test_googles_models_go_elsewhere_where_the_pool_has_no_gemini_keys():
    candidates = {slug: provider for slug, provider in OTHERS.items() if slug != "gemini"}
    assert route_model("gemini-2.5-flash", candidates, {}) == Route(("openai", "groq"), "gemini-2.5-flash")


def test_a_strange_model_goes_to_any_where_all_are_googles():
    candidates = {**GOOGLE, "vertex": Provider("vertex", GEMINI, "https://vertex.test/v1")}
    assert route_model("gpt-5", candidates, {}) == Route(("gemini", "vertex"), "gpt-5")


def test_a_pool_without_keys_routes_nowhere():
    assert route_model("gpt-5", {}, {}) == Route((), "gpt-5")


@pytest.mark.parametrize(
    ("model", "candidates", "known"),
    [("gpt-5", GOOGLE, False), ("gemini-2.5-flash", GOOGLE, True), ("whatever", BOTH, True)],
)
def test_google_is_known_by_families_and_others_may_have_any_model(model, candidates, known):
    assert known_model(route_model(model, candidates, {}), candidates) is known


def test_the_key_travels_in_a_header():
    assert PROVIDERS["gemini"].credential("AIza") == ("x-goog-api-key", "AIza")
    assert PROVIDERS["openai"].credential("sk-1") == ("Authorization", "Bearer sk-1")


@pytest.mark.parametrize(
    ("base", "version", "url"),
    [
        ("https://g.test/v1beta", None, "https://g.test/v1beta/models/m:generateContent"),
        ("https://g.test/v1beta/", "v1alpha", "https://g.test/v1alpha/models/m:generateContent"),
        ("https://g.test/v1beta", "v1", "https://g.test/v1/models/m:generateContent"),
        ("https://g.test", "v1beta", "https://g.test/v1beta/models/m:generateContent"),
        ("https://v1.test", "v1beta", "https://v1.test/v1beta/models/m:generateContent"),
        # A gateway's own version stays.
        ("https://gw.test/v1/acc/google", "v1beta", "https://gw.test/v1/acc/google/v1beta/models/m:generateContent"),
        ("https://gw.test/v1/acc/v1beta", "v1alpha", "https://gw.test/v1/acc/v1alpha/models/m:generateContent"),
        ("https://g.test/v1beta", r"v1\g<0>", r"https://g.test/v1\g<0>/models/m:generateContent"),
    ],
)
def test_the_clients_version_replaces_the_one_the_base_url_ends_in(base, version, url):
    assert Provider("g", GEMINI, base).url(ask(version=version)) == url


def test_the_query_is_kept_in_order_and_escaped():
    provider = Provider("g", GEMINI, "https://g.test/v1beta")
    url = provider.url(ask("/files", query=(("alt", "sse"), ("name", "a b&c"), ("name", "é"))))
    assert url == "https://g.test/v1beta/files?alt=sse&name=a+b%26c&name=%C3%A9"
    assert encode_query([]) == ""


def test_no_built_in_provider_has_the_name_of_a_route():
    assert RESERVED_SLUGS.isdisjoint(PROVIDERS)

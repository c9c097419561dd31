"""List prices, against the package's own arithmetic and against names as clients write them."""

import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices import calc_price

from pool.adapters import prices as module
from pool.adapters.prices import Prices
from pool.core.calls import Usage
from pool.core.prices import UNKNOWN

AT = datetime(2026, 10, 1, 12, tzinfo=UTC).timestamp()


@pytest.fixture
def prices():
    return Prices(lambda: AT)


@pytest.mark.parametrize(
    ("provider", "theirs", "model"),
    [
        ("gemini", "google", "gemini-2.5-flash"),
        ("gemini", "google", "gemini-2.5-pro"),
        ("gemini", "google", "gemini-2.5-flash-lite"),
        ("gemini", "google", "gemini-embedding-001"),
        ("openai", "openai", "gpt-4o"),
        ("openai", "openai", "gpt-4.1-mini"),
        ("openai", "openai", "o3"),
        ("openai", "openai", "text-embedding-3-small"),
        ("deepseek", "deepseek", "deepseek-chat"),
        ("groq", "groq", "llama-3.1-8b-instant"),
    ],
)
@pytest.mark.parametrize(("read", "written", "cached"), [(1_000, 100, 0), (250_000, 8_000, 1_000), (7, 3, 7)])
def test_a_cost_is_what_the_package_works_out(prices, provider, theirs, model, read, written, cached):
    usage = TheirUsage(input_tokens=read, output_tokens=written, cache_read_tokens=cached)
    expected = calc_price(
        usage, model, provider_id=theirs, genai_request_timestamp=datetime.fromtimestamp(AT, UTC)
    ).total_price
    price = prices.of(provider, model)
    assert price.known
    assert price.cost_nano(Usage(read, written, cached)) == pytest.approx(float(expected * 10**9), abs=1)


@pytest.mark.parametrize(
    ("provider", "name", "meant"),
    [
        ("gemini", "models/gemini-2.5-flash", "gemini-2.5-flash"),
        ("gemini", "GEMINI-2.5-flash", "gemini-2.5-flash"),
        ("gemini", "gemini-2.5-flash:search", "gemini-2.5-flash"),
        ("gemini", "gemini-2.5-flash-001", "gemini-2.5-flash"),
        ("gemini", "gemini-2.5-flash-latest", "gemini-2.5-flash"),
        ("gemini", "gemini-2.5-flash-preview-12-2027", "gemini-2.5-flash"),
        ("gemini", "gemini-2.5-flash-exp-1206", "gemini-2.5-flash"),
        ("gemini", "gemini-2.5-pro-preview-06-05", "gemini-2.5-pro"),
        ("gemini", "google/gemini-2.5-pro", "gemini-2.5-pro"),
        ("openai", "openai/gpt-4o", "gpt-4o"),
        ("openai", "gpt-4o-2024-11-20", "gpt-4o"),
    ],
)
def test_a_variant_costs_what_its_model_costs(prices, provider, name, meant):
    assert prices.of(provider, meant).known
    assert prices.of(provider, name) == prices.of(provider, meant)


@pytest.mark.parametrize("provider", ["openai", "mine", "", "models"])
def test_a_model_its_provider_does_not_list_costs_what_its_maker_asks(prices, provider):
    for name in ("gemini-2.5-flash", "google/gemini-2.5-flash", "models/gemini-2.5-flash"):
        assert prices.of(provider, name) == prices.of("gemini", "gemini-2.5-flash")
    assert prices.of(provider, "gpt-4.1-mini") == prices.of("openai", "gpt-4.1-mini")


def test_a_reseller_that_lists_its_own_price_asks_that(prices):
    free, paid = prices.of("openrouter", "deepseek/deepseek-r1:free"), prices.of("deepseek", "deepseek-reasoner")
    assert (free.known, free.output_nano) == (True, 0)
    assert paid.output_nano > 0


def test_a_picture_costs_what_pictures_cost(prices):
    assert prices.of("gemini", "gemini-2.5-flash-image").output_nano == 30_000


@pytest.mark.parametrize("name", ["", "nobody-1", "x" * 500, "-01" * 160, "a/" * 200, "\0", "gemini"])
def test_an_unknown_model_costs_nothing_and_says_so(prices, name):
    assert prices.of("gemini", name) == UNKNOWN
    assert not prices.of("gemini", name).known


def test_a_price_is_that_of_its_day(prices):
    before, after = (datetime(2026, 12, day, tzinfo=UTC).timestamp() for day in (1, 31))
    # Announced by Google: promotional until the end of 2026.
    assert prices.of("gemini", "gemini-3.8-flash", before).input_nano == 750
    assert prices.of("gemini", "gemini-3.8-flash", after + 86_400).input_nano == 1_500


def test_a_known_price_is_not_looked_up_again(prices, monkeypatch):
    known = prices.of("gemini", "gemini-2.5-flash")
    monkeypatch.setattr(Prices, "_look_up", None)
    assert prices.of("gemini", "gemini-2.5-flash") is known


def test_what_strangers_name_does_not_pile_up(prices, monkeypatch):
    monkeypatch.setattr(module, "MOST_KEPT", 5)
    for n in range(20):
        prices.of("gemini", f"gemini-{n}")
    assert len(prices._known) <= 5


def test_neither_importing_nor_asking_reaches_for_the_network_or_a_thread(prices, monkeypatch):
    monkeypatch.setattr(socket, "create_connection", None)
    before = threading.active_count()
    prices.of("gemini", "gemini-2.0-flash")
    assert threading.active_count() == before


def test_the_data_is_not_read_before_it_is_needed():
    code = "import sys, pool.adapters.recorder, pool.adapters.prices; print('genai_prices' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "False"

"""What an answer costs, by value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.core.calls import NO_USAGE, Usage
from pool.core.prices import MOST_COST_NANO, UNKNOWN, Price

FLASH = Price(300.0, 30.0, 2_500.0, True)
LONG = Price(2_500.0, 250.0, 15_000.0, True)
PRO = Price(1_250.0, 125.0, 10_000.0, True, ((200_000, LONG),))


@pytest.mark.parametrize(
    ("price", "usage", "nano"),
    [
        (FLASH, NO_USAGE, 0),
        (FLASH, Usage(1_000_000, 0), 300_000_000),
        (FLASH, Usage(1_000, 100), 550_000),
        (FLASH, Usage(1_000, 100, cached=400), 600 * 300 + 400 * 30 + 250_000),
        (FLASH, Usage(0, 100, thinking=90), 250_000),
        (FLASH, Usage(10, 0, cached=99), 10 * 30),
        (Price(18.75, 0.4, 0.0, True), Usage(2, 0, cached=1), 19),
        (PRO, Usage(200_000, 1), 250_010_000),
        (PRO, Usage(200_001, 1), 200_001 * 2_500 + 15_000),
        (UNKNOWN, Usage(1_000, 1_000), 0),
        (FLASH, Usage(2**53, 2**53), MOST_COST_NANO),
    ],
)
def test_what_an_answer_costs(price, usage, nano):
    assert price.cost_nano(usage) == nano


COUNTS = st.integers(0, 2**53)


@given(COUNTS, COUNTS, COUNTS)
def test_a_cost_is_a_whole_number_that_sums_can_hold(read, written, cached):
    cost = PRO.cost_nano(Usage(read, written, cached))
    assert type(cost) is int
    assert 0 <= cost <= MOST_COST_NANO

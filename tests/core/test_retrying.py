"""The retry budget: an outage is not multiplied, and everyday trouble costs nothing."""

import random

from pool.core.retrying import RetryBudget

NOW = 1_000.0


def test_a_retry_is_free_while_the_upstream_mostly_answers():
    budget = RetryBudget()
    for n in range(300):
        budget.asked()
        if n % 3:
            budget.succeeded(NOW + n / 10)
        else:
            budget.failed(NOW + n / 10)
            assert budget.may_retry(NOW + n / 10)


def test_in_an_outage_upstream_requests_stay_within_a_fifth_more_and_three():
    budget, attempts, requests = RetryBudget(), 0, 600
    for n in range(requests):
        now = NOW + n / 10
        budget.asked()
        for tries in range(3):
            attempts += 1
            budget.failed(now)
            if tries == 2 or not budget.may_retry(now):
                break
    assert attempts <= 1.2 * requests + 3


def test_an_outage_after_good_times_binds_at_once():
    budget = RetryBudget()
    for n in range(1000):
        budget.succeeded(NOW + n / 100)
    now, retries = NOW + 10, 0
    for _ in range(200):
        budget.asked()
        for tries in range(3):
            budget.failed(now)
            if tries == 2 or not budget.may_retry(now):
                break
            retries += 1
    assert retries <= 0.2 * 200 + 3


def test_what_is_older_than_ten_seconds_is_forgotten():
    budget = RetryBudget()
    for _ in range(5):
        budget.failed(NOW)
    assert budget.failing(NOW + 9)
    assert not budget.failing(NOW + 10)


def test_a_clock_set_back_forgets_instead_of_counting_twice():
    budget = RetryBudget()
    budget.failed(NOW)
    assert not budget.failing(NOW - 3600)


def test_figures_of_the_window_match_a_plain_count():
    rng, budget, seen, now = random.Random(7), RetryBudget(), [], NOW
    for _ in range(2000):
        now += rng.random()
        ok = rng.random() < 0.5
        (budget.succeeded if ok else budget.failed)(now)
        seen.append((int(now), ok))
        last = [good for second, good in seen if int(now) - 10 < second]
        # Steps are shorter than the window, so a row never ends by itself.
        in_a_row = len(seen) >= 5 and not any(good for _, good in seen[-5:])
        assert budget.failing(now) == (in_a_row or sum(last) < len(last) - sum(last))

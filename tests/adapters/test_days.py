"""Days are hours that are over, added up: pages of long windows read them, and say the same as hours would."""

import pytest
from sqlalchemy import func, select, text

from pool.adapters.days import add_up_days, added, begin_days_anew, forget_old_usage
from pool.adapters.queries import Scope, clients_served, endings, hours_since, model_figures, traffic_between
from pool.adapters.queries.days import summed
from pool.adapters.rollups import Costed, add_up
from pool.adapters.tables import DAY_S, OutcomeDay, TrafficDay, TrafficHour, UsageHour
from pool.core.calls import Usage
from pool.core.records import AttemptRecord, RequestRecord

DAY = 20_000 * DAY_S
NOW = DAY + 2 * DAY_S + 5 * 3600 + 1000.0


def request(at, model="m", status=200, outcome="ok", client_id=5):
    record = RequestRecord("r", at, 1, client_id, "openai", "chat", model, model, False, "127.0.0.1")
    record.attempts.append(AttemptRecord(7, "gemini", "random", 0, duration_ms=1, status=status, outcome=outcome))
    record.status, record.outcome, record.latency_ms, record.usage = status, outcome, 90, Usage(3, 4)
    return Costed(record, 1000)


def asked(database, *moments, **fields):
    database.write(add_up, [request(at, **fields) for at in moments])


def told(session):
    """What pages read, of windows that begin in the middle of a day, at its beginning, and an hour ago."""
    windows = DAY - DAY_S // 2, DAY, DAY + DAY_S, int(NOW) - 3600 - int(NOW) % 3600
    return [
        (
            model_figures(session, Scope(since)), clients_served(session, Scope(since, 1, "m")),
            endings(session, Scope(since), "request"), hours_since(session, since, DAY_S),
            traffic_between(session, since, since + DAY_S + 7200),
        )
        for since in windows
    ]  # fmt: skip


@pytest.fixture
def busy(either):
    database = either
    asked(database, *(DAY - DAY_S + n * 4000.0 for n in range(80)))
    asked(database, DAY + 50.0, DAY + DAY_S + 50.0, NOW - 10, model="other", status=400, outcome="error")
    return database


def rows(session, table):
    return session.scalar(select(func.count()).select_from(table))


def test_days_say_what_hours_say(busy):
    by_hours = busy.read(told)
    add_up_days(busy, NOW)
    assert busy.read(rows, TrafficDay) == 6
    assert busy.read(added).until == NOW // 3600 * 3600
    assert busy.read(told) == by_hours


def test_what_comes_late_is_in_the_day_and_on_the_page(busy):
    add_up_days(busy, NOW)
    before = busy.read(told)[1][0][0]
    asked(busy, DAY + 30.0, DAY + 3700.0)
    add_up_days(busy, NOW)
    after = busy.read(told)[1][0][0]
    assert (after.requests, after.ok) == (before.requests + 2, before.ok + 2)
    assert busy.read(lambda session: session.scalar(select(func.sum(OutcomeDay.times)))) > 0


def test_what_was_added_up_is_read_once(busy):
    add_up_days(busy, NOW)

    def sums(session):
        return summed(session, TrafficHour, DAY, lambda hour: select(func.sum(hour.requests)), 1)[()]

    first = busy.read(sums)
    busy.write(lambda session: session.execute(text("DELETE FROM traffic_daily")) and None)
    assert busy.read(sums) == first


def test_other_hours_in_their_place_are_added_up_anew(busy):
    add_up_days(busy, NOW)
    by_days = busy.read(told)
    busy.write(begin_days_anew)
    assert busy.read(rows, TrafficDay) == 0
    assert busy.read(told) == by_days
    add_up_days(busy, NOW)
    assert busy.read(told) == by_days


def test_what_keys_did_long_ago_is_forgotten(busy):
    hours = busy.read(rows, TrafficHour)
    forget_old_usage(busy, DAY + 100 * DAY_S + 1)
    assert busy.read(lambda session: session.scalar(select(func.min(UsageHour.hour)))) >= DAY
    assert busy.read(rows, TrafficHour) == hours

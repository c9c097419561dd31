import pytest

from pool.core.attendance import MOST_WAKES, Attendance, Bench, Member
from pool.core.keys import FOREVER

NOW = 1_000.0


class Hall:
    """An attendance of so many keys, with what came back and which models were forgotten."""

    def __init__(self, count):
        self.back, self.forgotten = [], []
        self.attendance = Attendance(lambda slot, model: self.back.append((slot, model)), self.forgotten.append)
        self.seats = [self.attendance.arrive(Member(n), (0, 0)) for n in range(count)]

    def bench(self, slot, model="", until=NOW + 60, reason="quota"):
        self.attendance.bench(self.seats[slot], model, Bench(reason, until))

    def release(self, slot, *models):
        self.attendance.release(self.seats[slot], models)

    def away(self, model):
        return set(self.attendance.away(model) or ())


def test_a_bench_for_every_model_changes_nothing_about_the_models():
    hall = Hall(3)
    hall.bench(0, "m")
    hall.bench(1)
    assert set(hall.attendance.ready) == {0, 2}
    assert hall.away("m") == {0}
    assert [hall.attendance.count(model) for model in ("m", "n")] == [1, 2]


@pytest.mark.parametrize("order", [("", "m"), ("m", "")])
def test_a_key_set_aside_twice_is_missing_once(order):
    hall = Hall(4)
    hall.bench(3, "m")
    for model in order:
        hall.bench(0, model)
    assert [hall.attendance.count(model) for model in ("m", "n")] == [2, 3]
    hall.release(0, order[0])
    assert [hall.attendance.count(model) for model in ("m", "n")] == ([2, 4] if order[0] == "" else [2, 3])
    hall.release(0, order[1])
    assert [hall.attendance.count(model) for model in ("m", "n")] == [3, 4]


def test_who_is_told_that_a_slot_is_back_can_choose_it():
    hall = Hall(2)
    hall.bench(0, "m")
    hall.bench(0)
    hall.release(0, "m")
    assert hall.back == []
    hall.release(0, "")
    hall.bench(1, "m")
    hall.release(1, "m")
    assert hall.back == [(0, ""), (1, "m")]


def test_a_model_whose_last_exception_ended_is_forgotten():
    hall = Hall(2)
    hall.bench(0, "m")
    hall.bench(1, "m")
    hall.release(0, "m")
    assert hall.forgotten == []
    hall.attendance.leave(hall.seats[1])
    assert hall.forgotten == ["m"]
    assert hall.attendance.away("m") is None


@pytest.mark.parametrize("model", ["", "m"])
def test_one_look_hears_a_bounded_number_of_alarms(model):
    hall = Hall(1_000)
    for slot in range(1_000):
        hall.bench(slot, model)
    assert hall.attendance.hear("m", NOW + 59.9) == 0
    assert hall.attendance.hear("m", NOW + 60) == MOST_WAKES
    assert hall.attendance.count("m") == MOST_WAKES


def test_alarms_of_models_nobody_asks_for_are_heard_in_turn():
    hall = Hall(3)
    models = [f"model-{n}" for n in range(20)]
    for model in models:
        for slot in range(3):
            hall.bench(slot, model)
    for _ in models:
        hall.attendance.hear("another", NOW + 60)
    assert hall.forgotten == models


def test_all_models_are_heard_up_to_a_number():
    hall = Hall(10)
    for model in ("", "a", "b"):
        for slot in range(10):
            hall.bench(slot, model)
    assert [hall.attendance.hear_all(NOW + 60, 12) for _ in range(4)] == [12, 12, 6, 0]
    assert hall.attendance.count("a") == 10


def test_the_census_is_empty_again_when_all_is_over():
    hall = Hall(4)
    for slot, reason in enumerate(("quota", "quota", "errors", "dead")):
        hall.bench(slot, "m" if slot < 2 else "", reason=reason, until=NOW + slot)
    assert dict(hall.attendance.census("m")) == {"errors": 1, "dead": 1, "quota": 2}
    assert hall.attendance.absent("m") == 2
    hall.attendance.hear("m", NOW + 3)
    assert dict(hall.attendance.census("m")) == {}


def test_the_next_recovery_of_a_model_is_found_behind_some_that_do_not_count():
    hall = Hall(20)
    for slot in range(19):
        hall.bench(slot, "m", NOW + slot)
        hall.bench(slot, "", FOREVER)
    hall.bench(19, "m", NOW + 50)
    assert hall.attendance.recovery("m") == NOW + 50
    hall.release(19, "m")
    assert hall.attendance.recovery("m") is None

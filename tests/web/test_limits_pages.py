"""Limits set on pages hold at once; what is no limit is told beside its field, and nothing is half-done."""

from __future__ import annotations

import pytest

from tests.house import GEMINI_KEYS, House
from tests.web.visitor import Visitor


def a_client(house: House, **fields: object) -> tuple[int, str]:
    made: tuple[int, str] = house.keypool.inventory.create_client("program", house.default_pool_id, **fields)
    return made


def limits_of(house: House, client_id: int) -> dict[str, object]:
    clients = [each.client for each in house.keypool.catalogue.credentials.values() if each.client]
    return next(dict(client.limits) for client in clients if client.id == client_id)


def test_a_user_key_is_held_to_its_limits_at_once(house: House) -> None:
    house.add_keys(GEMINI_KEYS[0])
    client_id, token = a_client(house)
    visitor = Visitor(house)
    page = visitor.see(f"/clients/{client_id}/limits")
    answer = visitor.press(
        page,
        "Save",
        rpm_limit="1",
        budget_usd_day="2.50",
        allowed_models="gemini-*",
        allowed_ips="10.0.0.0/8\n127.0.0.1",
    )
    assert "Saved." in answer.text
    assert limits_of(house, client_id) == {"rpm_limit": 1, "budget_usd_day": 2.5}
    body = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Hello"}]}
    asked = {"headers": {"Authorization": f"Bearer {token}"}, "environ_base": {"REMOTE_ADDR": "127.0.0.1"}}
    assert [house.post("/v1/chat/completions", body, **asked).status_code for _ in range(2)] == [200, 429]
    assert house.post("/v1/chat/completions", {**body, "model": "gpt-4o"}, **asked).status_code == 403
    shown = visitor.see(f"/clients/{client_id}/limits")
    assert visitor.press(shown, "Save", rpm_limit="").status_code == 200
    assert limits_of(house, client_id) == {"budget_usd_day": 2.5}
    assert [action for action, _ in visitor.audit()] == ["client.limits", "client.limits"]


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("rpm_limit", "many"), ("rpm_limit", "-1"), ("rpm_limit", "1.5"), ("tpm_limit", "9" * 12),
        ("budget_usd_day", "nan"), ("budget_usd_day", "-0.5"), ("allowed_ips", "10.0.0.0/99"),
        ("allowed_models", "x" * 900),
    ],
)  # fmt: skip
def test_what_is_no_limit_is_told_and_nothing_is_changed(house: House, name: str, typed: str) -> None:
    client_id, _ = a_client(house, rpm_limit=7)
    visitor = Visitor(house)
    page = visitor.see(f"/clients/{client_id}/limits")
    answer = visitor.press(page, "Save", **{"rpd_limit": "5", name: typed})
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text
    assert limits_of(house, client_id) == {"rpm_limit": 7}


def test_a_new_user_key_has_the_settings_limit(house: House) -> None:
    visitor = Visitor(house)
    for requests, window, limit in ((60, 60, {"rpm_limit": 60}), (10, 120, {"rpm_limit": 5}), (0, 60, {})):
        house.set(rate_limit_requests=requests, rate_limit_window=window)
        visitor.press(visitor.see("/clients"), "Create user key", name=f"program {requests}")
        newest = max(each.client.id for each in house.keypool.catalogue.credentials.values() if each.client)
        assert limits_of(house, newest) == limit


def test_a_pool_is_held_to_its_limits(house: House) -> None:
    house.add_keys(GEMINI_KEYS[0])
    visitor = Visitor(house)
    page = visitor.see(f"/pools/{house.default_pool_id}/limits")
    assert "Saved." in visitor.press(page, "Save", rpd_limit="2").text
    assert [house.chat().status_code for _ in range(3)] == [200, 200, 429]
    assert visitor.press(page, "Save", rpd_limit="x").status_code == 422


def test_a_keys_limits_by_model_and_in_all(house: House) -> None:
    (key_id,) = house.add_keys(GEMINI_KEYS[0])
    visitor = Visitor(house)
    lines = "models/gemini-2.5-pro rpm=1 rpd=100\n* tpm=250000\n"
    page = visitor.see(f"/keys/{key_id}/limits")
    visitor.press(page, "Save", limits=lines, max_requests="5", max_requests_window="day")
    key = house.keypool.catalogue.keys[key_id]
    assert key.limits == {"gemini-2.5-pro": {"rpm": 1, "rpd": 100}, "*": {"tpm": 250_000}}
    assert (key.max_requests, key.max_requests_window) == (5, "day")
    assert [house.chat("gemini-2.5-pro").status_code for _ in range(2)] == [200, 429]
    assert [house.chat().status_code for _ in range(5)] == [200] * 4 + [429]
    shown = visitor.see(f"/keys/{key_id}/limits").text
    assert "gemini-2.5-pro rpm=1 rpd=100" in shown


@pytest.mark.parametrize(
    "line", ["gemini-2.5-pro", "m rpm=x", "m speed=5", "m rpm=-1", "m rpm=99999999999", "x" * 900 + " rpm=1"]
)
def test_lines_that_are_no_limits_are_told(house: House, line: str) -> None:
    (key_id,) = house.add_keys(GEMINI_KEYS[0])
    visitor = Visitor(house)
    answer = visitor.press(visitor.see(f"/keys/{key_id}/limits"), "Save", limits=f"* rpm=1\n{line}")
    assert answer.status_code == 422
    assert "Line 2" in answer.text
    assert house.keypool.catalogue.keys[key_id].limits is None


@pytest.mark.parametrize("path", ["/clients/99/limits", "/pools/99/limits", "/keys/99/limits"])
def test_what_is_not_there_has_no_limits(house: House, path: str) -> None:
    visitor = Visitor(house)
    assert visitor.get(path).status_code == 404
    assert visitor.post(path).status_code == 404

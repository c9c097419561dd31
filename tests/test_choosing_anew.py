"""What is chosen from may be another inventory by the time somebody was asked for room."""

from __future__ import annotations

from typing import Any

from pool.core.catalogue import Pool
from pool.core.keys import Key
from pool.core.rotation import Member
from pool.core.state import Refused
from tests.house import GEMINI_KEYS, House


class Waiting:
    """A state whose first answer comes after a restore: it refuses."""

    def __init__(self, state: Any, restore: Any) -> None:
        self._state = state
        self._restore = restore

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)

    def admit(self, offers: Any, now: float) -> Any:
        if self._restore is None:
            return self._state.admit(offers, now)
        restore, self._restore = self._restore, None
        restore(now)
        return Refused((0,), (0,), (now + 60,))


def test_a_key_of_another_provider_never_goes_to_the_one_that_was_chosen(house: House) -> None:
    ids = house.add_keys(*GEMINI_KEYS[:3])
    house.keypool.inventory.set_limits(ids, limits={"*": {"rpm": 100}})
    relay = house.keypool.relay
    catalogue = relay.catalogue

    def restore(now: float) -> None:
        with catalogue.replacing() as other:
            other.providers, other.credentials = catalogue.providers, catalogue.credentials
            other.keep_pools([Pool(house.default_pool_id, "p", "default", is_default=True)])
            for key_id in ids:
                other.put_key(Key(key_id, "openai", "", b"", secret="sk-of-somebody-else"), now)
                other.put_member(house.default_pool_id, Member(key_id), now)

    relay.state = Waiting(relay.state, restore)  # type: ignore[assignment]
    assert house.generate().status_code == 503
    assert house.upstream.requests == []
    assert list(catalogue.candidates(house.default_pool_id)) == ["openai"]

import pytest

from pool.core.catalogue import DEAD, DISABLED, Catalogue, Client, Pool, allows
from pool.core.keys import FOREVER, Key
from pool.core.providers import PROVIDERS
from pool.core.rotation import Bench, Member
from pool.core.state import Word

NOW = 1_000.0


def key_of(key_id, provider="gemini", **fields):
    return Key(key_id, provider, "", b"sealed", **fields)


@pytest.fixture
def catalogue():
    """Keys 1 and 2 in pool 1, key 2 also in pool 2."""
    catalogue = Catalogue()
    catalogue.providers = dict(PROVIDERS)
    catalogue.keep_pools([Pool(1, "p1", "default", is_default=True), Pool(2, "p2", "two")])
    for key_id in (1, 2):
        catalogue.put_key(key_of(key_id), NOW)
        catalogue.put_member(1, Member(key_id), NOW)
    catalogue.put_member(2, Member(2), NOW)
    return catalogue


def chosen(catalogue, pool_id=1, model="m", now=NOW):
    return {catalogue.rotations[pool_id]["gemini"].choose("round_robin", model, now) for _ in range(4)}


def test_an_empty_list_of_models_allows_all():
    assert allows((), "anything")
    assert Pool(1, "p", "p").allows("anything")


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "models/gemini-2.5-flash", "gpt-5"])
def test_a_model_is_allowed_by_name_or_pattern(model):
    assert allows(("models/gemini-*", "gpt-5"), model)
    assert not allows(("gemini-3*", "gpt"), model)


def test_a_client_shows_no_limits_it_does_not_have():
    assert Client(1, "c", 1).limits == {}


def test_candidates_are_the_providers_a_pool_has_keys_of(catalogue):
    catalogue.put_key(key_of(3, "openai"), NOW)
    catalogue.put_member(1, Member(3), NOW)
    assert list(catalogue.candidates(1)) == ["gemini", "openai"]
    catalogue.drop_key(3)
    assert list(catalogue.candidates(1)) == ["gemini"]
    assert catalogue.candidates(99) == {}


def test_keys_of_a_provider_that_is_switched_off_are_no_candidates(catalogue):
    catalogue.providers = {"openai": PROVIDERS["openai"]}
    assert catalogue.candidates(1) == {}


def test_ready_seats_counts_a_key_once_a_pool(catalogue):
    assert catalogue.ready_seats(NOW) == 3
    catalogue.bench(2, "errors", NOW + 60)
    assert catalogue.ready_seats(NOW) == 1


def test_a_word_about_a_key_holds_in_every_pool(catalogue):
    catalogue.bench(2, "quota_day", NOW + 60, "m")
    assert chosen(catalogue, 1) == {1}
    assert chosen(catalogue, 2) == {None}
    assert chosen(catalogue, 2, "other") == {2}
    catalogue.release(2, "m")
    assert chosen(catalogue, 2) == {2}


def test_a_later_word_extends_and_never_shortens(catalogue):
    catalogue.bench(2, "quota_day", NOW + 600, "m")
    catalogue.bench(2, "quota_minute", NOW + 60, "m")
    assert catalogue.benches(2) == {"m": Bench("quota_day", NOW + 600)}
    catalogue.bench(2, "not_entitled", NOW + 900, "m")
    assert catalogue.benches(2) == {"m": Bench("not_entitled", NOW + 900)}


def test_a_word_about_an_unknown_key_changes_nothing(catalogue):
    catalogue.bench(99, DEAD, FOREVER)
    catalogue.release(99)
    catalogue.drop_key(99)
    assert catalogue.benches(99) == {}
    assert chosen(catalogue) == {1, 2}


def test_a_disabled_key_rests_until_it_is_enabled_again(catalogue):
    catalogue.put_key(key_of(1, disabled_until=FOREVER), NOW)
    assert chosen(catalogue) == {2}
    catalogue.put_key(key_of(1), NOW)
    assert chosen(catalogue) == {1, 2}


def test_a_key_disabled_until_a_moment_comes_back_by_itself(catalogue):
    catalogue.put_key(key_of(1, disabled_until=NOW + 60), NOW)
    assert chosen(catalogue, now=NOW + 59) == {2}
    assert chosen(catalogue, now=NOW + 60) == {1, 2}
    assert not catalogue.keys[1].available(NOW + 59)
    assert catalogue.keys[1].available(NOW + 60)


def test_disabled_for_a_shorter_time_than_before_is_taken_at_its_word(catalogue):
    catalogue.put_key(key_of(1, disabled_until=NOW + 600), NOW)
    catalogue.put_key(key_of(1, disabled_until=NOW + 60), NOW)
    assert chosen(catalogue, now=NOW + 60) == {1, 2}


def test_a_dead_key_rests_until_it_is_revived(catalogue):
    catalogue.put_key(key_of(1, dead="leaked"), NOW)
    assert chosen(catalogue) == {2}
    assert catalogue.benches(1)[""].reason == DEAD
    assert not catalogue.keys[1].available(NOW)
    catalogue.revive(1)
    assert chosen(catalogue) == {1, 2}


def test_a_change_of_its_fields_ends_no_cooldown(catalogue):
    catalogue.bench(1, "insufficient_quota", NOW + 60)
    catalogue.put_key(key_of(1, project="p"), NOW)
    assert chosen(catalogue) == {2}
    assert DISABLED not in {bench.reason for bench in catalogue.benches(1).values()}


def test_an_unsealed_secret_is_kept_while_the_ciphertext_is_the_same(catalogue):
    catalogue.keys[1].secret = "plain"
    catalogue.put_key(key_of(1, project="p"), NOW)
    assert catalogue.keys[1].secret == "plain"
    changed = key_of(1)
    changed.sealed = b"other"
    catalogue.put_key(changed, NOW)
    assert catalogue.keys[1].secret is None


def test_a_key_that_joins_another_pool_brings_what_is_known_against_it(catalogue):
    catalogue.bench(1, "quota_day", NOW + 60, "m")
    catalogue.put_member(2, Member(1), NOW)
    assert chosen(catalogue, 2) == {2}
    assert chosen(catalogue, 2, "other") == {1, 2}


def test_a_key_that_left_a_pool_is_not_chosen_there(catalogue):
    catalogue.drop_member(1, 2)
    assert chosen(catalogue, 1) == {1}
    assert chosen(catalogue, 2) == {2}


def test_a_dropped_key_is_nowhere(catalogue):
    catalogue.drop_key(2)
    assert 2 not in catalogue.keys
    assert chosen(catalogue, 1) == {1}
    assert chosen(catalogue, 2) == {None}


def test_a_deleted_pools_keys_bring_what_is_known_to_their_next_pool(catalogue):
    catalogue.drop_member(1, 2)
    catalogue.bench(2, "quota_day", NOW + 60, "m")
    catalogue.keep_pools([Pool(1, "p1", "default", is_default=True)])
    catalogue.put_member(1, Member(2), NOW)
    catalogue.drop_rotations()
    assert catalogue.benches(2) == {"m": Bench("quota_day", NOW + 60)}
    assert list(catalogue.rotations) == [1]
    assert catalogue.default_pool_id == 1


@pytest.mark.parametrize("shown", [key_of(1, proxy_url="http://user:hidden@proxy"), key_of(1)])
def test_a_key_shows_no_secret(shown):
    shown.secret = "hidden"
    assert "hidden" not in repr(shown)
    assert "sealed" not in repr(shown).replace("sealed=", "")


def test_another_inventory_takes_over_as_a_whole_and_with_what_was_heard_meanwhile(catalogue):
    with catalogue.replacing() as other:
        other.providers = dict(PROVIDERS)
        other.keep_pools([Pool(1, "p1", "default", is_default=True)])
        for key_id in (2, 3):
            other.put_key(key_of(key_id), NOW)
            other.put_member(1, Member(key_id), NOW)
        assert chosen(catalogue) == {1, 2}
        catalogue.hear(Word(2, "quota_day", NOW + 60))
        assert chosen(catalogue) == {1}
    assert chosen(catalogue) == {3}
    assert chosen(catalogue, now=NOW + 61) == {2, 3}
    assert (set(catalogue.pools), set(catalogue.keys), set(other.keys)) == ({1}, {2, 3}, {1, 2})


def test_a_release_heard_meanwhile_ends_what_was_heard_and_nothing_that_was_brought(catalogue):
    words = [Word(2, "errors", NOW + 60), Word(2, "quota", NOW + 60, "m"), Word(2, "errors", 0.0),
             Word(1, "limited", NOW + 60), Word(1, "limited", 0.0), Word(1, "quota", NOW + 60, "m"),
             Word(3, "quota", NOW + 60), Word(3, "", 0.0, None)]  # fmt: skip
    with catalogue.replacing() as other:
        other.providers = dict(PROVIDERS)
        other.keep_pools([Pool(1, "p1", "default", is_default=True)])
        for key_id, until in ((1, None), (2, FOREVER), (3, None)):
            other.put_key(key_of(key_id, disabled_until=until), NOW)
            other.put_member(1, Member(key_id), NOW)
        for word in words:
            catalogue.hear(word)
    assert catalogue.benches(1) == {"m": Bench("quota", NOW + 60)}
    assert catalogue.benches(2) == {"": Bench(DISABLED, FOREVER), "m": Bench("quota", NOW + 60)}
    assert catalogue.benches(3) == {}


def test_an_inventory_that_could_not_be_read_takes_nobodys_place(catalogue):
    with pytest.raises(OSError), catalogue.replacing() as other:
        other.put_key(key_of(7), NOW)
        raise OSError
    assert chosen(catalogue) == {1, 2}
    catalogue.hear(Word(1, "quota_day", NOW + 60))
    assert chosen(catalogue) == {2}

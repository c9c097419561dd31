"""An array of keys written back: which key each item means, and what is wrong with an item, by value."""

import pytest

from pool.core.masking import mask
from pool.core.roster import Item, Seated, Unclear, match, read_items

ONE, TWO, OTHER = ("AIzaSyRoster" + digit * 27 for digit in "123")
SEATED = [Seated(7, "key_a", mask(ONE)), Seated(8, "key_b", mask(TWO))]


def items_of(*given):
    items, errors = read_items(list(given))
    assert errors == []
    return items


@pytest.mark.parametrize("given", [None, [], {}, "AIza", 7])
def test_a_pool_without_any_key_is_refused(given):
    assert read_items(given) == ([], ["至少需要一个 Gemini API Key"])


@pytest.mark.parametrize(
    "item",
    [{}, None, 7, {"key": ""}, {"key": 7}, {"key": "short"}, {"key": "ya29." + "x" * 40},
     {"key": "sk-pool-" + "0" * 32}, {"key": "AIza with a space" + "x" * 20}, {"key": ONE, "name": 7},
     {"key": ONE, "provider": []}],
)  # fmt: skip
def test_an_item_that_can_be_no_key_is_told_by_its_number(item):
    assert read_items([{"key": ONE}, item])[1] == ["Gemini Key #2 无效"]


def test_a_weight_or_a_switch_of_another_kind_is_told():
    for weight in (-1, 101, "3", 1.5, True):
        assert "weight" in read_items([{"key": ONE, "weight": weight}])[1][0], weight
    assert "enabled" in read_items([{"key": ONE, "enabled": "yes"}])[1][0]


def test_the_provider_is_the_one_said_or_guessed_by_shape_or_the_usual_one():
    odd = "0123456789abcdef0123456789abcdef"
    given = [ONE, "sk-proj-" + "k" * 40, odd, {"key": odd, "provider": "mine"}]
    assert [item.provider for item in read_items(given)[0]] == ["gemini", "openai", "gemini", "mine"]
    assert [item.provider for item in read_items(given, "siliconflow")[0]][2] == "siliconflow"


def test_an_item_is_matched_by_id_then_in_full_then_by_a_mask():
    by_id, by_number, in_full, by_mask = (
        {"id": "key_a", "key": mask(TWO)}, {"id": 8}, {"id": "key_1", "key": OTHER}, {"id": "key_1", "key": mask(TWO)},
    )  # fmt: skip
    named, rest = match(items_of(by_id, by_number, in_full), SEATED)
    assert {key_id: item.number for key_id, item in named.items()} == {7: 1, 8: 2}
    assert [item.secret for item in rest] == [OTHER]
    named, _ = match(items_of(by_mask, {"key": mask(ONE).replace("...", "…")}), SEATED)
    assert {key_id: item.number for key_id, item in named.items()} == {8: 1, 7: 2}


def test_a_mask_that_none_has_or_two_have_is_unclear():
    twins = [Seated(7, "key_a", mask(ONE)), Seated(8, "key_b", mask(ONE))]
    short = [Seated(7, "key_a", "***")]
    for item, seated in (({"key": mask(OTHER)}, SEATED), ({"key": mask(ONE)}, twins), ({"key": "***"}, short),
                         ({"id": "key_z"}, SEATED)):  # fmt: skip
        with pytest.raises(Unclear) as unclear:
            match(items_of({"id": "key_a"}, item), seated)
        assert unclear.value.number == 2


def test_of_two_items_for_one_key_the_first_counts():
    named, _ = match(items_of({"id": "key_a", "weight": 2}, {"key": mask(ONE), "weight": 9}), SEATED)
    assert [(key_id, item.weight) for key_id, item in named.items()] == [(7, 2)]


def test_the_secret_stands_in_no_repr():
    assert OTHER not in repr(Item(1, secret=OTHER))

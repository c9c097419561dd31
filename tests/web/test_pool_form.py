"""The form of a pool: two who change it at once both keep what they changed, or are told; and nothing is too long."""

import pytest

from pool.core import lengths
from tests.web.visitor import Page, Visitor

HTMX = {"HX-Request": "true"}


@pytest.fixture
def pool_id(house):
    return house.keypool.inventory.create_pool(
        "research", description="paid keys", policy="lru", allowed_models=["gemini-*", "gpt-4o"]
    )[0]


def form_on(visitor, pool_id):
    return visitor.see(f"/pools/{pool_id}").form_of("Save")


def in_force(house, pool_id):
    pool = house.keypool.catalogue.pools[pool_id]
    return pool.name, pool.policy, pool.allowed_models


def test_a_stale_tab_writes_only_what_was_changed_in_it(house, pool_id):
    visitor = Visitor(house)
    stale = form_on(visitor, pool_id)
    visitor.submit(*form_on(visitor, pool_id), {"policy": "weighted", "models": "gemini-3-pro"})
    assert "Saved." in visitor.submit(*stale, {"name": "lab"}).text
    assert in_force(house, pool_id) == ("lab", "weighted", ("gemini-3-pro",))


def test_what_two_changed_differently_is_shown_to_the_second_and_saved_only_when_asked_again(house, pool_id):
    visitor = Visitor(house)
    stale = form_on(visitor, pool_id)
    visitor.submit(
        *form_on(visitor, pool_id), {"policy": "weighted", "models": "gemini-3-pro", "description": "theirs"}
    )
    told = visitor.submit(*stale, {"policy": "random", "models": "gpt-5", "description": "mine"})
    said = Page(told.text).text
    assert told.status_code == 409
    for theirs in ("made it Weighted meanwhile", "made it gemini-3-pro meanwhile", "made it “theirs” meanwhile"):
        assert theirs in said
    assert in_force(house, pool_id) == ("research", "weighted", ("gemini-3-pro",))
    form, button = Page(told.text).form_of("Save")
    filled = dict(form.fields)
    assert (filled["policy"], filled["models"], filled["description"]) == ("random", "gpt-5", "mine")
    assert "Saved." in visitor.submit(form, button, {}).text
    assert in_force(house, pool_id) == ("research", "random", ("gpt-5",))


def test_two_who_change_the_same_to_the_same_agree(house, pool_id):
    visitor = Visitor(house)
    stale = form_on(visitor, pool_id)
    for form in (form_on(visitor, pool_id), stale):
        assert "Saved." in visitor.submit(*form, {"policy": "random"}).text


def test_htmx_gets_the_form_with_what_somebody_else_changed(house, pool_id):
    visitor = Visitor(house)
    stale = form_on(visitor, pool_id)
    visitor.submit(*form_on(visitor, pool_id), {"policy": "weighted"})
    told = visitor.submit(*stale, {"policy": "random"}, HTMX)
    assert told.status_code == 409
    assert told.text.strip().startswith('<form id="settings"')
    assert '"code":"403|409|422","swap":true' in visitor.get("/pools").text.replace("&#34;", '"')


def test_saving_without_a_change_says_so_and_writes_nothing(house, pool_id):
    visitor = Visitor(house)
    assert "Nothing was changed." in visitor.submit(*form_on(visitor, pool_id), {}).text
    assert visitor.audit() == []


def test_a_field_that_is_not_sent_stays_as_it_is(house, pool_id):
    Visitor(house).post(f"/pools/{pool_id}", name="lab")
    assert in_force(house, pool_id) == ("lab", "lru", ("gemini-*", "gpt-4o"))


def test_the_trail_tells_what_was_changed_and_no_more(house, pool_id):
    from tests.web.visitor import rows_of

    visitor = Visitor(house)
    visitor.submit(*form_on(visitor, pool_id), {"policy": "random"})
    assert [(row["before"], row["after"]) for row in rows_of(house, "audit")] == [
        ('{"policy":"lru"}', '{"policy":"random"}')
    ]


TOO_LONG = [
    ({"name": "n" * (lengths.POOL_NAME + 1)}, "A name has at most 60 characters."),
    ({"description": "d" * (lengths.DESCRIPTION + 1)}, "What it is for is said in at most 500 characters."),
    ({"models": "m" * (lengths.MODEL + 1)}, "The name of a model has at most 200 characters: mmmm"),
    ({"models": "\n".join(f"m{n}" for n in range(lengths.MODELS + 1))}, "At most 500 models are listed."),
]


@pytest.mark.parametrize(("filled", "said"), TOO_LONG, ids=[said for _, said in TOO_LONG])
def test_what_is_too_long_is_told_beside_its_field(house, pool_id, filled, said):
    visitor = Visitor(house)
    for path in ("/pools/new", f"/pools/{pool_id}"):
        told = visitor.post(path, **{"name": "another", **filled})
        assert told.status_code == 422
        assert said in Page(told.text).text
        assert len(said) < 100
    assert len(house.keypool.catalogue.pools) == 2
    just = {name: value[: -1 if "\n" not in value else -len("m500\n")] for name, value in filled.items()}
    assert visitor.post(f"/pools/{pool_id}", **just).status_code == 303


def test_a_name_that_was_too_long_before_there_was_a_limit_is_in_nobodys_way(house):
    pool_id, _ = house.keypool.inventory.create_pool("n" * 150)
    visitor = Visitor(house)
    assert "Saved." in visitor.submit(*form_on(visitor, pool_id), {"policy": "random"}).text


def test_a_user_keys_name_has_an_end(house):
    visitor = Visitor(house)
    told = visitor.post("/clients", name="n" * (lengths.CLIENT_NAME + 1), pool="1")
    assert told.status_code == 422
    assert "A name has at most 60 characters." in Page(told.text).text
    assert visitor.post("/clients", name="n" * lengths.CLIENT_NAME, pool="1").status_code == 303


def test_the_default_model_has_a_name_of_a_models_length(house):
    visitor = Visitor(house)
    form, button = visitor.see("/settings").form_of("Save")
    told = visitor.submit(form, button, {"default_model_name": "m" * (lengths.MODEL + 1)})
    assert told.status_code == 422
    assert "The name of a model has at most 200 characters." in Page(told.text).text
    assert "Saved." in visitor.submit(form, button, {"default_model_name": "m" * lengths.MODEL}).text

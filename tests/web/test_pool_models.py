"""A pool's page: models chosen from the live list, aliases, the fallback pool, tiers, and figures that are true."""

import pytest

from tests.house import GEMINI_KEYS
from tests.upstream import answer, gemini_error
from tests.web.visitor import Page, Visitor

EVIL = 'tiny-"><b>\u202e\U0001f600'


@pytest.fixture
def pool_id(house):
    house.add_keys(*GEMINI_KEYS[:2])
    return house.default_pool_id


def listed(house, pool_id):
    """The names of the list, once somebody asked for it."""
    Visitor(house).see(f"/pools/{pool_id}?models=read")
    return house.keypool.models.listed(pool_id)


def boxes(page):
    return {node.get("value"): "checked" in node.attrs for node in page.all("input") if node.get("name") == "listed"}


def the_pool(house, pool_id):
    return house.keypool.catalogue.pools[pool_id]


def test_the_list_is_read_when_asked_for_and_kept(house, pool_id):
    visitor = Visitor(house)
    page = visitor.see(f"/pools/{pool_id}")
    assert boxes(page) == {}
    asked = len(house.upstream.requests)
    read = visitor.see(page.link("Choose from a list"))
    assert len(house.upstream.requests) > asked
    assert boxes(read)
    asked = len(house.upstream.requests)
    assert boxes(visitor.see(f"/pools/{pool_id}")) == boxes(read)
    assert len(house.upstream.requests) == asked


def test_ticked_models_and_typed_ones_are_allowed_together(house, pool_id):
    name = listed(house, pool_id)[0]
    visitor = Visitor(house)
    saved = visitor.press(visitor.see(f"/pools/{pool_id}"), "Save", models="gpt-*", listed=[name])
    assert "Saved." in saved.text
    assert set(the_pool(house, pool_id).allowed_models) == {"gpt-*", name}
    page = visitor.see(f"/pools/{pool_id}")
    assert [each for each, ticked in boxes(page).items() if ticked] == [name]
    form, _ = page.form_of("Save")
    assert dict(form.fields)["models"] == "gpt-*"
    unchanged = visitor.press(page, "Save")
    assert "Nothing was changed." in unchanged.text


def test_unticking_all_allows_every_model_again(house, pool_id):
    name = listed(house, pool_id)[0]
    house.keypool.inventory.update_pool(pool_id, allowed_models=[name])
    visitor = Visitor(house)
    assert "Saved." in visitor.press(visitor.see(f"/pools/{pool_id}"), "Save", listed=[]).text
    assert the_pool(house, pool_id).allowed_models == ()


def test_an_upstream_that_does_not_tell_its_models_is_told_of(house, pool_id):
    house.upstream.script(gemini_error(503, message="No <b>list</b>"))
    answer = Visitor(house).get(f"/pools/{pool_id}?models=read")
    assert answer.status_code == 200
    assert "No upstream told its models:" in Page(answer.text).text
    assert "<b>list" not in answer.text


def test_names_of_models_are_an_upstreams_words(house, pool_id):
    """On the page of the pool, where they are chosen, and wherever else they may be told."""
    hostile = f'{EVIL}"><script>alert(1)</script>'
    each = {"name": f"models/{hostile}", "displayName": hostile, "supportedGenerationMethods": ["generateContent"]}
    house.upstream.script(lambda request: answer(200, {"models": [each]}) if request.method == "GET" else None)
    visitor = Visitor(house)
    (name,) = listed(house, pool_id)
    assert name == hostile
    for path in (f"/pools/{pool_id}?models=read", f"/pools/{pool_id}", "/playground", "/dashboard", "/requests"):
        html = visitor.get(path).text
        assert "<script>alert" not in html and 'tiny-">' not in html, path
    assert hostile in boxes(visitor.see(f"/pools/{pool_id}?models=read"))


def test_aliases_are_written_a_line_each_and_serve_at_once(house, pool_id):
    visitor = Visitor(house)
    saved = visitor.press(
        visitor.see(f"/pools/{pool_id}"), "Save", aliases=f"fast = gemini-2.5-flash\n\n {EVIL}=gemini-2.5-pro "
    )
    assert "Saved." in saved.text
    assert EVIL not in saved.text
    assert the_pool(house, pool_id).aliases == {"fast": "gemini-2.5-flash", EVIL: "gemini-2.5-pro"}
    assert house.chat("fast").status_code == 200
    (row,) = house.records()
    assert (row["model_asked"], row["model_used"]) == ("fast", "gemini-2.5-flash")
    assert visitor.audit()[-1] == ("pool.update", f"pool {pool_id}")
    assert "Saved." in visitor.press(visitor.see(f"/pools/{pool_id}"), "Save", aliases="").text
    assert the_pool(house, pool_id).aliases == {}


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("fast gemini-2.5-flash", "Each line says a name, an equals sign and a model"),
        ("= gemini-2.5-flash", "Each line says a name, an equals sign and a model"),
        ("fast = a\nfast = b", "fast\u2069 is there twice."),
        ("fast = " + "m" * 201, "The name of a model has at most 200 characters"),
        ("\n".join(f"a{n} = m" for n in range(501)), "At most 500 aliases"),
    ],
)
def test_what_is_wrong_with_aliases_stands_beside_them_and_they_stay(house, pool_id, typed, said):
    visitor = Visitor(house)
    answer = visitor.press(visitor.see(f"/pools/{pool_id}"), "Save", aliases=typed)
    assert answer.status_code == 422
    page = Page(answer.text)
    assert said in page.text
    form, _ = page.form_of("Save")
    assert dict(form.fields)["aliases"].split() == typed.split()
    assert the_pool(house, pool_id).aliases == {}


def test_a_fallback_pool_is_chosen_and_taken_away(house, pool_id):
    other, _ = house.keypool.inventory.create_pool("other <one>")
    visitor = Visitor(house)
    assert "Saved." in visitor.press(visitor.see(f"/pools/{pool_id}"), "Save", fallback=str(other)).text
    assert the_pool(house, pool_id).fallback_pool_id == other
    assert "Saved." in visitor.press(visitor.see(f"/pools/{pool_id}"), "Save", fallback="").text
    assert the_pool(house, pool_id).fallback_pool_id is None
    for wrong in (str(pool_id), "999", "x"):
        answer = visitor.post(f"/pools/{pool_id}", fallback=wrong)
        assert answer.status_code == 422, wrong
    assert the_pool(house, pool_id).fallback_pool_id is None


def test_a_new_pool_may_have_aliases_and_a_fallback_at_once(house, pool_id):
    visitor = Visitor(house)
    fields = {"name": "research", "aliases": "fast = gemini-2.5-flash", "fallback": str(pool_id)}
    answer = visitor.press(visitor.see("/pools/new"), "Create pool", **fields)
    made = the_pool(house, int(answer.request.path.rsplit("/", 1)[1]))
    assert (made.aliases, made.fallback_pool_id) == ({"fast": "gemini-2.5-flash"}, pool_id)


def test_its_figures_are_its_own(house, pool_id):
    other, token = house.keypool.inventory.create_pool("other")
    house.add_keys(GEMINI_KEYS[3], pool_id=other)
    for _ in range(3):
        house.chat()
    body = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Hello"}]}
    house.post("/v1/chat/completions", body, headers={"Authorization": f"Bearer {token}"})
    tokens = sum(row["tokens_in"] + row["tokens_out"] for row in house.records() if row["pool_id"] == pool_id)
    page = Visitor(house).see(f"/pools/{pool_id}")
    for words in ("Requests a minute 3", "Requests today 3", f"Tokens today {tokens}", "Success today 100 %"):
        assert words in page.text
    assert "Requests today 1" in Visitor(house).see(f"/pools/{other}").text
    assert page.link("Healthy") == f"/keys?state=healthy&pool={pool_id}"


def test_tiers_and_standby_keys_are_counted(house, pool_id):
    house.add_keys(GEMINI_KEYS[4], weight=0)
    page = Visitor(house).see(f"/pools/{pool_id}")
    assert "Tier Keys Standby Switched off here 0 3 1 0" in page.text

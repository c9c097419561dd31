"""The page of providers: added, changed, switched off and deleted by somebody without script."""

import pytest

from tests.house import GEMINI_KEYS
from tests.web.visitor import Page, Visitor, rows_of

GROQ = {"slug": "groq", "base_url": "https://api.groq.test/openai/v1/"}
PROXY = "socks5://ann:very-secret@proxy.test:1080"


def add(visitor, **fields):
    return visitor.press(visitor.see("/providers"), "Add the provider", **{**GROQ, **fields})


def row_of(visitor, slug):
    return visitor.see("/providers").by_id[f"provider-{slug}"].text


def test_a_provider_is_added_and_can_be_called_by_its_name(house):
    visitor = Visitor(house)
    answer = add(visitor, base_url=house.upstream.url + "/v1", slug="local", key_header="api-key")
    assert "was added. Import keys for it next." in answer.text
    assert "api-key" in row_of(visitor, "local")
    assert visitor.audit() == [("provider.add", "provider local")]
    house.add_keys("local-key-0001", provider="local")
    body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
    assert house.post("/api/local/chat/completions", body).status_code == 200


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"slug": "Groq!"}, "Small letters, digits"),
        ({"slug": "gemini"}, "There is a provider of this name."),
        ({"base_url": "ftp://a.test"}, "A URL that begins with https://"),
        ({"base_url": "https://a:b@a.test"}, "without a password"),
        ({"proxy_url": "nonsense"}, "A URL such as http://name"),
        ({"proxy_url": "socks5://ann:***@proxy.test:1080"}, "This is a mask. Type the whole address."),
        ({"key_header": "Host"}, "This header cannot carry a key."),
        ({"idle_s": "many"}, "Seconds from 0.1 to 3600."),
        ({"connect_s": "999"}, "Seconds from 0.1 to 120."),
    ],
)
def test_what_cannot_be_is_said_beside_its_field(house, typed, said):
    visitor = Visitor(house)
    answer = add(visitor, **typed)
    assert answer.status_code == 422
    page = Page(answer.text)
    (name,) = typed
    assert said in page.by_id[f"field-{name}-error"].text
    assert page.by_id[f"field-{name}"].get("value") == typed[name]
    assert visitor.audit() == []


def test_a_proxy_is_shown_masked_and_stays_when_its_mask_comes_back(house):
    visitor = Visitor(house)
    add(visitor, proxy_url=PROXY, fallback_to_direct="on")
    page = visitor.see("/providers/groq")
    assert page.by_id["field-proxy_url"].get("value") == "socks5://ann:***@proxy.test:1080"
    visitor.press(page, "Save", idle_s="30")
    stored = house.keypool.inventory.provider_rows("groq")[0]
    assert (stored.proxy_url, stored.fallback_to_direct, dict(stored.timeouts)) == (PROXY, True, {"idle_s": 30.0})
    for path in ("/providers", "/providers/groq"):
        assert "very-secret" not in visitor.get(path).text
    assert "very-secret" not in str(rows_of(house, "audit") + rows_of(house, "providers"))
    answer = visitor.press(page, "Save", proxy_url="socks5://bob:***@proxy.test:1080")
    assert answer.status_code == 422
    assert "This is the mask of another proxy." in answer.text
    visitor.press(visitor.see("/providers/groq"), "Save", proxy_url="", idle_s="")
    stored = house.keypool.inventory.provider_rows("groq")[0]
    assert (stored.proxy_url, dict(stored.timeouts)) == (None, {})


def test_saving_what_is_there_changes_nothing(house):
    visitor = Visitor(house)
    assert "Nothing was changed." in visitor.press(visitor.see("/providers/gemini"), "Save").text
    assert visitor.audit() == []


def test_where_the_environment_says_a_provider_is_the_page_cannot_move_it(house):
    visitor = Visitor(house)
    page = visitor.see("/providers/gemini")
    assert "readonly" in page.by_id["field-base_url"].attrs
    answer = visitor.post("/providers/gemini", base_url="https://elsewhere.test")
    assert answer.status_code == 422
    assert "The environment says where it is" in answer.text
    assert "field-dialect" not in page.by_id


def test_a_provider_is_switched_off_and_on(house):
    visitor = Visitor(house)
    house.add_keys(GEMINI_KEYS[0])
    visitor.press(visitor.see("/providers"), "Switch off gemini")
    assert "Off" in row_of(visitor, "gemini")
    assert house.chat().status_code == 503
    visitor.press(visitor.see("/providers"), "Switch on gemini")
    assert house.chat().status_code == 200
    assert [thing for _, thing in visitor.audit()] == ["provider gemini", "provider gemini"]
    fragment = visitor.post("/providers/gemini/disable", {"HX-Request": "true"})
    assert fragment.text.lstrip().startswith('<tr id="provider-gemini"')


def test_deleting_asks_first_and_wants_the_name_where_keys_go_along(house):
    visitor = Visitor(house)
    add(visitor)
    house.add_keys("gsk-0001-0001", provider="groq")
    page = visitor.see("/providers/groq/delete")
    assert "Its 1 key is deleted with it, for good" in page.text
    assert visitor.press(page, "Delete", slug="grok").status_code == 422
    answer = visitor.press(page, "Delete", slug="groq")
    assert "is deleted." in answer.text
    assert "groq" not in visitor.see("/providers").by_id
    assert visitor.get("/providers/groq").status_code == 404
    assert visitor.audit()[-1] == ("provider.delete", "provider groq")


def test_one_without_keys_goes_at_a_press_and_a_built_in_one_never(house):
    visitor = Visitor(house)
    add(visitor)
    visitor.press(visitor.see("/providers/groq/delete"), "Delete")
    assert visitor.get("/providers/groq").status_code == 404
    assert visitor.get("/providers/gemini/delete").status_code == 404
    assert visitor.post("/providers/gemini/delete", slug="gemini").status_code == 404

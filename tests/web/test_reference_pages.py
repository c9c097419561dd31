"""The management API told to people: every operation on a page, in the frame of all the others."""

from pool.web.api.document import document
from tests.web.visitor import Page, Visitor


def test_it_is_reached_from_the_settings_and_leads_to_every_operation(house):
    visitor = Visitor(house)
    overview = visitor.see(visitor.see("/settings").link("Management API"))
    links = dict.fromkeys(href for _, href in overview.links if "/settings/api/" in href)
    anchors = {href.partition("#")[2] for href in links if "#" in href}
    assert anchors == {
        operation["operationId"] for methods in document()["paths"].values() for operation in methods.values()
    }
    for href in dict.fromkeys(href.partition("#")[0] for href in links):
        page = visitor.see(href)
        wanted = {each.partition("#")[2] for each in links if each.startswith(f"{href}#")}
        assert wanted <= set(page.by_id), href


def test_an_operation_is_told_with_its_members_and_a_call_to_this_address(house):
    page = Visitor(house).see("/settings/api/requests")
    told = page.by_id["explain_route"].text
    for each in ("POST /admin/route/explain", "In the body", "model", "string", "As a client would name it.",
                 "curl -X POST http://localhost/admin/route/explain", "X-Admin-Key: $KEYPOOL_PASSWORD",
                 "Answer 200", "providers[].would_choose.key_id"):  # fmt: skip
        assert each in told, each


def test_the_document_itself_is_one_link_away(house):
    visitor = Visitor(house)
    answer = visitor.get(visitor.see("/settings/api").link("OpenAPI document"))
    assert (answer.status_code, answer.json["openapi"]) == (200, "3.1.0")


def test_it_is_shut_to_strangers_and_has_no_other_pages(house):
    assert Visitor(house, signed_in=False).get("/settings/api").status_code == 302
    assert Visitor(house, signed_in=False).get("/settings/api/keys").status_code == 302
    assert Visitor(house).get("/settings/api/nothing").status_code == 404


def test_its_frame_speaks_chinese_and_says_which_words_do_not(house):
    visitor = Visitor(house)
    visitor.client.set_cookie("language", "zh_CN")
    page = Page(visitor.get("/settings/api/requests").text)
    assert "请求体中" in page.text or "请求体" in page.text
    for node in page.all("article"):
        assert any(each.get("lang") == "en" for each in node.walk())

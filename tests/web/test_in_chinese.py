"""Every page in Chinese: what is left in Latin letters is a name, a code, or what somebody typed."""

from __future__ import annotations

import re

import pytest

from tests.web.scriptless.stage import furnish, open_stage
from tests.web.visitor import Page, Visitor

NAMES = """Keypool quota_day webhook Gemini OpenAI Google Anthropic SDK API URL HTTP TLS JSON CSV UTC RPM RPD TPM TPD
AIza AQ sk Python JavaScript curl openai google-genai English Token MB ms p95 default pacific email:key"""
TYPED = "research test"
"""What the stage is furnished with: a pool, a browser."""

SEEN_AS_IT_IS = frozenset({"code", "pre", "textarea", "option", "bdi", "kbd"})
"""Elements that hold what is the same in every language: keys, codes, models, what somebody typed."""

WORD = re.compile(r"[A-Za-z][\w.@'-]*[A-Za-z0-9]|[A-Za-z]", re.ASCII)
MASK = re.compile(r"\S{8}\.\.\.\S{4}")
MODEL = re.compile(r"(?:models/)?gemini-[\w.*/:-]*")
ELSEWHERE = re.compile(r"https?://\S+|/\w+|\.\w+|\S+@\S+|You exceeded your current quota\.|API key not valid\.[\w .]*")
"""Addresses, files, and what upstreams say."""

PAGES = """/dashboard /pools /pools/1 /pools/2 /pools/new /pools/2/delete /pools/1/regenerate /keys /keys?state=dead
/keys?state=cooling /keys?state=disabled /keys/import /clients /clients/3/revoke /stat /stat?window=90d
/stat?show=exhausted /settings /account /nowhere /keys/3/delete""".split()
FORMS = {
    "/pools/new": {"name": ""},
    "/pools/2": {"name": "spare"},
    "/pools/1/reveal": {"password": "wrong"},
    "/clients": {"name": ""},
    "/keys/import": {"text": ""},
    "/settings": {"was-max_attempts": "1", "max_attempts": "many"},
    "/account/password": {"current": "a", "new": "b", "again": "c"},
    "/keys/selected/copy": {"key": "3"},
    "/keys/selected/delete": {"key": "3"},
    "/keys/selected/test": {},
}


@pytest.fixture(scope="module")
def visitor(instance_template, tmp_path_factory):
    with open_stage(instance_template, tmp_path_factory.mktemp("stage") / "instance") as house:
        furnish(house)
        visitor = Visitor(house)
        visitor.post("/language", language="zh_CN")
        yield visitor


def english(page):
    """Words of a page that are neither Chinese nor a name."""
    known = {word.lower() for word in re.split(r"[\s:]+", NAMES + " " + TYPED)}
    texts = []
    for node in page.nodes:
        texts += [node.get(name) for name in ("title", "placeholder", "aria-label", "alt") if not typed(node, name)]
        if not any(each.tag in SEEN_AS_IT_IS or "tag" in each.get("class").split() for each in node.around()):
            texts += [child for child in node.children if isinstance(child, str)]
    found = set()
    for text in texts:
        plain = ELSEWHERE.sub(" ", MODEL.sub(" ", MASK.sub(" ", text)))
        found.update(word for word in WORD.findall(plain) if word.lower() not in known)
    return found


def typed(node, name):
    """Does an attribute repeat what somebody typed, or show an example of it?"""
    return name == "placeholder" or (name == "title" and any(each in node.get("class") for each in ("clip", "detail")))


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_all_chinese(visitor, path):
    assert english(Page(visitor.get(path).text)) == set()


@pytest.mark.parametrize("path", FORMS)
def test_so_is_the_answer_to_a_form(visitor, path):
    answer = visitor.client.post(path, data=FORMS[path], follow_redirects=True)
    assert english(Page(answer.text)) == set()


def test_a_word_that_is_left_over_is_noticed(visitor):
    page = Page('<p>停用 Disabled</p><a title="Delete this">×</a><code>whatever</code><b>Keypool</b>')
    assert english(page) == {"Disabled", "Delete", "this"}

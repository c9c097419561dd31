"""What pages say: every code in words, every number as it is written, one word a thing."""

import ast
import re
import time
from pathlib import Path

import pytest
from flask_babel import force_locale, ngettext
from sqlalchemy import text

from pool.web.code_words import CODES, SENTENCES, code_text, last_error_text, own_text, reason_text, said_text
from tests.house import GEMINI_KEYS
from tests.web.visitor import Visitor
from tools import translate

ROOT = Path(__file__).parents[2]
RECORDED = [path for path in (ROOT / "pool").rglob("*.py") if not {"web", "redis", "tables"} & set(path.parts)]
RECORDED += (ROOT / "pool/web/proxy").glob("*.py")
"""Modules whose codes and sentences come to a page by way of the log of requests or the health of keys."""

NEVER_LOGGED = {"ok", "bad_request"}
CHINESE = re.compile(r"[\u4e00-\u9fff]")


@pytest.fixture
def in_chinese(house):
    with house.app.test_request_context(), force_locale("zh_CN"):
        yield


def calls(name):
    """Every call of something, in the modules that write down what happens."""
    for path in RECORDED:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == name:
                yield node


def constant(call, place, keyword=""):
    """A word that stands in a call as it is."""
    found = [*call.args[place : place + 1], *(each.value for each in call.keywords if each.arg == keyword)]
    return next((node.value for node in found if isinstance(node, ast.Constant) and isinstance(node.value, str)), None)


def written_down():
    """Every code that ends a request or an attempt, or that a key rests for."""
    for call, place in [("Fault", 1), ("Outcome", 0), ("overloaded", 3), ("refuse", 2), ("bench", 1)]:
        yield from (constant(node, place, "code") for node in calls(call))
    yield from ("errors", "probing", "limited", "quota_day", "quota_minute")


def test_every_code_has_words(in_chinese):
    codes = {code for code in written_down() if code} - NEVER_LOGGED
    assert len(codes) > 40
    bare = {code for code in codes if not CHINESE.search(code_text(code))}
    assert bare == set(), "give them words in pool/web/code_words.py"


def sentences():
    """What stands beside a code where no upstream said anything: faults of connections, verdicts of our own."""
    for name in ("CannotConnect", "Broken"):
        for call in calls(name):
            match call.args[0]:
                case ast.Constant(value=str(text)):
                    yield text
                case ast.JoinedStr(values=parts):
                    yield "".join(part.value if isinstance(part, ast.Constant) else "X" for part in parts)
    yield from (constant(call, 9, "reason") for call in calls("Outcome"))
    yield from ("5 errors without a success", "503 with an HTML page", "unexpected redirect (302)",
                "refused by the upstream", "upstream was silent for too long (idle)",
                "The upstream answered 503.")  # fmt: skip


def test_every_sentence_of_our_own_is_told_in_the_visitors_language(in_chinese):
    said = {sentence for sentence in sentences() if sentence}
    assert len(said) > 25
    bare = {sentence for sentence in said if not CHINESE.search(own_text(sentence) or "")}
    assert bare == set(), "give them words in pool/web/code_words.py"


def test_what_an_upstream_says_is_left_as_it_is(in_chinese):
    for words in ("API key not valid.", "You exceeded your current quota: 5 errors without a success", ""):
        assert own_text(words) is None
        assert said_text(words) == words
    assert code_text("some_code_of_theirs") == "some_code_of_theirs"
    assert reason_text("The_model is_overloaded") == "The_model is_overloaded"


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ("503 overloaded The model is overloaded.", "503 · upstream overloaded · The model is overloaded."),
        ("429 quota_day You exceeded your quota.", "429 · day quota · You exceeded your quota."),
        ("unreachable no connection (ECONNREFUSED)", "could not be reached · no connection (ECONNREFUSED)"),
        ("503 overloaded The upstream answered 503.", "503 · upstream overloaded · 503 without words"),
        ("200 empty", "200 · an answer without content"),
        ("500 whatever_they say", "500 whatever_they say"),
        ("Nonsense", "Nonsense"),
        ("", ""),
    ],
)
def test_the_last_error_of_a_key_is_told_in_words(house, stored, shown):
    with house.app.test_request_context():
        assert last_error_text(stored) == shown


def test_no_pattern_hides_behind_another():
    for number, (pattern, _text) in enumerate(SENTENCES):
        for other, _ in SENTENCES[:number]:
            assert pattern not in other.split("|")
    assert not any("%" in text for text in CODES.values())


def look(house, path, **words):
    """A page in Chinese."""
    visitor = Visitor(house)
    visitor.post("/language", language="zh_CN")
    return visitor.see(path)


def test_codes_are_told_in_the_visitors_language_wherever_they_are_shown(house):
    house.add_keys(*GEMINI_KEYS[:2])
    visitor = Visitor(house)
    visitor.post("/language", language="zh_CN")
    house.post("/v1/chat/completions", {"model": "m"})
    house.records()
    house.keypool.database.write(_write_down)
    for path, codes in (
        ("/dashboard", ("invalid_request", "upstream_unavailable", "budget_exceeded")),
        ("/stat?window=24h", ("invalid_request", "model_missing", "not_found")),
        ("/keys", ("overloaded", "errors without")),
    ):
        page = visitor.see(path)
        shown = " ".join(node.text for node in page.all("td") if "<code" not in node.text)
        bare = re.sub(r"[\w:/.-]*[:/][\w:/.-]*", "", shown)
        for code in codes:
            told = [node for node in page.all("code") if node.text == code]
            assert bare.count(code) == sum(node.text == code for node in told), (path, code)
            assert CHINESE.search(bare)


def _write_down(session):
    now, hour = time.time(), int(time.time() // 3600) * 3600
    for n, code in enumerate(("invalid_request", "upstream_unavailable", "budget_exceeded")):
        session.execute(
            text(
                "INSERT INTO requests (request_id, at, pool_id, operation, dialect, model_asked, model_used, stream,"
                " status, outcome, error_code, latency_ms, tokens_in, tokens_out, tokens_cached, tokens_thinking,"
                " estimated, cost_nano, attempts, ip) VALUES (:id, :at, 1, 'chat', 'openai', 'm', 'm', false,"
                " 400, 'error', :code, 1, 0, 0, 0, 0, false, 0, 1, '')"
            ),
            {"id": f"r{n}", "at": now, "code": code},
        )
    for side, word in (("request", "invalid_request"), ("request", "not_found"), ("attempt", "model_missing")):
        session.execute(
            text(
                "INSERT INTO outcomes_hourly (hour, side, pool_id, model, operation, status, word, times)"
                " VALUES (:hour, :side, 1, 'm', 'chat', 404, :word, 6099)"
            ),
            {"hour": hour, "side": side, "word": word},
        )
    session.execute(text("UPDATE keys SET last_error = '503 overloaded 5 errors without a success'"))


def test_keypools_own_verdict_is_not_shown_as_the_upstreams_words(house):
    from pool.core.state import Word

    (key_id,) = house.add_keys(GEMINI_KEYS[0])
    until = time.time() + 3_600
    house.keypool.state.announce(Word(key_id, "errors", until, ""))
    house.keypool.database.write(
        lambda session: session.execute(
            text(
                "INSERT INTO key_health (key_id, model, state, reason, since, until, streak, upstream_text)"
                " VALUES (:id, '', 'cooling', 'errors', 0, :until, 0, '5 errors without a success')"
            ),
            {"id": key_id, "until": until},
        )
        and None
    )
    page = look(house, "/stat")
    assert [node.text for node in page.all("pre")] == []
    assert "连续 5 次错误，没有一次成功" in page.text
    assert "5 errors" not in page.text
    assert "5 errors" not in Visitor(house).get("/stat/keys.csv").text


def test_numbers_are_written_with_their_thousands_apart(house):
    house.add_keys(GEMINI_KEYS[0])
    house.chat()
    house.records()
    many = text("UPDATE traffic_hourly SET requests = 7000, successes = 901, errors = 6099")
    house.keypool.database.write(lambda session: session.execute(many) and None)
    visitor = Visitor(house)
    assert "6,099 failed" in visitor.see("/dashboard").text
    settings = visitor.see("/settings").text
    assert "Default: 3,600 seconds" in settings
    assert "3600" not in settings
    values = {node.get("name"): node.value for node in visitor.see("/settings").all("input")}
    assert values["error_reset_interval"] == "3600"


def test_whoever_counts_in_a_text_has_the_number_written_as_its_language_does(house):
    template = house.app.jinja_env.from_string('{{ ngettext("%(num)d <%(who)s>", "%(num)d <%(who)s>s", n, who=who) }}')
    with house.app.test_request_context():
        assert ngettext("%(num)d day", "%(num)d days", 6099) == "6,099 days"
        assert ngettext("%(num)d day", "%(num)d days", 1) == "1 day"
        assert template.render(n=6099, who="&") == "6,099 <&amp;>s"


def test_only_what_counts_is_written_with_a_d():
    """`%(num)d` of ngettext is written as numbers are; anything else has to be formatted before."""
    for message in translate.texts():
        said = message.id if isinstance(message.id, tuple) else (message.id,)
        for each in said:
            assert set(re.findall(r"%\((\w+)\)d", each)) <= ({"num"} if len(said) > 1 else set()), each


TERMS = {
    r"(?<!access )(?<!signed )\btokens?\b": ("Token", "令牌"),
    r"\bproviders?\b": ("提供商", "供应商"),
}
"""What an English text speaks of: the one word it has in Chinese, and one it must not have."""


@pytest.mark.parametrize("term", TERMS)
def test_one_word_a_thing_in_chinese_too(term):
    (path,) = translate.FOLDER.glob("zh*/LC_MESSAGES/messages.po")
    wanted, wrong = TERMS[term]
    seen = 0
    for message in translate.read(path):
        texts = message.id if isinstance(message.id, tuple) else (message.id,)
        english = re.sub(r"%\(\w+\)\w|`[^`]*`", "", " ".join(texts))
        if not re.search(term, english, re.I):
            continue
        seen += 1
        for said in message.string if isinstance(message.string, tuple) else (message.string,):
            assert wanted in said, (english, said)
            assert wrong not in said, (english, said)
            assert "服务商" not in said, (english, said)
    assert seen > 4

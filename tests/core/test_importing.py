"""Pasted text becomes keys, whatever form it has."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool.core.importing import parse

A = "AIzaSy" + "a1B2c3D4e5F6g7H8i9J0k" + "xxxxxxxxxxxx"
B = "AIzaSy" + "Z9y8X7w6V5u4T3s2R1q0p" + "yyyyyyyyyyyy"
AQ = "AQ.Ab8RN6" + "Lm4kq1Zp" * 4
S = "sk-proj-" + "q1W2e3R4t5Y6u7I8o9P0" * 2
ODD = "Zq8" * 12


def secrets(text):
    return [row.secret for row in parse(text).usable]


def one(text):
    (row,) = parse(text).rows
    return row


@pytest.mark.parametrize(
    "text",
    [
        f"{A}\n{B}",
        f"{A}\r\n\r\n{B}\r\n",
        f"{A}\r{B}",
        f"\ufeff{A}\n{B}",
        f"{A},{B}",
        f"{A};{B};",
        f"{A} {B}",
        f"{A}，{B}",
        f'"{A}", "{B}",',
        f"'{A}'\n`{B}`",
        f"- {A}\n- {B}",
        f"1. {A}\n2) {B}",
        f"# mine\n{A}\n// yours\n{B} # old",
        f'["{A}", "{B}"]',
        f'[\n  "{A}",\n  "{B}",\n]',
        f'{{"api_keys": ["{A}", "{B}"]}}',
        f'{{"API_KEYS": ["{A}", "{B}"], "MODELS": ["gemini-2.5-pro"]}}',
        f'{{"keys": [{{"key": "{A}"}}, {{"key": "{B}"}}]}}',
        f'{{"key": "{A}"}}\n{{"key": "{B}"}}',
        f'{{"channels": [{{"name": "x", "key": "{A}\\n{B}"}}]}}',
        f"API_KEYS={A},{B}",
        f'export GEMINI_API_KEYS="{A}, {B}"',
        f"PORT=8000\nGEMINI_API_KEY={A}\nHOST=127.0.0.1\nGOOGLE_API_KEY='{B}'\nADMIN_KEY=correct-horse-battery-staple-1",
        f"key\n{A}\n{B}",
        f"Please use {A} (or {B}), both work.",
        f"ann@example.com:{A}\nbob@example.com : {B}",
        f"ann@example.com----secret1234----{A}\nbob@example.com----secret1234----{B}",
        f"{A}、{B}",
        f"keys = ['{A}', '{B}']",
        f"      - GEMINI_API_KEYS={A},{B}",
        f"| key | email |\n|-----|:-----:|\n| {A} | ann@example.com |\n| {B} | |",
        f'{{"valid_keys": {{"{A}": 0}}, "invalid_keys": {{"{B}": 3}}}}',
        f'{{"API_KEYS": ["{A}", "{B}"], "ALLOWED_TOKENS": ["{S}"], "AUTH_TOKEN": "{S}"}}',
        f'{{"group": {{"name": "g", "proxy_keys": "{S}"}}, "keys": [{{"key_value": "{A}"}}, {{"key_value": "{B}"}}]}}',
        f'{{"success": true, "data": [{{"id": 1, "type": 24, "key": "{A}\\n{B}", "name": "gem", "base_url": ""}}]}}',
        f"model_list:\n  - model_name: pro\n    litellm_params:\n      model: gemini/x\n      api_key: {A}\n"
        f'  - model_name: flash\n    litellm_params:\n      api_key: "{B}" # two\n  - model_name: gpt\n'
        f"    litellm_params:\n      api_key: os.environ/OPENAI\ngeneral_settings:\n  master_key: {S}\n",
    ],
)
def test_keys_are_found_in_whatever_form_they_come(text):
    assert secrets(text) == [A, B]


def test_the_words_beside_a_key_are_kept():
    rows = parse(f"{A}\tann@example.com\tbought in May\n{B}\t\tspare").rows
    assert [(row.secret, row.email, row.note) for row in rows] == [
        (A, "ann@example.com", "bought in May"),
        (B, "", "spare"),
    ]


def test_a_table_with_a_header_is_read_by_its_columns():
    text = f'Name,API Key,Email,Weight,Notes,Project\nlab,{A},a@b.cd,5,"one, two",p-1\n,{B},,,,\n'
    first, second = parse(text).rows
    assert (first.name, first.secret, first.email, first.weight) == ("lab", A, "a@b.cd", 5)
    assert (first.note, first.project, first.line) == ("one, two", "p-1", 2)
    assert (second.secret, second.weight, second.line) == (B, 1, 3)


def test_a_spreadsheet_in_chinese_is_read_too():
    row = one(f"密钥\t邮箱\t备注\n{A}\ta@b.cd\t五月")
    assert (row.secret, row.email, row.note) == (A, "a@b.cd", "五月")


def test_objects_of_json_bring_their_fields():
    row = one(f'[{{"api_key": "{A}", "weight": 3, "email": "a@b.cd", "notes": "n", "name": "x", "type": "Google"}}]')
    assert (row.secret, row.weight, row.email, row.note, row.name) == (A, 3, "a@b.cd", "n", "x")
    assert row.provider == "gemini"


@pytest.mark.parametrize(("text", "weight"), [(f"{A}|7", 7), (f"{A}|0", 0), (f"{A} | 900", 100), (A, 1), (f"{A}|", 1)])
def test_a_bar_brings_the_weight(text, weight):
    row = one(text)
    assert (row.secret, row.weight) == (A, weight)


def test_a_label_becomes_the_name():
    assert (one(f"work: {A}").name, one(f"备用：{A}").name) == ("work", "备用")


@pytest.mark.parametrize(
    ("secret", "provider", "kind"),
    [
        (A, "gemini", "good"),
        (AQ, "gemini", "good"),
        (S, "openai", "good"),
        ("sk-" + "a1B2" * 12, "openai", "good"),
        (A + "x", "gemini", "unsure"),
        ("sk-ant-" + "a1B2" * 10, "unknown", "unsure"),
        ("sk-" + "0a" * 24, "openai", "unsure"),
        (ODD, "unknown", "unsure"),
    ],
)
def test_the_provider_is_guessed_by_the_shape(secret, provider, kind):
    row = one(secret)
    assert (row.secret, row.provider, row.kind) == (secret, provider, kind)


@pytest.mark.parametrize("secret", ["sk-" + "a1B2" * 12 + "/+", AQ + "=", A[:-1] + "~"])
def test_a_character_that_such_a_key_rarely_has_is_warned_of(secret):
    row = one(secret)
    assert (row.kind, row.problem, row.usable) == ("unsure", "odd", True)


def test_a_key_of_unknown_shape_may_hold_any_character_a_header_can():
    assert one(ODD + "!$").problem == "shape"


def test_a_variable_names_the_provider_of_a_key_of_unknown_shape():
    assert one(f"OPENAI_API_KEY={ODD}").provider == "openai"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ya29." + "a1" * 40, "access_token"),
        ("eyJhbGciOi" + "a1" * 40, "jwt"),
        ("GOCSPX-" + "a1" * 14, "oauth_secret"),
        ("sk-pool-" + "0a" * 16, "own_key"),
        ("sk-short", "short"),
        ("ключ" + A, "characters"),
        (A + "\x07", "characters"),
        (S + "<script>alert(1)</script>", "characters"),
        (A[:-2] + '"x', "characters"),
        (AQ + "&amp", "characters"),
        ("x1" * 300, "long"),
        ("nothing to see here", "no_key"),
    ],
)
def test_what_can_never_work_is_marked_with_the_reason(text, problem):
    row = one(text)
    assert (row.kind, row.problem, row.usable) == ("impossible", problem, False)


def test_the_second_of_two_equal_keys_is_marked():
    rows = parse(f"{A}\n{B}\n\n{A}|5").rows
    assert [(row.line, row.kind) for row in rows] == [(1, "good"), (2, "good"), (4, "twice")]
    assert parse(f"{A},{A}").counts() == {"good": 1, "twice": 1}


def test_a_row_does_not_print_its_key():
    assert A not in repr(parse(A))


def test_a_second_key_in_a_line_is_taken_and_never_becomes_a_note():
    for text in (f"- KEYS={A},{B}", f"{A}\tsee also {B} please", f"{A};that was {B} before", f"{A} old: {B}"):
        rows = parse(text).rows
        assert [row.secret for row in rows] == [A, B], text
        assert not [row for row in rows if B in row.note], text


def test_tags_and_whose_key_it_is_are_read_beside_it():
    table = f'key,provider,tags\n{ODD},DeepSeek,"paid, team a,paid"\n{A},google,'
    assert [(row.named, row.provider, row.tags) for row in parse(table).rows] == [
        ("deepseek", "unknown", ("paid", "team a")), ("gemini", "gemini", ()),
    ]  # fmt: skip
    row = one(f'[{{"key": "{ODD}", "provider": "mine", "tags": ["x", 7, "y"], "weight": 3}}]')
    assert (row.named, row.tags, row.weight) == ("mine", ("x", "y"), 3)


def test_a_key_of_litellms_configuration_is_named_for_its_model():
    row = one(f"model_list:\n- model_name: 'my gpt'\n  litellm_params:\n    api_key: {S}\n")
    assert (row.name, row.line, row.secret) == ("my gpt", 4, S)


def test_nothing_is_found_in_nothing():
    assert parse("").rows == parse("\ufeff\n \n# only words\n").rows == []


@pytest.mark.parametrize("beside", ["²", "٣", "9" * 5_000, "101"])
@pytest.mark.parametrize("between", [" ", ",", "\t"])
def test_a_number_that_is_no_weight_is_a_note(between, beside):
    row = one(f"{A}{between}{beside}")
    assert (row.secret, row.weight, row.note) == (A, 1, beside[:2_000])


@given(st.sampled_from([A, f"{A},", f"{A}|", f"{A}\t"]), st.text(st.characters(categories=["N"]), max_size=9))
def test_no_number_breaks_it(key, number):
    assert A in secrets(f"{key} {number}")


@pytest.mark.parametrize(
    "text",
    [
        f'{{"keys":[{{"key":"{A}","note":"a"}},{{"key":"{B}"}},]}}',
        f'{{"keys":[{{"key":"{A}","note":"a"}},{{"key":"{B}","no',
        f'["{A}","{B}",]',
        f'[{{"key":"{A}"}},{{"key":"{B}"}}',
        f'{{"keys": [{{"key": "{A}", "weight": 3}}, {{"key": "{B}"}},]}}',
    ],
)
def test_of_json_that_broke_off_the_keys_are_taken_and_nothing_round_them(text):
    assert secrets(text) == [A, B]


def test_a_piece_of_a_page_or_a_program_is_no_key():
    for piece in ('{"name":"ana","place":1}', '{"of":"Zq8Zq8Zq8Zq8Zq8Zq8Zq8",', "<td>Zq8Zq8Zq8Zq8Zq8Zq8Zq8</td>"):
        assert secrets(piece) == []


@given(st.text(max_size=300))
def test_no_text_breaks_it(text):
    for row in parse(text).rows:
        assert row.kind in ("good", "unsure", "twice", "impossible")


@given(st.lists(st.sampled_from([A, B, S, AQ, ",", "\t", "\n", "|5", "a@b.cd", ":", '"', "{", "[", " ", "=", "----"])))
def test_no_mixture_breaks_it(pieces):
    assert set(secrets("".join(pieces))) is not None


@pytest.mark.alone
@pytest.mark.parametrize("form", ["{key}", "a{n}@example.com:{key}", "{key}\ta{n}@example.com\tnote {n}"])
def test_a_hundred_thousand_lines_take_less_than_two_seconds(form):
    text = "\n".join(form.format(n=n, key=f"AIzaSy{n:08d}" + "k" * 25) for n in range(100_000))
    began = time.process_time()
    assert len({line: re.split(r"[\t:,]", line) for line in text.splitlines()}) == 100_000
    merely_split_s = time.process_time() - began
    began = time.process_time()
    parsed = parse(text)
    # On a slow machine: as long as ten times merely splitting them takes there.
    assert time.process_time() - began < max(2, 10 * merely_split_s)
    assert len(parsed.usable) == 100_000

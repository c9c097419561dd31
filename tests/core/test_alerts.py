"""When a condition is news, and when it is not."""

from __future__ import annotations

from pool.core.alerts import DRY, KEYS, SUCCESS, Alarms, Finding, News

FEW, ENOUGH = Finding(KEYS, "default", 2, 5), Finding(KEYS, "default", 5, 5)


def told(alarms: Alarms, *findings: Finding) -> list[tuple[str, bool]]:
    news = alarms.look(findings)
    for each in news:
        alarms.said(each, 7.0)
    return [(each.finding.name, each.firing) for each in news]


def test_what_holds_for_two_looks_is_said_once_and_so_is_its_end() -> None:
    alarms = Alarms({})
    looks = [FEW, FEW, FEW, ENOUGH, ENOUGH, ENOUGH]
    news = [told(alarms, each) for each in looks]
    assert news == [[], [("keys_low default", True)], [], [], [("keys_low default", False)], []]


def test_what_comes_and_goes_is_no_news() -> None:
    alarms = Alarms({})
    assert [told(alarms, each) for each in (FEW, ENOUGH) * 5] == [[]] * 10


def test_what_was_not_delivered_is_still_news() -> None:
    alarms = Alarms({})
    alarms.look([FEW])
    assert len(alarms.look([FEW])) == len(alarms.look([FEW])) == 1


def test_a_restart_says_nothing_again_and_tells_the_end() -> None:
    alarms = Alarms({"keys_low default": 7.0})
    assert told(alarms, FEW) == told(alarms, FEW) == []
    assert [told(alarms, ENOUGH), told(alarms, ENOUGH)] == [[], [("keys_low default", False)]]


def test_a_subject_that_is_gone_is_forgotten_in_silence() -> None:
    alarms = Alarms({"keys_low gone": 7.0})
    assert told(alarms) == []
    assert alarms.told == {}


def test_each_kind_is_a_sentence() -> None:
    said = [News(finding, firing).text for firing in (True, False)
            for finding in (FEW, Finding(SUCCESS, "", 81.25, 95), Finding(DRY, "gemini-2.5-pro", 1.5, 4))]  # fmt: skip
    assert said == [
        "Keypool: pool “default” has 2 keys that can serve, fewer than 5.",
        "Keypool: 81.25 % of the requests of the last minutes succeeded, less than 95 %.",
        "Keypool: model “gemini-2.5-pro” runs dry in 1.5 h at this pace, before its quotas return.",
        "Keypool: pool “default” has 2 keys that can serve again.",
        "Keypool: 81.25 % of the requests of the last minutes succeeded again.",
        "Keypool: model “gemini-2.5-pro” does not run dry within 4 h any more.",
    ]

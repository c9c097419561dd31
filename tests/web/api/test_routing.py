"""Where would a request go? Told without calling anybody, and without changing who is next."""

import time
from copy import deepcopy

import pytest

from pool.core.keys import FOREVER
from pool.core.outcomes import Outcome
from pool.core.rotation import POLICIES, Member
from pool.core.storms import Failure
from pool.explaining import OPERATIONS
from tests.house import GEMINI_KEYS, OPENAI_KEYS, PASSWORD
from tests.stores import on_sqlite
from tests.upstream import gemini_error

FLASH, PRO = "gemini-2.5-flash", "gemini-2.5-pro"


@pytest.fixture
def explain(house, passwords):
    client = house.app.test_client()

    def ask(model=FLASH, status=200, **body):
        answer = client.post("/admin/route/explain", json={"model": model, **body}, headers={"X-Admin-Key": PASSWORD})
        assert answer.status_code == status, answer.text
        return answer.json

    return ask


def provider_of(told, slug="gemini"):
    return next(each for each in told["providers"] if each["provider"] == slug)


def key_of(told):
    return told["goes_to"] and told["goes_to"]["key_id"]


def served_by(house):
    return house.records()[-1]["key_id"]


def set_pool(house, **fields):
    house.keypool.inventory.update_pool(house.default_pool_id, **fields)


@pytest.mark.parametrize("policy", [name for name in POLICIES if name != "random"])
def test_a_request_goes_where_it_was_said_to_go(house, explain, policy):
    house.add_keys(*GEMINI_KEYS)
    set_pool(house, policy=policy)
    for n in range(12):
        told = explain()
        assert told == explain()
        assert house.chat().status_code == 200
        assert served_by(house) == key_of(told), n


def test_a_random_choice_is_one_of_those_it_could_be(house, explain):
    ids = house.add_keys(*GEMINI_KEYS[:3])
    assert {key_of(explain(policy="random")) for _ in range(50)} <= set(ids)


def test_it_tells_the_whole_story(house, explain):
    ids = house.add_keys(*GEMINI_KEYS[:6], weight=7)
    (lower,) = house.add_keys(GEMINI_KEYS[6])
    catalogue, now = house.keypool.catalogue, time.time()
    catalogue.put_member(1, Member(lower, tier=2), now)
    catalogue.bench(ids[0], "quota_day", now + 3600, FLASH)
    catalogue.bench(ids[1], "quota_day", now + 7200, FLASH)
    catalogue.bench(ids[2], "dead", FOREVER)
    house.keypool.inventory.set_disabled([ids[3]], FOREVER)
    told = explain()
    assert told["pool"] == {
        "id": 1, "public_id": catalogue.pools[1].public_id, "name": "default", "enabled": True,
    }  # fmt: skip
    assert (told["model_asked"], told["model"]) == (FLASH, FLASH)
    assert told["policy"] == {"name": "round_robin", "from": "setting"}
    assert (told["fallback_pool"], told["answer"]) == (None, None)
    (provider,) = told["providers"]
    key = catalogue.keys[ids[4]]
    assert provider == {
        "provider": "gemini",
        "would_choose": {"key": key.hint, "key_id": key.id, "tier": 0, "weight": 7},
        "ready": 3,
        "skipped": {"quota_day": 2, "dead": 1, "disabled": 1},
        "tiers": [{"tier": 0, "standby": False, "ready": 2}, {"tier": 2, "standby": False, "ready": 1}],
        "earliest_recovery": now + 3600,
        "storm": None,
    }
    assert told["goes_to"] == {"pool": 1, "provider": "gemini", "key": key.hint, "key_id": key.id}


def test_while_no_key_rests_none_comes_back(house, explain):
    house.add_keys(*GEMINI_KEYS[:2])
    assert provider_of(explain())["earliest_recovery"] is None
    house.keypool.catalogue.bench(1, "dead", FOREVER)
    assert provider_of(explain())["earliest_recovery"] is None


def test_no_secret_is_told(house, explain):
    house.add_keys(GEMINI_KEYS[0])
    client = house.app.test_client()
    answer = client.post("/admin/route/explain", json={"model": FLASH}, headers={"X-Admin-Key": PASSWORD})
    assert GEMINI_KEYS[0] not in answer.text
    assert "AIzaSyGe...xxxx" in answer.text


@on_sqlite
def test_nothing_is_called_counted_or_written(house, explain):
    house.add_keys(*GEMINI_KEYS[:3], max_requests=5)
    house.set(max_queue_s=10)
    keypool, now = house.keypool, time.time()
    before = [deepcopy(vars(keypool.state)["_periods"]), [key.used_at for key in keypool.catalogue.keys.values()]]
    for policy in POLICIES:
        for model in (FLASH, PRO, "gpt-4o"):
            explain(model, policy=policy)
    after = [deepcopy(vars(keypool.state)["_periods"]), [key.used_at for key in keypool.catalogue.keys.values()]]
    assert before == after
    assert house.upstream.requests == []
    assert house.records() == []
    assert keypool.relay.waiting == 0
    assert keypool.relay.judge.outages.storms() == {}
    assert all(not keypool.catalogue.benches(key_id) for key_id in keypool.catalogue.keys)
    assert keypool.catalogue.rotations[1]["gemini"].ready(FLASH, now) == 3


def test_what_would_decide_is_named_request_pool_setting(house, explain):
    house.add_keys(GEMINI_KEYS[0])
    house.set(rotation_strategy="lru")
    assert explain()["policy"] == {"name": "lru", "from": "setting"}
    set_pool(house, policy="weighted")
    assert explain()["policy"] == {"name": "weighted", "from": "pool"}
    for named in ({"policy": "random"}, {"strategy": "random"}):
        assert explain(**named)["policy"] == {"name": "random", "from": "request"}
    assert explain(strategy="leastUsed")["policy"]["name"] == "least_used"


def test_a_pool_is_found_by_any_of_its_names_and_an_unknown_one_is_404(house, explain):
    pool_id, _ = house.keypool.inventory.create_pool("research")
    public_id = house.keypool.catalogue.pools[pool_id].public_id
    for reference in (pool_id, str(pool_id), public_id, "research"):
        assert explain(pool=reference)["pool"]["id"] == pool_id, reference
    for nothing in ({}, {"pool": None}, {"pool": ""}, {"pool": "default"}):
        assert explain(**nothing)["pool"]["id"] == house.default_pool_id
    refused = explain(pool="nowhere", status=404)
    assert (refused["error"]["code"], refused["error"]["param"]) == ("pool_not_found", "pool")
    assert explain(client=99, status=404)["error"]["code"] == "client_not_found"


def test_an_unknown_strategy_is_400_with_the_list(house, explain):
    refused = explain(strategy="best", status=400)
    assert (refused["error"]["code"], refused["error"]["strategies"]) == ("unknown_strategy", list(POLICIES))


def test_an_operation_of_another_dialect_is_400_with_the_list(house, explain):
    refused = explain(dialect="gemini", operation="chat", status=400)
    assert (refused["error"]["param"], refused["error"]["allowed"][0]) == ("operation", "generate")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_can_be_asked_about(house, explain, operation):
    house.add_keys(GEMINI_KEYS[0])
    assert explain(operation=operation)["goes_to"]["provider"] == "gemini"
    client_id, _ = house.keypool.inventory.create_client("ana", house.default_pool_id, expires_at=time.time() - 1)
    assert explain(operation=operation, dialect=OPERATIONS[operation], client=client_id)["answer"]["status"] == 401


def test_aliases_and_the_policy_for_unknown_models_are_followed(house, explain):
    house.add_keys(GEMINI_KEYS[0])
    set_pool(house, aliases={"fast": FLASH})
    assert (explain("fast")["model_asked"], explain("fast")["model"]) == ("fast", FLASH)
    house.set(unknown_model_policy="default", default_model_name=PRO)
    assert explain("strange")["model"] == PRO
    house.set(unknown_model_policy="reject")
    told = explain("strange")
    assert (told["goes_to"], told["answer"]["status"], told["answer"]["code"]) == (None, 404, "model_not_found")


def test_the_route_and_not_only_the_model_decides_about_providers(house, explain):
    house.add_keys(GEMINI_KEYS[0], OPENAI_KEYS[0])
    assert explain()["goes_to"]["provider"] == "gemini"
    assert explain("gpt-4o")["goes_to"]["provider"] == "openai"
    assert explain("gpt-4o", dialect="gemini")["answer"]["code"] == "model_not_found"
    assert explain(dialect="gemini")["goes_to"]["provider"] == "gemini"
    assert explain("models/" + FLASH, operation="count_tokens")["model"] == FLASH


@pytest.mark.parametrize(
    "model_and_operation", [("gpt-4o", {"operation": "generate"}), (FLASH, {}), ("gpt-4o", {"operation": "embeddings"})]
)
def test_what_a_client_would_be_told_is_what_it_is_told(house, explain, model_and_operation):
    model, operation = model_and_operation
    told = explain(model, **operation)["answer"]
    asked = house.generate(model) if operation.get("operation") == "generate" else house.chat(model)
    assert told["status"] == asked.status_code
    assert told["message"] == asked.json["error"]["message"]


@pytest.mark.parametrize(
    ("benches", "status", "code"),
    [
        ([("quota_day", 3600, FLASH), ("quota_minute", 42, FLASH)], 429, "all_keys_cooling"),
        ([("not_entitled", 3600, FLASH), ("dead", FOREVER, "")], 404, "model_not_found"),
        ([("disabled", FOREVER, ""), ("dead", FOREVER, "")], 503, "no_available_keys"),
        ([("quota_day", 3600, FLASH), ("dead", FOREVER, "")], 429, "all_keys_cooling"),
    ],
)
def test_with_nothing_left_it_tells_the_answer_a_client_gets(house, explain, benches, status, code):
    ids, now = house.add_keys(*GEMINI_KEYS[:2]), time.time()
    for key_id, (reason, for_s, model) in zip(ids, benches, strict=True):
        house.keypool.catalogue.bench(key_id, reason, now + for_s, model)
    told = explain()
    asked = house.chat()
    assert told["goes_to"] is None
    assert provider_of(told)["would_choose"] is None
    assert (told["answer"]["status"], told["answer"]["code"]) == (status, code)
    assert (asked.status_code, asked.json["error"]["code"]) == (status, code)
    assert told["answer"]["keys"] == asked.json["error"]["keys"]
    if status == 429:
        first = now + min(for_s for _, for_s, model in benches if model)
        assert provider_of(told)["earliest_recovery"] == pytest.approx(first, abs=5)
        assert told["answer"]["retry_after_s"] == pytest.approx(first - now, abs=5)


def test_a_pool_without_keys_says_so(house, explain):
    told = explain()
    assert (told["providers"], told["goes_to"]) == ([], None)
    assert (told["answer"]["status"], told["answer"]["code"]) == (503, "no_available_keys")


def test_a_model_that_pool_or_client_may_not_use_is_told_as_the_client_is_told(house, explain):
    house.add_keys(GEMINI_KEYS[0])
    set_pool(house, allowed_models=["gemini-2.5-*"])
    assert explain()["answer"] is None
    told = explain("gemini-1.0-pro")
    asked = house.chat("gemini-1.0-pro")
    assert (told["answer"]["status"], told["answer"]["code"]) == (403, "model_not_allowed")
    assert told["answer"]["message"] == asked.json["error"]["message"]
    client_id, _ = house.keypool.inventory.create_client("ana", house.default_pool_id, allowed_models=[PRO])
    told = explain(client=client_id)
    assert (told["answer"]["status"], told["answer"]["code"]) == (403, "model_not_allowed")
    assert "client key" in told["answer"]["message"]
    assert explain(PRO, client=client_id)["answer"] is None


def test_a_client_key_that_is_over_or_whose_pool_is_off_is_told_so(house, explain):
    house.add_keys(GEMINI_KEYS[0])
    client_id, _ = house.keypool.inventory.create_client("ana", house.default_pool_id, expires_at=time.time() - 1)
    assert explain(client=client_id)["answer"]["status"] == 401
    set_pool(house, enabled=False)
    assert (explain()["answer"]["status"], explain()["answer"]["code"]) == (403, "pool_disabled")


def test_a_client_key_asks_its_own_pool(house, explain):
    pool_id, _ = house.keypool.inventory.create_pool("research")
    client_id, _ = house.keypool.inventory.create_client("ana", pool_id)
    assert explain(client=client_id)["pool"]["id"] == pool_id
    assert explain(client=client_id, pool="default", status=400)["error"]["param"] == "pool"


def test_limits_are_looked_at_and_not_used_up(house, explain):
    house.add_keys(GEMINI_KEYS[0])
    client_id, token = house.keypool.inventory.create_client("ana", house.default_pool_id, rpm_limit=2)
    for _ in range(5):
        assert explain(client=client_id)["answer"] is None
    body = {"model": FLASH, "messages": [{"role": "user", "content": "Hello"}]}
    for _ in range(2):
        asked = house.post("/v1/chat/completions", body, headers={"Authorization": f"Bearer {token}"})
        assert asked.status_code == 200
    told = explain(client=client_id)["answer"]
    assert (told["status"], told["code"]) == (429, "rate_limit_exceeded")
    assert 0 < told["retry_after_s"] <= 61
    assert explain()["answer"] is None


def test_a_key_at_its_own_limit_is_passed_over_as_a_request_would(house, explain):
    capped, free = house.add_keys(GEMINI_KEYS[0], max_requests=1) + house.add_keys(GEMINI_KEYS[1])
    assert key_of(explain()) == capped
    house.chat()
    house.chat()
    for policy in ("round_robin", "lru", "least_used"):
        told = explain(policy=policy)
        assert key_of(told) == free
    assert provider_of(explain(policy="round_robin"))["skipped"] == {"limited": 1}
    assert provider_of(explain(policy="round_robin"))["ready"] == 1
    assert house.keypool.catalogue.benches(capped) == {}
    house.keypool.inventory.set_disabled([free], FOREVER)
    told = explain()
    assert (told["answer"]["code"], told["answer"]["keys"]) == ("all_keys_cooling", {"disabled": 1, "limited": 1})


def test_the_fallback_pool_is_asked_where_nothing_is_left(house, explain):
    spare, _ = house.keypool.inventory.create_pool("spare", policy="lru")
    (first,), (second,) = house.add_keys(GEMINI_KEYS[0]), house.add_keys(GEMINI_KEYS[1], pool_id=spare)
    set_pool(house, fallback_pool_id=spare)
    told = explain()
    assert (told["goes_to"]["pool"], key_of(told)) == (1, first)
    assert (told["fallback_pool"]["name"], told["fallback_pool"]["providers"]) == ("spare", [])
    house.keypool.catalogue.bench(first, "quota_day", time.time() + 60, FLASH)
    told = explain()
    assert (told["goes_to"]["pool"], key_of(told)) == (spare, second)
    assert provider_of(told)["would_choose"] is None
    assert provider_of(told["fallback_pool"])["would_choose"]["key_id"] == second
    assert told["answer"] is None
    house.keypool.catalogue.bench(second, "quota_day", time.time() + 60, FLASH)
    assert explain()["answer"]["code"] == "all_keys_cooling"


def test_a_storm_is_told_and_no_probe_is_used_up(house, explain):
    ids = house.add_keys(*GEMINI_KEYS[:8])
    now = time.time()
    storm = house.keypool.relay.judge.outages.of("gemini").storm
    refused = Outcome("suspected", storm="403")
    for key_id in ids[:5]:
        storm.failed(Failure(key_id, FLASH, refused, now), 8, True)
    assert storm.open
    told = explain()
    assert provider_of(told)["storm"] == {"kind": "403", "since": now, "keys": 5, "only_probes": True}
    assert (told["answer"]["status"], told["answer"]["code"]) == (503, "upstream_unavailable")
    assert (told["goes_to"], provider_of(told)["would_choose"], provider_of(told)["ready"]) == (None, None, 8)
    assert storm.may_pass(now + 1.5)
    storm.gave_up(0.0)
    for _ in range(3):
        assert key_of(explain()) == ids[0]
    assert storm.may_pass(time.time())


@pytest.mark.alone
def test_it_costs_little_with_many_keys_at_rest(house, explain):
    house.add_keys(*(f"AIzaSyMany{n:06d}" + "m" * 23 for n in range(2_000)))
    for key_id in range(1, 1_001):
        house.keypool.catalogue.bench(key_id, "quota_day", time.time() + 3600, FLASH)
    explain()
    began = time.perf_counter()
    for _ in range(20):
        explain()
    assert (time.perf_counter() - began) / 20 < 0.05


def test_dead_keys_of_a_real_run_are_counted(house, explain):
    house.add_keys(*GEMINI_KEYS[:2])
    house.upstream.for_key(GEMINI_KEYS[0], gemini_error(400, reason="API_KEY_INVALID"))
    assert house.chat().status_code == 200
    assert provider_of(explain())["skipped"] == {"dead": 1}

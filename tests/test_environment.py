import traceback
from pathlib import Path

import pytest

from pool.environment import BadStart, read_environment

ROOT = Path("/srv/keypool")
POSTGRES = "postgresql+psycopg://user:hidden@db/pool"
SECRETS = {"SECRET_KEY": "s" * 32, "KEY_ENCRYPTION_SECRET": "e" * 32}


def read(**variables):
    return read_environment(variables, ROOT)


def test_nothing_set_is_a_server_of_its_own_on_this_machine():
    environment = read()
    assert (environment.host, environment.port, environment.workers) == ("127.0.0.1", 8000, 1)
    assert environment.instance == ROOT / "instance"
    assert environment.database_url == "sqlite:////srv/keypool/instance/pool.sqlite"
    assert (environment.admin_password, environment.proxy_key, environment.gemini_keys) == (None, None, ())


def test_the_database_lies_in_the_instance_folder():
    assert read(KEYPOOL_INSTANCE="/var/pool").database_url == "sqlite:////var/pool/pool.sqlite"


def test_every_value_is_taken_over():
    environment = read(
        HOST="0.0.0.0", PORT="80", DATABASE_URL=POSTGRES, REDIS_URL="redis://r", WEB_CONCURRENCY="1",
        ADMIN_PASSWORD="a password", PROXY_API_KEY="sk-mine-1", GEMINI_UPSTREAM_URL="https://g.test/v1beta/",
        OPENAI_UPSTREAM_URL="http://o.test/v1", FORWARDED_ALLOW_IPS="*", LOG_LEVEL="debug",
        LOGIN_NOTE="Ask Ann.", DEBUG_ERRORS="1", **SECRETS,
    )  # fmt: skip
    assert (environment.host, environment.port, environment.workers) == ("0.0.0.0", 80, 1)
    assert (environment.database_url, environment.redis_url) == (POSTGRES, "redis://r")
    assert (environment.admin_password, environment.proxy_key) == ("a password", "sk-mine-1")
    assert (environment.gemini_url, environment.openai_url) == ("https://g.test/v1beta", "http://o.test/v1")
    assert (environment.secret_key, environment.encryption_secret) == tuple(SECRETS.values())
    assert (environment.log_level, environment.login_note, environment.debug_errors) == ("debug", "Ask Ann.", True)
    assert {"a password", "sk-mine-1", "hidden"} - set(environment.secrets()) == set()


def test_keys_are_a_list_without_blanks_and_repetitions():
    environment = read(API_KEYS=" a, b,,a ,\nc", OPENAI_API_KEYS="sk-1")
    assert (environment.gemini_keys, environment.openai_keys) == (("a", "b", "c"), ("sk-1",))


def test_the_predecessors_names_are_understood():
    environment = read(ADMIN_KEY="a password", GEMINI_API_KEYS="a,b")
    assert (environment.admin_password, environment.gemini_keys) == ("a password", ("a", "b"))


def test_our_own_name_wins_over_a_predecessors():
    assert read(ADMIN_KEY="theirs", ADMIN_PASSWORD="ours").admin_password == "ours"


def test_an_empty_variable_is_an_unset_one(tmp_path):
    (tmp_path / "password").write_text("from a file")
    environment = read(ADMIN_PASSWORD="", ADMIN_KEY="theirs", HOST="", PORT="", DATABASE_URL="", WEB_CONCURRENCY="")
    assert (environment.admin_password, environment.host, environment.port) == ("theirs", "127.0.0.1", 8000)
    assert read(ADMIN_PASSWORD="", ADMIN_PASSWORD_FILE=str(tmp_path / "password")).admin_password == "from a file"


def test_a_secret_may_come_from_a_file(tmp_path):
    (tmp_path / "keys").write_text("a,b\n")
    assert read(API_KEYS_FILE=str(tmp_path / "keys")).gemini_keys == ("a", "b")
    assert read(GEMINI_API_KEYS_FILE=str(tmp_path / "keys")).gemini_keys == ("a", "b")
    assert read(API_KEYS_FILE=str(tmp_path / "keys"), API_KEYS="c").gemini_keys == ("c",)


def test_a_file_that_cannot_be_read_stops_the_start(tmp_path):
    for file in (tmp_path / "missing", tmp_path):
        with pytest.raises(BadStart, match=f"SECRET_KEY_FILE: {file} cannot be read"):
            read(SECRET_KEY_FILE=str(file))


def test_a_file_in_another_encoding_stops_the_start_and_is_not_quoted(tmp_path):
    (tmp_path / "latin").write_bytes("grün-and-secret".encode("latin-1"))
    with pytest.raises(BadStart, match=r"SECRET_KEY_FILE: .* is not UTF-8") as refused:
        read(SECRET_KEY_FILE=str(tmp_path / "latin"))
    assert "secret" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("port", ["eighty", "-1", "65536", "80.5", "²", "8e3", " "])
def test_a_port_that_is_none_stops_the_start(port):
    with pytest.raises(BadStart, match=r"^PORT: .* is not a whole number from 0 to 65535"):
        read(PORT=port)


def test_a_log_level_that_is_none_stops_the_start():
    with pytest.raises(BadStart, match=r"^LOG_LEVEL: 'loud' is none of debug, info, warning, error"):
        read(LOG_LEVEL="loud")
    assert read(LOG_LEVEL="DEBUG").log_level == "debug"


def test_the_log_is_text_or_json():
    assert [read(LOG_FORMAT=each).log_format for each in ("", "text", "JSON")] == ["text", "text", "json"]
    with pytest.raises(BadStart, match=r"^LOG_FORMAT: 'xml' is none of text, json"):
        read(LOG_FORMAT="xml")


@pytest.mark.parametrize("name", ["GEMINI_UPSTREAM_URL", "OPENAI_UPSTREAM_URL"])
@pytest.mark.parametrize("url", ["g.test/v1", "ftp://g.test", "//g.test"])
def test_a_url_that_is_none_stops_the_start(name, url):
    with pytest.raises(BadStart, match=f"^{name}: "):
        read(**{name: url})


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("DATABASE_URL", "postgresql+psycopg://user:hid\u2100den@db/pool"),
        ("DATABASE_URL", "postgresql+psycopg://user:hidden@db:port/pool"),
        ("DATABASE_URL", "postgresql+psycopg://user:hidden@[db/pool"),
        ("ALERT_WEBHOOK_URL", "http://[hidden/x"),
        ("ALERT_WEBHOOK_URL", "https://"),
    ],
)
def test_a_url_that_cannot_be_read_stops_the_start_and_is_not_quoted(name, url):
    with pytest.raises(BadStart, match=f"^{name}: ") as refused:
        read(**{**SECRETS, name: url})
    assert "hid" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("url", ["https://me:hidden@g.test", "http://169.254.169.254/", "https://g.test/v1?key=hidden"])
def test_a_url_no_provider_may_have_stops_the_start_and_is_not_quoted(url):
    with pytest.raises(BadStart, match=r"^OPENAI_UPSTREAM_URL: ") as refused:
        read(OPENAI_UPSTREAM_URL=url)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"REDIS_URL": "redis://r"},
        {"DATABASE_URL": POSTGRES, **SECRETS},
        {"DATABASE_URL": "sqlite:////tmp/x.sqlite", "REDIS_URL": "redis://r"},
    ],
)
def test_several_workers_need_postgresql_and_redis(variables):
    with pytest.raises(BadStart, match=r"WEB_CONCURRENCY: .* DATABASE_URL .* REDIS_URL"):
        read(WEB_CONCURRENCY="2", **variables)


def test_several_workers_start_with_postgresql_and_redis():
    environment = read(WEB_CONCURRENCY="4", DATABASE_URL=POSTGRES, REDIS_URL="redis://r", **SECRETS)
    assert (environment.workers, environment.redis_url) == (4, "redis://r")


@pytest.mark.parametrize(
    "url",
    [
        "r:6379", "http://:hidden@r", "redis://:hidden@r:port", "redis://:hidden@r:70000", "redis://:hidden@r/first",
        "redis://:hidden@r?what=1", "unix://",
    ],
)  # fmt: skip
def test_a_redis_nobody_can_reach_by_its_name_stops_the_start_and_is_not_repeated(url):
    with pytest.raises(BadStart, match=r"^REDIS_URL: it is not redis://") as refused:
        read(REDIS_URL=url)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    ["redis://r", "redis://r/", "redis://:p%40ss@r:6380/3", "rediss://u:p@r/0?ssl_cert_reqs=none", "unix:///r.sock"],
)
def test_a_redis_that_may_be_away_is_taken_as_it_is_written(url):
    assert read(REDIS_URL=url).redis_url == url


@pytest.mark.parametrize("name", SECRETS)
def test_postgresql_needs_its_secrets_set(name):
    with pytest.raises(BadStart, match="set SECRET_KEY and KEY_ENCRYPTION_SECRET"):
        read(DATABASE_URL=POSTGRES, **{name: SECRETS[name]})
    assert read(DATABASE_URL=POSTGRES, **SECRETS).workers == 1


def test_what_stops_the_start_is_one_sentence():
    with pytest.raises(BadStart) as caught:
        read(WEB_CONCURRENCY="2")
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_an_environment_shows_no_secret():
    secret = "hidden-well"
    shown = repr(
        read(
            ADMIN_PASSWORD=secret, PROXY_API_KEY=secret, API_KEYS=secret, OPENAI_API_KEYS=secret, DATABASE_URL=POSTGRES,
            REDIS_URL=f"redis://:{secret}@r", SECRET_KEY=secret, KEY_ENCRYPTION_SECRET=secret,
        )
    )  # fmt: skip
    assert "hidden" not in shown


@pytest.mark.parametrize("name", ["API_KEYS", "OPENAI_API_KEYS", "GEMINI_API_KEYS"])
@pytest.mark.parametrize("bad", ["AIzaSy\u00e9aaaaaaaaaaaaaaaaaaaaaaa", "AIza bad key", "AIza\tbad"])
def test_a_key_no_header_can_carry_stops_the_start_and_is_not_repeated(name, bad):
    with pytest.raises(BadStart, match="key 2") as refused:
        read(**{name: f"AIzaSyGoodKey000000000000,{bad}"})
    assert bad not in str(refused.value)


def test_a_client_key_anybody_could_guess_stops_the_start():
    with pytest.raises(BadStart, match="PROXY_API_KEY"):
        read(PROXY_API_KEY="x")


@pytest.mark.parametrize("url", ["garbage", "mysql://db/pool", "sqlite://"])
def test_a_database_of_another_kind_stops_the_start(url):
    with pytest.raises(BadStart, match="DATABASE_URL"):
        read(DATABASE_URL=url)

"""What a base URL and a proxy may be, and how a proxy is shown."""

import pytest

from pool.core.addresses import base_url, masked_proxy, proxy_url


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://api.groq.test/openai/v1/", "https://api.groq.test/openai/v1"),
        ("HTTPS://api.groq.test", "https://api.groq.test"),
        ("http://127.0.0.1:11434/v1", "http://127.0.0.1:11434/v1"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://models.lan:8000/a%20b", "http://models.lan:8000/a%20b"),
    ],
)
def test_a_base_url_is_http_and_loses_its_last_slash(given, kept):
    assert base_url(given) == kept


@pytest.mark.parametrize(
    "given",
    ["", "api.groq.test", "ftp://a.test", "file:///etc/passwd", "gopher://a.test", "https://", "https:///v1",
     "https://user:secret@a.test/v1", "https://secret@a.test", "https://a.test/v1?key=AIzaSecret", "https://a.test/v1?",
     "https://a.test/v1#top", "https://a.test/v 1", "https://a.test/\n", "https://ä.test", "https://a.test\\@b.test",
     "https://a.test:99999", "https://a.test:x", "https://[::1", "http://169.254.169.254/latest", "http://0.0.0.0:80",
     "http://[fe80::1]/", "http://[::]/", "http://224.0.0.1",
     "http://[::ffff:169.254.169.254]/", "http://[::ffff:a9fe:a9fe]/",
     "http://[fe80::1%25eth0]/", "http://[fd00:ec2::254]/", "http://100.100.100.200/latest/meta-data",
     "https://a.test/" + "x" * 500],
)  # fmt: skip
def test_what_is_no_base_url_is_refused_without_being_quoted(given):
    with pytest.raises(ValueError, match=r"URL|API") as refused:
        base_url(given)
    assert "ecret" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("http://proxy.test:3128", "http://proxy.test:3128"),
        ("http://ana:hidden@proxy.test:3128", "http://ana:***@proxy.test:3128"),
        ("socks5://ana:hid:den@[::1]:1080", "socks5://ana:***@[::1]:1080"),
        ("https://token@proxy.test", "https://***:***@proxy.test"),
        ("socks5h://127.0.0.1:1080/", "socks5h://127.0.0.1:1080"),
    ],
)
def test_a_proxy_is_shown_without_its_password(given, shown):
    assert masked_proxy(proxy_url(given)) == shown


@pytest.mark.parametrize("given", ["", "proxy.test:3128", "socks4://a.test", "http://a.test/path", "http://a.test?x=1",
                                   "http://", "http://a.test:0x50", "http://ana:hid den@a.test"])  # fmt: skip
def test_what_is_no_proxy_is_refused(given):
    with pytest.raises(ValueError, match="URL"):
        proxy_url(given)

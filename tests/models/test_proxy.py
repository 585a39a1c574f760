"""Which proxy a URL goes through, by the environment."""

from __future__ import annotations

import pytest

from tidyllm.errors import ConfigError
from tidyllm.models.proxy import Proxies


@pytest.mark.parametrize(
    ("environ", "scheme", "proxy"),
    [
        ({}, "https", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http", None),
        ({"HTTP_PROXY": "http://p:1"}, "http", "http://p:1"),
        ({"HTTP_PROXY": "http://upper:1", "http_proxy": "http://lower:1"}, "http", "http://lower:1"),
        ({"HTTP_PROXY": "http://evil:1", "REQUEST_METHOD": "GET"}, "http", None),
        ({"ALL_PROXY": "https://p:1"}, "https", "https://p:1"),
        ({"ALL_PROXY": "http://all:1", "HTTPS_PROXY": "http://own:1"}, "https", "http://own:1"),
        ({"HTTPS_PROXY": "p.corp:3128"}, "https", "http://p.corp:3128"),
        ({"HTTPS_PROXY": " "}, "https", None),
    ],
)
def test_variables_that_every_tool_reads(environ: dict[str, str], scheme: str, proxy: str | None) -> None:
    assert Proxies.from_environ(environ).url_for(scheme, "api.example.com", 443) == proxy


@pytest.mark.parametrize(
    ("exceptions", "host", "direct"),
    [
        ("*", "api.example.com", True),
        ("example.com", "example.com", True),
        ("example.com", "API.Example.Com.", True),
        (".example.com,other.org", "api.example.com", True),
        ("*.example.com", "api.example.com", True),
        ("example.com", "notexample.com", False),
        ("example.com:443", "api.example.com", True),
        ("example.com:8443", "api.example.com", False),
        ("other.org  example.com", "api.example.com", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "ten.example.com", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:443", "10.1.2.3", True),
        ("10.1.2.3:80", "10.1.2.3", False),
        ("fd00::/8", "fd12::1", True),
        ("[fd12::1]:443", "fd12::1", True),
        ("fd12::1", "fd12::1", True),
        ("2.3", "10.1.2.3", False),
        (".", "api.example.com", False),
        ("", "api.example.com", False),
        ("", "localhost", True),
        ("", "127.0.0.1", True),
        ("", "::1", True),
    ],
)
def test_exceptions_go_without_a_proxy(exceptions: str, host: str, direct: bool) -> None:
    proxies = Proxies.from_environ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": exceptions})
    assert proxies.url_for("https", host, 443) == (None if direct else "http://p:1")


@pytest.mark.parametrize("url", ["socks5://p:1", "ftp://p", "http://"])
def test_a_proxy_that_does_not_speak_http_is_refused_by_name(url: str) -> None:
    with pytest.raises(ConfigError, match=r"ALL_PROXY"):
        Proxies.from_environ({"ALL_PROXY": url})
    with pytest.raises(ConfigError, match=r"proxies\.https"):
        Proxies({"https": url})

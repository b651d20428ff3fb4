"""URLs of places that are asked."""

from __future__ import annotations

import pytest

from vdb.errors import ConfigError
from vdb.web.exchange import WebPlace


@pytest.mark.parametrize(
    ("url", "scheme", "address", "path"),
    [
        ("https://login.example", "https", "login.example:443", ""),
        ("http://127.0.0.1:80/", "http", "127.0.0.1:80", ""),
        ("https://login.example:8443/realm/a/", "https", "login.example:8443", "/realm/a"),
    ],
)
def test_a_place_is_read_from_its_url(url: str, scheme: str, address: str, path: str) -> None:
    assert WebPlace.parse(url, "it") == WebPlace(scheme, address, path)


@pytest.mark.parametrize(
    "url", ["", "login.example", "ftp://a", "https://", "https://user@host/", "https://a b", "https://a?b"]
)
def test_what_is_none_is_said(url: str) -> None:
    with pytest.raises(ConfigError, match="it reads http://HOST:PORT or https://HOST:PORT; found"):
        WebPlace.parse(url, "it")

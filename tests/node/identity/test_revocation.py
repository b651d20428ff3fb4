"""The list of what was revoked."""

from __future__ import annotations

import pytest

from vdb.errors import ConfigError
from vdb.node.identity.revocation import parse_revoked


def test_serial_numbers_and_principals_are_named() -> None:
    found = parse_revoked(b'revoked = ["0A:bc:01", "spiffe://clinic.example/lee"]')
    assert found.names("x", "abc01")
    assert found.names("x", "0ABC01")
    assert found.names("spiffe://clinic.example/lee", "")
    assert not found.names("spiffe://clinic.example/kim", "abc02")
    assert not parse_revoked(b"").names("", "")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"revoked = 7", "expected revoked ="),
        (b"revoked = [7]", "expected serial numbers"),
        (b'revoked = [""]', "expected serial numbers"),
        (b"revokd = []", "expected revoked ="),
        (b"\xff", "isn't TOML"),
        (b"revoked = [", "isn't TOML"),
    ],
)
def test_a_list_that_says_something_else_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_revoked(content)

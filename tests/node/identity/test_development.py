"""Tokens of development mode."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vdb.errors import InvalidArgument, NotAuthenticated
from vdb.node.identity.development import is_development_token, make_development_token, read_development_token

SECRET = bytes(range(48))
HOUR = 3_600_000_000
TOKEN = make_development_token(SECRET, "lee", expires=HOUR, mfa=True)


def test_a_token_says_whom_it_names() -> None:
    assert is_development_token(TOKEN)
    found = read_development_token(SECRET, TOKEN, now=0)
    assert (found.principal, found.mfa, found.expires) == ("dev:lee", True, HOUR)


def test_it_runs_out() -> None:
    read_development_token(SECRET, TOKEN, now=HOUR - 1)
    with pytest.raises(NotAuthenticated, match="has run out"):
        read_development_token(SECRET, TOKEN, now=HOUR)


def test_another_secret_doesnt_sign_for_it() -> None:
    with pytest.raises(NotAuthenticated, match="signed with another secret"):
        read_development_token(bytes(48), TOKEN, now=0)


@given(st.integers(0, len(TOKEN) - 1), st.characters(codec="ascii"))
@settings(max_examples=300)
def test_every_changed_character_is_refused_or_means_the_same(index: int, character: str) -> None:
    changed = TOKEN[:index] + character + TOKEN[index + 1 :]
    try:
        found = read_development_token(SECRET, changed, now=0)
    except NotAuthenticated:
        return
    assert found == read_development_token(SECRET, TOKEN, now=0)


def test_what_isnt_signed_json_is_refused() -> None:
    for text in ("vdbdev1.", "vdbdev1.x", "vdbdev1.x.y", "vdbdev1." + base64.urlsafe_b64encode(b"{}").decode() + "."):
        with pytest.raises(NotAuthenticated):
            read_development_token(SECRET, text, now=0)


def test_names_and_secrets_are_checked() -> None:
    with pytest.raises(InvalidArgument, match="a token's name has 1 to 128"):
        make_development_token(SECRET, "l ee", expires=HOUR)
    with pytest.raises(InvalidArgument, match="at least 32 bytes"):
        make_development_token(b"short", "lee", expires=HOUR)

"""Tokens of development mode: a name that whoever has the secret has signed. They prove little, and reach no PHI once
a policy holds.

A token is `vdbdev1.<payload>.<tag>`: base64url of JSON (`sub`, `exp` in seconds UTC, `mfa`) and of its HMAC-SHA-256.
Its principal begins with `dev:`, so that no rule for real people fits it by accident.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from hashlib import sha256

import msgspec
from attrs import frozen

from vdb.errors import InvalidArgument, NotAuthenticated

PREFIX = "vdbdev1."
NAME_PREFIX = "dev:"
SECRET_SIZE_MIN = 32
_NAME = re.compile(r"[A-Za-z0-9@._-]{1,128}")


class _Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sub: str
    exp: int
    mfa: bool = False


@frozen(kw_only=True)
class DevelopmentToken:
    principal: str
    mfa: bool
    expires: int
    """Microseconds UTC."""


def is_development_token(token: str) -> bool:
    return token.startswith(PREFIX)


def make_development_token(secret: bytes, name: str, *, expires: int, mfa: bool = False) -> str:
    """`expires`: microseconds UTC. InvalidArgument for a name that can't be one, or too short a secret."""
    name = name.removeprefix(NAME_PREFIX)
    if not _NAME.fullmatch(name):
        raise InvalidArgument(f"a token's name has 1 to 128 of A-Z, a-z, 0-9, '@', '.', '_' and '-'; found {name!r}")
    if len(secret) < SECRET_SIZE_MIN:
        raise InvalidArgument(f"the secret of development tokens has at least {SECRET_SIZE_MIN} bytes")
    payload = msgspec.json.encode(_Payload(sub=name, exp=expires // 1_000_000, mfa=mfa))
    return f"{PREFIX}{_text(payload)}.{_text(_tag(secret, payload))}"


def read_development_token(secret: bytes, token: str, *, now: int) -> DevelopmentToken:
    """`now`: microseconds UTC. NotAuthenticated for one that isn't valid."""
    payload_text, _, tag_text = token.removeprefix(PREFIX).partition(".")
    try:
        payload, tag = _bytes(payload_text), _bytes(tag_text)
    except (binascii.Error, ValueError):
        raise NotAuthenticated("the development token isn't one") from None
    if not hmac.compare_digest(_tag(secret, payload), tag):
        raise NotAuthenticated("the development token was signed with another secret")
    try:
        found = msgspec.json.decode(payload, type=_Payload)
    except msgspec.DecodeError:
        raise NotAuthenticated("the development token isn't one") from None
    if found.exp * 1_000_000 <= now:
        raise NotAuthenticated("the development token has run out: make a new one with `vdb identity token`")
    return DevelopmentToken(principal=NAME_PREFIX + found.sub, mfa=found.mfa, expires=found.exp * 1_000_000)


def _tag(secret: bytes, payload: bytes) -> bytes:
    return hmac.digest(secret, PREFIX.encode() + payload, sha256)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)

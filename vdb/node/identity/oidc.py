"""OpenID Connect tokens to principals. The one door to joserfc.

Rules
- The issuer's keys (JWKS) come from a file, which is read again when it changes, or from the issuer
  (`vdb.node.identity.issuer_keys`). Kinds of keys that nobody here knows, and those for encryption, are passed over.
- Algorithms with public keys alone; `none` and shared secrets never.
- Issuer, audience, `exp` and a subject must be there. Clocks may differ by a minute.
- A second factor was shown when `amr` has one of the words set for it, or `acr` is one of those.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import frozen
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from vdb.errors import ConfigError, NotAuthenticated
from vdb.node.identity.issuer_keys import TOKEN_SIZE_MAX, IssuerKeys, KeysPlace
from vdb.node.identity.oidc_settings import OidcSettings
from vdb.ports import Source

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519")
KEY_TYPES = ("RSA", "EC", "OKP")
LEEWAY_SECONDS = 60
PRINCIPAL_SIZE_MAX = 512
SECONDS_MAX = 2**40


@frozen(kw_only=True)
class OidcToken:
    principal: str
    mfa: bool
    expires: int
    """Microseconds UTC."""


class OidcTokens:
    """Reads tokens of one issuer."""

    def __init__(self, settings: OidcSettings) -> None:
        """ConfigError for an address that keys can't be fetched from."""
        self.settings = settings
        place = settings.jwks
        self.fetched: IssuerKeys | None = None
        """What fetches the keys, if they aren't in a file."""
        if isinstance(place, KeysPlace):
            self.fetched = IssuerKeys(place, self._ids)
            self._source: Source = self.fetched
        else:
            self._source = place
        self._read = b""
        self._keys: KeySet | None = None

    def read(self, token: str, *, now: int) -> OidcToken:
        """`now`: microseconds UTC. NotAuthenticated for a token that isn't valid here and now."""
        if len(token) > TOKEN_SIZE_MAX:
            raise NotAuthenticated(f"the token has {len(token)} bytes: expected at most {TOKEN_SIZE_MAX}")
        try:
            keys = self.keys()
            decoded = jwt.decode(token, keys, algorithms=list(ALGORITHMS))
        except ConfigError as error:
            raise NotAuthenticated(f"no token can be verified now: {error}") from None
        except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise NotAuthenticated(f"the token isn't valid: {_plain(error)}") from None
        return self._claimed(decoded.claims, now)

    def keys(self) -> KeySet:
        """The issuer's. ConfigError if there are none."""
        content = self._source.read()
        if self._keys is None or content != self._read:
            self._read, self._keys = content, self._parsed(content)
        return self._keys

    def _parsed(self, content: bytes) -> KeySet:
        issuer = self.settings.issuer
        try:
            raw = json.loads(content)["keys"]
            if any(one["kty"] == "oct" for one in raw):
                raise ConfigError(f"the keys of {issuer} hold a shared secret: expected public keys")
            known = [one for one in raw if one["kty"] in KEY_TYPES and one.get("use", "sig") == "sig"]
            keys = KeySet.import_key_set({"keys": known})
        except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise ConfigError(f"the keys of {issuer} aren't a JWKS: {_plain(error)}") from None
        if not known:
            raise ConfigError(f"the keys of {issuer} are none that sign: expected one at least")
        return keys

    def _ids(self, content: bytes) -> list[str]:
        return [key.kid for key in self._parsed(content).keys if key.kid]

    def _claimed(self, claims: Mapping[str, Any], now: int) -> OidcToken:
        settings, seconds = self.settings, now // 1_000_000
        if claims.get("iss") != settings.issuer:
            raise NotAuthenticated(f"the token is of another issuer: expected {settings.issuer}")
        audience = claims.get("aud")
        if settings.audience not in (audience if isinstance(audience, list) else [audience]):
            raise NotAuthenticated(f"the token is for another audience: expected {settings.audience}")
        expires, begins = claims.get("exp"), claims.get("nbf", 0)
        if not _is_number(expires) or not _is_number(begins):
            raise NotAuthenticated("the token says not when it ends: expected exp, a number")
        assert expires is not None
        if seconds >= expires + LEEWAY_SECONDS:
            raise NotAuthenticated("the token has run out: sign in again")
        if seconds + LEEWAY_SECONDS < begins:
            raise NotAuthenticated("the token isn't valid yet")
        name = claims.get(settings.principal_claim)
        if not isinstance(name, str) or not name or len(name) > PRINCIPAL_SIZE_MAX or not name.isprintable():
            raise NotAuthenticated(f"the token names nobody: expected a text as its {settings.principal_claim}")
        return OidcToken(
            principal=settings.principal_prefix + name,
            mfa=self._showed_second_factor(claims),
            expires=int(expires) * 1_000_000,
        )

    def _showed_second_factor(self, claims: Mapping[str, Any]) -> bool:
        methods = claims.get("amr")
        by_method = isinstance(methods, list) and any(word in self.settings.mfa_amr for word in methods)
        return by_method or claims.get("acr") in self.settings.mfa_acr


def _is_number(value: object) -> bool:
    """Seconds since 1970, neither infinite nor none at all."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < SECONDS_MAX


def _plain(error: Exception) -> str:
    """The library's words, which name no key and no claim's value."""
    return type(error).__name__ if not isinstance(error, JoseError) else (error.description or error.error)

"""OpenID Connect tokens, signed by an issuer made for the test."""

from __future__ import annotations

import json
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, OKPKey, RSAKey

from vdb.errors import ConfigError, NotAuthenticated
from vdb.node.identity.oidc import OidcTokens
from vdb.node.identity.oidc_settings import OidcSettings

NOW = 1_800_000_000
ISSUER, AUDIENCE = "https://login.clinic.example", "veritydb"
KEY = ECKey.generate_key("P-256", {"kid": "one"})


class Given:
    """The Source port over bytes."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def read(self) -> bytes:
        return self.content


def jwks(*keys: Any) -> Given:
    return Given(json.dumps(KeySet(list(keys)).as_dict(private=False)).encode())


def tokens(source: Given, **options: Any) -> OidcTokens:
    return OidcTokens(OidcSettings(issuer=ISSUER, audience=AUDIENCE, jwks=source, **options))


def signed(key: Any = KEY, algorithm: str = "ES256", **claims: Any) -> str:
    whole = {"iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 600, "sub": "lee", **claims}
    given = {name: value for name, value in whole.items() if value is not None}
    header = {"alg": algorithm, "kid": key.kid} if key.kid else {"alg": algorithm}
    return jwt.encode(header, given, key, algorithms=[algorithm])


def read(token: str, **options: Any) -> Any:
    return tokens(jwks(KEY), **options).read(token, now=NOW * 1_000_000)


def test_a_token_names_its_subject() -> None:
    found = read(signed())
    assert (found.principal, found.mfa, found.expires) == ("oidc:lee", False, (NOW + 600) * 1_000_000)


@pytest.mark.parametrize(
    ("make", "algorithm"),
    [
        (lambda: RSAKey.generate_key(2048, {"kid": "r"}), "RS256"),
        (lambda: RSAKey.generate_key(2048, {"kid": "r"}), "PS256"),
        (lambda: OKPKey.generate_key("Ed25519", {"kid": "e"}), "Ed25519"),
    ],
)
def test_the_usual_algorithms_are_known(make: Any, algorithm: str) -> None:
    key = make()
    found = tokens(jwks(key)).read(signed(key, algorithm), now=NOW * 1_000_000)
    assert found.principal == "oidc:lee"


def test_a_second_factor_is_shown_by_amr_or_acr() -> None:
    assert read(signed(amr=["pwd", "mfa"])).mfa
    assert not read(signed(amr=["pwd", "otp"])).mfa
    assert read(signed(amr=["otp"]), mfa_amr=("otp",)).mfa
    assert read(signed(acr="urn:two"), mfa_acr=("urn:two",)).mfa
    assert not read(signed(amr="mfa")).mfa


def test_another_claim_and_prefix_may_name_the_principal() -> None:
    assert read(signed(email="lee@x"), principal_claim="email", principal_prefix="").principal == "lee@x"


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"iss": "https://evil.example"}, "of another issuer"),
        ({"iss": None}, "of another issuer"),
        ({"aud": "other"}, "for another audience"),
        ({"aud": None}, "for another audience"),
        ({"aud": ["other"]}, "for another audience"),
        ({"exp": NOW - 61}, "has run out"),
        ({"exp": None}, "says not when it ends"),
        ({"exp": "never"}, "says not when it ends"),
        ({"exp": True}, "says not when it ends"),
        ({"exp": float("nan")}, "says not when it ends"),
        ({"exp": float("inf")}, "says not when it ends"),
        ({"nbf": NOW + 61}, "isn't valid yet"),
        ({"sub": None}, "names nobody"),
        ({"sub": ""}, "names nobody"),
        ({"sub": 7}, "names nobody"),
        ({"sub": "a\nb"}, "names nobody"),
        ({"sub": "a" * 513}, "names nobody"),
    ],
)
def test_claims_that_dont_fit_are_refused(claims: dict[str, Any], message: str) -> None:
    with pytest.raises(NotAuthenticated, match=message):
        read(signed(**claims))


def test_clocks_may_differ_by_a_minute() -> None:
    assert read(signed(exp=NOW - 59)).principal == "oidc:lee"
    assert read(signed(nbf=NOW + 60)).principal == "oidc:lee"
    assert read(signed(aud=["other", AUDIENCE])).principal == "oidc:lee"


def test_another_key_and_changed_tokens_are_refused() -> None:
    with pytest.raises(NotAuthenticated, match="the token isn't valid"):
        read(signed(ECKey.generate_key("P-256", {"kid": "one"})))
    token = signed()
    for index in range(0, len(token), 17):
        changed = token[:index] + ("A" if token[index] != "A" else "B") + token[index + 1 :]
        with pytest.raises(NotAuthenticated):
            read(changed)


def test_shared_secrets_and_none_are_refused() -> None:
    shared = OctKey.import_key("a" * 64)
    token = jwt.encode({"alg": "HS256"}, {"iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 9, "sub": "lee"}, shared)
    with pytest.raises(NotAuthenticated, match="the token isn't valid"):
        read(token)
    header = "eyJhbGciOiJub25lIn0"
    body = signed().split(".")[1]
    for text in (f"{header}.{body}.", "", "x", "x.y.z", "a" * 20_000):
        with pytest.raises(NotAuthenticated):
            read(text)
    with pytest.raises(ConfigError, match="a shared secret"):
        tokens(Given(json.dumps({"keys": [shared.as_dict()]}).encode())).keys()


def test_keys_are_read_again_when_the_file_changes() -> None:
    source = jwks(KEY)
    known = tokens(source)
    known.read(signed(), now=NOW * 1_000_000)
    other = ECKey.generate_key("P-256", {"kid": "two"})
    source.content = jwks(other).content
    assert known.read(signed(other), now=NOW * 1_000_000).principal == "oidc:lee"
    with pytest.raises(NotAuthenticated):
        known.read(signed(), now=NOW * 1_000_000)
    source.content = b"{}"
    with pytest.raises(NotAuthenticated, match="no token can be verified now: the keys of"):
        known.read(signed(other), now=NOW * 1_000_000)

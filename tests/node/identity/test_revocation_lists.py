"""Lists of revoked certificates, signed by an authority of the test's own."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from vdb.crypto.certificates import Issued, make_authority
from vdb.crypto.revocation_list import read_revocation_lists
from vdb.errors import ConfigError, NotAuthenticated
from vdb.node.identity.identities import Identities, IdentitySettings
from vdb.node.identity.oidc_settings import OidcSettings
from vdb.node.identity.visit import Visit
from vdb.ports import Peer, PeerCertificate

NOW = datetime(2026, 11, 23, tzinfo=UTC)
DAY = timedelta(days=1)
_US = 1_000_000


def authority(name: str = "clinic's authority", serial: int = 1) -> Issued:
    return make_authority(name, now=NOW, valid_for=365 * DAY, serial=serial.to_bytes(16, "big"))


CLINICS, OTHERS, NAMESAKE = authority(), authority("another", 2), authority(serial=3)


def crl(*serials: int, by: Issued = CLINICS, ends: datetime = NOW + DAY, part: bool = False) -> bytes:
    signer = x509.load_pem_x509_certificate(by.certificate)
    key: Any = serialization.load_pem_private_key(by.key, password=None)
    builder = x509.CertificateRevocationListBuilder().issuer_name(signer.subject)
    builder = builder.last_update(NOW - 30 * DAY).next_update(ends)
    for serial in serials:
        one = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - DAY).build()
        builder = builder.add_revoked_certificate(one)
    if part:
        builder = builder.add_extension(x509.DeltaCRLIndicator(1), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class Given:
    def __init__(self, content: bytes) -> None:
        self.content: bytes | None = content

    def read(self) -> bytes:
        if self.content is None:
            raise ConfigError("the file can't be read")
        return self.content


class Clock:
    now = NOW

    def __call__(self) -> int:
        return int(self.now.timestamp()) * _US


def made(clock: Clock, *lists: Given, **settings: Any) -> Identities:
    return Identities(
        IdentitySettings(lists=lists, authorities=Given(CLINICS.certificate), **settings),
        clock,
    )


def peer(serial: str) -> Peer:
    ends = int((NOW + 900 * DAY).timestamp()) * _US
    return Peer(
        address="10.0.0.1:1", secured=True, certificate=PeerCertificate(serial=serial, not_after=ends, emails=("lee",))
    )


def test_a_list_is_read_with_its_serial_numbers() -> None:
    [found] = read_revocation_lists(crl(0x0ABC, 7), CLINICS.certificate)
    assert found.authority == "CN=clinic's authority"
    assert found.serials == {"abc", "7"}
    assert found.ends == int((NOW + DAY).timestamp()) * _US
    both = OTHERS.certificate + CLINICS.certificate
    assert len(read_revocation_lists(crl(1) + crl(2, by=OTHERS), both)) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a revocation list as PEM; found none"),
        (crl(1, by=OTHERS), "isn't signed by an authority that clients are known by"),
        (crl(1, by=NAMESAKE), "isn't signed by an authority that clients are known by"),
        (crl(1, part=True), "is about a part of its certificates"),
        (b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "can't be read"),
    ],
)
def test_what_is_no_list_of_the_authority_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_revocation_lists(content, CLINICS.certificate)
    with pytest.raises(ConfigError, match=message):
        made(Clock(), Given(content))


def test_a_changed_byte_is_found() -> None:
    [first, *lines, last] = crl(0xABCDEF).splitlines(keepends=True)
    der = bytearray(b"".join(lines))
    der[60] = der[60] ^ 1
    with pytest.raises(ConfigError):
        read_revocation_lists(first + bytes(der) + last, CLINICS.certificate)


async def test_whoever_is_on_the_list_is_out_and_so_are_their_connections() -> None:
    clock, file = Clock(), Given(crl(1))
    identities = made(clock, file)
    visit = Visit(identities, peer("abc"), lambda: None)
    caller = visit.sign_in("", "", "")
    assert not identities.is_revoked("abc", certainly=True)
    file.content = crl(1, 0xABC)
    identities.look()
    assert "the credential of lee was revoked" in visit.ended(caller)
    assert identities.is_revoked("0ABC", certainly=True)
    assert "was revoked" in Visit(identities, peer("abc"), lambda: None).refusal
    assert not Visit(identities, peer("def"), lambda: None).refusal


async def test_a_list_that_has_ended_lets_nobody_in_until_there_is_a_newer_one() -> None:
    clock, file = Clock(), Given(crl(1))
    identities = made(clock, file)
    visit = Visit(identities, peer("abc"), lambda: None)
    caller = visit.sign_in("", "", "")
    clock.now = NOW + DAY
    identities.look()
    message = "the revocation list of CN=clinic's authority has ended at 2026-11-24T00:00:00+00:00: expected a newer"
    assert message in visit.ended(caller)
    with pytest.raises(NotAuthenticated, match="no certificate counts on this node"):
        identities.connected(peer("def"))
    assert identities.is_revoked("def"), "a node is let in as little"
    assert not identities.is_revoked("def", certainly=True), "one that is connected stays"
    file.content = crl(1, ends=NOW + 2 * DAY)
    identities.look()
    assert visit.ended(caller) == ""
    assert identities.connected(peer("def")) is not None


async def test_where_it_is_allowed_an_ended_list_goes_on_to_count() -> None:
    clock = Clock()
    clock.now = NOW + 5 * DAY
    identities = made(clock, Given(crl(0xABC)), lists_may_end=True)
    assert identities.connected(peer("def")) is not None
    with pytest.raises(NotAuthenticated, match="was revoked"):
        identities.connected(peer("abc"))


async def test_a_list_that_cant_be_read_holds_as_it_was_until_it_ends() -> None:
    clock, file = Clock(), Given(crl(0xABC))
    identities = made(clock, file)
    for content in (None, crl(by=OTHERS)):
        file.content = content
        identities.look()
        assert identities.connected(peer("def")) is not None
        with pytest.raises(NotAuthenticated, match="was revoked"):
            identities.connected(peer("abc"))
    clock.now = NOW + DAY
    identities.look()
    with pytest.raises(NotAuthenticated, match="has ended"):
        identities.connected(peer("def"))


async def test_a_token_doesnt_hide_the_certificate_that_carries_it() -> None:
    key = ECKey.generate_key("P-256", {"kid": "one"})
    keys = Given(json.dumps(KeySet([key]).as_dict(private=False)).encode())
    oidc = OidcSettings(issuer="https://login.example", audience="veritydb", jwks=keys)
    identities = made(Clock(), Given(crl(0xABC)), oidc=oidc)
    ends = int(NOW.timestamp()) + 600
    claims = {"iss": oidc.issuer, "aud": oidc.audience, "exp": ends, "sub": "kim"}
    token = jwt.encode({"alg": "ES256", "kid": "one"}, claims, key)
    assert Visit(identities, peer("def"), lambda: None).sign_in(token, "", "").principal.name == "oidc:kim"
    with pytest.raises(NotAuthenticated, match="the credential of oidc:kim was revoked"):
        Visit(identities, peer("abc"), lambda: None).sign_in(token, "", "")


def test_lists_without_tls_are_a_mistake() -> None:
    with pytest.raises(ConfigError, match="expected TLS to be configured"):
        Identities(IdentitySettings(lists=(Given(crl(1)),)), Clock())

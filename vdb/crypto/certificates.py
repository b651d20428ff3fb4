"""Certificates for a cluster's TLS: an authority, and what it signs. Made once, by a command, for development and for
those who have no authority of their own.

A certificate names what its holder is: a node carries its node's name beside the hosts it answers at, a client its own.
Keys are of the curve P-256; OpenSSL draws them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SERIAL_SIZE = 16
"""Random bytes of a serial number."""

_BACKDATED = timedelta(hours=1)
"""Clocks differ a little: a certificate made now is valid on a machine whose clock is behind."""


@frozen(kw_only=True)
class Issued:
    """A certificate and its private key, both PEM. The key is written by itself, for its holder alone."""

    certificate: bytes
    key: bytes = field(repr=False)


def make_authority(name: str, *, now: datetime, valid_for: timedelta, serial: bytes) -> Issued:
    """A certificate that signs others. `serial`: 16 random bytes."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    builder = (
        _builder(subject, subject, key, now, valid_for, serial)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _issued(builder.sign(key, hashes.SHA256()), key)


def issue(
    authority: Issued,
    name: str,
    *,
    hosts: Sequence[str],
    now: datetime,
    valid_for: timedelta,
    serial: bytes,
    uris: Sequence[str] = (),
) -> Issued:
    """A certificate for either side of a connection. `hosts`: DNS names and IP addresses that the holder answers at.

    `uris`: what else names it, such as a SPIFFE id.
    """
    signer = x509.load_pem_x509_certificate(authority.certificate)
    signing_key = serialization.load_pem_private_key(authority.key, password=None)
    assert isinstance(signing_key, ec.EllipticCurvePrivateKey), "an authority made here has a key of a curve"
    key = ec.generate_private_key(ec.SECP256R1())
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        _builder(_name(name), signer.subject, key, now, valid_for, serial)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(both if hosts else both[1:]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), critical=False)
    )
    names = [*map(_host, hosts), *map(x509.UniformResourceIdentifier, uris)]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return _issued(builder.sign(signing_key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    valid_for: timedelta,
    serial: bytes,
) -> x509.CertificateBuilder:
    assert len(serial) == SERIAL_SIZE
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(int.from_bytes(serial, "big") or 1)
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + valid_for)
    )


def _issued(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Issued:
    return Issued(
        certificate=certificate.public_bytes(serialization.Encoding.PEM),
        key=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )

"""Revocation lists of certificates (X.509 CRLs): who an authority says counts no more.

A list counts if an authority that may sign lists has signed it, and it is about all of its certificates: one of parts,
of changes, or of others' certificates is refused, since it would leave somebody out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from attrs import frozen
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from vdb.errors import ConfigError

_PEM = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


@frozen(kw_only=True)
class RevocationList:
    authority: str
    """Its name, as certificates have it."""
    serials: frozenset[str]
    """Lower-case hex, without zeros in front."""
    ends: int
    """Microseconds UTC at which there should be a newer one."""


def read_revocation_lists(content: bytes, authorities: bytes) -> tuple[RevocationList, ...]:
    """The lists in a PEM file, each signed by one of the authorities (PEM certificates). ConfigError says what is
    wrong."""
    parts = _PEM.findall(content)
    if not parts:
        raise ConfigError("expected a revocation list as PEM; found none")
    try:
        signers = x509.load_pem_x509_certificates(authorities)
        return tuple(_read(x509.load_pem_x509_crl(part), signers) for part in parts)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"the revocation list can't be read: {error}") from None


def _read(found: x509.CertificateRevocationList, signers: Sequence[x509.Certificate]) -> RevocationList:
    name = found.issuer.rfc4514_string()
    if not any(_signs(signer, found) for signer in signers):
        raise ConfigError(f"the revocation list of {name} isn't signed by an authority that clients are known by")
    for extension in found.extensions:
        if extension.critical:
            raise ConfigError(f"the revocation list of {name} is about a part of its certificates: expected all")
    if found.next_update_utc is None:
        raise ConfigError(f"the revocation list of {name} doesn't say until when it counts")
    return RevocationList(
        authority=name,
        serials=frozenset(f"{one.serial_number:x}" for one in found),
        ends=_microseconds(found.next_update_utc),
    )


def _signs(signer: x509.Certificate, found: x509.CertificateRevocationList) -> bool:
    if signer.subject != found.issuer:
        return False
    try:
        usage = signer.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        usage = None
    if usage is not None and not usage.crl_sign:
        return False
    try:
        return found.is_signature_valid(signer.public_key())  # type: ignore[arg-type]
    except (InvalidSignature, TypeError):
        return False


def _microseconds(when: datetime) -> int:
    return int(when.astimezone(UTC).timestamp()) * 1_000_000

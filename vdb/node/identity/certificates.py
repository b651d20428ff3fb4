"""From a client's certificate to a principal.

The principal is the certificate's SPIFFE id if it has one, else its e-mail address, else its DNS name, else its common
name. A certificate with two SPIFFE ids names nobody, and a node's certificate (it carries the DNS name
`n<number>.node.<cluster id>.veritydb`) is no client's.
"""

from __future__ import annotations

import re

from vdb.errors import NotAuthenticated
from vdb.ports import PeerCertificate

_NODE = re.compile(r"n[0-9]+\.node\.[0-9a-f]{32}\.veritydb", re.IGNORECASE)
_SPIFFE = "spiffe://"
_SPIFFE_SIZE_MAX = 2048


def is_of_a_node(certificate: PeerCertificate) -> bool:
    return any(_NODE.fullmatch(name) for name in certificate.dns)


def principal_named_by(certificate: PeerCertificate, trust_domains: tuple[str, ...] = ()) -> str:
    """NotAuthenticated for a node's certificate, one that names nobody, or a SPIFFE id of another trust domain.

    `trust_domains`: those whose SPIFFE ids count; empty: all that the authority has signed.
    """
    if is_of_a_node(certificate):
        raise NotAuthenticated("this is a node's certificate: clients have certificates of their own")
    ids = [uri for uri in certificate.uris if uri.lower().startswith(_SPIFFE)]
    if len(ids) > 1:
        raise NotAuthenticated("the certificate has several SPIFFE ids: expected one")
    if ids:
        return _checked_spiffe(ids[0], trust_domains)
    for names in (certificate.emails, certificate.dns, (certificate.common_name,)):
        for name in names:
            if name:
                return _checked_name(name)
    raise NotAuthenticated("the certificate names nobody: expected a SPIFFE id, an e-mail, a DNS or a common name")


def _checked_spiffe(text: str, trust_domains: tuple[str, ...]) -> str:
    domain, slash, path = text[len(_SPIFFE) :].partition("/")
    plain = re.fullmatch(r"[a-z0-9._-]+", domain) and re.fullmatch(r"[A-Za-z0-9._/-]+", path)
    if not (slash and plain) or len(text) > _SPIFFE_SIZE_MAX or "//" in path or path.endswith("/"):
        raise NotAuthenticated("the certificate's SPIFFE id isn't one: expected spiffe://DOMAIN/PATH")
    if trust_domains and domain not in trust_domains:
        raise NotAuthenticated(f"the SPIFFE id is of {domain}: expected one of {', '.join(trust_domains)}")
    return _SPIFFE + text[len(_SPIFFE) :]


def _checked_name(name: str) -> str:
    """A name that can't be mistaken for that of another kind of credential."""
    if name.startswith(RESERVED) or name in RESERVED_NAMES or not name.isprintable():
        raise NotAuthenticated("the certificate's name is one that certificates can't have")
    return name


RESERVED = ("dev:", _SPIFFE, "oidc:", "token:")
RESERVED_NAMES = ("node", "embedded")

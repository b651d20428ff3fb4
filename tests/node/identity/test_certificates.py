"""Certificates to principals."""

from __future__ import annotations

import pytest

from vdb.errors import NotAuthenticated
from vdb.node.identity.certificates import is_of_a_node, principal_named_by
from vdb.ports import PeerCertificate

SPIFFE = "spiffe://clinic.example/provider/lee"


def made(**fields: object) -> PeerCertificate:
    return PeerCertificate(serial="01", not_after=0, **fields)  # type: ignore[arg-type]


def test_the_spiffe_id_comes_before_all_other_names() -> None:
    found = made(
        uris=("https://clinic.example", SPIFFE), emails=("lee@clinic.example",), dns=("host",), common_name="x"
    )
    assert principal_named_by(found) == SPIFFE


def test_then_the_mail_address_the_dns_name_and_the_common_name() -> None:
    assert principal_named_by(made(emails=("a@b",), dns=("host",), common_name="x")) == "a@b"
    assert principal_named_by(made(dns=("host",), common_name="x")) == "host"
    assert principal_named_by(made(common_name="x")) == "x"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"uris": (SPIFFE, SPIFFE + "2")}, "several SPIFFE ids"),
        ({"uris": ("spiffe://clinic.example",)}, "isn't one: expected spiffe://DOMAIN/PATH"),
        ({"uris": ("spiffe://clinic.example/",)}, "isn't one"),
        ({"uris": ("spiffe://clinic.example/a//b",)}, "isn't one"),
        ({"uris": ("spiffe://Clinic.example/a",)}, "isn't one"),
        ({"uris": ("spiffe://clinic.example/a?b",)}, "isn't one"),
        ({}, "names nobody"),
        ({"common_name": "dev:lee"}, "one that certificates can't have"),
        ({"common_name": "node"}, "one that certificates can't have"),
        ({"common_name": SPIFFE}, "one that certificates can't have"),
        ({"common_name": "oidc:lee"}, "one that certificates can't have"),
        ({"common_name": "lee\n"}, "one that certificates can't have"),
        ({"dns": (f"n3.node.{'ab' * 16}.veritydb",), "common_name": "node 3"}, "this is a node's certificate"),
        ({"dns": ("localhost", f"N3.NODE.{'AB' * 16}.VERITYDB"), "uris": (SPIFFE,)}, "this is a node's certificate"),
    ],
)
def test_what_names_nobody_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(NotAuthenticated, match=message):
        principal_named_by(made(**fields))


def test_trust_domains_bound_the_spiffe_ids() -> None:
    assert principal_named_by(made(uris=(SPIFFE,)), ("clinic.example",)) == SPIFFE
    with pytest.raises(NotAuthenticated, match=r"is of clinic\.example: expected one of other\.example"):
        principal_named_by(made(uris=(SPIFFE,)), ("other.example",))


def test_a_clients_certificate_is_no_nodes() -> None:
    assert not is_of_a_node(made(dns=("n3.node.example",), common_name="node 3"))

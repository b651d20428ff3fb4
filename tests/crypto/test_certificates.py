from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from vdb.crypto.certificates import Issued, issue, make_authority

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
HOSTS = ["127.0.0.1", "db.example", "n1.node.00ff.veritydb"]


@pytest.fixture(scope="module")
def authority() -> Issued:
    return make_authority("a cluster", now=NOW, valid_for=DAY, serial=b"\1" * 16)


def context(place: Path, authority: Issued, own: Issued, protocol: ssl._SSLMethod) -> ssl.SSLContext:
    files = {"ca": authority.certificate, "cert": own.certificate, "key": own.key}
    for name, content in files.items():
        (place / name).write_bytes(content)
    made = ssl.SSLContext(protocol)
    made.verify_mode = ssl.CERT_REQUIRED
    made.load_verify_locations(place / "ca")
    made.load_cert_chain(place / "cert", place / "key")
    return made


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> ssl.SSLObject:
    """The server's end after a handshake in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    open_ends = list(ends)
    for _ in range(10):
        for end in list(open_ends):
            try:
                end.do_handshake()
                open_ends.remove(end)
            except ssl.SSLWantReadError:
                continue
    assert not open_ends
    return ends[1]


@pytest.mark.parametrize("name", HOSTS)
def test_both_sides_trust_what_the_authority_signed(authority: Issued, tmp_path: Path, name: str) -> None:
    node = issue(authority, "node 1", hosts=HOSTS, now=NOW, valid_for=DAY, serial=b"\2" * 16)
    client = issue(authority, "a client", hosts=[], now=NOW, valid_for=DAY, serial=b"\3" * 16)
    server_end = shake_hands(
        context(tmp_path, authority, client, ssl.PROTOCOL_TLS_CLIENT),
        context(tmp_path, authority, node, ssl.PROTOCOL_TLS_SERVER),
        name,
    )
    found = server_end.getpeercert()
    assert found is not None
    assert found["subject"] == ((("commonName", "a client"),),)


def test_another_host_or_authority_is_not_trusted(authority: Issued, tmp_path: Path) -> None:
    node = issue(authority, "node 1", hosts=HOSTS, now=NOW, valid_for=DAY, serial=b"\2" * 16)
    client = context(tmp_path, authority, node, ssl.PROTOCOL_TLS_CLIENT)
    server = context(tmp_path, authority, node, ssl.PROTOCOL_TLS_SERVER)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(client, server, "elsewhere.example")
    other = make_authority("another", now=NOW, valid_for=DAY, serial=b"\4" * 16)
    stranger = context(tmp_path, other, node, ssl.PROTOCOL_TLS_CLIENT)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(stranger, server, "127.0.0.1")


def test_a_client_has_no_name_that_a_node_has(authority: Issued) -> None:
    client = issue(authority, "a client", hosts=[], now=NOW, valid_for=DAY, serial=b"\3" * 16)
    found = x509.load_pem_x509_certificate(client.certificate)
    with pytest.raises(x509.ExtensionNotFound):
        found.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert "PRIVATE" not in repr(client)

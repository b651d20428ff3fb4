"""`vdb identity`, and a node that wants to know who asks: tokens, certificates, revocation."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

import vdb
from vdb.audit.entry import decode_entry
from vdb.errors import NotAuthenticated
from vdb.world.clock import RealClock

KEY = ECKey.generate_key("P-256", {"kid": "one"})
IDENTITY = """
[identity]
anonymous = false
development-secret = "dev.secret"
revoked = "revoked.toml"

[identity.oidc]
issuer = "https://login.clinic.example"
audience = "veritydb"
jwks = "issuer.jwks.json"
"""
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, run_vdb: Run) -> Path:
    folder = tmp_path_factory.mktemp("identity")
    assert run_vdb("identity", "secret", str(folder / "dev.secret")).code == 0
    (folder / "revoked.toml").write_text("revoked = []\n")
    (folder / "issuer.jwks.json").write_text(json.dumps(KeySet([KEY]).as_dict(private=False)))
    return folder


@pytest.fixture(scope="module")
def address(start_node: Run, place: Path) -> str:
    return str(start_node(place, config=IDENTITY).address)


def issued(subject: str, **claims: Any) -> str:
    expires = RealClock().wall_us() // 1_000_000 + 600
    whole = {"iss": "https://login.clinic.example", "aud": "veritydb", "exp": expires, "sub": subject, **claims}
    return jwt.encode({"alg": "ES256", "kid": "one"}, whole, KEY)


def test_without_a_token_nobody_is_let_in(address: str, run_here: Run) -> None:
    found = run_here("status", "--address", address)
    assert found.code == 1
    assert "nobody has shown who asks" in found.err
    with pytest.raises(NotAuthenticated, match="nobody has shown who asks"):
        vdb.connect_sync(address)


def test_a_development_token_names_somebody(address: str, place: Path, run_here: Run) -> None:
    token = run_here("identity", "token", "lee", "--secret-file", str(place / "dev.secret")).out.strip()
    (place / "lee.token").write_text(token + "\n")
    found = run_here("identity", "whoami", "--address", address, "--token", f"@{place / 'lee.token'}", "--json").object
    assert (found["principal"], found["credential"], found["development"]) == ("dev:lee", "development", True)
    with vdb.connect_sync(address, token=token, purpose="TREAT") as client:
        client.create_stream("notes")
        client.publish("notes", b"hello")
        assert [event.payload for event in client.read("notes")] == [b"hello"]
        entries = [decode_entry(entry) for record in client.audit_entries().records for entry in record.entries]
        assert {(entry.actor, entry.purpose) for entry in entries} == {("dev:lee", "TREAT")}


def test_sql_says_who_asks(address: str, place: Path, run_here: Run) -> None:
    made = run_here("identity", "token", "sam", "--secret-file", str(place / "dev.secret"))
    (place / "sam.token").write_text(made.out)
    with vdb.connect_sync(address, token=made.out.strip()) as client:
        client.create_database("clinic")
    at = ("--address", address, "--database", "clinic", "--token", f"@{place / 'sam.token'}", "--purpose", "TREAT")
    assert run_here("sql", "CREATE TABLE t (a); INSERT INTO t VALUES (1); SELECT a FROM t", *at).out == "a\n1\n"
    assert "nobody has shown who asks" in run_here("sql", "SELECT 1", *at[:4]).err
    refused = run_here("sql", "SELECT 1", *at[:4], "--token", made.out.strip())
    assert "SQL takes a token from a file alone" in refused.err
    with vdb.connect_sync(address, token=made.out.strip()) as client:
        entries = [decode_entry(entry) for record in client.audit_entries().records for entry in record.entries]
    told = [entry for entry in entries if entry.tables == ("t",) and entry.actor == "dev:sam"]
    assert {entry.purpose for entry in told} == {"TREAT"}


def test_an_issuers_token_names_somebody(address: str) -> None:
    made: list[str] = []

    def token() -> str:
        made.append("one")
        return issued("kim", amr=["mfa"])

    with vdb.connect_sync(address, token=token) as client:
        found = client.whoami()
    assert (found.principal, found.credential, found.mfa) == ("oidc:kim", "oidc", True)
    assert not found.development
    assert found.expires is not None
    assert len(made) >= 2


def test_tokens_that_dont_count_are_refused(address: str, run_here: Run) -> None:
    for token, message in (
        ("vdbdev1.eA.eA", "another secret"),
        (issued("kim", aud="other"), "for another audience"),
        ("nonsense", "the token isn't valid"),
    ):
        with pytest.raises(NotAuthenticated, match=message):
            vdb.connect_sync(address, token=token)
    found = run_here("status", "--address", address, "--token", "@/nowhere")
    assert "the token in /nowhere can't be read" in found.err


def test_a_purpose_has_to_be_one(address: str, run_here: Run) -> None:
    found = run_here("status", "--address", address, "--token", issued("kim"), "--purpose", "FUN")
    assert found.code == 2
    assert "'FUN' is no purpose of use: expected one of TREAT" in found.err


def test_who_is_revoked_is_out_at_once(address: str, place: Path) -> None:
    with vdb.connect_sync(address, token=issued("mallory")) as client:
        client.status()
        (place / "revoked.toml").write_text('revoked = ["oidc:mallory"]\n')

        def go_on() -> None:
            for _ in range(100_000):
                client.status()

        with pytest.raises(NotAuthenticated, match="the credential of oidc:mallory was revoked"):
            go_on()
    with pytest.raises(NotAuthenticated, match="was revoked"):
        vdb.connect_sync(address, token=issued("mallory"))


def test_who_is_connected_is_listed_and_ended(address: str, run_here: Run) -> None:
    with vdb.connect_sync(address, token=issued("sam")) as client:
        client.status()
        at = ("--address", address, "--token", issued("ops"))
        listed = run_here("identity", "sessions", *at)
        assert "oidc:sam" in listed.out
        found = [json.loads(line) for line in run_here("identity", "sessions", *at, "--json").out.splitlines()]
        [sams] = [one for one in found if one["principal"] == "oidc:sam"]
        assert (sams["credential"], sams["mfa"], sams["session"].startswith(address)) == ("oidc", False, True)
        assert run_here("identity", "end", sams["session"], *at).out.strip() == f"{sams['session']} is ended"
        again = run_here("identity", "end", sams["session"], *at, "--json").object
        assert again == {"ended": False}
        client.status()  # who isn't revoked may come again
    assert "named HOST:PORT/NUMBER" in run_here("identity", "end", "7", *at).err


def test_a_clusters_authority_makes_certificates_for_clients(tmp_path: Path, run_here: Run) -> None:
    assert run_here("cluster", "init", "--dir", str(tmp_path / "c"), "--tls").code == 0
    uri = "spiffe://clinic.example/dr.lee"
    arguments = ("identity", "certificate", "dr.lee", "--dir", str(tmp_path / "c"), "--uri", uri, "--json")
    made = run_here(*arguments).object
    assert made["principal"] == uri
    assert Path(made["certificate"]).exists()
    again = run_here(*arguments)
    assert again.code == 2
    assert "can't be written: File exists" in again.err


def test_a_configuration_says_what_is_wrong(tmp_path: Path, run_here: Run) -> None:
    for table, message in (
        ("[identity]\nanonymos = true", "unknown field `anonymos`"),
        ("[identity]\nidle-minutes = -1", "expected 0 or more"),
        ('[identity]\nrevoked = "nothing.toml"', "nothing.toml can't be read"),
        ('[identity]\ncrl = ["a.crl"]', "expected TLS to be configured"),
        ('[identity]\ncrl-expired = "never"', "Invalid enum value 'never'"),
        ('[identity.oidc]\nissuer = ""\naudience = "a"\njwks = "j"', "issuer: expected a text"),
        ('[identity.oidc]\nissuer = "i"\naudience = "a"\njwks = "j"', "can't be read"),
        ('[identity.oidc]\nissuer = "i"\naudience = "a"\njwks = "j"\njwks-url = "https://i"', "neither jwks-url"),
        ('[identity.oidc]\nissuer = "http://i.example"\naudience = "a"', "the issuer's address is fetched over https"),
        ('[identity.oidc]\nissuer = "i"\naudience = "a"\njwks-url = "http://i.example/k"', "fetched over https"),
    ):
        key = tmp_path / "root.key"
        if not key.exists():
            key.touch(mode=0o600)
            key.write_text("A" * 43 + "=")
        config = tmp_path / "node.toml"
        config.write_text(f'[node]\nregion = "eu-1"\ndata-dir = "data"\nkey-file = "root.key"\n{table}\n')
        found = run_here("start", "--config", str(config), "--address", "127.0.0.1:0")
        assert (found.code, message in found.err) == (2, True), found.err

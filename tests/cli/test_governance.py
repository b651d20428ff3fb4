"""`vdb policy apply|show|diff`, `break-glass`, `consent`, `attest`: with certificates, as people have them."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import trustme

POLICY = """
name = "clinic"

[roles]
clinician = []
officer = []

[[binding]]
principals = ["lee"]
roles = ["clinician"]

[[binding]]
principals = ["kim"]
roles = ["officer"]

[[rule]]
name = "govern"
roles = ["officer"]
actions = ["policy", "audit", "create", "append", "status"]

[[rule]]
name = "emergency"
effect = "break-glass"
roles = ["clinician"]
actions = ["read"]

[break-glass]
roles = ["clinician"]
minutes = 60
reviewers = ["officer"]

[[case]]
name = "an officer governs"
principal = "kim"
action = "policy"
class = "non-phi"
allowed = true
"""

As = Callable[..., Any]


def write_pem(place: Path, authority: trustme.CA, name: str) -> tuple[str, ...]:
    """Files of a certificate, as options."""
    cert = authority.issue_cert("127.0.0.1", common_name=name)
    files = place / f"{name}.pem", place / f"{name}.key", place / "ca.pem"
    files[0].write_bytes(b"".join(part.bytes() for part in cert.cert_chain_pems))
    files[1].write_bytes(cert.private_key_pem.bytes())
    authority.cert_pem.write_to_path(str(files[2]))
    options = zip(("--tls-cert", "--tls-key", "--tls-ca"), files, strict=True)
    return tuple(str(part) for option in options for part in option)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("governed")


@pytest.fixture(scope="module")
def secured(start_node: Any, place: Path) -> tuple[str, trustme.CA]:
    """A node's address, and who signs for it."""
    authority = trustme.CA()
    write_pem(place, authority, "node")
    node = start_node(place, config='[tls]\ncert = "node.pem"\nkey = "node.key"\nca = "ca.pem"\n')
    return node.address, authority


@pytest.fixture
def as_(secured: tuple[str, trustme.CA], place: Path, run_here: Any) -> As:
    """`as_("kim", "policy", "show")`: that command of somebody's."""
    address, authority = secured

    def run(name: str, *arguments: str) -> Any:
        return run_here(*arguments, "--address", address, *write_pem(place, authority, name))

    return run


@pytest.fixture
def file(place: Path) -> Path:
    found = place / "policy.toml"
    found.write_text(POLICY)
    return found


def test_a_day_of_governance(as_: As, file: Path, place: Path) -> None:
    assert as_("kim", "stream", "create", "--stream", "notes").code == 0
    none = as_("kim", "policy", "show")
    assert none.code == 1
    assert "global\tnone" in none.out
    assert "no policy was applied: everything is allowed" in none.err
    different = as_("kim", "policy", "diff", "--file", str(file), "--json")
    assert (different.code, different.object["same"]) == (1, False)

    assert "policy: none in ap-southeast-2, global: everything is allowed" in as_("kim", "status").out
    refused = as_("lee", "policy", "apply", "--file", str(file))
    assert refused.code == 1
    assert "under this policy 'lee' couldn't apply another one" in refused.err
    applied = as_("kim", "policy", "apply", "--file", str(file), "--expected-serial", "0")
    assert applied.code == 0, applied.err
    assert "holds as serial 1 in global, ap-southeast-2" in applied.out
    again = as_("kim", "policy", "apply", "--file", str(file), "--json").object
    assert (again["serial"], again["behind"]) == (2, [])
    shown = as_("kim", "policy", "show", "--json").objects
    assert [(one["group"], one["serial"], one["applied_by"]) for one in shown] == [
        ("global", 2, "kim"),
        ("ap-southeast-2", 2, "kim"),
    ]
    assert "policy: serial 2 in ap-southeast-2, global" in as_("kim", "status").out
    assert as_("kim", "policy", "show", "--text").out.strip() == POLICY.strip()
    hidden = as_("lee", "policy", "show", "--text")
    assert hidden.code == 1
    assert "you aren't shown the policy's text" in hidden.err
    assert as_("kim", "policy", "diff", "--file", str(file)).code == 0
    file.write_text(POLICY.replace("minutes = 60", "minutes = 30"))
    changed = as_("kim", "policy", "diff", "--file", str(file))
    assert changed.code == 1
    assert "-minutes = 60\n+minutes = 30" in changed.out

    opened = as_("lee", "break-glass", "open", "--subject", "p-1", "--reason", "unconscious", "--minutes", "5")
    assert opened.code == 0, opened.err
    (waiting,) = as_("kim", "break-glass", "list", "--unreviewed", "--json").objects
    assert (waiting["principal"], waiting["subject"], waiting["reason"]) == ("lee", "p-1", "unconscious")
    assert f"grant {waiting['grant']}, until " in opened.out
    assert waiting["until"] - waiting["opened"] == 300_000_000
    assert "waits" in as_("kim", "break-glass", "list").out
    assert "broken glasses in ap-southeast-2 that wait for a review: 1" in as_("kim", "status").out
    own = as_("lee", "break-glass", "review", "--grant", str(waiting["grant"]), "--verdict", "justified")
    assert own.code == 1
    review = ("break-glass", "review", "--grant", str(waiting["grant"]), "--verdict", "justified", "--remark", "clear")
    assert as_("kim", *review).code == 0
    assert as_("kim", "break-glass", "list", "--unreviewed", "--json").objects == []
    assert "justified by kim" in as_("kim", "break-glass", "list").out

    give = ("consent", "give", "--subject", "p-1", "--purpose", "HRESCH", "--until", "2126-12-31T23:59:59Z")
    assert as_("kim", *give).code == 0
    (given,) = as_("kim", "consent", "list", "--json").objects
    assert (given["subject"], given["purposes"]) == ("p-1", ["HRESCH"])
    assert "2126-12-31T23:59:59.000Z" in as_("kim", "consent", "list", "--subject", "p-1").out
    assert as_("kim", "consent", "withdraw", "--subject", "p-1").code == 0
    assert as_("kim", "consent", "list", "--json").objects == []

    assert as_("kim", "stream", "create", "--stream", "cohort", "--data-class", "deidentified").code == 0
    report = place / "report.pdf"
    report.write_bytes(b"signed")
    attest = ("attest", "--stream", "cohort", "--expert", "Dr. Expert", "--statement", "very small risk")
    attested = as_("kim", *attest, "--document", str(report), "--json")
    assert attested.object["document"] == sha256(b"signed").hexdigest()
    missing = as_("kim", *attest, "--document", str(place / "nothing"))
    assert missing.code == 2
    assert "nothing can't be read" in missing.err


def test_a_policy_whose_cases_fail_isnt_applied(as_: As, file: Path) -> None:
    file.write_text(POLICY.replace("allowed = true", "allowed = false"))
    found = as_("kim", "policy", "apply", "--file", str(file), "--json")
    assert found.code == 2
    assert "1 of 1 cases beside the policy fail" in found.error["message"]

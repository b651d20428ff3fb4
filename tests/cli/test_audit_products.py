"""Exports, reports, accountings and witnesses against a real node."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from vdb.crypto.signing import SigningKey
from vdb.evidence.note import sign_note
from vdb.verifier.assemble import verifier_source
from vdb.verifier.canonical import canonical_json

ALONE = """
import runpy, sys
sys.modules["vdb"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def clinic(node: Any, run_vdb: Any) -> Any:
    """The node, with two patients' notes in a stream."""
    env = {"VDB_ADDRESS": node.address}
    assert run_vdb("stream", "create", "--stream", "charts", env=env).code == 0
    for patient in ("p-1", "p-2"):
        ran = run_vdb("publish", "--stream", "charts", "--payload", "x", "--subject", f"Patient/{patient}", env=env)
        assert ran.code == 0
    assert run_vdb("read", "--stream", "charts", env=env).code == 0
    return node


@pytest.fixture
def officer(run_here: Any, tmp_path: Path) -> list[str]:
    """Options by which an officer signs exports."""
    file = tmp_path / "officer.key"
    assert run_here("witness", "key", "--out", str(file), "--name", "officer.kim", "--exporter").code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    return ["--sign-key", str(file), "--signer", "officer.kim"]


@pytest.fixture
def witness(clinic: Any, vdb_at: Any, run_here: Any, tmp_path: Path, follow_vdb: Callable[..., Any]) -> list[str]:
    """Options that name a witness of the audit log, which runs."""
    key, logs = tmp_path / "witness.key", tmp_path / "logs.txt"
    verifier = run_here("witness", "key", "--out", str(key), "--name", "clinic-b.example", "--json").object["key"]
    logs.write_text(f"log {vdb_at('audit', 'head', '--family', 'audit', '--json').object['key']}\n")
    arguments = ["--data-dir", str(tmp_path / "witness"), "--key-file", str(key), "--name", "clinic-b.example"]
    process = follow_vdb(
        "witness",
        "serve",
        *arguments,
        "--logs",
        str(logs),
        "--address",
        "127.0.0.1:0",
        "--json",
        address=clinic.address,
    )
    ready = json.loads(process.stdout.readline())
    assert ready["key"] == verifier
    return ["--witness", f"http://{ready['address']}", "--witness-key", verifier]


def alone(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script where there is no VerityDB."""
    return subprocess.run(
        [sys.executable, "-I", "-c", ALONE, *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def test_an_export_verifies_without_veritydb_and_stands_in_the_log(
    clinic: Any, vdb_at: Any, run_here: Any, officer: list[str], witness: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "all"
    told = vdb_at("audit", "export", "--out", str(out), *officer, *witness, "--recipient", "OCR", "--json").object
    ran = alone(str(out / "verify.py"), "--key", told["key"], "--trust", str(out / "policy.txt"))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "complete     yes: all records" in ran.stdout
    assert "witness      clinic-b.example at 20" in ran.stdout
    found = run_here("audit", "verify-export", "--export", str(out), "--key", told["key"], "--json").object
    assert (found["holds"], found["entries"], found["withheld"]) == (True, told["entries"], 0)
    assert found["kinds"]["write"] == 2
    events = [json.loads(line) for line in (out / "audit.ndjson").read_text().splitlines()]
    assert len(events) == found["events"]
    check_event = runpy.run_path(str(Path(__file__).parent.parent / "audit" / "balp.py"))["check_event"]
    for event in events:
        check_event(event)

    logged = vdb_at("audit", "search", "--kind", "export", "--json").objects
    assert told["manifest"] in json.dumps(logged)
    assert not (tmp_path / "all.partial").exists()
    proof = tmp_path / "export.tlog-proof"
    assert vdb_at("audit", "prove-entry", "--record", str(told["leaf"]), "--out", str(proof)).code == 0
    proven = run_here("audit", "verify", "--proof", str(proof), "--key", told["key"], "--json").object
    assert (proven["holds"], proven["index"]) == (True, told["leaf"])
    assert (proven["tenant"], proven["log"]) == (1, "audit")
    again = vdb_at("audit", "export", "--out", str(out), *officer)
    assert (again.code, "is there already" in again.err) == (2, True)

    (out / "entries.ndjson").write_bytes((out / "entries.ndjson").read_bytes().replace(b"dev:", b"dex:", 1))
    broken = run_here("audit", "verify-export", "--export", str(out))
    assert (broken.code, "it doesn't hold: entries.ndjson: its SHA-256" in broken.out) == (1, True)


def test_an_export_about_a_patient_hands_out_no_key_to_what_is_about_others(
    clinic: Any, vdb_at: Any, officer: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "p-1.zip"
    told = vdb_at("audit", "export", "--out", str(out), *officer, "--subject", "Patient/p-1", "--json").object
    assert told["entries"] >= 2
    script = tmp_path / "verify.py"
    script.write_bytes(verifier_source())
    ran = alone(str(script), str(out))
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "complete     no: this is a selection" in ran.stdout
    assert b"Patient/p-2" not in out.read_bytes()


def test_an_accounting_says_what_was_given_to_whom(
    clinic: Any, vdb_at: Any, officer: list[str], tmp_path: Path
) -> None:
    given = [
        "--subject",
        "Patient/p-2",
        "--recipient",
        "State Registry",
        "--purpose",
        "PUBHLTH",
        "--basis",
        "164.512(b)",
    ]
    assert vdb_at("audit", "export", "--out", str(tmp_path / "p-2"), *officer, *given).code == 0
    file = tmp_path / "accounting.csv"
    found = vdb_at("audit", "accounting", "--patient", "Patient/p-2", "--csv", str(file), "--json").object
    named = [one for one in found["disclosures"] if one["recipient"] == "State Registry"]
    assert [(one["purpose"], one["about_all"]) for one in named] == [("PUBHLTH, 164.512(b)", False)]
    assert "State Registry" in file.read_text()
    text = vdb_at("audit", "accounting", "--patient", "Patient/p-2")
    assert "State Registry" in text.out
    assert "0 days ago; due on" in text.err
    others = vdb_at("audit", "accounting", "--patient", "Patient/p-1", "--json").object
    assert "State Registry" not in json.dumps(others)


def test_a_report_shows_what_is_met_and_what_is_missing(
    clinic: Any, vdb_at: Any, witness: list[str], tmp_path: Path
) -> None:
    (tmp_path / "node.toml").write_text("[identity]\nidle-minutes = 10\n")
    asked = ["audit", "report", "--pins", str(tmp_path / "pins"), "--config", str(tmp_path / "node.toml"), *witness]
    first = vdb_at(*asked, "--json", "--sign-off", "gone through").object
    rows = {row["control"]: row for row in first["rows"]}
    assert "no policy was applied: everything is allowed" in rows["164.312(a)(1)"]["missing"]
    assert "no earlier head was at hand" in rows["164.312(c)(1)"]["missing"][0]
    assert rows["164.312(c)(2)"]["status"] == "met"
    assert rows["164.312(b)"]["missing"] == ["nobody has examined the log in the period: no review is recorded"]
    assert first["signed_off_in_record"] > 0
    assert first["notes"] == []
    assert "of class phi, sealed for ap-southeast-2" in [one["what"] for one in rows["GDPR chapter V"]["evidence"]]
    assert rows["164.312(a)(2)(iii)"]["settings"]["identity.idle-minutes"] == "10.0"
    assert {one["actor"] for one in first["samples"]} == {"dev:anyone"}

    earlier = tmp_path / "earlier.json"
    earlier.write_text(json.dumps(first))
    second = vdb_at(*asked, "--against", str(earlier))
    assert (second.code, second.err) == (0, "")
    assert f"since the report of {first['time']}" in second.out
    assert "reviews that were recorded: 0 -> 1; sha256" in second.out
    assert "continues the head that was kept" in second.out
    assert "reviews that were recorded: 1" in second.out
    changed = {**first, "audit_log": {**first["audit_log"], "root": "00" * 32}}
    del changed["sha256"], changed["signed_off_in_record"]
    earlier.write_text(json.dumps({**changed, "sha256": sha256(canonical_json(changed)).hexdigest()}))
    other = vdb_at(*asked, "--against", str(earlier))
    assert (other.code, "doesn't begin with the one of" in other.err) == (1, True)
    logged = vdb_at("audit", "search", "--kind", "review", "--json").objects
    assert first["sha256"] in json.dumps(logged)


def test_a_head_is_cosigned_and_kept(clinic: Any, vdb_at: Any, witness: list[str], tmp_path: Path) -> None:
    for name in ("one.note", "two.note"):
        told = vdb_at("audit", "cosign", "--out", str(tmp_path / name), *witness, "--json").object
        assert told["witnesses"][0].startswith("clinic-b.example at ")
    kept = vdb_at(
        "audit", "head", "--family", "audit", "--since", str(tmp_path / "one.note"), "--key", told["key"], "--json"
    )
    assert kept.object["continues"] is True


def test_a_head_that_goes_back_behind_the_pinned_one_is_refused(clinic: Any, vdb_at: Any, tmp_path: Path) -> None:
    asked = ["audit", "head", "--pins", str(tmp_path / "pins")]
    size = vdb_at(*asked, "--json").object["size"]
    assert vdb_at("publish", "--stream", "charts", "--payload", "more").code == 0
    assert vdb_at(*asked, "--json").object["size"] == size + 1
    (pin,) = (tmp_path / "pins").iterdir()
    origin, _, root, *_ = pin.read_text().split("\n")
    key = SigningKey(b"k" * 32)
    pin.write_text(str(sign_note(f"{origin}\n{size + 9}\n{root}\n", [("another", key)])))
    ran = vdb_at(*asked)
    assert (ran.code, f"had {size + 9} leaves when it was last seen" in ran.err) == (1, True)
    pin.write_text(str(sign_note(f"{origin}\n{size}\n{root}\n", [("another", key)])))
    ran = vdb_at(*asked)
    assert (ran.code, "what was there was changed" in ran.err) == (1, True)

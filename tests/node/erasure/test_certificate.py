"""What a certificate says, and that it and earlier ones verify without a node."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import vdb
from vdb.crypto.signing import SigningKey
from vdb.errors import EvidenceInvalid
from vdb.evidence.note import VerifierKey
from vdb.kernel.erasure_command import PrunedSegment
from vdb.kernel.erasure_rows import Ack, DestroyedKey, Erasure
from vdb.kernel.pruning import PrunedRow
from vdb.kernel.rows import Rotation
from vdb.node.erasure.certificate import certificate_of, op_of, sign_certificate, verify_certificate
from vdb.types import TenantId

LIMITS = vdb.Limits(
    message_size_max=64 * 1024, wal_slots=64, checkpoint_interval=32, segment_size=256 * 1024, read_bytes_max=64 * 1024
)
ORIGIN = "verity.example/eu-1/t-1/data"
KEY = SigningKey(bytes(range(32)))
ERASURE = Erasure(
    tenant=TenantId(1),
    erasure=1,
    time=100,
    completed=200,
    subject=b"s" * 32,
    keys=(DestroyedKey(b"k" * 16, b"d" * 32, b"t" * 32),),
    members=(0,),
    basis="GDPR 17(1)(b)",
    by="officer",
    sealed=b"",
)


def ack(**more: Any) -> Ack:
    """The word of node 0, as a node of an earlier version gives it where nothing more is said."""
    said = {
        "format": "veritydb-erasure-ack/v1", "cluster": "00" * 16, "group": "eu-1", "tenant": "1", "erasure": "1",
        "node": "n0", "number": 0, "key": KEY.public.hex(), "keys": [(b"k" * 16).hex()], "opens": False,
        "checkpoint-op": "7", **more,
    }  # fmt: skip
    statement = json.dumps(said).encode()
    return Ack(node=0, time=150, statement=statement, signature=KEY.sign(statement))


def remains(**more: Any) -> dict[str, Any]:
    return {
        "records": "3", "pruned": "0", "tried-to-open": "3", "opened": "0", "leaves": [["2", "3"], ["7", "7"]],
        "positions": [["20", "29"], ["45", "45"]], "ranges-left-out": "0", **more,
    }  # fmt: skip


def made(*acks: Ack, **more: Any) -> dict[str, Any]:
    return certificate_of(ERASURE, acks, cluster=bytes(16), group="eu-1", basis=ERASURE.basis, removed=[], **more)


def row(segment: int, first: int, following: int) -> PrunedRow:
    pruned = PrunedSegment(
        segment=segment, first_position=first, next_position=following, length=9, stub_length=1, stub_crc=0
    )
    return PrunedRow(pruned=pruned, time=1000 + segment)


def test_a_certificate_of_an_earlier_version_verifies() -> None:
    earlier = made(ack())
    for name in ("op", "holds"):
        del earlier[name]
    earlier["remains"] = {"records": "sealed", "audit-log": "retained", "backups": "a copy opens them"}
    signed = sign_certificate(earlier, ORIGIN, KEY)
    assert verify_certificate(signed, VerifierKey(ORIGIN, KEY.public)) == earlier


def test_nodes_that_tell_little_are_understood() -> None:
    found = made(ack())
    assert found["op"] == "7"
    assert found["remains"]["leaves"] == []
    assert found["remains"]["backups"]["wrapped-under"] == []
    assert op_of([]) == 0


def test_a_node_that_could_open_records_has_erased_nothing() -> None:
    signed = sign_certificate(made(ack(remains=remains(opened="1"))), ORIGIN, KEY)
    with pytest.raises(EvidenceInvalid, match="says that records could be opened"):
        verify_certificate(signed, VerifierKey(ORIGIN, KEY.public))


def test_it_tells_when_the_sealed_bytes_went() -> None:
    one = ack(remains=remains())
    assert made(one)["remains"]["pruned"] == {"sealed-bytes": "kept", "time": ""}
    part = [row(2, 10, 24), row(3, 26, 40)]  # between the two lie events of other tenants
    assert made(one, pruned=part)["remains"]["pruned"] == {"sealed-bytes": "pruned in part", "time": ""}
    whole = [*part, row(4, 40, 60)]
    assert made(one, pruned=whole)["remains"]["pruned"] == {"sealed-bytes": "pruned", "time": "1004"}
    gap = [row(2, 10, 24), row(4, 26, 60)]
    assert made(one, pruned=gap)["remains"]["pruned"]["sealed-bytes"] == "pruned in part"
    untold = ack(remains=remains(**{"ranges-left-out": "1"}))
    assert made(untold, pruned=whole)["remains"]["pruned"]["sealed-bytes"] == "pruned in part"


def test_it_tells_which_root_key_opens_copies_from_before() -> None:
    old, new = b"o" * 16, b"n" * 16
    one = ack(**{"root-key": old.hex()})
    kept = made(one, root_key=old)["remains"]["backups"]
    assert (kept["wrapped-under"], kept["retired"]) == ([old.hex()], "")
    assert "still in use" in kept["horizon"]
    rotation = Rotation(root_key_id=new, began_at=300, changed_at=400)
    retired = made(one, root_key=new, rotation=rotation)["remains"]["backups"]
    assert retired["retired"] == "400"
    assert "isn't in use any more" in retired["horizon"]


def test_a_nodes_own_certificate_says_it_all(tmp_path: Path) -> None:
    with vdb.open(tmp_path / "data", keys=vdb.RootKeys(bytes(range(32))), limits=LIMITS) as db:
        db.create_stream("notes")
        for number in range(6):
            db.publish("notes", b"note %d" % number, subject=f"patient-{number % 2}")
        db.release_hold(db.place_hold("a case", subject="patient-0"), "closed")
        db.place_hold("another", subject="patient-1")
        (info,) = [db.wait_erased(db.erase("patient-0", "he asked for it").erasure, timeout=60)]
        signed = json.loads(info.certificate)
        found = verify_certificate(info.certificate, VerifierKey.parse(signed["key"]))
        assert info.op == int(found["op"]) > 0
        assert info.basis == found["basis"] == "he asked for it"
        assert found["holds"] == {"checked": "2", "in-force-on-other-data": ["2"]}
        said = json.loads(found["acknowledgements"][0]["statement"])
        assert said["opened-before"] == {"opened": str(len(found["keys"])), "not-tried": "0"}
        assert (said["remains"]["records"], said["remains"]["tried-to-open"], said["remains"]["opened"]) == (
            "3",
            "3",
            "0",
        )
        leaves = [int(first) for first, last in found["remains"]["leaves"] if first == last]
        assert leaves == [db.prove("notes", offset).proof.index for offset in (0, 2, 4)]
        assert found["remains"]["pruned"]["sealed-bytes"] == "kept"
        service = db._audits._service
        under = {group.name: group.keyring.roots.founding.key_id.hex() for group in service.groups.values()}
        assert found["remains"]["backups"]["wrapped-under"] == [under[found["group"]]]
    for path in (tmp_path / "data").rglob("*"):
        if path.is_file():
            assert b"he asked for it" not in path.read_bytes(), f"{path.name}: the basis stands in clear"

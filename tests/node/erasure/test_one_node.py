"""A subject is erased on one node: no door gives its data, and no file of a copy of the directory has its key."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import attrs
import pytest

import vdb
from vdb.errors import OnHold, SubjectErased
from vdb.evidence.merkle import leaf_hash
from vdb.evidence.note import VerifierKey
from vdb.node.erasure.certificate import verify_certificate

LIMITS = vdb.Limits(
    message_size_max=64 * 1024, wal_slots=64, checkpoint_interval=32, segment_size=256 * 1024, read_bytes_max=64 * 1024
)
KEY = bytes(range(32))


def opened(path: Path, **options: object) -> vdb.EmbeddedDatabase:
    return vdb.open(path, keys=vdb.RootKeys(KEY), limits=LIMITS, **options)


def wrapped_keys(db: vdb.EmbeddedDatabase) -> list[bytes]:
    """Every wrapped key and wrapped secret of subjects that the node holds, of all of its groups."""
    service = db._audits._service  # its own state tells best what lies on the disk
    return [
        text
        for group in service.groups.values()
        for row in group.state.keys()  # noqa: SIM118 - rows of the key store
        if row.wrapped_secret and not row.is_destroyed
        for text in (bytes(row.wrapped), bytes(row.wrapped_secret))
    ]


def files_of(folder: Path) -> list[tuple[str, bytes]]:
    return [(str(path.relative_to(folder)), path.read_bytes()) for path in sorted(folder.rglob("*")) if path.is_file()]


def test_nothing_is_left_of_an_erased_subject(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with opened(data) as db:
        db.create_stream("notes")
        db.publish("notes", [b"alice one", b"alice two"], subject="alice")
        db.publish("notes", [b"bob one"], subject="bob")
        before = wrapped_keys(db)
        db.publish("notes", [b"alice three"], subject="alice")
        dry = db.erase("alice", dry_run=True)
        assert dry.erasure == 0
        assert dry.report["events"] == 3
        assert dry.report["against"] == []
        begun = db.erase("alice", "GDPR 17(1)(b)")
        assert begun.erasure == 1
        done = db.wait_erased(1, timeout=60)
        assert done.pending == ()
        kept = wrapped_keys(db)
        gone = [text for text in before if text not in kept]
        assert len(gone) == 2
        _check_reads(db)
        with pytest.raises(SubjectErased, match="nothing is written about it any more"):
            db.publish("notes", b"alice again", subject="alice")
        db.publish("notes", b"bob two", subject="bob")
        certificate = json.loads(done.certificate)
        found = verify_certificate(done.certificate, VerifierKey.parse(certificate["key"]))
        assert found["basis"] == "GDPR 17(1)(b)"
        assert "alice" not in done.certificate
    shutil.copytree(data, tmp_path / "copy")
    for name, content in files_of(tmp_path / "copy"):
        for text in gone:
            assert text not in content, name
            assert text[8:32] not in content, f"{name} holds a piece of it"
    for folder in (data, tmp_path / "copy"):
        with opened(folder) as db:
            _check_reads(db, more=1)
            assert [one.certificate != "" for one in db.erasures()] == [True]
            with pytest.raises(SubjectErased):
                db.erase("alice", "again")


def _check_reads(db: vdb.EmbeddedDatabase, more: int = 0) -> None:
    events = list(db.read("notes"))
    assert [event.erased for event in events] == [True, True, False, True, *([False] * more)]
    assert [event.payload for event in events[:4]] == [b"", b"", b"bob one", b""]
    recorded = list(db.read_events("notes"))
    assert isinstance(recorded[0].event, vdb.Erased)
    assert recorded[2].event == b"bob one"
    assert [one.offset for one in recorded[:4]] == [0, 1, 2, 3]
    backward = list(db.read_events("notes", backward=True))
    assert [one.offset for one in backward] == [one.offset for one in reversed(recorded)]
    assert len(list(db.read_events("notes", types=[vdb.Erased]))) == 3


def test_the_keys_go_however_much_was_written_around_them(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with opened(data) as db:
        db.create_stream("notes")
        for number in range(150):
            db.publish("notes", bytes([number]) * (40 + 331 * number % 30_000), subject=f"patient-{number % 7}")
        before = wrapped_keys(db)
        assert len(before) == 14
        for number in range(3):
            db.erase(f"patient-{number}", "asked for")
        for number in range(3):
            db.wait_erased(number + 1, timeout=60)
        kept = wrapped_keys(db)
        gone = [text for text in before if text not in kept]
        assert len(gone) == 6
        # While the node runs: its files as they are.
        for name, content in files_of(data):
            for text in gone:
                assert text not in content, name
        events = list(db.read("notes"))
        assert [event.erased for event in events] == [number % 7 < 3 for number in range(150)]


def test_a_hold_stands_against_it(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as db:
        db.create_stream("notes")
        db.publish("notes", b"alice", subject="alice")
        hold = db.place_hold("a court wants it", subject="alice")
        assert db.erase("alice", dry_run=True).report["against"] == [f"hold {hold} is on the subject"]
        with pytest.raises(OnHold, match="hold 1"):
            db.erase("alice", "asked for")
        other = db.place_hold("another case", stream="no*")
        db.release_hold(hold, "the case is over")
        with pytest.raises(OnHold, match="hold 2 is on a stream"):
            db.erase("alice", "asked for")
        db.release_hold(other, "that one as well")
        assert [(one.hold, one.holds) for one in db.holds()] == [(1, False), (2, False)]
        db.set_retention("notes", 3650)
        with pytest.raises(OnHold, match="3650 days isn't over"):
            db.erase("alice", "asked for")
        assert [(one.stream, one.days) for one in db.retention()] == [("notes", 3650)]
        db.set_retention("notes", 0)
        assert db.retention() == []
        db.wait_erased(db.erase("alice", "asked for").erasure, timeout=60)
        assert [one.subject for one in db.holds()] == ["(erased)", ""]


@vdb.event("erasure-note-written", subject="patient")
@attrs.frozen(kw_only=True)
class NoteWritten:
    patient: str
    text: str = attrs.field(repr=False)


NOTES = vdb.Table(name="notes", columns=(vdb.Column("at"), vdb.Column("text")), key=("at",))


def _projection() -> vdb.Projection:
    projection = vdb.Projection("erasure_notes", streams=["chart-*"], tables=[NOTES])

    @projection.on(NoteWritten)
    def written(event: NoteWritten, context: vdb.Context) -> None:
        context.db.execute("INSERT INTO notes VALUES (?, ?)", (str(context.position), event.text))

    @projection.on(vdb.Erased)
    def erased(event: vdb.Erased, context: vdb.Context) -> None:
        context.db.execute("INSERT INTO notes VALUES (?, ?)", (str(context.position), "(erased)"))

    return projection


def test_consumers_and_aggregates_get_what_stands_for_it(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as db:
        for patient in ("alice", "bob"):
            db.append(f"chart-{patient}", NoteWritten(patient=patient, text=f"{patient}'s secret"), create="phi")
        consumer = db.create_consumer("workers", prefixes=["chart-"], start="first")
        with consumer.member("one") as member:
            (first, second) = member.fetch(max=2, wait=5)
            assert first.event.text == "alice's secret"
            first.nak()
            second.ack(confirm=True)
        db.wait_erased(db.erase("alice", "asked for").erasure, timeout=60)
        with consumer.member("two") as member:
            (again,) = member.fetch(max=2, wait=20)
            assert isinstance(again.event, vdb.Erased)
            assert again.stream == "chart-alice"
            again.ack(confirm=True)


def test_what_has_expired_is_erased(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as db:
        db.create_stream("notes")
        db.create_stream("letters")
        db.publish("notes", b"old note", subject="alice")
        db.publish("notes", b"nobody's old note")
        db.publish("letters", b"old letter", subject="bob")
        db.set_retention("notes", 1)
        assert db.apply_retention(dry_run=True).report["keys"] == 0, "the period isn't over"
        service = db._audits._service
        for group in service.groups.values():
            if group.name != "global":
                db.loop.call(lambda group=group: service.keys.start_period(group.name, 1))
        db.publish("notes", b"new note", subject="alice")
        db.publish("notes", b"nobody's new note")
        nothing = db.apply_retention()
        assert (nothing.report["keys"], nothing.report["erasure"], nothing.segments) == (0, 0, 0), "a day isn't over"
        # A rule of no day at all can't be given; one whose days are over is told by the clock alone.
        from vdb.node.erasure import expiring

        day, expiring.DAY_US = expiring.DAY_US, 0
        try:
            assert db.apply_retention(dry_run=True).report["keys"] == 1, "subjects' keys seal letters, too"
            db.set_retention("letters", 7)
            hold = db.place_hold("a case", subject="bob")
            assert db.apply_retention(dry_run=True).report["held"] == {"keys": 1, "segments": 0, "bytes": 0}
            found = db.apply_retention()
            assert found.report["keys"] == 2, "the notes' own key and alice's"
            db.wait_erased(found.report["erasure"], timeout=60)
            assert [(one.payload, one.erased) for one in db.read("notes")] == [
                (b"", True),
                (b"", True),
                (b"new note", False),
                (b"nobody's new note", False),
            ]
            assert [one.payload for one in db.read("letters")] == [b"old letter"]
            db.publish("notes", b"alice goes on", subject="alice")
            db.release_hold(hold, "closed")
            db.wait_erased(db.apply_retention().report["erasure"], timeout=60)
            assert [one.erased for one in db.read("letters")] == [True]
        finally:
            expiring.DAY_US = day


def test_all_proofs_still_hold_and_the_audit_log_tells(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as db:
        db.create_stream("notes")
        for number in range(6):
            db.publish("notes", b"note %d" % number, subject=f"patient-{number % 2}")
        before = db.tree_head()
        proven = [db.prove("notes", offset).proof.extra for offset in range(6)]
        db.wait_erased(db.erase("patient-0", "asked for").erasure, timeout=60)
        after = db.follow_tree(before.note, [before.verifier])
        assert after.checkpoint == before.checkpoint, "an erasure is no record, and changes none"
        for offset in range(6):
            found = db.prove("notes", offset)
            assert found.proof.note.verified_by([after.verifier])
            assert found.proof.extra == proven[offset]
            assert found.proof.holds_for(leaf_hash(found.proof.extra))
        db.publish("notes", b"one more", subject="patient-1")
        assert db.follow_tree(after.note, [after.verifier]).checkpoint.size == after.checkpoint.size + 1
        entries = [entry for record in db.audit_entries().records for entry in record.decoded()]
        told = [entry for entry in entries if entry.kind.value == "erase"]
        assert [(entry.subjects, entry.detail["basis"]) for entry in told] == [(("patient-0",), "asked for")]

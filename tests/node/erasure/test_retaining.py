"""Whole segments of one node are pruned: what is left on its disk, and what every door says then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import vdb
from vdb.errors import InvalidArgument
from vdb.evidence.merkle import leaf_hash
from vdb.node.erasure import expiring, retaining

LIMITS = vdb.Limits(
    message_size_max=64 * 1024, wal_slots=64, checkpoint_interval=32, segment_size=64 * 1024, read_bytes_max=64 * 1024
)
KEY = bytes(range(32))
NOTES = 30


def opened(path: Path, **options: object) -> vdb.EmbeddedDatabase:
    return vdb.open(path, keys=vdb.RootKeys(KEY), limits=LIMITS, **options)


def text(number: int) -> bytes:
    return b"%04d " % number + b"x" * 12_000


def region_of(db: vdb.EmbeddedDatabase) -> str:
    return next(name for name in db._audits._service.groups if name != "global")


def fill(db: vdb.EmbeddedDatabase, count: int = NOTES, subject: str = "") -> None:
    for number in range(count):
        db.publish("notes", text(number), subject=subject or f"patient-{number % 3}")
    group = db._audits._service.groups[region_of(db)]
    db.create_stream("tail", if_not_exists=True)
    while len(group.event_log.durable_segments(1)) < 3:  # a checkpoint comes with the ops
        db.publish("tail", b".")


def names(data: Path, ending: str) -> list[str]:
    return [path.name for path in sorted(data.glob(f"groups/*/log/t_1/*.{ending}")) if "global" not in str(path)]


@pytest.fixture
def over() -> Iterator[None]:
    """A rule of no day at all can't be given; one whose days are over is told by the clock alone."""
    day, expiring.DAY_US = expiring.DAY_US, 0
    yield
    expiring.DAY_US = day


def prune(db: vdb.EmbeddedDatabase) -> vdb.erasures.Pruned:
    found = db.apply_retention()
    db.wait_erased(found.report["erasure"], timeout=60)
    return found


def sealed_bodies(data: Path) -> list[bytes]:
    """A piece of the sealed bytes of each note in the segments."""
    from vdb.crypto.record import decode_record
    from vdb.storage.segment import HEADER_SIZE, decode_frames

    found = []
    for path in sorted(data.glob("groups/*/log/t_1/*.seg")):
        content = path.read_bytes()
        for _at, frame in decode_frames(str(path), content[HEADER_SIZE:], HEADER_SIZE, 1):
            if len(frame.record) > len(text(0)):
                found.append(bytes(decode_record(frame.record).body[-40:]))
    return found


def test_segments_of_what_has_expired_go_from_the_disk(tmp_path: Path, over: None) -> None:
    """By a rule alone: the keys live on, since their period isn't over."""
    data = tmp_path / "data"
    with opened(data) as db:
        db.create_stream("notes")
        fill(db)
        before = db.tree_head()
        proven = [db.prove("notes", offset).proof.extra for offset in (0, 10, NOTES - 1)]
        db.set_retention("notes", 7)
    bodies = sealed_bodies(data)
    assert NOTES - 5 < len(bodies) <= NOTES, "the last ones may be in the journal alone"
    assert len(names(data, "seg")) > 3
    with opened(data) as db:
        dry = db.apply_retention(dry_run=True)
        assert dry.segments >= 3
        assert not names(data, "stub")
        done = prune(db)
        assert (done.segments, done.bytes) == (dry.segments, dry.bytes)
        assert done.bytes > done.segments * 50_000
        assert len(names(data, "stub")) == done.segments
        read = db.read("notes")
        gone = [event.offset for event in read if event.erased]
        assert gone == list(range(len(gone)))
        assert len(gone) > 15
        assert [event.payload for event in read[len(gone) :]] == [text(number) for number in range(len(gone), NOTES)]
        assert db.follow_tree(before.note, [before.verifier]).checkpoint == before.checkpoint
        for offset, extra in zip((0, 10, NOTES - 1), proven, strict=True):
            found = db.prove("notes", offset)
            assert found.proof.extra == extra
            assert found.proof.holds_for(leaf_hash(extra))
        told = db.audit_log(region_of(db), 1)
        assert told.findings == ()
        assert told.unopened == len(gone)
        again = db.apply_retention()
        assert (again.segments, again.report["erasure"]) == (0, 0)
        entries = [entry for record in db.audit_entries().records for entry in record.decoded()]
        details = [entry.detail for entry in entries if entry.kind.value == "retention"]
        assert {"applies": "true", "prunes": f"{done.segments} segments, {done.bytes} bytes"} in details
        assert {"dry-run": "true"} in details
        assert {"applies": "true", "expires": "nothing"} in details
    left = b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file())
    assert [number for number, body in enumerate(bodies) if body in left] == list(range(len(gone), len(bodies)))
    with opened(data) as db:
        assert [event.offset for event in db.read("notes") if event.erased] == gone
        assert [event.offset for event in db.read_events("notes") if isinstance(event.event, vdb.Erased)] == gone


def test_segments_of_erased_subjects_go_without_a_rule(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with opened(data) as db:
        db.create_stream("notes")
        fill(db)
        for patient in range(2):
            db.wait_erased(db.erase(f"patient-{patient}", "asked for").erasure, timeout=60)
        assert db.apply_retention(dry_run=True).segments == 0, "a third of each segment can be opened"
        hold = db.place_hold("a case", stream="notes")
        db.release_hold(hold, "closed")
        db.wait_erased(db.erase("patient-2", "asked for").erasure, timeout=60)
        found = prune(db)
        assert found.segments >= 3
        assert found.report["keys"] == 0
        assert all(event.erased for event in db.read("notes"))


def test_what_is_on_hold_is_not_pruned(tmp_path: Path, over: None) -> None:
    with opened(tmp_path / "data") as db:
        db.create_stream("notes")
        fill(db)
        db.set_retention("notes", 7)
        for hold in (db.place_hold("a case", subject="patient-1"), db.place_hold("a case", stream="no*")):
            found = db.apply_retention(dry_run=True)
            assert found.segments == found.bytes == 0
            assert found.report["held"]["segments"] >= 3
            assert found.report["held"]["bytes"] > 150_000
            if hold == 1:
                db.release_hold(hold, "closed")
        assert db.apply_retention().segments == 0
        assert not any(event.erased for event in db.read("notes"))


def test_a_rule_of_another_class_prunes_nothing(tmp_path: Path, over: None) -> None:
    with opened(tmp_path / "data") as db:
        db.create_stream("notes")
        fill(db)
        db.set_retention("notes", 7, data_class="non-phi")
        db.set_retention("other*", 7)
        assert db.apply_retention(dry_run=True).segments == 0


def test_audit_logs_are_not_pruned(tmp_path: Path) -> None:
    from vdb.types import audit_log_of

    with opened(tmp_path / "data") as db:
        db.create_stream("notes")
        retaining, group = db._audits._service.retaining, region_of(db)
        with pytest.raises(InvalidArgument):
            db.loop.call(lambda: retaining.prune(audit_log_of(1), group, dry_run=True))


def test_a_hold_that_comes_while_segments_are_judged_is_not_looked_past(
    tmp_path: Path, over: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = retaining._judge
    holds: list[int] = []

    async def held_afterwards(*arguments: Any) -> retaining.Segments:
        found = await judge(*arguments)
        if not holds:
            assert len(found.pruned) >= 3
            holds.append(await db._audits._service.erasing.put_hold(1, "", "", "no*", "a case"))
        return found

    with opened(tmp_path / "data") as db:
        db.create_stream("notes")
        fill(db)
        db.set_retention("notes", 7)
        monkeypatch.setattr(retaining, "_judge", held_afterwards)
        found = db.apply_retention()
        assert holds == [1]
        assert (found.segments, found.report["erasure"]) == (0, 0)
        assert found.report["held"]["segments"] >= 3


def test_what_was_pruned_is_told_though_a_hold_came_before_its_erasure(
    tmp_path: Path, over: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the erasure follows: what was derived is built anew."""
    holds: list[int] = []
    with opened(tmp_path / "data") as db:
        db.create_stream("notes")
        fill(db)
        db.set_retention("notes", 7)
        commit = retaining.Retaining._commit

        async def commit_then_hold(self: Any, group: Any, request: Any, note: Any) -> int:
            number = await commit(self, group, request, note)
            if not holds:
                holds.append(await db._audits._service.erasing.put_hold(1, "", "", "no*", "a case"))
            return number

        monkeypatch.setattr(retaining.Retaining, "_commit", commit_then_hold)
        found = db.apply_retention()
        assert holds == [1]
        assert found.segments >= 3
        assert found.bytes > 150_000
        assert not db.wait_erased(found.report["erasure"], timeout=60).pending


def test_an_erasure_of_a_subject_is_not_the_one_that_follows_a_pruning(monkeypatch: pytest.MonkeyPatch) -> None:
    group = SimpleNamespace(state=None)
    erasures = [SimpleNamespace(time=9, subject=b"\1" * 32)]
    monkeypatch.setattr(retaining, "pruned_of", lambda _state, _tenant: [SimpleNamespace(time=5)])
    monkeypatch.setattr(retaining, "erasures_of", lambda _state, _tenant: erasures)
    assert retaining._is_owed(group, 1)
    erasures.append(SimpleNamespace(time=6, subject=bytes(32)))
    assert not retaining._is_owed(group, 1)

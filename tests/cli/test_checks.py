"""The demo's own checks see each way in which a node could break its word."""

from __future__ import annotations

from attrs import evolve

from vdb.cli.demo.checks import compare
from vdb.cli.demo.day import STREAMS, Acknowledged, Ledger, PlannedEvent, plan_day, share_out
from vdb.client.values import Event, Published
from vdb.notebar.events import NOTES
from vdb.types import DataClass, GroupId, Position


def stored(event: PlannedEvent, offset: int) -> Event:
    return Event(
        stream=NOTES,
        offset=offset,
        position=Position(GroupId("r"), offset),
        time=1,
        payload=event.payload,
        event_id=event.day.event_id,
        schema_id=1,
        data_class=DataClass.PHI,
    )


SENT = [event for event in plan_day(1) if event.day.stream == NOTES][:5]
ACKNOWLEDGED = [Acknowledged(NOTES, offset, event) for offset, event in enumerate(SENT)]
FOUND = [stored(event, offset) for offset, event in enumerate(SENT)]


def check(found: list[Event]) -> tuple[int, int, int, int]:
    result = compare({**{stream: [] for stream in STREAMS}, NOTES: found}, ACKNOWLEDGED, SENT)
    assert result.ok == (not any((result.lost, result.duplicates, result.strangers, result.gaps)))
    return result.lost, result.duplicates, result.strangers, result.gaps


def test_a_node_that_keeps_its_word() -> None:
    assert check(FOUND) == (0, 0, 0, 0)


def test_a_lost_event() -> None:
    assert check(FOUND[:4]) == (1, 0, 0, 0)


def test_a_changed_event() -> None:
    assert check([*FOUND[:4], evolve(FOUND[4], payload=b"x")]) == (1, 0, 0, 0)


def test_an_event_executed_twice() -> None:
    assert check([*FOUND, evolve(FOUND[4], offset=5)]) == (0, 1, 0, 0)


def test_an_event_that_nobody_sent() -> None:
    assert check([*FOUND, evolve(FOUND[4], offset=5, event_id=b"?" * 16)]) == (0, 0, 1, 0)


def test_a_gap() -> None:
    assert check([*FOUND[:4], evolve(FOUND[4], offset=7)]) == (0, 0, 0, 1)


def test_a_patients_events_stay_with_one_client_and_in_order() -> None:
    events = plan_day(1)
    shares = [[event for batch in batches for event in batch] for batches in share_out(events)]
    assert sum(map(len, shares)) == len(events)
    seen: dict[str, int] = {}
    for number, share in enumerate(shares):
        times = [event.day.time for event in share]
        assert times == sorted(times)
        for event in share:
            assert seen.setdefault(event.day.subject, number) == number
    for batches in share_out(events):
        for batch in batches:
            assert len({event.day.stream for event in batch}) == 1


def test_the_ledger_notes_offsets_in_the_order_of_the_append() -> None:
    ledger = Ledger()
    batch = share_out(plan_day(1))[0][1]
    published = Published(
        stream=NOTES, first_offset=7, next_offset=7 + len(batch), position=Position.parse("r:9"), time=1
    )
    ledger.add(published, batch)
    assert [ack.offset for ack in ledger.acknowledged] == list(range(7, 7 + len(batch)))
    assert ledger.position_text() == "r:9"

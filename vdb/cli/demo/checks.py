"""What the demo checks after the kill: nothing lost, nothing twice, nothing readable on the disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

from vdb.cli.demo.day import STREAMS, Acknowledged, PlannedEvent
from vdb.client.client import Client
from vdb.client.values import Event

_CHUNK = 4 * 1024 * 1024


@frozen(kw_only=True)
class ReadBack:
    """How what is in the log differs from what was acknowledged and sent. All zero when the node keeps its word."""

    events: int
    lost: int
    """Acknowledged events that aren't at their offset, or not as they were sent."""
    duplicates: int
    """Event ids that are there more than once."""
    strangers: int
    """Events that nobody sent."""
    gaps: int
    """Offsets that are missing or out of order."""

    @property
    def ok(self) -> bool:
        return not (self.lost or self.duplicates or self.strangers or self.gaps)


async def read_all(client: Client) -> dict[str, list[Event]]:
    """Every event of every stream of the day."""
    return {stream: [event async for event in client.events(stream)] for stream in STREAMS}


def compare(
    found: Mapping[str, Sequence[Event]], acknowledged: Sequence[Acknowledged], sent: Sequence[PlannedEvent]
) -> ReadBack:
    """Hold what was read back against what was acknowledged and sent."""
    gaps = sum(event.offset != index for events in found.values() for index, event in enumerate(events))
    counts: dict[bytes, int] = {}
    for events in found.values():
        for event in events:
            counts[event.event_id or b""] = counts.get(event.event_id or b"", 0) + 1
    known = {event.day.event_id: event for event in sent}
    lost = 0
    for ack in acknowledged:
        events = found[ack.stream]
        if ack.offset >= len(events) or events[ack.offset].payload != ack.event.payload:
            lost += 1
    return ReadBack(
        events=sum(map(len, found.values())),
        lost=lost,
        duplicates=sum(count - 1 for count in counts.values()),
        strangers=sum(event_id not in known for event_id in counts),
        gaps=gaps,
    )


@frozen(kw_only=True)
class Search:
    """Which of some words stand in which files, and how much was searched."""

    files: int
    bytes: int
    hits: dict[str, list[Path]]


def search(directory: Path, words: Mapping[str, bytes]) -> Search:
    """Look for each of `words` (label to bytes) in every byte of every file below `directory`."""
    hits: dict[str, list[Path]] = {label: [] for label in words}
    overlap = max(map(len, words.values())) - 1
    files = size = 0
    for path in sorted(directory.rglob("*")):
        if not path.is_file():
            continue
        files += 1
        missing = dict(words)
        with path.open("rb") as file:
            tail = b""
            while chunk := file.read(_CHUNK):
                size += len(chunk)
                window = tail + chunk
                for label in [label for label, word in missing.items() if word in window]:
                    hits[label].append(path)
                    del missing[label]
                tail = window[-overlap:] if overlap else b""
    return Search(files=files, bytes=size, hits=hits)

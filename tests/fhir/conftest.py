"""A client over lists, a small sample of resources, and the way from a stream to a projection's runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
import trio

from vdb.client.values import StreamAppend, check_appends
from vdb.errors import EventIdTaken, TooLarge, UnknownStream, WrongExpectedOffset
from vdb.limits import EVENT_IDS_REMEMBERED
from vdb.projections.source import OpenedRun
from vdb.types import DataClass, GroupId, StreamId, TenantId
from vdb.wire.event import encode_batch


class ListClient:
    """An ImportClient. Each stream is a list of (event id, subject, payload)."""

    def __init__(self) -> None:
        self.streams: dict[str, list[tuple[bytes, str, bytes]]] = {}
        self.placements: dict[str, tuple[DataClass, str]] = {}
        self.runs: list[OpenedRun] = []
        self.appends = 0
        self.fail_at: int | None = None
        self.page = 7
        self.size_max = 700_000
        self.position = 0

    async def create_stream(self, name: str, data_class: DataClass, placement: str, *, if_not_exists: bool) -> bool:
        await trio.lowlevel.checkpoint()
        assert if_not_exists
        self.streams.setdefault(name, [])
        self.placements[name] = (data_class, placement)
        return True

    async def append(self, appends: Sequence[StreamAppend], /) -> None:
        await trio.lowlevel.checkpoint()
        self.appends += 1
        if self.appends == self.fail_at:
            raise ConnectionError("killed")
        check_appends(appends)
        (append,) = appends
        if append.stream not in self.streams:
            raise UnknownStream("no such stream")
        stream = self.streams[append.stream]
        if self._remembers(stream, [event_id for run in append.runs for event_id in run.event_ids]):
            return
        if not append.expected.holds(len(stream)):
            raise WrongExpectedOffset(f"expected {append.expected}, the stream is at {len(stream)}")
        if sum(len(payload) for run in append.runs for payload in run.payloads) > self.size_max:
            raise TooLarge("too large")
        for run in append.runs:
            self.runs.append(
                OpenedRun(
                    tenant=TenantId(1), group=GroupId("eu-west-1"), stream=append.stream,
                    stream_id=StreamId(1 + sorted(self.streams).index(append.stream)), first_offset=len(stream),
                    first_position=self.position, time=0, data_class=DataClass.PHI, schema_id=run.schema_id,
                    batch=encode_batch(run.payloads), event_ids=b"".join(run.event_ids), count=len(run.payloads),
                )
            )  # fmt: skip
            self.position += len(run.payloads)
            stream += [
                (event_id, run.subject, payload) for event_id, payload in zip(run.event_ids, run.payloads, strict=True)
            ]

    def _remembers(self, stream: list[tuple[bytes, str, bytes]], ids: list[bytes]) -> bool:
        """Whether the stream's last events are these, as a stream of the database would say."""
        held = [event_id for event_id, _subject, _payload in stream[-EVENT_IDS_REMEMBERED:]]
        if not any(event_id in held for event_id in ids):
            return False
        start = held.index(ids[0]) if ids[0] in held else 0
        if held[start : start + len(ids)] != ids:
            raise EventIdTaken("some of these ids are there")
        return True

    async def read_event_ids(self, stream: str, from_offset: int, /) -> tuple[list[bytes], int]:
        await trio.lowlevel.checkpoint()
        ids = [event_id for event_id, _subject, _payload in self.streams[stream][from_offset : from_offset + self.page]]
        return ids, from_offset + len(ids)


def lines_of(*resources: Any) -> list[tuple[int, bytes]]:
    encoded = (one if isinstance(one, bytes) else json.dumps(one).encode() for one in resources)
    return list(enumerate(encoded, 1))


def sample(patients: int = 4, encounters: int = 60) -> list[tuple[str, list[tuple[int, bytes]]]]:
    """Files of a small export. Encounters of all patients are mixed, and not in time order."""
    people = [
        {"resourceType": "Patient", "id": f"p{n}", "birthDate": f"19{50 + n}", "name": [{"family": f"Canary{n}"}]}
        for n in range(patients)
    ]
    visits = [
        {
            "resourceType": "Encounter",
            "id": f"e{n}",
            "status": "finished",
            "type": [{"text": f"visit {n}"}],
            "subject": {"reference": f"Patient/p{n * 7 % patients}", "display": "Canary"},
            "period": {"start": f"20{10 + n * 11 % 17}-03-0{1 + n % 9}T0{n % 10}:00:00{'-04:00' if n % 2 else 'Z'}"},
        }
        for n in range(encounters)
    ]
    organizations = [{"resourceType": "Organization", "id": f"o{n}", "name": f"Org {n}"} for n in range(3)]
    return [
        ("Encounter.000.ndjson", lines_of(*visits[: encounters // 2])),
        ("Encounter.001.ndjson", lines_of(*visits[encounters // 2 :])),
        ("Organization.000.ndjson", lines_of(*organizations)),
        ("Patient.ndjson", lines_of(*people)),
        ("log.ndjson", lines_of({"exportId": "x"})),
    ]


@pytest.fixture
def client() -> ListClient:
    return ListClient()


@pytest.fixture(scope="session")
def new_client() -> type[ListClient]:
    return ListClient


@pytest.fixture
def files() -> list[tuple[str, list[tuple[int, bytes]]]]:
    return sample()


@pytest.fixture
def lines() -> Any:
    return lines_of

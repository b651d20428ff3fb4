"""Projections: LatestById beside a plain loop over plain SQLCipher, and a rebuild while writes go on."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median, quantiles

import trio
from attrs import evolve, frozen

from tests.benchmarks.report import Report
from vdb.crypto.root import RootKeys
from vdb.embedded.database import EMBEDDED_LIMITS
from vdb.kernel.command import INTERNAL
from vdb.node.config import NodeConfig
from vdb.node.gate.node_service import NodeService
from vdb.node.node import Node
from vdb.node.preparing.request import PlainAppend, PlainRun
from vdb.projections.config import ProjectionConfig
from vdb.projections.latest import LatestById
from vdb.projections.store import close_sqlcipher, open_sqlcipher
from vdb.projections.tables import ColumnType
from vdb.status import ProjectionStatus
from vdb.types import DataClass, Region
from vdb.wire.event import ENVELOPE_SCHEMA, EventEnvelope, encode_batch, encode_envelope
from vdb.world import make_world

REGION = Region("ap-southeast-2")
KEYS = RootKeys(bytes(range(32)))
STREAM = "beds"
BATCH = 500
BEDS = 20_000
COLUMNS = ("ward", "patient", "since_us")
TEMPLATE = LatestById(
    table="beds",
    key="bed",
    key_path="bed",
    columns={name: name for name in COLUMNS},
    types={"since_us": ColumnType.INTEGER},
    events=("bench-taken",),
)
CONFIG = ProjectionConfig(name="beds", streams=[STREAM], template=TEMPLATE)
WRITERS = 4
READ_ROWS = 2_000
_FOR_EVER_US = 10**12
PACE_SECONDS = 0.005
"""Between two appends of a writer: load that leaves the machine something to do."""


@frozen
class Sizes:
    events: int
    idle_seconds: float
    rounds: int


SIZES = {"full": Sizes(200_000, 5.0, 3), "quick": Sizes(50_000, 2.0, 3), "tiny": Sizes(1_000, 0.1, 1)}


def run(report: Report, scale: str) -> None:
    sizes = SIZES[scale]
    report.note(
        f"{sizes.events:,} events, {BEDS:,} rows. The plain loop has its rows in hand; a projection reads its events "
        "from the log, opens them and decodes JSON before it does the same. Both in turns; medians."
    )
    with tempfile.TemporaryDirectory() as folder:
        trio.run(_measure, report, sizes, Path(folder))


async def _measure(report: Report, sizes: Sizes, folder: Path) -> None:
    async with _node(folder) as service:
        await service.create_stream(INTERNAL, 1, STREAM, DataClass.PHI, REGION.name)
        for start in range(0, sizes.events, BATCH):
            await _append(service, start, min(BATCH, sizes.events - start))
    plain: list[float] = []
    projected: list[float] = []
    for number in range(sizes.rounds):
        seconds = await trio.to_thread.run_sync(_plain_loop, folder / f"plain-{number}.db", sizes.events)
        plain.append(sizes.events / seconds)
        projected.append(sizes.events / await _project(folder, f"round_{number}"))
    report("plain loop over plain SQLCipher", median(plain), "events/s")
    report("LatestById, from the log", median(projected), "events/s")
    report("LatestById against the plain loop", median(projected) / median(plain), "times", least=0.5)
    async with _node(folder, CONFIG) as service:
        assert await service.wait_for_projection(1, CONFIG.name, _head(service), _FOR_EVER_US)
        await _rebuild(report, sizes, service)


async def _project(folder: Path, name: str) -> float:
    """Seconds that a new projection takes to come to the log's end."""
    async with _node(folder, evolve(CONFIG, name=name)) as service:
        begun = time.perf_counter()
        assert await service.wait_for_projection(1, name, _head(service), _FOR_EVER_US)
        return time.perf_counter() - begun


async def _rebuild(report: Report, sizes: Sizes, service: NodeService) -> None:
    """Nobody may see a table with fewer rows than there are, and what is written meanwhile must be in it."""
    rows = min(BEDS, sizes.events)
    idle: list[float] = []
    busy: list[float] = []
    with trio.move_on_after(sizes.idle_seconds):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_write, service, idle)
            nursery.start_soon(_read, service, rows)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_write, service, busy)
        nursery.start_soon(_read, service, rows)
        begun = time.perf_counter()
        await service.rebuild_projection(1, "beds", hold=False)
        while (await _status(service)).generation == 1:  # noqa: ASYNC110 - as a person would see it
            await trio.sleep(0.05)
        seconds = time.perf_counter() - begun
        nursery.cancel_scope.cancel()
    assert await service.wait_for_projection(1, "beds", _head(service), _FOR_EVER_US)
    report("rebuild while writes go on", sizes.events / seconds, "events/s")
    report("append, without a rebuild: median", median(idle) * 1000, "ms")
    report("append, during the rebuild: median", median(busy) * 1000, "ms")
    report("append, without a rebuild: 99 of 100", _percentile(idle), "ms")
    report("append, during the rebuild: 99 of 100", _percentile(busy), "ms")


@asynccontextmanager
async def _node(folder: Path, *configs: ProjectionConfig) -> AsyncIterator[NodeService]:
    config = NodeConfig(region=REGION, root_keys=KEYS, address=None, limits=EMBEDDED_LIMITS, projections=configs)
    node = Node(make_world(folder / "data", REGION), config)
    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        yield node.service
        nursery.cancel_scope.cancel()


async def _append(service: NodeService, start: int, count: int) -> None:
    batch = encode_batch([_envelope(number) for number in range(start, start + count)])
    run = PlainRun(count=count, batch=batch, schema_id=ENVELOPE_SCHEMA)
    await service.append(INTERNAL, 1, [PlainAppend(stream=STREAM, runs=(run,))])


async def _write(service: NodeService, latencies: list[float]) -> None:
    """Writers that append one event after the other, until cancelled."""

    async def write(number: int) -> None:
        while True:
            begun = time.perf_counter()
            await _append(service, number, 1)
            latencies.append(time.perf_counter() - begun)
            await trio.sleep(PACE_SECONDS)

    async with trio.open_nursery() as nursery:
        for number in range(WRITERS):
            nursery.start_soon(write, number)


async def _read(service: NodeService, rows: int) -> None:
    while True:
        found = await service.rows(1, "beds", "beds", {}, ("bed",), READ_ROWS)
        assert len(found.rows) == min(rows, READ_ROWS), "a reader saw a table that is half built"
        await trio.sleep(0.2)


async def _status(service: NodeService) -> ProjectionStatus:
    return (await service.status()).projections[0]


def _head(service: NodeService) -> str:
    return f"{REGION.name}:{service.groups[REGION.name].state.next_position}"  # type: ignore[index]


def _percentile(latencies: list[float]) -> float:
    return quantiles(latencies, n=100)[98] * 1000 if len(latencies) > 1 else latencies[0] * 1000


def _row(number: int) -> tuple[str, str, str, int]:
    return f"bed-{number % BEDS:05}", f"ward-{number % 40}", f"p-{number:07}", 1_700_000_000_000_000 + number


def _envelope(number: int) -> bytes:
    bed, ward, patient, since = _row(number)
    body = json.dumps({"bed": bed, "ward": ward, "patient": patient, "since_us": since}).encode()
    return encode_envelope(
        EventEnvelope(
            event_id=number.to_bytes(16, "big"), type="bench-taken", version=1, time=since, actor="dr.lee", body=body
        )
    )


def _rows(events: int) -> Iterator[list[tuple[str, str, str, int]]]:
    for start in range(0, events, BATCH):
        yield [_row(number) for number in range(start, min(start + BATCH, events))]


def _plain_loop(path: Path, events: int) -> float:
    """Seconds."""
    batches = list(_rows(events))
    db = open_sqlcipher(str(path), bytes(range(32)))
    for statement in TEMPLATE.tables[0].ddl():
        db.execute(statement)
    db.execute("CREATE TABLE place (position INTEGER NOT NULL) STRICT")
    db.execute("INSERT INTO place VALUES (0)")
    upsert = (
        "INSERT INTO beds (bed, ward, patient, since_us) VALUES (?, ?, ?, ?) ON CONFLICT (bed) DO UPDATE SET "
        "ward = excluded.ward, patient = excluded.patient, since_us = excluded.since_us"
    )
    begun = time.perf_counter()
    position = 0
    for batch in batches:
        db.execute("BEGIN IMMEDIATE")
        for row in batch:
            db.execute(upsert, row)
        position += len(batch)
        db.execute("UPDATE place SET position = ?", (position,))
        db.execute("COMMIT")
    seconds = time.perf_counter() - begun
    close_sqlcipher(db)
    return seconds

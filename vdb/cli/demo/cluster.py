"""`vdb demo --cluster`: three nodes on this machine, and what clients see when the primary is killed."""

from __future__ import annotations

import secrets
import shlex
import socket
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

from vdb.cli.cluster_files import ClusterFiles, Place
from vdb.cli.demo.checks import compare, read_all
from vdb.cli.demo.day import Ledger, PlannedEvent, create_streams, publish_day
from vdb.cli.demo.process import NodeProcess
from vdb.cli.demo.story import Story, command_name
from vdb.client.client import Client
from vdb.client.connect import connect
from vdb.errors import Timeout, VerityError
from vdb.node.node import first_cause
from vdb.status import GroupStatus
from vdb.types import Position

REGION = "ap-southeast-2"
NODES = 3
_LOOK_SECONDS = 0.1
_WAIT_SECONDS_MAX = 60.0
_BUCKET_SECONDS = 0.1
_BUCKETS_BEFORE, _BUCKETS_AFTER = 10, 20
_ECHO_SECONDS = 0.3
_BARS = " ▁▂▃▄▅▆▇█"

_LIMITS = """
[limits]
message-size-max = 262144
wal-slots = 96
checkpoint-interval = 64
"""


@define
class ClusterDemo:
    """One run. `results` is what `--json` prints."""

    place: Path
    story: Story
    events: list[PlannedEvent] = field(repr=False)
    cleanup: bool = False
    ledger: Ledger = field(factory=Ledger)
    results: dict[str, Any] = field(factory=dict)
    checks: dict[str, bool] = field(factory=dict)
    places: list[Place] = field(factory=list)
    nodes: dict[int, NodeProcess] = field(factory=dict)
    acknowledged: list[tuple[float, int]] = field(factory=list, repr=False)
    """(time, how many events were acknowledged by then)."""

    @property
    def address(self) -> str:
        return ",".join(place.address for place in self.places)

    async def run(self) -> None:
        """Raises NodeStopped when a node ends by itself, and StartError when one doesn't start."""
        self._prepare()
        try:
            async with trio.open_nursery() as watching:
                async with trio.open_nursery() as starting:
                    for place in self.places:
                        starting.start_soon(self._start, place, watching)
                self.story.say(f"Three nodes of one cluster, region {REGION}, at {self.address}.")
                killed = await self._day()
                async with connect(self.address) as client:
                    await self._rejoin(killed, watching, client)
                    await self._read_back(client)
                stopped = await self._stop()
        except BaseExceptionGroup as errors:
            raise first_cause(errors) from None
        finally:
            for node in self.nodes.values():
                await node.end()
        self._check("stops_cleanly", stopped, "SIGTERM stopped all nodes cleanly")
        self._summary()

    def _check(self, name: str, holds: bool, text: str) -> None:
        self.checks[name] = self.story.check(holds, text)

    # -- the acts

    def _prepare(self) -> None:
        self.story.section("1. Three nodes")
        ports = _free_ports(2 * NODES)
        self.places = [
            Place(number=number, host="127.0.0.1", port=ports[2 * number], peer_port=ports[2 * number + 1])
            for number in range(NODES)
        ]
        files = ClusterFiles(
            directory=self.place, cluster=secrets.token_bytes(16), region=REGION, tls=False, extra=_LIMITS
        )
        files.write_all(self.places)

    async def _start(self, place: Place, watching: trio.Nursery) -> None:
        config, log = self.place / f"{place.name}.toml", self.place / f"{place.name}.log"
        node = self.nodes[place.number] = await NodeProcess.start(config, place.address, log)
        watching.start_soon(node.watch)

    async def _day(self) -> int:
        """Publish all events, kill the primary at half time; its number."""
        await create_streams(self.address, REGION)
        total = len(self.events)
        self.story.section("2. A day at the clinic, and a kill -9 of the primary at half time")
        self.story.say(
            f"{total} events from 8 concurrent clients; each is synced on two nodes before it is acknowledged."
        )
        half = trio.Event()
        started = trio.current_time()
        with self.story.progress("publishing", total) as show:

            def on_progress(done: int) -> None:
                self.acknowledged.append((trio.current_time(), done))
                show(done)
                if done >= total // 2:
                    half.set()

            self.ledger.on_progress = on_progress
            async with connect(self.address) as client, trio.open_nursery() as nursery:
                nursery.start_soon(publish_day, self.address, self.events, self.ledger)
                await half.wait()
                primary = (await self._serving(client)).primary
                before = len(self.ledger.acknowledged)
                await self.nodes[primary].kill()
                at = trio.current_time()
        async with connect(self.address) as client:
            group = await self._serving(client)
        again = _end_of_pause([time for time, _ in self.acknowledged], at)
        self.results |= {
            "events": total,
            "acknowledged": len(self.ledger.acknowledged),
            "acknowledged_before_kill": before,
            "seconds": round(trio.current_time() - started, 3),
            "killed": primary,
            "primary": group.primary,
            "view": group.view,
            "failover_seconds": round(again - at, 3),
        }
        self.story.say(f"SIGKILL for n{primary}, the primary, after {before} acknowledged events.")
        self.story.say(f"Writes were accepted again {again - at:.2f} s later: n{group.primary} led view {group.view}.")
        self.story.say("The clients noticed a pause, and went on in their sessions.")
        self._picture(at)
        return primary

    def _picture(self, at: float) -> None:
        """Acknowledged events for each tenth of a second around the kill."""
        counts = _counts(self.acknowledged, at)
        most = max(1, *counts)
        bars = [_BARS[-(-count * (len(_BARS) - 1) // most)] for count in counts]
        before, after = "".join(bars[:_BUCKETS_BEFORE]), "".join(bars[_BUCKETS_BEFORE:])
        self.story.say("")
        self.story.say(f"{before}┃{after}")
        self.story.say(f"{' ' * _BUCKETS_BEFORE}kill; a column is {_BUCKET_SECONDS:g} s, the highest {most} events")

    async def _rejoin(self, killed: int, watching: trio.Nursery, client: Client) -> None:
        self.story.section(f"3. n{killed} comes back")
        started = trio.current_time()
        await self._start(self.places[killed], watching)
        await self._caught_up(client, killed)
        seconds = trio.current_time() - started
        self.results |= {"rejoin_seconds": round(seconds, 3)}
        self.story.say(f"Started again, it had recovered and caught up after {seconds:.2f} s:")
        group = await self._serving(client)
        self.story.table(
            ("node", "role", "commit", "last heard"),
            [
                (
                    member.name,
                    "primary" if member.node == group.primary else "voter",
                    str(member.commit),
                    "-" if not member.heard_us else f"{member.heard_us / 1000:.0f} ms ago",
                )
                for member in group.members
            ],
        )

    async def _read_back(self, client: Client) -> None:
        self.story.section("4. Everything acknowledged is there, once, on every node")
        found = compare(await read_all(client), self.ledger.acknowledged, self.events)
        self.results |= {
            "read_back": found.events,
            "lost": found.lost,
            "duplicates": found.duplicates,
            "strangers": found.strangers,
            "gaps": found.gaps,
        }
        everything = len(self.ledger.acknowledged) == len(self.events)
        self._check("all_acknowledged", everything, "every event was acknowledged")
        self._check("none_lost", found.lost == 0, f"{found.events} events read back, {found.lost} lost")
        self._check(
            "exactly_once", found.duplicates == found.strangers == 0, f"{found.duplicates} events are there twice"
        )
        self._check("no_gaps", found.gaps == 0, "offsets have no gaps")
        complete = [place.name for place in self.places if await self._has_all(place)]
        self._check(
            "on_every_node", len(complete) == NODES, f"each node by itself has all of them: {', '.join(complete)}"
        )

    async def _has_all(self, place: Place) -> bool:
        """Whether this node by itself has all events: any node answers a read that names a position."""
        async with connect(place.address) as client:
            for group, number in self.ledger.positions.items():
                position = Position(group, number)
                for stream in {one.stream: None for one in self.ledger.acknowledged}:
                    info = await client.get_stream(stream, consistency="stale")
                    wanted = sum(one.stream == stream for one in self.ledger.acknowledged)
                    if info.group == group and len(await client.read(stream, 0, 10**9, at_least=position)) != wanted:
                        return False
        return True

    async def _stop(self) -> bool:
        codes: list[int] = []

        async def stop(node: NodeProcess) -> None:
            codes.append(await node.stop())

        async with trio.open_nursery() as nursery:
            for node in self.nodes.values():
                nursery.start_soon(stop, node)
        return codes == [0] * NODES

    # -- looking

    async def _serving(self, client: Client) -> GroupStatus:
        """The region's group as its primary has it."""
        with trio.move_on_after(_WAIT_SECONDS_MAX):
            while True:
                for report in await client.cluster.statuses():
                    for group in report.status.groups if report.status is not None else ():
                        if group.group == REGION and group.serving:
                            return group
                await trio.sleep(_LOOK_SECONDS)
        raise Timeout(f"no node became primary within {_WAIT_SECONDS_MAX:g} s")

    async def _caught_up(self, client: Client, number: int) -> None:
        with trio.move_on_after(_WAIT_SECONDS_MAX):
            while True:
                wanted = (await self._serving(client)).commit
                try:
                    found = await client.cluster.status_of(self.places[number].address)
                except VerityError:
                    found = None
                if found is not None and all(g.commit >= wanted for g in found.groups if g.group == REGION):
                    return
                await trio.sleep(_LOOK_SECONDS)
        raise Timeout(f"n{number} hasn't caught up within {_WAIT_SECONDS_MAX:g} s")

    def _summary(self) -> None:
        ok = all(self.checks.values())
        results = self.results
        results |= {"ok": ok, "checks": self.checks, "directory": str(self.place), "address": self.address}
        self.story.section("Summary")
        self.story.table(
            (),
            [
                ("events", f"{results['events']}, each synced on two nodes before it was acknowledged"),
                ("failover", f"{results['failover_seconds']:.2f} s from the kill to the next acknowledged event"),
                ("rejoin", f"{results['rejoin_seconds']:.2f} s from the start of its process until it had caught up"),
                ("files", str(self.place)),
                ("result", "every promise held" if ok else "A PROMISE WAS BROKEN: see above"),
            ],
        )
        if self.cleanup:
            self.story.say("The files are removed.")
            return
        self.story.section("Try next")
        vdb = command_name()
        self.story.say("Start the same nodes again, each in a terminal of its own:")
        for place in self.places:
            self.story.command(f"{vdb} start --config {shlex.quote(str(self.place / place.name))}.toml")
        self.story.say("look at them, and kill one:")
        self.story.command(f"export VDB_ADDRESS={self.address}")
        self.story.command(f"{vdb} status")
        self.story.say("This removes everything that the demo made:")
        self.story.command(f"rm -r {shlex.quote(str(self.place))}")


def _end_of_pause(times: Sequence[float], at: float) -> float:
    """When the longest pause ended that began around `at`: answers of before may still arrive just after it."""
    pauses = [
        (after - before, after) for before, after in pairwise(times) if abs(before - at) <= _ECHO_SECONDS and after > at
    ]
    return max(pauses)[1] if pauses else at


def _counts(acknowledged: Sequence[tuple[float, int]], at: float) -> list[int]:
    """Events acknowledged in each bucket around `at`."""
    counts = [0] * (_BUCKETS_BEFORE + _BUCKETS_AFTER)
    last = 0
    for time, done in acknowledged:
        bucket = int((time - at) // _BUCKET_SECONDS) + _BUCKETS_BEFORE
        if 0 <= bucket < len(counts):
            counts[bucket] += done - last
        last = done
    return counts


def _free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 on which nobody listens now."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports

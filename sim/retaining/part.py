"""This workload's part in a run: one writer whose events expire or are erased, and who has segments pruned.

- D1: what is in a pruned segment had expired or been erased, and no hold was on it, as the log has it.
- D2: a node that says that its disk is rid of what an erasure has ended that followed a pruning has the sealed bytes of
  no segment that was pruned before it in any file; nor has any member, once that is complete.
- D3: what wasn't pruned or erased is read as it was written; so is every name of a stream.
- D4: an idle cluster's members have all said so of each pruning: a part of I38.
- "segments" says that stubs are what the ops give, byte for byte, on every replica (`sim.checkers.segments`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from random import Random

import trio
from attrs import define, field

from sim.checkers.ledger import CATALOGUE, Frame, Ledger
from sim.cluster import Cluster
from sim.options import Options
from sim.platter_view import PlatterView
from sim.raw_client import Connector
from sim.trace import Trace
from sim.verdict import Verdict
from sim.watch import Watch
from sim.world.entropy import draws
from vdb.client.client import Client
from vdb.crypto.record import decode_record
from vdb.errors import VerityError
from vdb.kernel.erasure import erasures_of
from vdb.kernel.erasure_command import (
    AckErasure,
    EraseSubject,
    ErasureCommand,
    Prune,
    PutHold,
    ReleaseHold,
)
from vdb.kernel.pruning import pruned_of
from vdb.kernel.reply import Numbered, Reply
from vdb.node.erasure import expiring
from vdb.ports import Entropy
from vdb.types import GroupId, TenantId

FIRST = 450
"""The client's number."""
TENANT = TenantId(89)
SOON, KEPT = "ev-soon", "ev-kept"
"""Events of the first expire after a day; those of the second are for good, unless they are erased."""
SUBJECTS = 3
"""That are written about at a time."""
WORK = {"append": 8, "erase": 2, "prune": 2, "hold": 1, "read": 2}
DAY_US = 300_000
"""So short are days here."""
RETRY_SECONDS = 60.0
REST_SECONDS = 0.05
READ_EVENTS = 1000
SAMPLE_BYTES = 32
"""Of a sealed body's end, by which it is told."""


@contextmanager
def short_days() -> Iterator[None]:
    """Days of retention pass within a run."""
    before, expiring.DAY_US = expiring.DAY_US, DAY_US
    try:
        yield
    finally:
        expiring.DAY_US = before


@define(eq=False)
class _Log:
    """What a group's log says of the tenant so far."""

    ended: dict[bytes, None] = field(factory=dict)
    """Ids of keys that were destroyed."""
    holds: dict[int, bytes] = field(factory=dict)
    """Lookups of the subjects that are on hold, by hold; empty: the first stream is."""
    pruned: list[bytes] = field(factory=list)
    """Samples of sealed bodies that are to be nowhere, in the order in which they were pruned."""
    by_erasure: dict[int, int] = field(factory=dict)
    """How many of them had been pruned when an erasure of what had expired came."""


@define(eq=False, kw_only=True)
class RetainingPart:
    """Of a run without the workload of erasures it does nothing."""

    seed: int
    options: Options
    cluster: Cluster
    watch: Watch
    verdict: Verdict
    trace: Trace
    connectors: Callable[[int], Mapping[str, Connector]]
    learn: Callable[[int, str], Connector]
    entropy: Callable[[int], Entropy]
    tell: Callable[[], None]
    platters: Mapping[int, PlatterView]
    left: int = field(init=False)
    answered: int = 0
    _logs: dict[str, _Log] = field(factory=dict)
    _looked: dict[tuple[str, int], int] = field(factory=dict)
    """By group and node: how many of them its disk was searched for."""
    _written: dict[tuple[str, int], tuple[str, bytes]] = field(factory=dict)
    """Subject and payload, by stream and offset."""
    _asked: dict[str, None] = field(factory=dict)
    """Subjects that somebody has asked to be erased."""
    _hold: int = 0
    _number: int = 0

    def __attrs_post_init__(self) -> None:
        self.left = self.options.erasing_deeds // 2 if self.options.erasing else 0
        for group, watch in self.watch.watches.items():
            self._logs[group] = _Log()
            watch.ledger.on_erasure = partial(self._hear, watch.ledger.on_erasure)

    @property
    def group(self) -> str:
        """Where the streams lie."""
        return self.options.places.names[0]

    # The writer ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until all is done."""
        if not self.options.erasing:
            return
        random = draws(self.seed, "retaining deeds")
        client = Client(
            self.connectors(FIRST), entropy=self.entropy(FIRST), tenant=TENANT, retry_for=RETRY_SECONDS,
            connect_for=3600.0, learn=lambda address: self.learn(FIRST, address),
        )  # fmt: skip
        async with client:
            while not await self._tried("create", lambda: self._create(client)):  # noqa: ASYNC110
                await trio.sleep(REST_SECONDS)
            acts = {
                "append": self._append, "erase": self._erase, "prune": self._prune, "hold": self._place_or_release,
                "read": self._read,
            }  # fmt: skip
            while self.left > 0:
                self.left -= 1
                kind = random.choices(list(WORK), list(WORK.values()))[0]
                await self._tried(kind, lambda: acts[kind](client, random))  # noqa: B023 - awaited at once
                await trio.sleep(REST_SECONDS * random.random())

    async def _tried(self, kind: str, act: Callable[[], object]) -> bool:
        refusal = ""
        try:
            await act()  # type: ignore[misc]
            self.answered += 1
        except VerityError as error:
            refusal = f"{type(error).__name__}: {error}"
        self.trace.add("retainer", kind, refusal)
        self.tell()
        return not refusal

    async def _create(self, client: Client) -> None:
        for stream in (SOON, KEPT):
            await client.create_stream(stream, "phi", self.group, if_not_exists=True)
        await client.set_retention(SOON, 1, group=self.group)

    async def _append(self, client: Client, random: Random) -> None:
        for _ in range(random.choice((1, 2, 4))):
            await self._append_one(client, random)

    async def _append_one(self, client: Client, random: Random) -> None:
        self._number += 1
        subject = "" if random.random() < 0.5 else f"kept-{len(self._asked) + random.randrange(SUBJECTS)}"
        payload = b"%08d " % self._number + b"." * random.choice((0, 100, 700))
        told = await client.publish(KEPT if subject else SOON, payload, subject=subject)
        self._written[KEPT if subject else SOON, told.first_offset] = subject, payload

    async def _erase(self, client: Client, _random: Random) -> None:
        """The one that was written about for longest."""
        subject = f"kept-{len(self._asked)}"
        self._asked[subject] = None
        await client.erase(subject, "asked for", group=self.group)

    async def _prune(self, client: Client, random: Random) -> None:
        found = await client.apply_retention(dry_run=random.random() < 0.1, group=self.group)
        self.trace.add("retainer", "pruned", f"{found.segments} {found.bytes} {found.report}")

    async def _place_or_release(self, client: Client, random: Random) -> None:
        if self._hold:
            hold, self._hold = self._hold, 0
            await client.release_hold(hold, "closed", group=self.group)
        elif random.random() < 0.5:
            self._hold = await client.place_hold("a case", stream=SOON, group=self.group)
        else:
            subject = f"kept-{len(self._asked) + random.randrange(SUBJECTS)}"
            self._hold = await client.place_hold("a case", subject=subject, group=self.group)

    async def _read(self, client: Client, random: Random) -> None:
        """D3."""
        stream = random.choice((SOON, KEPT))
        for event in await client.read(stream, max_events=READ_EVENTS):
            subject, payload = self._written.get((stream, event.offset), ("", b""))
            if not payload:
                continue
            same = event.payload == payload
            may_be_gone = not subject or subject in self._asked
            self.verdict.check(
                "D3",
                same or (event.erased and may_be_gone),
                f"offset {event.offset} of {stream}, written about '{subject}', isn't what was written there",
            )

    # What the log says -----------------------------------------------------------------------------------------

    def _hear(
        self,
        before: Callable[[str, int, ErasureCommand, Reply], None] | None,
        group: str,
        op: int,
        command: ErasureCommand,
        reply: Reply,
    ) -> None:
        if before is not None:
            before(group, op, command, reply)
        if not isinstance(reply, Numbered) or command.tenant != TENANT:
            return
        log, ledger = self._logs[group], self.watch.watches[group].ledger
        match command:
            case EraseSubject():
                log.ended |= dict.fromkeys(command.dek_ids)
                if not command.subject:
                    log.by_erasure[reply.number] = len(log.pruned)
            case PutHold():
                log.holds[reply.number] = command.subject
            case ReleaseHold():
                log.holds.pop(command.hold, None)
            case Prune():
                self._check_pruned(ledger, log, op, command)
            case AckErasure():
                if command.node in self.platters and command.node not in self.watch.watches[group].lost:
                    first = self._looked.get((group, command.node), 0)
                    self._check_disk(group, command.node, command.erasure, first)

    def _check_pruned(self, ledger: Ledger, log: _Log, op: int, command: Prune) -> None:
        """D1."""
        time = ledger.ops[op].header.timestamp
        frames = ledger.frames[TENANT]
        soon = next(frame.created for frame in frames if frame.stream == CATALOGUE)
        held = [row.subject_token for row in ledger.keys if row.lookup in log.holds.values() and row.tenant == TENANT]
        for segment in command.segments:
            inside = [one for one in frames if segment.first_position <= one.position < segment.next_position]
            for frame in inside:
                if frame.stream != CATALOGUE:
                    self._check_frame(log, frame, time, soon, held)
                    log.pruned.append(frame.record[-SAMPLE_BYTES:])

    def _check_frame(self, log: _Log, frame: Frame, time: int, soon: int, held: list[bytes]) -> None:
        header = decode_record(frame.record).header
        name = f"the record at position {frame.position}"
        expired = frame.stream == soon and header.time + DAY_US <= time
        self.verdict.check(
            "D1", expired or header.dek_id in log.ended, f"{name} was pruned, and hadn't expired nor been erased"
        )
        on_hold = header.subject_token in held or (frame.stream == soon and b"" in log.holds.values())
        self.verdict.check("D1", not on_hold, f"{name} was pruned while a hold was on it")

    # What the disks hold ---------------------------------------------------------------------------------------

    def _check_disk(self, group: str, node: int, erasure: int, first: int = 0) -> None:
        """D2, of what was pruned before that erasure but for the first ones."""
        log = self._logs[group]
        gone = log.pruned[first : log.by_erasure.get(erasure, 0)]
        self._looked[group, node] = first + len(gone)
        if not gone:
            return
        disk = self.cluster.machines[node].disk
        for path in disk.paths():
            if path.startswith(f"groups/{group}/"):
                contents = dict.fromkeys((disk.content(path), disk.stable_content(path)))
                held = any(sample in content for content in contents for sample in gone)
                self.verdict.check("D2", not held, f"{path} of n{node} holds what was pruned before erasure {erasure}")

    def lag(self) -> str:
        """D4: which erasure of an idle cluster is pending, as those who are members now know it."""
        members = self.watch.watches[self.group].members
        for machine in self.cluster.up if self.options.erasing else ():
            if machine.number not in members:
                continue
            found = machine.node.groups.get(GroupId(self.group)) if machine.node is not None else None
            for erasure in erasures_of(found.state, TENANT) if found is not None else ():
                if not erasure.completed:
                    return f"{machine.name}: erasure {erasure.erasure} of tenant {TENANT} is pending"
        return ""

    def check_history(self) -> None:
        """D2, at the end: of erasures that a node knows to be complete, on every member's disk."""
        if not self.options.erasing or not self.verdict.ok:
            return
        group = GroupId(self.group)
        watch = self.watch.watches[group]
        members = watch.configuration_before(watch.ledger.head + 1).members
        for machine in self.cluster:
            if machine.node is None or group not in machine.node.groups:
                continue
            state = machine.node.groups[group].state
            told = [
                one.erasure
                for one in erasures_of(state, TENANT)
                if one.completed and one.erasure in self._logs[group].by_erasure
            ]
            self.trace.add("retainer", "segments", len(pruned_of(state, TENANT)))
            for node in members:
                if node in self.platters and node not in watch.lost and told:
                    self._check_disk(group, node, told[-1])
            return

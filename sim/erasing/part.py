"""This workload's part in a run: one writer who has subjects erased, and what is held against the disks.

- E1: an event is read as erased once an erasure of its subject was acknowledged; what wasn't erased is read as it was
  written.
- E2: nothing is appended about a subject whose erasure was acknowledged.
- E3: a node that says that its disk is rid of an erasure's keys says so when no file on it holds any of them.
- E4: an erasure that is told as complete has left its keys on no member's disk.
- E5: an idle cluster's erasures are complete: a part of I38.
- E6: nobody's keys are destroyed while a hold is on the stream that all of them have data in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from random import Random

import trio
from attrs import define, field

from sim.cluster import Cluster
from sim.options import Options
from sim.platter_view import PlatterView
from sim.raw_client import Connector
from sim.trace import Trace
from sim.verdict import Verdict
from sim.watch import Watch
from sim.world.entropy import draws
from vdb.client.client import Client
from vdb.errors import DefiniteError, SubjectErased, VerityError
from vdb.kernel.command import KeyScope
from vdb.kernel.erasure import erasures_of, find_erasure, pending_nodes
from vdb.kernel.erasure_command import AckErasure, EraseSubject, ErasureCommand, PutHold, ReleaseHold
from vdb.kernel.reply import Numbered, Reply
from vdb.ports import Entropy
from vdb.types import GroupId, TenantId

FIRST = 400
"""The client's number."""
TENANT = TenantId(88)
STREAM = "ev-erasing"
SUBJECTS = 12
WORK = {"append": 8, "read": 4, "erase": 2, "look": 2}
RETRY_SECONDS = 60.0
REST_SECONDS = 0.05
READ_EVENTS = 1000
RACE_SHARE = 1 / 2
"""Of the erasures: those beside which somebody places a hold."""
RACE_SECONDS = 0.02
"""By which it may begin after the hold."""


@define(eq=False)
class Written:
    """What was appended at an offset, as far as it was told."""

    subject: str
    payload: bytes


@define(eq=False, kw_only=True)
class ErasingPart:
    """Of a run without this workload it does nothing."""

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
    destroyed: dict[tuple[str, int, int], tuple[bytes, ...]] = field(factory=dict)
    """By group, tenant and erasure: ids of the keys."""
    _written: dict[int, Written] = field(factory=dict)
    """By offset."""
    _erased: dict[str, None] = field(factory=dict)
    """Subjects whose erasure was acknowledged."""
    _asked: dict[str, None] = field(factory=dict)
    """Subjects that somebody has asked to be erased."""
    _held: dict[int, None] = field(factory=dict)
    """Holds of the stream by which the log goes now."""
    _number: int = 0

    def __attrs_post_init__(self) -> None:
        self.left = self.options.erasing_deeds if self.options.erasing else 0
        for watch in self.watch.watches.values():
            watch.ledger.on_erasure = self._on_committed

    @property
    def progress(self) -> float:
        """Of 1."""
        return 1.0 - self.left / max(1, self.options.erasing_deeds) if self.options.erasing else 1.0

    @property
    def group(self) -> str:
        """Where the stream lies."""
        return self.options.places.names[0]

    # The writer ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until all is done."""
        if not self.options.erasing:
            return
        random = draws(self.seed, "erasing deeds")
        client = Client(
            self.connectors(FIRST), entropy=self.entropy(FIRST), tenant=TENANT, retry_for=RETRY_SECONDS,
            connect_for=3600.0, learn=lambda address: self.learn(FIRST, address),
        )  # fmt: skip
        async with client:
            while not await self._tried("create", lambda: self._create(client)):  # noqa: ASYNC110
                await trio.sleep(REST_SECONDS)
            acts = {"append": self._append, "read": self._read, "erase": self._erase, "look": self._look}
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
        self.trace.add("eraser", kind, refusal)
        self.tell()
        return not refusal

    async def _create(self, client: Client) -> None:
        await client.create_stream(STREAM, "phi", self.group, if_not_exists=True)

    async def _append(self, client: Client, random: Random) -> None:
        subject = f"erased-{random.randrange(SUBJECTS)}"
        erased = subject in self._erased
        self._number += 1
        payload = b"%08d of " % self._number + subject.encode() + b"." * random.choice((0, 0, 300))
        try:
            told = await client.publish(STREAM, payload, subject=subject)
        except SubjectErased:
            self.verdict.check("E2", subject in self._asked, f"{subject} is said to be erased, and nobody asked for it")
            return
        self.verdict.check("E2", not erased, f"an event about {subject} was appended after its erasure")
        self._written[told.first_offset] = Written(subject, payload)

    async def _read(self, client: Client, _random: Random) -> None:
        erased, asked = dict(self._erased), dict(self._asked)
        for event in await client.read(STREAM, max_events=READ_EVENTS):
            written = self._written.get(event.offset)
            if written is None:
                continue
            if written.subject in erased:
                self.verdict.check(
                    "E1", event.erased and not event.payload, f"offset {event.offset} of {written.subject} is readable"
                )
            elif written.subject not in asked and written.subject not in self._asked:
                self.verdict.check(
                    "E1", event.payload == written.payload, f"offset {event.offset} isn't what was written there"
                )

    async def _erase(self, client: Client, random: Random) -> None:
        subject = f"erased-{random.randrange(SUBJECTS)}"
        if random.random() >= RACE_SHARE:
            await self._erase_one(client, subject)
            return
        async with trio.open_nursery() as both:
            both.start_soon(self._tried, "hold", partial(self._hold, client))
            await trio.sleep(random.random() * RACE_SECONDS)
            both.start_soon(self._tried, "erase", partial(self._erase_one, client, subject))
        for hold in await client.holds(group=self.group):
            if hold.holds:
                await client.release_hold(hold.hold, "closed", group=self.group)

    async def _hold(self, client: Client) -> None:
        await client.place_hold("a case", stream=STREAM, group=self.group)

    async def _erase_one(self, client: Client, subject: str) -> None:
        self._asked[subject] = None
        try:
            await client.erase(subject, "asked for", group=self.group)
        except SubjectErased:
            pass  # by an attempt whose answer was lost
        except DefiniteError:
            if subject not in self._erased:
                raise
        self._erased[subject] = None

    async def _look(self, client: Client, _random: Random) -> None:
        """E4."""
        for info in await client.erasures(group=self.group):
            if info.certificate:
                self._check_disks("E4", self.group, info.erasure, self._members(self.group))

    # What the disks hold ---------------------------------------------------------------------------------------

    def _on_committed(self, group: str, op: int, command: ErasureCommand, reply: Reply) -> None:
        if not isinstance(reply, Numbered) or command.tenant != TENANT:
            return
        if isinstance(command, EraseSubject):
            self.destroyed[group, int(command.tenant), reply.number] = command.dek_ids
            self._check_holds(group, op, command)
        elif isinstance(command, AckErasure) and self._is_known(group, command.node):
            self._check_disks("E3", group, command.erasure, (command.node,))
        elif isinstance(command, PutHold):
            self._held[reply.number] = None
        elif isinstance(command, ReleaseHold):
            self._held.pop(command.hold, None)

    def _check_holds(self, group: str, op: int, command: EraseSubject) -> None:
        """E6. Whose keys are there has data: they are put with the first of them."""
        rows = self.watch.watches[group].ledger.keys
        taken = [row for row in rows if row.dek_id in command.dek_ids and row.scope is KeyScope.SUBJECT]
        self.verdict.check(
            "E6", not (self._held and taken), f"{group} op {op}: a subject was erased under hold {list(self._held)}"
        )

    def _is_known(self, group: str, node: int) -> bool:
        """Whether the disk is the one that the node spoke of: one that was lost meanwhile isn't."""
        return node in self.platters and node not in self.watch.watches[group].lost

    def _members(self, group: str) -> tuple[int, ...]:
        return tuple(node for node in self.watch.watches[group].members if self._is_known(group, node))

    def _check_disks(self, invariant: str, group: str, erasure: int, nodes: tuple[int, ...]) -> None:
        keys = self.destroyed.get((group, int(TENANT), erasure), ())
        rows = {row.dek_id: row for row in self.watch.watches[group].ledger.keys if row.dek_id in keys}
        secrets = [bytes(secret) for row in rows.values() for secret in (row.wrapped, row.wrapped_secret) if secret]
        for node in nodes:
            disk = self.cluster.machines[node].disk
            for path in disk.paths():
                if not path.startswith(f"groups/{group}/"):
                    continue
                held = any(s in content for content in (disk.content(path), disk.stable_content(path)) for s in secrets)
                self.verdict.check(invariant, not held, f"{path} of n{node} holds a key of erasure {erasure}")

    # The end ---------------------------------------------------------------------------------------------------

    def lag(self) -> str:
        """E5: which erasure of an idle cluster is pending."""
        members = self.watch.watches[self.group].members
        for machine in self.cluster.up if self.options.erasing else ():
            if machine.number not in members:
                continue
            found = machine.node.groups.get(GroupId(self.group)) if machine.node is not None else None
            if found is None:
                continue
            for erasure in erasures_of(found.state, TENANT):
                if not erasure.completed:
                    pending = pending_nodes(found.state, erasure)
                    return f"{machine.name}: erasure {erasure.erasure} is pending on {pending}"
        return ""

    def check_history(self) -> None:
        """E4, of all erasures that a node knows to be complete."""
        if not self.options.erasing or not self.verdict.ok:
            return
        states = [
            machine.node.groups[GroupId(self.group)].state
            for machine in self.cluster
            if machine.node is not None and GroupId(self.group) in machine.node.groups
        ]
        for group, tenant, number in sorted(self.destroyed):
            told = [find_erasure(state, TenantId(tenant), number) for state in states]
            if any(one is not None and one.completed for one in told):
                self._check_disks("E4", group, number, self._members(group))

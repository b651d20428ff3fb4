"""A witness on a machine of its own: it crashes at any call of its ports, and comes back with what that left.

- In some of its lives somebody else answers at its address, with another key: what that gives is no cosignature.
- W2  What was cosigned is held: once somebody may have a cosignature, no smaller tree is the witness's last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random

import trio
from attrs import define, field

from sim.cluster import Cluster
from sim.trace import Trace
from sim.verdict import Verdict
from sim.world import SimNode, absorb_crash
from vdb.crypto.signing import SigningKey
from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.note import Note, VerifierKey
from vdb.evidence.witness import AddCheckpoint, Status
from vdb.types import GroupId
from vdb.witness.asking import WitnessAsked, WitnessPlace
from vdb.witness.door import serve_witness
from vdb.witness.holding import Witness

PORT = 7170
IMPOSTOR_SHARE = 0.15
"""Of the lives."""
BETWEEN_LIVES_SECONDS = 0.2


class KnownLogs(Mapping[str, Sequence[VerifierKey]]):
    """The keys of all trees of a cluster, as each node would have told the witness when it had one."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: dict[str, dict[VerifierKey, None]] = {}

    def __getitem__(self, origin: str) -> Sequence[VerifierKey]:
        known = self._known.setdefault(origin, {})
        for machine in self._cluster.up:
            assert machine.node is not None
            proofs, group = machine.node.service.proofs, GroupId(origin.split("/")[2])
            if group in machine.node.service.readers:
                known.update((VerifierKey(origin, key.public), None) for key in proofs._keys(group))
        return tuple(known)

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


class _Impostor(Witness):
    """Whoever answers at the address, and remembers nothing."""

    async def open(self) -> None:
        await self._disk.lock()

    async def _store(self, checkpoint: Checkpoint, note: Note) -> None:
        self._held[checkpoint.origin] = checkpoint


class _Watched(Witness):
    """Says what it gives before it gives it."""

    on_given: Callable[[Checkpoint], object]

    async def add_checkpoint(self, body: bytes) -> tuple[int, str, bytes]:
        answer = await super().add_checkpoint(body)
        if answer[0] == Status.COSIGNED:
            self.on_given(AddCheckpoint.parse(body).checkpoint)
        return answer


@define(eq=False, kw_only=True)
class WitnessHost:
    """See the module's docstring. `given`: by origin, the trees that it has cosigned."""

    node: SimNode
    logs: KnownLogs
    random: Random
    verdict: Verdict
    trace: Trace
    given: dict[str, list[Checkpoint]] = field(factory=dict)
    crashes: int = 0
    honest: bool = False
    """Whether nobody else answers any more."""
    _calls_left: int = 0
    _scope: trio.CancelScope | None = None
    _may_start: trio.Event = field(factory=trio.Event)

    def __attrs_post_init__(self) -> None:
        self._may_start.set()
        self.node.on_port_call = self._count_call

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def asked(self) -> WitnessAsked:
        """How nodes are told of it."""
        witness = Witness.__new__(Witness)
        witness._name, witness._key = f"{self.name}.example", self._key
        return WitnessAsked(WitnessPlace.parse(f"http://{self.name}:{PORT}"), witness.verifier)

    @property
    def _key(self) -> SigningKey:
        return SigningKey(self.name.encode().ljust(32, b"w"))

    # Orders ----------------------------------------------------------------------------------------------------

    def crash_after(self, calls: int) -> None:
        """Crash at the n-th port call from now."""
        self._calls_left = calls

    def hold(self) -> None:
        """Cut the power, and don't start again before `release`."""
        self._may_start = trio.Event()
        self._crash()

    def release(self) -> None:
        self._may_start.set()

    def heal(self) -> None:
        """From now on the witness is there, and nobody else."""
        self.honest, self._calls_left = True, 0
        self._crash()
        self.release()

    # Lives -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                await self._may_start.wait()
                with trio.CancelScope() as self._scope, absorb_crash():
                    await self._live()
                await trio.sleep(BETWEEN_LIVES_SECONDS * self.random.random())
        finally:
            if self.node.running:
                self.node.stop()

    async def _live(self) -> None:
        world = self.node.boot()
        is_impostor = not self.honest and self.random.random() < IMPOSTOR_SHARE
        self.trace.add(self.name, "impostor" if is_impostor else "start")
        name = f"{self.name}.example"
        if is_impostor:
            witness: Witness = _Impostor(world.disk, world.clock, name, SigningKey(b"impostor".ljust(32)), self.logs)
        else:
            witness = _Watched(world.disk, world.clock, name, self._key, self.logs)
            witness.on_given = self._on_given
        await witness.open()
        if not is_impostor:
            self._check_held(witness)
        await serve_witness(witness, await world.network.listen(f"{self.name}:{PORT}"))

    def _check_held(self, witness: Witness) -> None:
        """W2."""
        for origin, given in self.given.items():
            held, last = witness.held(origin), max(given, key=lambda one: one.size)
            self.verdict.check(
                "W2",
                held is not None and held.size >= last.size,
                f"{self.name} has cosigned {last.size} leaves of {origin}, and knows {held}",
            )

    def _on_given(self, checkpoint: Checkpoint) -> None:
        self.trace.add(self.name, "cosigned", checkpoint.origin, checkpoint.size)
        given = self.given.setdefault(checkpoint.origin, [])
        if checkpoint not in given:
            given.append(checkpoint)

    def _count_call(self, kind: str) -> None:
        if self._calls_left > 0:
            self._calls_left -= 1
            if self._calls_left == 0:
                self.trace.add(self.name, "crash at", kind)
                self._crash()

    def _crash(self) -> None:
        if self.node.running:
            self.crashes += 1
            self.node.crash()
        if self._scope is not None:
            self._scope.cancel()

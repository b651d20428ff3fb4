"""Witnesses' part in a run: machines beside the cluster, which crash and lose their links, and what is looked at.

Nothing of the cluster waits for a witness: with all of them away it goes on as without any (I36).

- W5: an idle cluster whose witnesses are there has all its trees cosigned as they are: a part of I38.
"""

from __future__ import annotations

from random import Random

import trio
from attrs import define, field

from sim.checkers.cosigned import check_cosigned, check_shown, log_of
from sim.cluster import Cluster
from sim.cosigning.forging import Forger
from sim.cosigning.host import KnownLogs, WitnessHost
from sim.machine import Machine
from sim.options import Options
from sim.trace import Trace
from sim.verdict import Verdict
from sim.watch import Watch
from sim.world import SimUniverse
from sim.world.entropy import draws
from sim.world.faults import DiskFaults
from vdb.crypto.record import record_leaf
from vdb.errors import VerityError
from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.note import Note
from vdb.evidence.witness import AddCheckpoint, Status
from vdb.node.audit.cosigning import Cosigning, Tree
from vdb.node.audit.cosigning_settings import CosigningSettings
from vdb.node.gate.reader import GroupReader
from vdb.ports import Network
from vdb.types import Region
from vdb.web.exchange import ask

FAULTS = DiskFaults(lose_unsynced=0.6, tear=0.3, reorder=0.3, lose_names=0.5)
LOOK_SECONDS = 0.1
CALLS_MAX = 60
LINK_SECONDS = 2.0
TOLD_SECONDS = 10.0
"""By which a node says that a witness knows another history, on top of four rounds of asking."""
ANSWER_BYTES_MAX = 64 * 1024


@define(eq=False, kw_only=True)
class CosigningPart:
    """Of a run without witnesses it does nothing."""

    seed: int
    options: Options
    cluster: Cluster
    watch: Watch
    verdict: Verdict
    trace: Trace
    port: Network
    """Of somebody who isn't a node."""
    hosts: list[WitnessHost] = field(factory=list)
    _logs: KnownLogs = field(init=False)
    _universe: SimUniverse = field(init=False)
    _healed: bool = False
    _seen: dict[tuple[str, Tree], Note] = field(factory=dict)
    _forged: list[Checkpoint] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        options, region = self.options, Region(self.options.places.names[0])
        self._universe, self._logs = SimUniverse(self.seed, network=self.cluster.network), KnownLogs(self.cluster)
        for number in range(options.witnesses):
            random = draws(self.seed, f"witness {number}")
            skew_us = random.choice((0, 0, -options.witness_skew_us, options.witness_skew_us))
            node = self._universe.node(f"w{number}", region, disk_faults=FAULTS, skew_us=skew_us)
            self.hosts.append(
                WitnessHost(node=node, logs=self._logs, random=random, verdict=self.verdict, trace=self.trace)
            )

    @property
    def settings(self) -> CosigningSettings:
        """What the nodes are told."""
        return CosigningSettings(
            witnesses=tuple(host.asked for host in self.hosts), every_s=self.options.witness_every_us / 1e6
        )

    def close(self) -> None:
        self._universe.close()

    # What goes on ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled."""
        if not self.hosts:
            return
        async with trio.open_nursery() as nursery:
            for host in self.hosts:
                if self.options.witnesses_away:
                    host.hold()
                nursery.start_soon(host.run)
            nursery.start_soon(self._disturb)
            while True:
                self._look()
                await trio.sleep(LOOK_SECONDS)

    async def _disturb(self) -> None:
        random, options = draws(self.seed, "witnesses' nemesis"), self.options
        while options.witness_trouble_us:
            await trio.sleep(2 * options.witness_trouble_us / 1e6 * random.random())
            if self._healed:
                return
            host, machine = random.choice(self.hosts), random.choice(list(self.cluster.machines.values()))
            if random.random() < 0.5:
                host.crash_after(random.randrange(1, CALLS_MAX))
                continue
            self._break_link(random, host.name, machine.name)

    def _break_link(self, random: Random, witness: str, node: str) -> None:
        """For a while."""
        network = self.cluster.network
        self.trace.add("nemesis", "witness", witness, node)
        one, other = random.choice(((witness, node), (node, witness)))
        random.choice((network.cut, network.stall, network.drop))(one, other)
        network.clock.call_after(int(LINK_SECONDS * random.random() * 1e9), lambda: network.heal(one, other))

    def heal(self) -> None:
        """From now on all witnesses are there."""
        self._healed = True
        for host in self.hosts:
            for machine in self.cluster:
                self.cluster.network.heal(host.name, machine.name)
            host.heal()

    # Looks -----------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        """W4, of all that nodes show now and haven't before."""
        for machine in self.cluster.up:
            for key, tree in _cosigning(machine)._trees.items():
                note = tree.note
                if note is not None and self._seen.get((machine.who, key)) is not note:
                    self._seen[machine.who, key] = note
                    given = {host.asked.key: host.given for host in self.hosts}
                    log_keys = self._logs[Checkpoint.parse(note.text).origin]
                    check_shown(self.verdict, machine.who, note, log_keys, given)

    def lag(self) -> str:
        """W5: which tree of an idle cluster isn't cosigned as it is; '' for none."""
        for machine, reader, key in self._led():
            tree = _cosigning(machine)._trees.get(key)
            size = _size(reader, key)
            found = 0 if tree is None or tree.note is None else Checkpoint.parse(tree.note.text).size
            if tree is None or tree.note is None or found != size:
                why = "" if tree is None else tree.problem
                return f"{machine.name} has {found} leaves of {size} cosigned of {key}: {why}"
        return ""

    def check_history(self) -> None:
        """W3."""
        for host in self.hosts if self.verdict.ok else ():
            for origin, given in host.given.items():
                group, _ = log_of(origin)
                true = [one for one in given if one not in self._forged]
                check_cosigned(self.verdict, host.name, origin, true, self.watch.watches[group].ledger)

    def _led(self) -> list[tuple[Machine, GroupReader, Tree]]:
        """All trees, with those who lead them."""
        found = []
        for machine in self.cluster.up if self.hosts else ():
            cosigning = _cosigning(machine)
            for name, reader in cosigning._readers.items():
                if reader.group.is_serving:
                    found += [(machine, reader, tree) for tree in cosigning._trees_of(name, reader)]
        return found

    # Another history -------------------------------------------------------------------------------------------

    async def forge(self) -> None:
        """W6, with the first witness and a tree that is cosigned as it is."""
        if not self.hosts or not self.options.witness_forger or not self.verdict.ok:
            return
        host, random = self.hosts[0], draws(self.seed, "forger")
        for machine, _, key in random.sample(led := self._led(), len(led)):
            group, tenant, family = key
            proofs = _cosigning(machine)._proofs
            origin = proofs.verifier(tenant, group, family).name
            if not host.given.get(origin):
                continue
            size = max(one.size for one in host.given[origin])
            frames = self.watch.watches[group].ledger.frames.get(log_of(origin)[1], ())
            if size > 1:
                leaves = [record_leaf(frame.record) for frame in frames[:size]]
                await self._forge(host, machine, key, Forger(origin, leaves, proofs._keys(group)[0]))
                return

    async def _forge(self, host: WitnessHost, machine: Machine, key: Tree, forger: Forger) -> None:
        before = list(host.given[forger.origin])
        for what, request in forger.refused():
            status = await self._ask(host, request)
            self.verdict.check(
                "W6",
                status != Status.COSIGNED and host.given[forger.origin] == before,
                f"{host.name} answers {status} for {what}, of {forger.origin}",
            )
        request = forger.continued()
        self._forged.append(request.checkpoint)
        if await self._ask(host, request) != Status.COSIGNED:
            return  # the log has grown meanwhile
        with trio.move_on_after(TOLD_SECONDS + 4 * self.settings.every_s) as bound:
            while not self._told(key):  # noqa: ASYNC110
                await trio.sleep(LOOK_SECONDS)
        self.verdict.check(
            "W6", not bound.cancelled_caught, f"no node says that a witness of {forger.origin} knows another history"
        )

    def _told(self, key: Tree) -> bool:
        trees = [_cosigning(machine)._trees.get(key) for machine, _, led in self._led() if led == key]
        return any(tree is not None and any(word in tree.problem for word in _TOLD) for tree in trees)

    async def _ask(self, host: WitnessHost, request: AddCheckpoint) -> int:
        for _ in range(100):
            try:
                found = await ask(
                    self.port, host.asked.place, who=host.name, body=request.encode(), bytes_max=ANSWER_BYTES_MAX,
                    path="/add-checkpoint",
                )  # fmt: skip
                return found.status
            except (VerityError, OSError, trio.BrokenResourceError):
                await trio.sleep(LOOK_SECONDS)
        return 0


_TOLD = ("leaves were lost, or taken back", "two histories exist", "refuses to cosign")


def _cosigning(machine: Machine) -> Cosigning:
    assert machine.node is not None
    return machine.node.service.cosigning


def _size(reader: GroupReader, key: Tree) -> int:
    _, tenant, family = key
    state = reader.group.state
    found = state.audit_log(tenant) if family.value == "audit" else state.tenant(tenant)
    assert found is not None, "a tree that is led is in the state"
    return int(found.record_count)

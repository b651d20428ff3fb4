"""A group of pure replicas under chance: which step comes next, and what happens to messages, writes and slots.

A run has a safety phase, in which everything may happen, and a liveness phase, in which all are started, nothing is
lost any more, and the group must commit and converge within a bounded number of rounds.

Checked at every step: one checksum an op, for ever (I1); commits in order (I2) that chain (I3) with views that never go
back (I4); at the primary's commit a replication quorum holds the prepare on its platter (I7); timestamps rise (I31);
equal states at the same op (I24); no acknowledged op is lost (I5); a confirmed read saw all that was acknowledged
before it (I30).
"""

from __future__ import annotations

from collections import Counter
from random import Random

from attrs import define, field, frozen

from sim.cores.host import Host, fresh
from sim.cores.oracles import Broken, Oracles, has_on_platter
from vdb.limits import Limits
from vdb.vsr.configuration import Configuration
from vdb.vsr.header import PrepareHeader
from vdb.vsr.message import Abdicate, CoreMessage
from vdb.vsr.replica import Status
from vdb.vsr.timing import Timing

LIMITS = Limits(
    message_size_max=8192, wal_slots=16, pipeline_max=3, requests_per_prepare_max=4, request_queue_max=16,
    checkpoint_interval=6, sessions_max=4, read_bytes_max=8192, transaction_size_max=0,
)  # fmt: skip
TIMING = Timing(
    heartbeat=2, ping=5, suspicion_min=6, suspicion_max=20, jitter=3, resend=3, view_change=12, vote_expiry=9, repair=1,
    repair_budget=4, step_down=15, sync_after=10,
)  # fmt: skip
LIVENESS_ROUNDS = 1500


@frozen(kw_only=True)
class Chances:
    """Per step, for one message or host."""

    drop: float = 0.02
    double: float = 0.02
    crash: float = 0.004
    restart: float = 0.05
    damage: float = 0.0
    cut: float = 0.01
    propose: float = 0.3
    reconfigure: float = 0.0
    abdicate: float = 0.001


@define(eq=False)
class Group:
    """See the module's docstring."""

    random: Random
    size: int
    chances: Chances
    hosts: dict[int, Host] = field(init=False)
    links: dict[tuple[int, int], list[CoreMessage]] = field(factory=dict)
    cuts: dict[tuple[int, int], None] = field(factory=dict)
    committed: dict[int, PrepareHeader] = field(factory=dict)
    states: dict[int, bytes] = field(factory=dict)
    acknowledged: int = 0
    """The highest op that a primary has committed: its clients have their answers."""
    questions: dict[int, int] = field(factory=dict)
    """Confirmations under way, by number: what was acknowledged when they began."""
    asked: int = 0
    clock: int = 0
    quiet: bool = False
    damaged: dict[int, int] = field(factory=dict)
    """Ops whose slot was damaged at some host, and at which."""
    counts: Counter[str] = field(factory=Counter)
    oracles: Oracles = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.oracles = Oracles(self.committed)
        founding = Configuration.founding(tuple(range(self.size)))
        self.hosts = {number: self._host(number, founding, joins=False) for number in range(self.size)}
        for host in self.hosts.values():
            host.start()

    def _host(self, number: int, configuration: Configuration, *, joins: bool) -> Host:
        return Host(
            number=number,
            limits=LIMITS,
            timing=TIMING,
            random=Random(self.random.getrandbits(64)),
            platter=fresh(configuration, joins=joins),
            post=self._post,
            on_commit=self._on_commit,
            on_confirmed=self._on_confirmed,
            on_delivered=self.oracles.on_delivered,
            on_view_started=self.oracles.on_view_started,
            may_damage=self._may_damage,
        )

    # Chance ------------------------------------------------------------------------------------------------------

    def run(self, steps: int) -> None:
        """The safety phase."""
        for _ in range(steps):
            self.step()

    def step(self) -> None:
        chance = self.random.random
        host = self.hosts[self.random.choice(list(self.hosts))]
        if not host.up:
            if chance() < self.chances.restart:
                self.counts["restart"] += 1
                host.start()
            return
        if chance() < self.chances.crash:
            self.counts["crash"] += 1
            host.crash()
            self._lose_messages(host.number)
            return
        self._act(host)
        if chance() < self.chances.cut:
            self._cut_or_heal()
        for link in list(self.links):
            self._move(link)

    def _act(self, host: Host) -> None:
        """One of the things that the shell may do next."""
        chance = self.random.random
        if chance() < 0.3:
            host.tick()
        if chance() < 0.6:
            host.finish_write()
        if chance() < 0.5:
            host.finish_view()
        if chance() < 0.15:
            host.finish_checkpoint()
        if chance() < self.chances.propose:
            self.propose(host)
        if chance() < 0.05:
            self._ask(host)
        if host.sync is not None and chance() < 0.2:
            self._sync(host)
        if chance() < self.chances.damage:
            self._damage(host)
        if chance() < self.chances.abdicate and host.view_change is None:
            host.feed(Abdicate())
        if chance() < self.chances.reconfigure:
            self.reconfigure(host)

    def propose(self, host: Host) -> bool:
        self.clock += self.random.randrange(3)
        return host.propose(self.random.randbytes(8), self.clock) is not None

    def _ask(self, host: Host) -> None:
        if host.replica.is_serving_primary:
            self.asked += 1
            self.questions[self.asked] = self.acknowledged
            host.confirm(self.asked)

    def _sync(self, host: Host) -> None:
        assert host.sync is not None
        sources = [self.hosts[node] for node in host.sync.sources if node in self.hosts]
        best = max((source.platter.checkpoint for source in sources), key=lambda point: point.op, default=None)
        host.sync = None
        if best is not None and best.op > max(host.applied, host.platter.checkpoint.op):
            self.counts["sync"] += 1
            host.install(best)

    def _damage(self, host: Host) -> None:
        """Rot in a slot that others have."""
        ops = [prepare.header.op for prepare in host.platter.slots.values()]
        ops = [op for op in ops if op > host.platter.checkpoint.op and self.damaged.get(op, host.number) == host.number]
        if ops and self._may_damage():
            op = self.random.choice(ops)
            self.damaged[op] = host.number
            self.counts["damage"] += 1
            host.damage(op)

    def _may_damage(self) -> bool:
        """One replica at a time is damaged, and only while another one remains, whatever change may commit."""
        newest = max(self.committed, default=0)
        voters = self.committed[newest].configuration.voters if newest else tuple(range(self.size))
        sizes = [len(voters), *(len(host.replica.configuration.voters) for host in self.hosts.values())]
        return min(sizes) >= 2 and not any(host.platter.faulty for host in self.hosts.values())

    def _cut_or_heal(self) -> None:
        if self.cuts and self.random.random() < 0.5:
            del self.cuts[self.random.choice(list(self.cuts))]
            return
        a, b = self.random.sample(list(self.hosts), 2) if len(self.hosts) > 1 else (0, 0)
        self.counts["cut"] += 1
        self.cuts[a, b] = None
        if self.random.random() < 0.5:
            self.cuts[b, a] = None

    def _post(self, sender: int, to: int, message: CoreMessage) -> None:
        self.oracles.on_post(self.hosts[sender], message)
        if to == sender:
            self.hosts[to].inbox.append(message)
        else:
            self.links.setdefault((sender, to), []).append(message)

    def _move(self, link: tuple[int, int]) -> None:
        """Deliver, lose, double or hold what is on a link."""
        waiting = self.links[link]
        for _ in range(self.random.randrange(3)):
            if not waiting:
                return
            index = self.random.randrange(len(waiting)) if self.random.random() < 0.1 else 0
            message = waiting[index]
            if self.quiet or self.random.random() >= self.chances.double:
                del waiting[index]
            host = self.hosts.get(link[1])
            lost = link in self.cuts or (not self.quiet and self.random.random() < self.chances.drop)
            if host is not None and host.up and not host.removed and not lost:
                host.deliver(message)

    def _lose_messages(self, number: int) -> None:
        for link, waiting in self.links.items():
            if number in link:
                waiting.clear()

    # Reconfiguration -----------------------------------------------------------------------------------------------

    def reconfigure(self, host: Host) -> None:
        """One change that the group's present members allow."""
        replica = host.replica
        if host.view_change is not None or not replica.can_propose() or replica.op != replica.commit_number:
            return
        if (replica.op + 1) % LIMITS.checkpoint_interval == 0 and host.checkpoints:
            return
        now = replica.configuration
        voters, learners = list(now.voters), list(now.learners)
        kind = self.random.choice(("add", "promote", "remove", "replace"))
        if kind == "add" and len(now.members) < 6:
            number = max(self.hosts) + 1
            guess = Configuration.founding(now.voters)
            joined = Configuration(epoch=0, base_view=0, base_index=0, voters=guess.voters, learners=(number,))
            self.hosts[number] = self._host(number, joined, joins=True)
            self.hosts[number].start()
            learners.append(number)
        elif kind == "promote" and learners and len(voters) < 6 and self._has_caught_up(host, learners[0]):
            voters.append(learners.pop(0))
        elif kind == "remove" and len(voters) > 1:
            voters.remove(self.random.choice([voter for voter in voters if voter != host.number]))
        elif kind == "replace" and learners and len(voters) > 1 and self._has_caught_up(host, learners[0]):
            old = self.random.choice([voter for voter in voters if voter != host.number])
            voters[voters.index(old)] = learners.pop(0)
        else:
            return
        self.counts[f"reconfigure {kind}"] += 1
        host.propose(b"members", self.clock, replica.next_configuration(tuple(voters), tuple(learners)))

    def _has_caught_up(self, host: Host, learner: int) -> bool:
        peer = host.replica.peers.get(learner)
        return peer is not None and peer.view == host.replica.view and peer.commit + 6 >= host.replica.commit_number

    # Checks --------------------------------------------------------------------------------------------------------

    def _on_commit(self, host: Host, header: PrepareHeader) -> None:
        known = self.committed.get(header.op)
        if known is not None and known.checksum != header.checksum:
            raise Broken(f"I1: op {header.op} is committed twice, now by {host.number}: {known} and {header}")
        if known is None:
            self._check_first_commit(host, header)
        if header.op in self.states and self.states[header.op] != host.state:
            raise Broken(f"I24: {host.number} has another state at op {header.op}")
        self.states[header.op] = host.state
        if host.replica.is_serving_primary:
            self.acknowledged = max(self.acknowledged, header.op)

    def _check_first_commit(self, host: Host, header: PrepareHeader) -> None:
        before = self.committed.get(header.op - 1)
        if header.op > 1:
            if before is None:
                raise Broken(f"I2: op {header.op} is committed before the one below")
            if before.checksum != header.parent:
                raise Broken(f"I3: op {header.op} doesn't chain")
            if before.view > header.view:
                raise Broken(f"I4: the view of op {header.op} went back")
            if before.timestamp >= header.timestamp:
                raise Broken(f"I31: the time of op {header.op} went back")
        self.committed[header.op] = header
        self.oracles.on_committed(host, header)
        if host.replica.is_serving_primary and header.op > host.replica.commit_known - 1:
            self.oracles.on_first_commit(host, header)
        for configuration in self._configurations_of(header):
            held = sum(self._has_on_platter(voter, header) for voter in configuration.voters)
            if held < configuration.quorums.replication:
                raise Broken(f"I7: op {header.op} is committed by {host.number} with {held} durable copies")

    def _configurations_of(self, header: PrepareHeader) -> list[Configuration]:
        before = self.committed.get(header.op - 1)
        found = [header.configuration]
        if before is not None and before.configuration != header.configuration:
            found.append(before.configuration)
        return found

    def _has_on_platter(self, number: int, header: PrepareHeader) -> bool:
        return self.damaged.get(header.op) == number or has_on_platter(self.hosts[number], header.op, header.checksum)

    def _on_confirmed(self, host: Host, number: int) -> None:
        needed = self.questions.pop(number)
        if host.replica.commit_number < needed:
            raise Broken(f"I30: {host.number} confirmed at {host.replica.commit_number}, {needed} was acknowledged")

    # Liveness ------------------------------------------------------------------------------------------------------

    def heal(self) -> None:
        """Start everybody, lose nothing any more, and see the group work."""
        self.quiet = True
        self.cuts.clear()
        for host in self.hosts.values():
            if not host.up:
                host.start()
        goal = max(self.committed, default=0) + 5
        for _ in range(LIVENESS_ROUNDS):
            self._round(goal)
            if self._is_converged(goal):
                self.check_end()
                return
        raise Broken(f"I36: no progress: {self.describe()}")

    def _round(self, goal: int) -> None:
        for host in list(self.hosts.values()):
            host.tick()
            host.finish_view()
            for _ in range(4):
                host.finish_write()
            host.finish_checkpoint()
            if host.sync is not None:
                self._sync(host)
            if max(self.committed, default=0) < goal and not host.removed:
                self.propose(host)
        for _ in range(3):
            for link in list(self.links):
                self._move(link)

    def _is_converged(self, goal: int) -> bool:
        newest = max(self.committed, default=0)
        if newest < goal:
            return False
        members = self.committed[newest].configuration.members
        return all(
            self.hosts[number].replica.commit_number == newest and self.hosts[number].replica.status is Status.NORMAL
            for number in members
        )

    def check_end(self) -> None:
        """All acknowledged ops are in the log of everybody who belongs to the group (I5)."""
        newest = max(self.committed)
        if newest < self.acknowledged:
            raise Broken(f"I5: op {self.acknowledged} was acknowledged, the log ends at {newest}")

    def describe(self) -> str:
        """One line a host."""
        lines = [
            f"{number}: {'up' if host.up else 'down'} {host.replica.status.value} view {host.replica.view}/"
            f"{host.replica.log_view} op {host.replica.op} commit {host.replica.commit_number}/"
            f"{host.replica.commit_known} checkpoint {host.replica.checkpoint_op} wish {host.replica.wish} "
            f"starting {host.replica.starting} stuck {host.replica.stuck!r} {host.replica.configuration.voters}+"
            f"{host.replica.configuration.learners} removed {host.removed}"
            for number, host in self.hosts.items()
        ]
        return "\n" + "\n".join(lines)


def draw(seed: int) -> Group:
    """A group whose size and chances come from the seed: most faults are off in most, some are extreme."""
    random = Random(seed)
    size = random.choice((1, 2, 3, 3, 3, 3, 4, 5, 5, 6))
    chances = Chances(
        drop=random.choice((0.0, 0.02, 0.1, 0.3)),
        double=random.choice((0.0, 0.05)),
        crash=random.choice((0.0, 0.002, 0.01, 0.03)),
        restart=random.choice((0.02, 0.1)),
        cut=random.choice((0.0, 0.01, 0.05)),
        damage=random.choice((0.0, 0.0, 0.02, 0.1)) if size >= 2 else 0.0,
        reconfigure=random.choice((0.0, 0.0, 0.02)),
        abdicate=random.choice((0.0, 0.01, 0.1)),
    )
    return Group(random=random, size=size, chances=chances)

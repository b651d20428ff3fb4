"""A group of pure replicas moved by hand: a test says who ticks, who crashes, and which links carry nothing.

Nothing happens by chance. `settle` finishes all writes and delivers all messages, in order, until nothing moves; what a
test holds back stays where it is. The oracles of `sim.cores.oracles` watch, and an op has one committed checksum.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TypeVar

from attrs import define, field

from sim.cores.group import LIMITS, TIMING
from sim.cores.host import Host, Platter, fresh
from sim.cores.oracles import Broken, Oracles
from vdb.limits import Limits
from vdb.vsr.configuration import Configuration
from vdb.vsr.header import PrepareHeader
from vdb.vsr.message import CoreMessage
from vdb.vsr.timing import Timing

ROUNDS_MAX = 300
T = TypeVar("T")


@define(eq=False)
class Hand:
    """Hosts by number. `sent` is all that was ever posted: (from, to, message)."""

    size: int = 3
    limits: Limits = LIMITS
    timing: Timing = TIMING
    hosts: dict[int, Host] = field(factory=dict)
    links: dict[tuple[int, int], list[CoreMessage]] = field(factory=dict)
    cuts: dict[tuple[int, int], None] = field(factory=dict)
    lose: Callable[[int, int, CoreMessage], bool] = field(default=lambda _sender, _to, _message: False)
    """Whether a message is lost on its way."""
    stalled: dict[int, None] = field(factory=dict)
    """Hosts whose disk takes writes and finishes none."""
    sent: list[tuple[int, int, CoreMessage]] = field(factory=list)
    committed: dict[int, PrepareHeader] = field(factory=dict)
    confirmed: list[tuple[int, int]] = field(factory=list)
    """(host, number of the `Confirm`)."""
    oracles: Oracles = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.oracles = Oracles(self.committed)
        founding = Configuration.founding(tuple(range(self.size)))
        for number in range(self.size):
            self.add(number, fresh(founding))
        self.settle()

    def add(self, number: int, platter: Platter) -> Host:
        """One more host, started."""
        host = self.hosts[number] = Host(
            number=number,
            limits=self.limits,
            timing=self.timing,
            random=Random(number),
            platter=platter,
            post=self._post,
            on_commit=self._on_commit,
            on_confirmed=lambda host, asked: self.confirmed.append((host.number, asked)),
            on_delivered=self.oracles.on_delivered,
            on_view_started=self.oracles.on_view_started,
            may_damage=lambda: False,
        )
        host.start()
        return host

    # Steps -------------------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Finish what can be finished, in a fixed order, until nothing moves."""
        for _ in range(ROUNDS_MAX):
            if not self._round():
                return
        raise AssertionError("the group doesn't come to rest")

    def tick(self, count: int = 1, *numbers: int) -> None:
        """So many ticks of these hosts, or of all, and what follows from each."""
        for _ in range(count):
            for number in numbers or tuple(self.hosts):
                if self.hosts[number].up:
                    self.hosts[number].tick()
            self.settle()

    def tick_until(self, is_so: Callable[[], bool], count: int = 400) -> None:
        """Tick all until it is so."""
        for _ in range(count):
            if is_so():
                return
            self.tick()
        raise AssertionError(f"it didn't come to pass in {count} ticks")

    def propose(self, *bodies: bytes, configuration: Configuration | None = None) -> list[PrepareHeader]:
        """New ops by the serving primary; nothing is delivered yet."""
        headers = []
        for body in bodies:
            header = self.primary.propose(body, 0, configuration)
            assert header is not None, "the primary takes no op now"
            headers.append(header)
        return headers

    def commit(self, *bodies: bytes) -> list[PrepareHeader]:
        """New ops, one after the other, each settled and committed by the primary."""
        headers = []
        for body in bodies:
            headers += self.propose(body)
            self.settle()
            assert self.primary.replica.commit_number == headers[-1].op
        return headers

    def reconfigure(self, voters: tuple[int, ...], learners: tuple[int, ...] = ()) -> PrepareHeader:
        [header] = self.propose(b"members", configuration=self.primary.replica.next_configuration(voters, learners))
        return header

    def crash(self, number: int) -> None:
        """Lose the memory, every write that isn't finished, and what is on this host's links."""
        host = self.hosts[number]
        host.writes.clear()
        host.view_change = None
        host.crash()
        for link in [link for link in self.links if number in link]:
            self.links[link].clear()

    def restart(self, number: int) -> None:
        """A new life; what it says at once is still on its way."""
        self.crash(number)
        self.hosts[number].start()

    def cut(self, *numbers: int) -> None:
        """These hosts hear nobody else, and nobody else hears them."""
        for a in self.hosts:
            for b in self.hosts:
                if (a in numbers) != (b in numbers):
                    self.cuts[a, b] = None

    def heal(self) -> None:
        self.cuts.clear()
        self.lose = lambda _sender, _to, _message: False

    # What is so --------------------------------------------------------------------------------------------------

    @property
    def primary(self) -> Host:
        """Who serves in the highest view."""
        serving = [host for host in self.hosts.values() if host.up and host.replica.is_serving_primary]
        return max(serving, key=lambda host: host.replica.view)

    def messages(self, kind: type[T], sender: int | None = None, to: int | None = None) -> list[T]:
        """What was sent of a kind, by this host and to that one if they are named."""
        return [
            message
            for source, target, message in self.sent
            if isinstance(message, kind) and sender in (None, source) and to in (None, target)
        ]

    # Machinery ---------------------------------------------------------------------------------------------------

    def _round(self) -> bool:
        moved = False
        for host in self.hosts.values():
            if host.up and host.number not in self.stalled:
                moved |= self._finish(host)
        for (sender, to), waiting in list(self.links.items()):
            taken, waiting[:] = list(waiting), []
            for message in taken:
                moved |= self._deliver(sender, to, message)
        return moved

    def _finish(self, host: Host) -> bool:
        busy = bool(host.writes or host.view_change or host.checkpoints)
        host.finish_view()
        while host.writes:
            host.finish_write()
        while host.checkpoints:
            host.finish_checkpoint()
        return self._sync(host) or busy

    def _sync(self, host: Host) -> bool:
        """State sync, in one go, from whoever is up and can be heard."""
        target, host.sync = host.sync, None
        if target is None:
            return False
        sources = [self.hosts[node] for node in target.sources if (node, host.number) not in self.cuts]
        points = [source.platter.checkpoint for source in sources if source.up]
        best = max(points, key=lambda point: point.op, default=host.platter.checkpoint)
        if best.op <= max(host.applied, host.platter.checkpoint.op):
            return False
        host.install(best)
        return True

    def _deliver(self, sender: int, to: int, message: CoreMessage) -> bool:
        host = self.hosts.get(to)
        if host is None or not host.up or host.removed or (sender, to) in self.cuts:
            return False
        if self.lose(sender, to, message):
            return False
        host.deliver(message)
        return True

    def _post(self, sender: int, to: int, message: CoreMessage) -> None:
        self.oracles.on_post(self.hosts[sender], message)
        self.sent.append((sender, to, message))
        self.links.setdefault((sender, to), []).append(message)

    def _on_commit(self, host: Host, header: PrepareHeader) -> None:
        known = self.committed.setdefault(header.op, header)
        if known.checksum != header.checksum:
            raise Broken(f"I1: op {header.op} is committed twice, now by {host.number}")
        self.oracles.on_committed(host, header)

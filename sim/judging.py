"""What is looked at when an incarnation ends, and when a run does: files, projections, leaks, the clients' history."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from attrs import define

from sim.atlas import Atlas
from sim.checkers.abroad import Abroad
from sim.checkers.contents import Contents, check_log_reads
from sim.checkers.file_keys import file_keys, key_of_file
from sim.checkers.leaks import FORMS, PLAIN, check_no_leak
from sim.checkers.linearizable import check_linearizable
from sim.checkers.projected import NAME, check_projection
from sim.checkers.segments import check_segments
from sim.checkers.trees import check_trees
from sim.history import History
from sim.machine import Machine
from sim.verdict import Verdict
from sim.watch import Watch
from vdb.errors import DatabaseDamaged, WrongKey


@define(eq=False, kw_only=True)
class Judging:
    """`atlases` and `watch.platters` by node number; `contents` by group."""

    verdict: Verdict
    watch: Watch
    contents: Mapping[str, Contents]
    atlases: Mapping[int, Atlas]
    machines: Mapping[int, Machine]
    history: History
    tenants: int
    abroad: Abroad | None = None
    """Of a cluster of several regions."""
    on_others_end: tuple[Callable[[Machine], None], ...] = ()
    """Look at the files of the other workloads."""

    def __attrs_post_init__(self) -> None:
        for watch in self.watch.watches.values():
            watch.ledger.moment = lambda: self.history.now

    @property
    def beyond(self) -> str:
        """What was destroyed so that the whole group can't repair it; '' while nothing was."""
        return next((atlas.beyond for atlas in self.atlases.values() if atlas.beyond), "")

    def on_end(self, machine: Machine) -> None:
        """An incarnation of this machine's node has ended; its platter is what the next one will find."""
        if self.verdict.broken.is_set():
            return
        self.watch.on_end(machine)
        platter = self.watch.platters[machine.number]
        for watch in self.watch.of(machine.number):
            if not self.beyond:
                checkpoint_op = watch.replicas[machine.number].checkpoint_op
                check_segments(self.verdict, platter, watch.ledger, checkpoint_op)
            self.contents[watch.ledger.group].catch_up()
        self._check_projections(machine)
        for look in self.on_others_end:
            look(machine)
        self._check_leaks(machine, PLAIN)

    def catch_up(self) -> None:
        """Open all that was committed."""
        for contents in self.contents.values():
            contents.catch_up()

    def check_history(self) -> None:
        """I5, I22 and their kin, over all clients."""
        self.catch_up()
        for contents in self.contents.values():
            check_linearizable(self.verdict, self.history.of_group(contents.ledger.group), contents.entries())
            check_log_reads(self.verdict, self.history, contents)
            contents.check_audits(self.history)
        for watch in self.watch.watches.values():
            check_trees(self.verdict, watch.ledger, watch.shadow.state)

    def check_leaks(self) -> None:
        """On every disk, in every form; and nothing of another region, in any."""
        frames = {
            group: [frame for frames in watch.ledger.frames.values() for frame in frames]
            for group, watch in self.watch.watches.items()
        }
        for machine in self.machines.values():
            self._check_leaks(machine, FORMS)
            if self.abroad is not None:
                self.abroad.check_records(machine.name, _files(machine), frames)

    def _check_projections(self, machine: Machine) -> None:
        held = {group: self.contents[group] for group in self.watch.places.groups_of(machine.number)}
        keyring = held[self.watch.places.of(machine.number)].keyring
        for tenant in range(1, self.tenants + 1):
            path = f"projections/t_{tenant}/{NAME}.db"
            keys = file_keys(keyring, tenant, NAME)
            if keys and machine.scratch.exists(path):
                logs = {group: contents.events.get(tenant, []) for group, contents in held.items()}
                file = machine.scratch.location(path)
                try:
                    check_projection(self.verdict, file, key_of_file(keys, file), path, logs)
                except (WrongKey, DatabaseDamaged):
                    self.verdict.check("projection", path in machine.scratch.rotted, f"{path} is damaged")

    def _check_leaks(self, machine: Machine, forms: tuple[bytes, ...]) -> None:
        check_no_leak(self.verdict, _files(machine), forms)
        check_no_leak(self.verdict, machine.scratch.files().items(), forms)
        if self.abroad is not None:
            self.abroad.check_disk(machine.name, _files(machine))


def _files(machine: Machine) -> Iterable[tuple[str, bytes]]:
    disk = machine.disk
    return ((path, disk.content(path)) for path in disk.paths())

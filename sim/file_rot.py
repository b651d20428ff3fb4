"""Rot of what lies in a group's files for long: segments and checkpoints, of which other members have the same.

Only what the durable checkpoint names is harmed, on disks that may be. Half of the time the node goes on, and the
scrubber finds it, or a reader; otherwise the start that follows does. Nobody is ever given anything else than what was
written; and where the scrubber comes round, all is mended in the end, byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from attrs import define, field, frozen

from sim.atlas import Atlas
from sim.checkers.media import group_file
from sim.checkers.segments import HEADER_SIZE, expected_segments
from sim.machine import Machine
from sim.watch import Watch
from sim.world.platter import Inode


@frozen
class _Place:
    """A byte that was `good` before it rotted; the file is known by its inode, since another one may take its name."""

    machine: Machine
    group: str
    path: str
    inode: Inode
    offset: int
    good: int


@define
class FileRot:
    """`atlases` by node number. `scrubbed`: whether the scrubber comes round while somebody waits for it."""

    scrubbed: bool
    random: Random
    atlases: Mapping[int, Atlas]
    watch: Watch
    _places: list[_Place] = field(factory=list)

    def strike(self, machine: Machine) -> str:
        """Flip one bit; the path, or '' if the machine has nothing at rest yet."""
        group = self.random.choice(self.watch.places.groups_of(machine.number))
        files = self._segments(machine, group) if self.random.random() < 0.6 else self._checkpoints(machine, group)
        if not files:
            return ""
        path, size = self.random.choice(files)
        offset = self.random.randrange(size)
        inode = machine.disk.platter.find(path)
        self._places.append(_Place(machine, group, path, inode, offset, inode.stable[offset]))
        machine.disk.rot(path, offset)
        self.atlases[machine.number].note_rot(path, offset)
        return path

    def lag(self) -> str:
        """A file of a member that is still damaged; '' when all are as they were."""
        for place in self._places if self.scrubbed else ():
            platter = place.machine.disk.platter
            there = place.path in platter.names and platter.find(place.path) is place.inode
            member = place.machine.number in self.watch.watches[place.group].members
            if there and member and place.inode.stable[place.offset : place.offset + 1] != bytes((place.good,)):
                return f"{place.path} of {place.machine.name} is still damaged at byte {place.offset}"
        return ""

    def _segments(self, machine: Machine, group: str) -> list[tuple[str, int]]:
        """Segments with as many of their bytes as the durable checkpoint knows."""
        watch = self.watch.watches[group]
        op, ledger = watch.replicas[machine.number].checkpoint_op, watch.ledger
        found = []
        for tenant, frames in sorted(ledger.frames.items()):
            for number, segment in enumerate(expected_segments(frames, op, ledger.limits.segment_size), 1):
                path = group_file(group, f"log/t_{tenant}/{number:06}.seg")
                size = HEADER_SIZE + len(segment.content)
                if number not in ledger.pruned.get(tenant, {}) and self._is_whole(machine, path, size):
                    found.append((path, size))
        return found

    def _checkpoints(self, machine: Machine, group: str) -> list[tuple[str, int]]:
        op, folder = self.watch.watches[group].replicas[machine.number].checkpoint_op, group_file(group, "checkpoints/")
        paths = [path for path in machine.disk.paths() if path.startswith(folder)]
        known = [path for path in paths if int(path.rpartition("-")[2], 16) <= op]
        sizes = [(path, len(machine.disk.stable_content(path))) for path in known]
        return [(path, size) for path, size in sizes if size]

    def _is_whole(self, machine: Machine, path: str, size: int) -> bool:
        return path in machine.disk.paths() and len(machine.disk.stable_content(path)) >= size

"""What a simulated disk holds: files as they are cached, as they are stable, and the changes in between.

- An `Inode` has its content twice: `stable` (what a power loss leaves) and `cached` (what reads see). `dirty` are the
  changes made since the last sync, in order; `in_flight` those whose write call hasn't returned.
- The `Platter` maps names to inodes, twice as well; `pending` are changes of names not yet synced.
- `crash` decides the fate of everything that isn't stable, and then the cache is what is stable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from random import Random

from attrs import define, field

from sim.world.faults import DiskFaults
from vdb.errors import FileMissing
from vdb.world.paths import parent_of

SECTOR = 512
"""Bytes that a disk writes whole or not at all."""

PAGE = 4096
"""Bytes: the grain of bad places and of misdirected writes."""


@define(eq=False)
class Change:
    """One change of a file's content: bytes written, or a new length (`data` None)."""

    sequence: int
    offset: int
    data: bytes | None
    lost: bool = False
    """The drive says yes and does nothing: the cache has it, the platter never will."""

    def apply(self, content: bytearray) -> None:
        if self.data is not None:
            put(content, self.offset, self.data)
        elif self.offset < len(content):
            del content[self.offset :]
        else:
            content.extend(bytes(self.offset - len(content)))


def put(content: bytearray, offset: int, data: bytes) -> None:
    """Write `data` at `offset`, with zeros in a gap before it."""
    if offset > len(content):
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


@define(eq=False)
class Inode:
    stable: bytearray = field(factory=bytearray)
    cached: bytearray = field(factory=bytearray)
    dirty: list[Change] = field(factory=list)
    in_flight: list[Change] = field(factory=list)
    bad_pages: dict[int, None] = field(factory=dict)
    """Numbers of pages that can't be read until they are written again."""
    changes: int = 0

    def change(self, offset: int, data: bytes | None) -> Change:
        """A new change, in order after all others of this file."""
        self.changes += 1
        return Change(self.changes, offset, data)

    def land(self, change: Change) -> None:
        """The write returned: reads see it, a sync will make it stable."""
        change.apply(self.cached)
        self.dirty.append(change)
        if change.data and self.bad_pages:
            for page in range(change.offset // PAGE, (change.offset + len(change.data) - 1) // PAGE + 1):
                self.bad_pages.pop(page, None)

    def sync_to(self, sequence: int) -> None:
        """Make stable every change up to `sequence`."""
        kept = 0
        for change in self.dirty:
            if change.sequence > sequence:
                break
            kept += 1
            if not change.lost:
                change.apply(self.stable)
        del self.dirty[:kept]

    def sync_failed(self, random: Random) -> None:
        """A sync that failed: each dirty page is written, or gone, or still cached but marked clean for ever."""
        cached = bytearray(self.stable)
        for change in self.dirty:
            fate = random.randrange(3)
            if fate == 0 and not change.lost:
                change.apply(self.stable)
            if fate != 1:
                change.apply(cached)
        self.cached = cached
        self.dirty.clear()

    def drop_cache(self) -> None:
        """Reads see the platter, and on it what is still dirty."""
        self.cached = bytearray(self.stable)
        for change in self.dirty:
            change.apply(self.cached)

    def crash(self, random: Random, faults: DiskFaults, counts: Counter[str]) -> None:
        """Power is lost: decide what of the unsynced changes is on the platter."""
        changes = [change for change in self.dirty + self.in_flight if not change.lost]
        if changes:
            for change, fate in _fates(changes, random, faults):
                fate(self.stable, change, random, faults, counts)
        self.dirty.clear()
        self.in_flight.clear()
        self.cached = bytearray(self.stable)

    def flip_bit(self, offset: int, bit: int) -> None:
        """Rot at rest: one bit is wrong from now on, however often it is read."""
        for content in (self.stable, self.cached):
            if offset < len(content):
                content[offset] ^= 1 << bit


_Fate = Callable[[bytearray, Change, Random, DiskFaults, Counter[str]], None]


def _fates(changes: list[Change], random: Random, faults: DiskFaults) -> list[tuple[Change, _Fate]]:
    if random.random() >= faults.lose_unsynced:
        return [(change, _keep) for change in changes]
    torn = _tear if random.random() < faults.tear else _lose
    if random.random() < faults.reorder:
        fates = [(change, random.choice((_keep, _lose, torn))) for change in changes]
        first_lost = next((i for i, (_, fate) in enumerate(fates) if fate is _lose), len(fates))
        return [
            (change, _keep_out_of_order if fate is _keep and i > first_lost else fate)
            for i, (change, fate) in enumerate(fates)
        ]
    cut = random.randrange(len(changes))
    return [
        (change, _keep if i < cut else torn if i == cut else _lose)  # the write at the edge may be torn
        for i, change in enumerate(changes)
    ]


def _keep(stable: bytearray, change: Change, _random: Random, _faults: DiskFaults, counts: Counter[str]) -> None:
    counts["disk.kept_unsynced"] += 1
    change.apply(stable)


def _keep_out_of_order(
    stable: bytearray, change: Change, _random: Random, _faults: DiskFaults, counts: Counter[str]
) -> None:
    counts["disk.reordered"] += 1
    change.apply(stable)


def _lose(stable: bytearray, change: Change, random: Random, _faults: DiskFaults, counts: Counter[str]) -> None:
    counts["disk.lost_unsynced"] += 1
    if change.data is not None and random.random() < 0.5:  # the new length may be kept without the bytes
        put(stable, len(stable), bytes(max(0, change.offset + len(change.data) - len(stable))))


def _tear(stable: bytearray, change: Change, random: Random, faults: DiskFaults, counts: Counter[str]) -> None:
    if change.data is None or len(change.data) <= SECTOR:
        (_keep if random.random() < 0.5 else _lose)(stable, change, random, faults, counts)
        return
    counts["disk.torn"] += 1
    sectors = _sectors(change.offset, len(change.data))
    for (start, stop), survives in zip(sectors, _survivors(len(sectors), random), strict=True):
        if survives:
            put(stable, start, change.data[start - change.offset : stop - change.offset])
        elif random.random() < faults.tear_garbage:
            put(stable, start, random.randbytes(stop - start))


def _sectors(offset: int, size: int) -> list[tuple[int, int]]:
    """The pieces of a write between sector borders, as (start, stop) in the file."""
    borders = [offset, *range((offset // SECTOR + 1) * SECTOR, offset + size, SECTOR), offset + size]
    return list(pairwise(borders))


def _survivors(count: int, random: Random) -> list[bool]:
    """Which sectors of a torn write survive: the left ones, the right ones, or any."""
    shape = random.randrange(3)
    if shape == 2:
        return [random.random() < 0.5 for _ in range(count)]
    cut = random.randrange(count + 1)
    return [(i < cut) == (shape == 0) for i in range(count)]


@define(eq=False)
class NameChange:
    """An unsynced change of names: `old` loses the inode, `new` gets it; one of the two may be None."""

    inode: Inode
    old: str | None
    new: str | None
    unsynced: list[str]
    """Directories that must be synced before this is durable."""

    def apply(self, names: dict[str, Inode]) -> None:
        if self.old is not None and names.get(self.old) is self.inode:
            del names[self.old]
        if self.new is not None:
            names[self.new] = self.inode


class Platter:
    """The files and names of one disk. Survives crashes; `crash` applies them."""

    def __init__(self) -> None:
        self.names: dict[str, Inode] = {}
        self.directories: dict[str, None] = {"": None}
        self._stable_names: dict[str, Inode] = {}
        self._pending: list[NameChange] = []

    def find(self, path: str) -> Inode:
        if path not in self.names:
            raise FileMissing(f"no such file: {path}")
        return self.names[path]

    def create(self, path: str) -> Inode:
        parent = parent_of(path)
        if parent not in self.directories:
            raise FileMissing(f"no such directory: {parent}")
        inode = Inode()
        self._change_names(inode, None, path)
        return inode

    def rename(self, old: str, new: str) -> None:
        inode = self.find(old)
        if parent_of(new) not in self.directories:
            raise FileMissing(f"no such directory: {parent_of(new)}")
        if old != new:
            self._change_names(inode, old, new)

    def remove(self, path: str) -> None:
        self._change_names(self.find(path), path, None)

    def sync_directory(self, path: str) -> None:
        if path not in self.directories:
            raise FileMissing(f"no such directory: {path}")
        still_pending = []
        for change in self._pending:
            if path in change.unsynced:
                change.unsynced.remove(path)
            if change.unsynced:
                still_pending.append(change)
            else:
                change.apply(self._stable_names)
        self._pending = still_pending

    def make_directory(self, path: str) -> None:
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            self.directories["/".join(parts[:depth])] = None

    def listing(self, directory: str) -> list[str]:
        """Names of files and directories right inside `directory`, sorted."""
        inside = [path for path in (*self.names, *self.directories) if path and parent_of(path) == directory]
        return sorted(path.rpartition("/")[2] for path in inside)

    def used(self) -> int:
        """Bytes of all files."""
        return sum(len(inode.cached) for inode in self.names.values())

    def crash(self, random: Random, faults: DiskFaults, counts: Counter[str]) -> None:
        """Power is lost: decide the fate of unsynced names and of unsynced bytes."""
        inodes = [*self.names.values(), *self._stable_names.values(), *(change.inode for change in self._pending)]
        for change in self._pending:
            if random.random() < faults.lose_names:
                counts["disk.lost_unsynced"] += 1
            else:
                change.apply(self._stable_names)
        self._pending = []
        self.names = dict(self._stable_names)
        for inode in dict.fromkeys(inodes):
            inode.crash(random, faults, counts)

    def _change_names(self, inode: Inode, old: str | None, new: str | None) -> None:
        change = NameChange(inode, old, new, list(dict.fromkeys(parent_of(p) for p in (old, new) if p is not None)))
        change.apply(self.names)
        self._pending.append(change)

"""The simulated disk of one node: survives crashes, draws faults from the seed, takes orders from the nemesis.

`SimDisk` is the hardware. `port(fence)` is the Disk port of one incarnation (`sim.world.disk_port`).

- Faults with a probability (`DiskFaults`) are drawn at each call. Before one that harms data at rest is done, `permit`
  is asked with (kind, path, offset, size): there the nemesis' atlas protects the last good copy. (What a crash does to
  unsynced writes is no such fault: nobody was promised them.)
- Faults at a moment (`rot`, `rot_any`, `capacity`, `slowness`, `fail_next_sync`) are the nemesis' to call.
- A bit that rots stays wrong: which bit depends on the content alone, so reading again doesn't heal it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from zlib import crc32

from sim.world.faults import DiskFaults
from sim.world.platter import PAGE, Change, Inode, Platter
from vdb.errors import DiskFailed, DiskFull

NS_PER_US = 1000
_ZEROS = bytes(PAGE)


def _always(kind: str, path: str, offset: int, size: int) -> bool:
    """No atlas: every fault is permitted."""
    return True


def _pages_with_data(content: bytearray) -> list[int]:
    """Where the pages begin that aren't all zeros."""
    view = memoryview(content)
    return [at for at in range(0, len(content), PAGE) if view[at : at + PAGE] != _ZEROS[: len(content) - at]]


class SimDisk:
    """One node's disk. `random` draws its faults; `counts` counts them by kind."""

    def __init__(self, owner: str, random: Random, counts: Counter[str], faults: DiskFaults | None = None) -> None:
        self.owner = owner
        self.faults = faults or DiskFaults()
        self.counts = counts
        self.platter = Platter()
        self.permit: Callable[[str, str, int, int], bool] = _always
        self.capacity: int | None = None
        """Bytes that fit on the disk; None: no bound."""
        self.slowness = 1
        """Factor on every time; above 1 each call counts as "disk.slow"."""
        self.holder: object | None = None
        """The port that has locked the disk."""
        self._random = random
        self._failing_syncs = 0

    # --- what checkers read --------------------------------------------------------------------------------------

    def paths(self) -> list[str]:
        """All files, sorted."""
        return sorted(self.platter.names)

    def content(self, path: str) -> bytes:
        """What a read of the whole file would return now."""
        return bytes(self.platter.find(path).cached)

    def stable_content(self, path: str) -> bytes:
        """What is surely on the platter."""
        return bytes(self.platter.find(path).stable)

    # --- what the nemesis orders -----------------------------------------------------------------------------------

    def rot(self, path: str, offset: int) -> None:
        """Flip one bit of the byte at `offset`, for good."""
        inode = self.platter.find(path)
        start = offset // PAGE * PAGE
        inode.flip_bit(offset, crc32(inode.cached[start : start + PAGE]) & 7)
        self.counts["disk.bit_rot"] += 1

    def rot_any(self, matches: Callable[[str], bool]) -> tuple[str, int] | None:
        """Rot one byte of one file that matches, in a page that isn't all zeros if it has one.

        Returns (path, offset), or None where there is no such place. Asks `permit("disk.bit_rot", path, offset, 1)`.
        """
        paths = [path for path in self.paths() if matches(path) and self.platter.find(path).cached]
        for _ in range(32 if paths else 0):
            path = self._random.choice(paths)
            offset = self._random.choice(_pages_with_data(self.platter.find(path).cached) or [0])
            offset += self._random.randrange(min(PAGE, len(self.platter.find(path).cached) - offset))
            if self.permit("disk.bit_rot", path, offset, 1):
                self.rot(path, offset)
                return path, offset
        return None

    def fail_next_sync(self) -> None:
        """The next sync of any file fails."""
        self._failing_syncs += 1

    def crash(self) -> None:
        """Power is lost. The node's fence must have tripped before."""
        self.platter.crash(self._random, self.faults, self.counts)
        self.holder = None
        self._failing_syncs = 0

    def wipe(self) -> None:
        """Another disk, empty. The node must have ended."""
        self.platter = Platter()
        self.holder = None

    # --- what the port asks ------------------------------------------------------------------------------------------

    def delay_ns(self, base_us: int, size: int = 0) -> int:
        """How long a call takes that moves `size` bytes."""
        factor = self.slowness
        if self._fires(self.faults.slow):
            factor *= self.faults.slow_factor
        if factor > 1:
            self.counts["disk.slow"] += 1
        base = base_us + self._random.randrange(base_us + 1) + size // self.faults.bytes_per_us
        return max(1, base) * NS_PER_US * factor

    def check_read(self, path: str, inode: Inode, offset: int, size: int) -> None:
        """Raise DiskFailed if this read fails. Half of such places stay bad until they are written."""
        pages = range(offset // PAGE, (offset + max(size, 1) - 1) // PAGE + 1)
        if inode.bad_pages and any(page in inode.bad_pages for page in pages):
            self.counts["disk.eio_read"] += 1
            raise DiskFailed(f"EIO: reading {size} bytes at {offset} of {path} failed")
        if self._fires(self.faults.eio_read) and self.permit("disk.eio_read", path, offset, size):
            if self._random.random() < 0.5:
                inode.bad_pages[self._random.choice(pages)] = None
            self.counts["disk.eio_read"] += 1
            raise DiskFailed(f"EIO: reading {size} bytes at {offset} of {path} failed")

    def check_space(self, path: str, inode: Inode, end: int) -> None:
        """Raise DiskFull if the file can't grow to `end`."""
        growth = end - len(inode.cached)
        if growth <= 0:
            return
        if (self.capacity is not None and self.platter.used() + growth > self.capacity) or self._fires(
            self.faults.full
        ):
            self.counts["disk.full"] += 1
            raise DiskFull(f"no space left on the disk: {path} needs {growth} bytes more")

    def land_write(self, path: str, inode: Inode, change: Change) -> None:
        """A write call is about to return: its bytes land where they should, or a fault fires."""
        assert change.data is not None
        faults, size = self.faults, len(change.data)
        if self._fires(faults.eio_write) and self.permit("disk.eio_write", path, change.offset, size):
            self.counts["disk.eio_write"] += 1
            inode.land(inode.change(change.offset, change.data[: self._random.randrange(size + 1)]))
            raise DiskFailed(f"EIO: writing {size} bytes at {change.offset} of {path} failed")
        if self._fires(faults.lost_write) and self.permit("disk.lost_write", path, change.offset, size):
            self.counts["disk.lost_write"] += 1
            if self._random.random() < 0.5:  # the cache hides it until the node restarts
                change.lost = True
                inode.land(change)
            return
        if self._fires(faults.misdirected_write) and self._misdirect(path, inode, change):
            return
        inode.land(change)

    def sync(self, path: str, inode: Inode, sequence: int) -> None:
        """Make the changes up to `sequence` stable, or fail for good."""
        failing = self._failing_syncs > 0 or self._fires(self.faults.fsync_failed)
        if failing and self.permit("disk.fsync_failed", path, 0, 0):
            self._failing_syncs = max(0, self._failing_syncs - 1)
            self.counts["disk.fsync_failed"] += 1
            inode.sync_failed(self._random)
            raise DiskFailed(f"EIO: the sync of {path} failed; what it should have made durable may be gone")
        inode.sync_to(sequence)

    def _misdirect(self, path: str, inode: Inode, change: Change) -> bool:
        """Write to another page of the same file; False if there is none or it isn't permitted."""
        assert change.data is not None
        size = len(change.data)
        places = (len(inode.cached) - size) // PAGE
        wrong = self._random.randrange(places + 1) * PAGE + change.offset % PAGE if places > 0 else change.offset
        if wrong == change.offset or wrong + size > len(inode.cached):
            return False
        permitted = self.permit("disk.misdirected_write", path, wrong, size)
        if not permitted or not self.permit("disk.misdirected_write", path, change.offset, size):
            return False
        self.counts["disk.misdirected_write"] += 1
        inode.land(inode.change(wrong, change.data))
        return True

    def _fires(self, probability: float) -> bool:
        return probability > 0.0 and self._random.random() < probability

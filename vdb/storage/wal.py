"""The journal: the group's write-ahead log, written by one task. The bytes are specified in `wal_layout`.

Order of writes (the promises that recovery relies on)
1. A header reaches the ring of headers only after its prepare was synced. The image of that ring, from which whole
   sectors are written, holds the header of the lap before until then; so a neighbour's write never carries it early.
2. Prepares are written in the order in which they are submitted.
3. `on_durable` is called after prepare and header were both synced, in the order of submission. All that depends on
   an op being durable (an ack, a reply) hangs on that call.
4. A slot is overwritten by another op only when its old op is at or below the released checkpoint; by another prepare
   of the same op, or after `truncate`, whenever the replica says so.
5. What is truncated is cleared before anything else is written: first its headers, synced, then its prepares. What a
   crash leaves of it, the replica recognises as no part of its log.
6. What is wiped of a slot (`wal_wiping`) is cleared like what is truncated, between two turns.
7. A slot that recovery calls faulty has, until an intact prepare was written to it, no valid header but its own op's.
   So a crash in the middle of its repair leaves it faulty.

The elevator. Each turn writes all prepares that wait and the headers of those synced in the turn before, then syncs
once. A lonely prepare takes two turns, under load there is one sync per prepare, and a prepare that arrives during a
turn travels in the next.

Failures. A failed write or sync (DiskFailed) ends `run` and this journal for good. A full disk doesn't: the turn is
repeated until there is room, nothing is acknowledged meanwhile, and `disk_full` lets the gate refuse new requests.

How it is opened: `wal_opening`.
"""

from __future__ import annotations

from collections.abc import Callable

import trio
from attrs import field, frozen

from vdb.errors import DamagedData, DiskFailed, DiskFull
from vdb.limits import PREPARE_HEADER_SIZE, SECTOR_SIZE, Limits
from vdb.marks import mark
from vdb.ports import Disk, File
from vdb.storage.recovery import Decision, Recovery, SlotRecovery
from vdb.storage.wal_layout import (
    FILE_NAME,
    HEADERS_PER_SECTOR,
    decode_slot,
    encode_reserved,
    encode_slot,
    header_offset,
    prepare_offset,
    sector_up,
    slot_for_op,
)
from vdb.storage.wal_opening import read_or_none, recover_rings
from vdb.storage.wal_wiping import SLOTS_PER_STEP, Wiping, is_of
from vdb.vsr.header import Prepare, PrepareHeader

DISK_FULL_RETRY_SECONDS = 0.25

OnDurable = Callable[[PrepareHeader], None]


@frozen(kw_only=True)
class SlotFault:
    """What the scrubber found in a slot. `offset` is a byte of the file."""

    offset: int
    message: str
    repaired: bool
    lost: PrepareHeader | None = field(default=None, repr=False)
    """Of the prepare that must come from somebody else."""


@frozen
class _Pending:
    prepare: Prepare
    on_durable: OnDurable


class Journal:
    """The open WAL of one replica. Make it with `format` and `open`; exactly one task runs `run`."""

    def __init__(
        self,
        file: File,
        path: str,
        *,
        limits: Limits,
        group_hash: bytes,
        with_peers: bool,
        image: bytearray,
        recovery: Recovery,
        checkpoint_op: int,
    ) -> None:
        self._file = file
        self._path = path
        self._limits = limits
        self._group_hash = group_hash
        self._with_peers = with_peers
        self._image = image
        self._recovery = recovery
        self._headers: list[PrepareHeader | None] = [entry.header for entry in recovery.slots]
        self._durable: list[bytes | None] = [
            entry.header.checksum if entry.header is not None and entry.decision in _KEPT else None
            for entry in recovery.slots
        ]
        self._damaged = {entry.slot: op for entry, op in _damaged(recovery, limits, checkpoint_op)}
        self._cuts: dict[int, None] = {}
        self._wiping: Wiping | None = None
        self._released = checkpoint_op
        self._synced_op = recovery.head.op if recovery.head is not None else 0
        self._waiting: list[_Pending] = []
        self._sectors_due: list[int] = []
        self._in_memory: dict[int, Prepare] = {}
        self._wake = trio.Event()
        self._failed: DiskFailed | None = None
        self._disk_full: DiskFull | None = None

    @classmethod
    async def format(
        cls, disk: Disk, directory: str, limits: Limits, group_hash: bytes, *, reserve: bool = False
    ) -> None:
        """Make an empty WAL, over whatever an unfinished formatting left. `reserve` takes all its blocks at once."""
        file = await disk.open(f"{directory}/{FILE_NAME}", create=True)
        await file.truncate(0)
        if reserve:
            await file.allocate(limits.wal_size)
        await file.truncate(limits.wal_size)
        headers = bytearray(limits.wal_headers_size)
        for slot in range(limits.wal_slots):
            sector = encode_reserved(group_hash, slot)
            start = header_offset(slot)
            headers[start : start + PREPARE_HEADER_SIZE] = sector[:PREPARE_HEADER_SIZE]
            await file.write_at(prepare_offset(limits, slot), sector)
        await file.write_at(0, headers)
        await file.sync()
        await file.close()
        await disk.sync_directory(directory)

    @classmethod
    async def open(
        cls,
        disk: Disk,
        directory: str,
        *,
        limits: Limits,
        group_hash: bytes,
        with_peers: bool,
        checkpoint_op: int,
        log_view: int = 0,
    ) -> Journal:
        """Recover the rings and open them for writing. `checkpoint_op` and `log_view` are the superblock's.

        A group has peers if the caller says so, or any header above the checkpoint does.

        DamagedData: there are no peers and an op that may have been acknowledged isn't whole (nothing was written);
        DiskFailed: because the disk can't read it, or a repair failed.
        ForeignData: another group's WAL. NewerFormat: a later version of VerityDB wrote it. FileMissing: there is none.
        """
        path = f"{directory}/{FILE_NAME}"
        file = await disk.open(path)
        found = await recover_rings(
            file,
            path,
            limits=limits,
            group_hash=group_hash,
            with_peers=with_peers,
            checkpoint_op=checkpoint_op,
            log_view=log_view,
        )
        return cls(
            file,
            path,
            limits=limits,
            group_hash=group_hash,
            with_peers=found.with_peers,
            image=found.image,
            recovery=found.recovery,
            checkpoint_op=checkpoint_op,
        )

    @property
    def recovery(self) -> Recovery:
        """What was found at open."""
        return self._recovery

    @property
    def disk_full(self) -> DiskFull | None:
        """Set while the disk has no room for the prepares that wait."""
        return self._disk_full

    @property
    def has_waiting(self) -> bool:
        """Whether a prepare waits for the next turn: requests that come now do best to join the one after it."""
        return bool(self._waiting)

    def set_with_peers(self) -> None:
        """The group has other members now: a read of damage is no error any more."""
        self._with_peers = True

    def submit(self, prepare: Prepare, on_durable: OnDurable) -> None:
        """Take a prepare for writing; its slot is dirty at once. Alone, ops are submitted in order.

        With peers any op within reach of the released checkpoint may come, in any order, also one that is here already:
        another prepare of that op, or the same one because it can't be read any more.
        """
        header = prepare.header
        assert header.size <= self._limits.message_size_max
        assert header.size - PREPARE_HEADER_SIZE == len(prepare.body) <= self._limits.body_size_max
        if self._failed is not None:
            raise self._failed
        slot = slot_for_op(self._limits, header.op)
        old = self._headers[slot]
        assert old is None or old.op == header.op or old.op <= self._released, "op not yet in a durable checkpoint"
        assert self._released < header.op <= self._released + self._limits.wal_slots
        if slot in self._in_memory and self._in_memory[slot].header.op < header.op:
            # A backup whose disk is slow may have a checkpoint of ops before their prepares are written.
            mark("wal.lapped_while_written")
        self._headers[slot] = header
        self._durable[slot] = None
        self._in_memory[slot] = prepare
        self._damaged.pop(slot, None)
        self._waiting.append(_Pending(prepare, on_durable))
        self._wake.set()

    def truncate(self, op: int) -> None:
        """Forget every op above `op`, at once; what was submitted of them is never reported durable.

        On disk their slots are cleared before the next prepare is written.
        """
        assert op >= self._released
        for slot, header in enumerate(self._headers):
            if header is not None and header.op > op:
                mark("wal.truncated")
                self._headers[slot] = None
                self._durable[slot] = None
                self._in_memory.pop(slot, None)
                self._cuts[slot] = None
        self._waiting = [pending for pending in self._waiting if pending.prepare.header.op <= op]
        self._synced_op = min(self._synced_op, op)
        self._cut_damaged(lambda damaged_op: damaged_op > op)
        self._wake.set()

    async def wipe(self, keys: tuple[bytes, ...]) -> int:
        """Overwrite what older laps have left in the slots, and every prepare below the released checkpoint that holds
        one of these byte strings. Returns how many bytes it were, once all is synced. The writer must run."""
        assert self._wiping is None, "the journal is being wiped"
        wiping = self._wiping = Wiping(keys)
        self._wake.set()
        try:
            await wiping.done.wait()
        finally:
            self._wiping = None
        return wiping.overwritten

    async def run(self) -> None:
        """The writer. Runs until it is cancelled; raises DiskFailed when the disk fails."""
        synced: list[_Pending] = []
        while True:
            if not (self._waiting or synced or self._sectors_due or self._cuts or self._wiping):
                self._wake = trio.Event()
                await self._wake.wait()
            try:
                if self._cuts:
                    await self._clear_cuts()
                if self._wiping is not None:
                    await self._wipe_some(self._wiping)
                    await trio.lowlevel.checkpoint()
                batch, self._waiting = self._waiting, []
                await self._turn(batch, synced)
            except DiskFailed as error:
                self._failed = error
                raise
            for pending in synced:
                self._finish(pending)
            synced = [pending for pending in batch if self._is_current(pending)]
            self._synced_op = max([self._synced_op, *(pending.prepare.header.op for pending in synced)])

    def is_durable(self, op: int, checksum: bytes) -> bool:
        """Whether prepare and header of exactly this op are synced."""
        return self._durable[slot_for_op(self._limits, op)] == checksum and self.header(op) is not None

    def header(self, op: int) -> PrepareHeader | None:
        """The header of an op that the ring holds (perhaps not yet durably), or None."""
        found = self._headers[slot_for_op(self._limits, op)]
        return found if found is not None and found.op == op else None

    async def read(self, op: int) -> Prepare | None:
        """The prepare of an op; None when the ring doesn't hold it, or, while `header(op)` names it, holds it damaged.

        Alone, where nobody else has it, damage is DamagedData, and what the disk can't read DiskFailed.
        """
        slot = slot_for_op(self._limits, op)
        pending = self._in_memory.get(slot)
        if pending is not None and pending.header.op == op:
            return pending
        expected = self.header(op)
        if expected is None:
            return None
        offset = prepare_offset(self._limits, slot)
        if self._with_peers:
            data = await read_or_none(self._file, offset, expected.size)
        else:
            data = await self._file.read_at(offset, expected.size)
        prepare, _synced_op = decode_slot(data or b"")
        if prepare is not None and prepare.header.checksum == expected.checksum:
            return prepare
        if self.header(op) is not expected or slot in self._in_memory:
            mark("wal.read_overtaken")
            return await self.read(op)
        mark("wal.read_damaged")
        if self._with_peers:
            return None
        raise DamagedData(f"{self._path}: byte {offset}: the prepare of op {op} isn't as it was written")

    def release(self, checkpoint_op: int) -> None:
        """Slots of ops at or below a durable checkpoint may be overwritten from now on."""
        assert checkpoint_op >= self._released
        self._released = checkpoint_op
        self._cut_damaged(lambda damaged_op: damaged_op <= checkpoint_op)

    async def scrub_slot(self, slot: int) -> SlotFault | None:
        """Check one slot that is needed and at rest, in both rings. Returns what is wrong, or None.

        A damaged redundant header is rewritten from memory. What can't be read counts as damaged. A slot that changes
        meanwhile counts as sound.
        """
        header = self._headers[slot]
        if header is None or header.op <= self._released or self._durable[slot] != header.checksum:
            return None
        data = await read_or_none(self._file, prepare_offset(self._limits, slot), header.size)
        prepare, _synced_op = decode_slot(data or b"")
        raw = await read_or_none(self._file, header_offset(slot), PREPARE_HEADER_SIZE)
        if self._headers[slot] is not header or self._failed is not None:
            return None
        if prepare is None or prepare.header.checksum != header.checksum:
            message = f"op {header.op}: the prepare in slot {slot} is damaged"
            return SlotFault(offset=prepare_offset(self._limits, slot), message=message, repaired=False, lost=header)
        if raw != header.encode():
            mark("wal.header_scrubbed")
            self._sectors_due.append(slot // HEADERS_PER_SECTOR)
            self._wake.set()
            message = f"op {header.op}: the redundant header in slot {slot} was damaged, and is rewritten"
            return SlotFault(offset=header_offset(slot), message=message, repaired=True)
        return None

    @property
    def path(self) -> str:
        return self._path

    @property
    def group_hash(self) -> bytes:
        return self._group_hash

    @property
    def slots(self) -> int:
        return self._limits.wal_slots

    async def close(self) -> None:
        await self._file.close()

    async def _turn(self, batch: list[_Pending], synced: list[_Pending]) -> None:
        """Write the prepares of `batch` and the headers of `synced`, then sync; again while the disk is full."""
        sectors, self._sectors_due = self._sectors_due, []
        for pending in synced:
            if self._is_current(pending):
                sectors.append(self._put_header(pending.prepare.header))
        while True:
            try:
                for pending in batch:
                    slot = slot_for_op(self._limits, pending.prepare.header.op)
                    data = encode_slot(pending.prepare, self._synced_op)
                    await self._file.write_at(prepare_offset(self._limits, slot), data)
                for sector in dict.fromkeys(sectors):
                    await self._write_header_sector(sector)
                await self._file.sync()
            except DiskFull as error:
                mark("wal.disk_full")
                self._disk_full = error
                await trio.sleep(DISK_FULL_RETRY_SECONDS)
            else:
                self._disk_full = None
                return

    async def _clear_cuts(self) -> None:
        """Make the slots of truncated ops look never written: the headers first, so that no state between is doubt."""
        cuts, self._cuts = self._cuts, {}
        for slot in cuts:
            start = header_offset(slot)
            empty = encode_reserved(self._group_hash, slot)[:PREPARE_HEADER_SIZE]
            self._image[start : start + PREPARE_HEADER_SIZE] = empty
        sectors = list(dict.fromkeys(slot // HEADERS_PER_SECTOR for slot in cuts))
        while True:
            try:
                for sector in sectors:
                    await self._write_header_sector(sector)
                await self._file.sync()
                for slot in cuts:
                    await self._file.write_at(
                        prepare_offset(self._limits, slot), encode_reserved(self._group_hash, slot)
                    )
            except DiskFull as error:
                mark("wal.disk_full_at_truncation")
                self._disk_full = error
                await trio.sleep(DISK_FULL_RETRY_SECONDS)
            else:
                return

    async def _wipe_some(self, wiping: Wiping) -> None:
        """Look at the next slots; the writer's next turn isn't kept waiting for all of them."""
        try:
            for slot in range(wiping.next_slot, min(wiping.next_slot + SLOTS_PER_STEP, self._limits.wal_slots)):
                if not await self._wipe_slot(wiping, slot):
                    break
                wiping.next_slot = slot + 1
            await self._file.sync()
        except DiskFull:
            mark("wal.disk_full_at_wiping")
            await trio.sleep(DISK_FULL_RETRY_SECONDS)
            return
        if wiping.next_slot == self._limits.wal_slots:
            if self._wiping is wiping:
                self._wiping = None
            wiping.done.set()

    async def _wipe_slot(self, wiping: Wiping, slot: int) -> bool:
        """False: what is to be written there, or cleared, comes first. It may be what a faulty slot is repaired by."""
        start = prepare_offset(self._limits, slot)
        data = await read_or_none(self._file, start, self._limits.message_size_max) or b""
        header = self._headers[slot]
        if slot in self._cuts or any(pending.prepare.header is header for pending in self._waiting):
            mark("wal.wiping_waits")
            return False
        needed = header is not None and header.op > self._released
        if slot in self._damaged or (needed and header is not None and data and not is_of(data, header)):
            mark("wal.damage_wiped")
            return await self._overwrite(wiping, slot, data, wiping.kept_of_damaged(data))
        kept = wiping.kept_of(data, header, needed=needed)
        sector = encode_reserved(self._group_hash, slot)
        if not kept and (header is not None or data[: len(sector)] != sector):
            mark("wal.slot_wiped")
            if header is not None:
                self._headers[slot] = self._durable[slot] = None
                self._in_memory.pop(slot, None)
            self._image[header_offset(slot) : header_offset(slot) + PREPARE_HEADER_SIZE] = sector[:PREPARE_HEADER_SIZE]
            await self._write_header_sector(slot // HEADERS_PER_SECTOR)
            await self._file.sync()
            await self._file.write_at(start, sector)
        return await self._overwrite(wiping, slot, data, kept or len(sector))

    async def _overwrite(self, wiping: Wiping, slot: int, data: bytes, kept: int) -> bool:
        """With zeros, behind what stays; all of it where the disk couldn't read it."""
        end = sector_up(len(data.rstrip(b"\0"))) if data else self._limits.message_size_max
        if end > kept:
            await self._file.write_at(prepare_offset(self._limits, slot) + kept, bytes(end - kept))
            wiping.overwritten += end - kept
        return True

    def _cut_damaged(self, wanted: Callable[[int], bool]) -> None:
        """Slots that were damaged at open and that no op needs any more are cleared, so that they raise no doubt."""
        for slot in [slot for slot, op in self._damaged.items() if wanted(op)]:
            del self._damaged[slot]
            self._cuts[slot] = None
            self._wake.set()

    def _is_current(self, pending: _Pending) -> bool:
        """Whether this prepare is still the one that belongs in its slot."""
        header = pending.prepare.header
        return self.header(header.op) is header

    def _put_header(self, header: PrepareHeader) -> int:
        """Put a header whose prepare is synced into the image; returns its sector."""
        slot = slot_for_op(self._limits, header.op)
        start = header_offset(slot)
        self._image[start : start + PREPARE_HEADER_SIZE] = header.encode()
        return slot // HEADERS_PER_SECTOR

    async def _write_header_sector(self, sector: int) -> None:
        start = sector * SECTOR_SIZE
        await self._file.write_at(start, bytes(self._image[start : start + SECTOR_SIZE]))

    def _finish(self, pending: _Pending) -> None:
        header = pending.prepare.header
        if not self._is_current(pending):
            mark("wal.superseded")
            return
        slot = slot_for_op(self._limits, header.op)
        self._durable[slot] = header.checksum
        self._in_memory.pop(slot, None)
        pending.on_durable(header)


_KEPT = (Decision.CLEAN, Decision.FIX)


def _damaged(recovery: Recovery, limits: Limits, checkpoint_op: int) -> list[tuple[SlotRecovery, int]]:
    """The slots whose prepare is damaged, each with the op above the checkpoint that belongs there."""
    first = checkpoint_op + 1
    return [
        (entry, first + (entry.slot - first) % limits.wal_slots)
        for entry in recovery.slots
        if entry.decision in (Decision.FAULTY, Decision.TORN)
    ]

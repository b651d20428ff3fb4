"""Fetches a checkpoint that the log can't reach any more from nodes that have it.

    want -> manifest -> files of the checkpoint -> its rows name the segments -> what of them is missing here -> ready

Rules
- Everything is staged (`vdb.storage.staging`), and what an earlier life staged counts. The group goes on as it is
  meanwhile; once the target is ready, `on_ready` is called, and whoever runs the group closes it and opens it anew.
- A segment that the group's own checkpoint has as long as the target does is the same already; of one that it has in
  part, the rest is fetched. Where the own checkpoint is lost (`vdb.node.replication.rebuilding`), what lies there is
  read instead.
- A target that no source can supply any more is given up for a new one. Sources take turns.
- A manifest of a newer view than the group's own durable one isn't taken: with commits of that view beneath it, the
  replica would vouch in its older view for another log. Others are asked, until it has learnt of the view.
- What is staged is removed by one task at a time, and nothing is staged meanwhile. While a checkpoint is being fetched
  only the task that fetches it removes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import trio
from attrs import frozen

from vdb.errors import DamagedData, DiskFailed, DiskFull, FileMissing, ForeignData, NewerFormat
from vdb.marks import mark
from vdb.node import log
from vdb.node.replication.chunks import Chunks
from vdb.node.replication.group_storage import GroupStorage
from vdb.ports import Disk
from vdb.storage.pieces import Piece, has_piece, named_segments
from vdb.storage.staging import Staging, Target, clear, clear_overtaken, read_target
from vdb.storage.sync_source import checkpoint_file_name, segment_path
from vdb.vsr.message import Manifest, RequestManifest
from vdb.vsr.ready import SyncTarget

MANIFEST_SECONDS = 0.5
"""Between two requests for a manifest; each goes to the next source."""
RETRY_SECONDS = 1.0
"""After a full disk, or after all sources failed."""
FILE_TRIES_MAX = 3
"""How often a file is fetched that then isn't what the checkpoint names."""


class NotNeeded(Exception):
    """The group got there by its log."""


class TargetGone(Exception):
    """No source supplies this target, or what they supply doesn't fit: another one is needed."""


@frozen(kw_only=True)
class Standing:
    """What a group has of its own, and where."""

    disk: Disk
    directory: str
    group_hash: bytes
    replica: int
    checkpoint_op: Callable[[], int]
    """A target must be above it."""
    view: Callable[[], int] | None
    """The durable one; None: the replica isn't there, and can't reach a newer view before it has a checkpoint."""
    segments: Callable[[], Mapping[str, Piece]] | None
    """Of the own checkpoint, by path; None: it is lost."""


def standing(storage: GroupStorage) -> Standing:
    """Of a group that is open."""

    def segments() -> dict[str, Piece]:
        event_log = storage.event_log
        found = [
            Piece(segment_path(tenant, stretch.segment, pruned=stretch.pruned), stretch.length, stretch.crc)
            for tenant in event_log.durable_tenants()
            for stretch in event_log.durable_stretches(tenant)
        ]
        return {piece.path: piece for piece in found}

    return Standing(
        disk=storage.disk,
        directory=storage.directory,
        group_hash=storage.journal.group_hash,
        replica=storage.superblock.state.replica,
        checkpoint_op=lambda: storage.superblock.state.checkpoint_op,
        view=lambda: storage.superblock.state.view,
        segments=segments,
    )


class Syncer:
    """One for each time that a group is opened. `want` from the replica, `on` from the network, `run` as a task."""

    def __init__(
        self,
        *,
        group: str,
        own: Standing,
        chunks: Chunks,
        send: Callable[[int, RequestManifest], None],
        on_ready: Callable[[], None],
    ) -> None:
        self._group = group
        self._own = own
        self._chunks = chunks
        self._send = send
        self._on_ready = on_ready
        self._wanted: SyncTarget | None = None
        self._sources: tuple[int, ...] = ()
        self._offers: list[Manifest] = []
        self._wake = trio.Event()
        self._answered = trio.Event()
        self._clearing = trio.Lock()
        """Held while staged files are removed; who holds it and sees that nothing is wanted may remove all of them."""

    @property
    def busy(self) -> bool:
        """Whether a checkpoint is being fetched."""
        return self._wanted is not None

    def want(self, target: SyncTarget) -> None:
        """A checkpoint at or above this op is needed. Called as often as the replica says so."""
        self._wanted = target
        self._sources = target.sources
        self._wake.set()

    def on(self, manifest: Manifest) -> None:
        wanted = self._wanted
        if wanted is None or manifest.checkpoint_op < wanted.checkpoint_op:
            mark("syncer.manifest_unwanted")
            return
        if self._own.view is not None and manifest.view > self._own.view():
            mark("syncer.manifest_of_a_newer_view")
            return
        self._offers.append(manifest)
        self._answered.set()

    async def rid_of_overtaken(self) -> bool:
        """Whether nothing is staged of a checkpoint that the group's own has overtaken. What nobody fetches any more is
        removed; who fetches it will see soon that it isn't needed. False while such files are being removed, too: ask
        again."""
        try:
            self._clearing.acquire_nowait()
        except trio.WouldBlock:
            mark("syncer.being_cleared")
            return False
        try:
            op = self._own.checkpoint_op()
            if not self.busy:
                await clear_overtaken(self._own.disk, self._own.directory, op)
            target = await read_target(self._own.disk, self._own.directory)
            return target is None or target.op > op
        finally:
            self._clearing.release()

    async def run(self) -> None:
        """Wait until a checkpoint is wanted, stage it, call `on_ready`; returns then."""
        await self._wake.wait()
        staging = await self._open()
        while True:
            try:
                await self._stage(staging)
            except TargetGone as error:
                log.warning("group.sync_target_gone", group=self._group, reason=log.reason(error))
                staging = await self._drop(staging)
            except NotNeeded:
                mark("syncer.not_needed")
                await self._clear()
                await self._wait_to_be_wanted()
                staging = await self._open()
            except DiskFull:
                mark("syncer.disk_full")
                await trio.sleep(RETRY_SECONDS)
            else:
                self._on_ready()
                return

    async def _open(self) -> Staging:
        """What is staged. A checkpoint is wanted now, so nobody else begins to remove files; who has begun ends it."""
        assert self.busy
        async with self._clearing:
            return await Staging.open(self._own.disk, self._own.directory, group_hash=self._own.group_hash)

    async def _clear(self) -> None:
        async with self._clearing:
            await clear(self._own.disk, self._own.directory)

    async def _wait_to_be_wanted(self) -> None:
        self._wake = trio.Event()
        self._wanted = None
        await self._wake.wait()

    async def _drop(self, staging: Staging) -> Staging:
        """Forget the target, but not the files: the next one may need them."""
        mark("syncer.target_gone")
        await trio.sleep(RETRY_SECONDS)
        return staging.without_target()

    async def _stage(self, staging: Staging) -> None:
        """Everything, from the manifest to the mark that it is ready."""
        target = await self._choose_target(staging)
        log.info("group.sync_begins", group=self._group, checkpoint_op=target.op, sources=self._sources)
        for entry in target.files:
            await self._fetch(staging, target, entry.path, entry.size, entry.checksum)
        try:
            rows = await staging.load_rows()
        except (DamagedData, ForeignData, NewerFormat, DiskFailed) as error:
            raise TargetGone(str(error)) from error
        staged = []
        segments = self._own.segments() if self._own.segments is not None else None
        for piece in named_segments(rows):
            own = segments.get(piece.path) if segments is not None else None
            if own == piece or (segments is None and await has_piece(self._own.disk, self._own.directory, piece)):
                continue
            await self._stage_own_part(staging, piece, own)
            await self._fetch(staging, target, piece.path, piece.length, piece.crc)
            staged.append(piece.path)
        self._check_needed(target.op)
        await staging.finish(staged)
        log.info("group.sync_staged", group=self._group, checkpoint_op=target.op, segments=len(staged))

    async def _choose_target(self, staging: Staging) -> Target:
        """The one that is staged in part already, if it is new enough; else the one that a source names."""
        wanted = self._wanted
        assert wanted is not None
        target = staging.target
        if target is not None and target.op >= wanted.checkpoint_op:
            mark("syncer.resumed")
            return target
        own = self._own.checkpoint_op()
        if target is not None and target.op <= own:
            mark("syncer.leftovers")
            await self._clear()
        manifest = await self._ask_for_manifest()
        names = [checkpoint_file_name(entry.path) for entry in manifest.files]
        if None in names or manifest.checkpoint_op <= own:
            raise TargetGone(
                f"node {manifest.replica} offers the checkpoint at op {manifest.checkpoint_op}, not usable"
            )
        chosen = Target(
            op=manifest.checkpoint_op,
            checkpoint_id=manifest.checkpoint_id,
            configuration=manifest.configuration.pack(),
            files=manifest.files,
        )
        await staging.begin(chosen)
        return chosen

    async def _ask_for_manifest(self) -> Manifest:
        turn = 0
        self._offers.clear()
        while not self._offers:
            await self._ask(self._sources[turn % len(self._sources)])
            turn += 1
        self._sources = _first(self._offers[0].replica, self._sources)
        return self._offers[0]

    async def _ask(self, source: int) -> None:
        assert self._wanted is not None
        self._check_needed(self._wanted.checkpoint_op)
        self._answered = trio.Event()
        self._send(source, RequestManifest(checkpoint_op=self._wanted.checkpoint_op, replica=self._own.replica))
        with trio.move_on_after(MANIFEST_SECONDS):
            await self._answered.wait()

    def _check_needed(self, op: int) -> None:
        if self._own.checkpoint_op() >= op:
            raise NotNeeded

    async def _stage_own_part(self, staging: Staging, piece: Piece, own: Piece | None) -> None:
        """Copy what the group has of a segment, if that is more than what is staged. What can't be read is fetched."""
        if own is None or own.length > piece.length or await staging.length(piece.path) >= own.length:
            return
        try:
            await staging.copy_own(piece.path, own.length)
        except (DiskFailed, FileMissing):
            mark("syncer.own_part_unreadable")

    async def _fetch(self, staging: Staging, target: Target, path: str, size: int, checksum: bytes | int) -> None:
        """Stage a file: what is missing behind the part that is there. One that fails its check starts anew."""
        for attempt in range(FILE_TRIES_MAX):
            self._check_needed(target.op)
            at = await staging.length(path)
            if at > size:
                at = 0
            sources = self._sources[attempt % len(self._sources) :] + self._sources[: attempt % len(self._sources)]
            while at < size:
                chunks = await self._chunks.fetch_some(sources, target.op, path, at, size)
                if not chunks:
                    raise TargetGone(f"no source has {path}")
                for data in chunks:
                    await staging.append(path, at, data)
                    at += len(data)
            if await staging.check(path, size, checksum):
                return
        raise TargetGone(f"{path} came {FILE_TRIES_MAX} times and never was what the checkpoint names")


def _first(node: int, sources: tuple[int, ...]) -> tuple[int, ...]:
    """The sources with this one in front."""
    return (node, *(source for source in sources if source != node))

"""Applying the log to rows that nobody is served, to look at what comes out: how many, how fast, and the same again?

The rows lie in a file of their own, encrypted as those in use are, and removed at the end. Nothing has effects.
"""

from __future__ import annotations

from collections.abc import Mapping

import trio
from attrs import frozen

from vdb.errors import ProjectionFailed
from vdb.ports import Connection, Disk
from vdb.projections.apply import prepare_database
from vdb.projections.comparing import Comparison, Readable, TableDigest, compare, digest_tables
from vdb.projections.config import ProjectionConfig
from vdb.projections.generations import remove_database
from vdb.projections.meta import advance
from vdb.projections.opening import BUILD_EVENTS, Means
from vdb.projections.progress import WatchedSource
from vdb.projections.runner import ProjectionRunner
from vdb.types import GroupId, TenantId


@frozen(kw_only=True)
class Replayed:
    """`comparison` is with the rows in use; None where they can't be compared."""

    version: int
    events: int
    seconds: float
    start: dict[GroupId, int]
    positions: dict[GroupId, int]
    tables: dict[str, TableDigest]
    parked: int
    skipped: int
    error: str
    """Where a handler failed; the rows end there."""
    comparison: Comparison | None


async def replay(
    means: Means,
    tenant: TenantId,
    config: ProjectionConfig,
    path: str,
    start: Mapping[GroupId, int],
    current: Readable | None,
    differences_max: int,
) -> Replayed:
    """Apply the log from these positions (groups that aren't named: from the beginning) to where it ends now.

    `path` is free, or an earlier life's leftover. `current`: rows to compare with, which stand where the log ends.
    """
    source = WatchedSource(means.source_for(config), tenant)
    heads = source.heads()
    begins = {group: min(start.get(group, 0), head) for group, head in heads.items()}
    await remove_database(means.disk, path)
    await _prepare(means, tenant, config, path, begins)
    runner = ProjectionRunner(
        disk=means.disk,
        source=source,
        config=config,
        tenant=tenant,
        key_for=means.key_for,
        path=path,
        batch_events=BUILD_EVENTS,
        opening=means.opening,
    )
    source.hold(heads)
    try:
        async with trio.open_nursery() as nursery:
            begun = trio.current_time()
            await nursery.start(runner.run)
            error = ""
            try:
                await runner.wait_for(heads)
            except ProjectionFailed as failure:
                error = str(failure)
            seconds = trio.current_time() - begun
            status = runner.status()
            replayed = Replayed(
                version=config.version,
                events=source.events,
                seconds=seconds,
                start=begins,
                positions=status.positions,
                tables=await digest_tables(runner),
                parked=status.parked,
                skipped=status.skipped,
                error=error,
                comparison=None if current is None else await compare(current, runner, differences_max),
            )
            nursery.cancel_scope.cancel()
    finally:
        await _remove(means.disk, path)
    return replayed


async def _prepare(
    means: Means, tenant: TenantId, config: ProjectionConfig, path: str, begins: Mapping[GroupId, int]
) -> None:
    """Make the file, with the positions to begin at."""

    def work(db: Connection) -> None:
        prepare_database(db, config, tuple(sorted(begins)))
        db.execute("BEGIN IMMEDIATE")
        for group, position in begins.items():
            advance(db, config, group, 0, position)
        db.execute("COMMIT")

    await means.disk.make_directory(path.rpartition("/")[0])
    database = await means.disk.open_database(path, await means.key_for(tenant, config.name))
    try:
        await database.run(work)
    finally:
        await database.close()


async def _remove(disk: Disk, path: str) -> None:
    with trio.CancelScope(shield=True):
        await remove_database(disk, path)

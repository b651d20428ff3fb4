"""Rebuilding a projection into a fresh database: the same core, from position 0 to the log's present end."""

from __future__ import annotations

from vdb.ports import Connection, Database
from vdb.projections.apply import Culprit, Span, commit_span, prepare_database
from vdb.projections.config import ProjectionConfig
from vdb.projections.source import EventSource
from vdb.types import GroupId, TenantId

_BATCH_EVENTS = 1_000


async def rebuild(
    source: EventSource, config: ProjectionConfig, tenant: TenantId, database: Database
) -> dict[GroupId, int]:
    """Fill an empty database; the positions reached. What a handler raises comes out as it is."""
    groups = tuple(sorted(source.groups()))
    positions = await database.run(lambda db: prepare_database(db, config, groups))
    for group in groups:
        while True:
            runs, end = await source.read_log(tenant, group, positions[group], _BATCH_EVENTS)
            if not runs:
                break
            span = Span(group=group, runs=runs, start=positions[group], end=end)

            def work(db: Connection, span: Span = span) -> None:
                commit_span(db, config, span, Culprit())

            await database.run(work)
            positions[group] = end
    return positions

"""Planted bugs of our own, in storage (s) and projections (p)."""

from __future__ import annotations

from typing import Any

from sim.bugs.patch import Bug, Replacement


def index_off_by_one() -> tuple[Replacement, ...]:
    from vdb.storage.segment_index import ClosedIndex

    def make(frame_at: Any) -> Any:
        return lambda self, position: min(frame_at(self, position) + 1, len(self) - 1)

    return (Replacement(ClosedIndex, "frame_at", make),)


def checkpoint_forgets_removals() -> tuple[Replacement, ...]:
    from vdb.kernel.state import State

    def make(take: Any) -> Any:
        def take_without_removals(self: Any) -> Any:
            taken, state = take(self)
            kept = {
                table: {key: value for key, value in rows.items() if value is not None} for table, rows in taken.items()
            }
            return kept, state

        return take_without_removals

    return (Replacement(State, "take_changed", make),)


def directory_not_synced() -> tuple[Replacement, ...]:
    from vdb.storage.tenant_log import TenantLog

    def make(sync: Any) -> Any:
        async def sync_files_only(self: Any) -> None:
            self.names_unsynced = False
            await sync(self)

        return sync_files_only

    return (Replacement(TenantLog, "sync", make),)


def header_with_its_prepare() -> tuple[Replacement, ...]:
    from vdb.storage.wal import Journal

    def make(turn: Any) -> Any:
        async def write_both(self: Any, batch: Any, synced: Any) -> None:
            await turn(self, batch, [*synced, *batch])

        return write_both

    return (Replacement(Journal, "_turn", make),)


def segments_not_synced() -> tuple[Replacement, ...]:
    from vdb.storage.tenant_log import TenantLog

    def make(sync: Any) -> Any:
        async def sync_names_only(self: Any) -> None:
            self.unsynced.clear()
            await sync(self)

        return sync_names_only

    return (Replacement(TenantLog, "sync", make),)


def position_before_rows() -> tuple[Replacement, ...]:
    from vdb.projections import apply, meta, runner

    def make(_commit: Any) -> Any:
        def commit_position_first(db: Any, config: Any, span: Any, culprit: Any) -> None:
            with apply._transaction(db):
                meta.advance(db, config, span.group, span.start, span.end)
            with apply._transaction(db):
                for run in span.runs:
                    if apply._wanted(run, config):
                        apply._apply_run(db, config, run, span, culprit)

        return commit_position_first

    return (Replacement(runner, "commit_span", make),)


def last_event_of_a_run_missed() -> tuple[Replacement, ...]:
    from vdb.projections import apply

    def make(apply_run: Any) -> Any:
        def apply_all_but_last(db: Any, config: Any, run: Any, span: Any, culprit: Any) -> None:
            end = min(span.end, run.next_position)
            if run.count > 1:
                span = apply.Span(group=span.group, runs=span.runs, start=span.start, end=end - 1)
            apply_run(db, config, run, span, culprit)

        return apply_all_but_last

    return (Replacement(apply, "_apply_run", make),)


def checkpoints_not_scrubbed() -> tuple[Replacement, ...]:
    from vdb.storage.scrubber import Scrubber

    def make(_scrub: Any) -> Any:
        async def look_away(self: Any, path: str, size: int, digest: bytes) -> None:
            await self._rest(max(size, 0))

        return look_away

    return (Replacement(Scrubber, "_scrub_checkpoint_file", make),)


_ROT = {
    "nodes": 3, "spares": 0, "regions": 1, "global_nodes": 0, "beyond_repair": False, "dead_at_the_end": False,
    "sql": False, "events": False, "governance": False, "erasing": False, "rotating": False, "projection": False,
    "scrub_period_s": 2.0, "requests": 200, "disturbances": ["file_rot", "crash", "file_rot", "file_rot", "pause"] * 3,
}  # fmt: skip
"""Much rot of what lies at rest."""

STORAGE_BUGS: tuple[Bug, ...] = (
    Bug(id="s1", what="the index of closed segments is off by one", expected=("I5", "I22", "read-log", "projection"),
        replacements=index_off_by_one),
    Bug(id="s2", what="checkpoints forget removed rows", expected=("I24",), replacements=checkpoint_forgets_removals),
    Bug(id="s3", what="the directory of a new segment isn't synced", expected=("segments",),
        replacements=directory_not_synced),
    Bug(id="s4", what="a header is written before its prepare is synced", expected=("I40", "I5"),
        replacements=header_with_its_prepare),
    Bug(id="s5", what="a checkpoint doesn't sync the segments", expected=("segments",),
        replacements=segments_not_synced),
    Bug(id="s6", what="the scrubber passes over checkpoints", expected=("I38",),
        replacements=checkpoints_not_scrubbed, overrides=_ROT),
    Bug(id="p1", what="the projection commits its position before the rows", expected=("projection",),
        replacements=position_before_rows),
    Bug(id="p2", what="the projection misses the last event of a run", expected=("projection",),
        replacements=last_event_of_a_run_missed),
)  # fmt: skip

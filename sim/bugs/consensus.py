"""Planted bugs of the protocol that make sense with one replica: each was made by somebody once."""

from __future__ import annotations

from random import Random
from typing import Any

import trio

from sim.bugs.patch import Bug, Replacement


class NoSync:
    """A file whose sync says yes and does nothing."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    async def sync(self) -> None:
        await trio.lowlevel.checkpoint()


def ack_before_sync() -> tuple[Replacement, ...]:
    from vdb.storage.wal import Journal

    def make(turn: Any) -> Any:
        async def unsynced_turn(self: Any, batch: Any, synced: Any) -> None:
            file, self._file = self._file, NoSync(self._file)
            try:
                await turn(self, batch, synced)
            finally:
                self._file = file

        return unsynced_turn

    return (Replacement(Journal, "_turn", make),)


def stop_at_first_bad_slot() -> tuple[Replacement, ...]:
    from vdb.storage import recovery

    def make(_recover: Any) -> Any:
        def stop_early(ring: Any, slots: list[Any]) -> Any:
            head = recovery._checkpoint_header(ring)
            for op in range(ring.checkpoint_op + 1, ring.op_max + 1):
                entry = slots[op % len(slots)]
                if entry.decision is not recovery.Decision.CLEAN or entry.header is None or entry.header.op != op:
                    break
                head = entry.header
            head_op = head.op if head is not None else ring.checkpoint_op
            decided = tuple(recovery._settle_above_head(ring, entry, head_op) for entry in slots)
            return recovery.Recovery(head=head, head_certain=True, slots=decided, faulty=())

        return stop_early

    return (Replacement(recovery, "_recover_alone", make),)


def one_superblock_copy() -> tuple[Replacement, ...]:
    from vdb.storage import superblock

    names = ("SUPERBLOCK_COPIES", "SUPERBLOCK_WRITE_QUORUM", "SUPERBLOCK_OPEN_QUORUM")
    return tuple(Replacement(superblock, name, lambda _old: 1) for name in names)


def release_before_checkpoint() -> tuple[Replacement, ...]:
    from vdb.node.replication.checkpointer import Checkpointer

    def make(submit: Any) -> Any:
        def submit_and_release(self: Any, plan: Any) -> None:
            if not hasattr(self, "released"):
                self.released, self._on_durable = self._on_durable, lambda _op, _id: None
            submit(self, plan)
            self.released(plan.op, bytes(32))

        return submit_and_release

    return (Replacement(Checkpointer, "submit", make),)


def replies_in_memory_only() -> tuple[Replacement, ...]:
    from vdb.kernel.state import State
    from vdb.kernel.tables import Table

    def make(take: Any) -> Any:
        def take_without_replies(self: Any) -> Any:
            taken, state = take(self)
            return {table: rows for table, rows in taken.items() if table is not Table.REPLIES}, state

        return take_without_replies

    return (Replacement(State, "take_changed", make),)


class AlwaysEmpty(dict[Any, Any]):
    """A table of retries that knows of none."""

    def pop(self, _key: Any, _default: Any = None) -> Any:
        return ()


def no_dedupe_in_pipeline() -> tuple[Replacement, ...]:
    from vdb.kernel import apply
    from vdb.kernel.rows import SESSION_ROW
    from vdb.kernel.tables import SESSIONS, session_key
    from vdb.node.replication import batch as batches
    from vdb.node.replication.proposer import Proposer

    def make_answer(_answer: Any) -> Any:
        def look_at_committed_only(self: Any, _batch: Any, pending: Any) -> bool:
            reply = apply.stored_reply(self._executor.state, pending.origin)
            if reply is None:
                self._pipeline._retries = AlwaysEmpty()
                return False
            pending.on_reply(reply)
            return True

        return look_at_committed_only

    def make_execute(execute_request: Any) -> Any:
        def execute_always(draft: Any, request: Any) -> Any:
            origin = request.origin
            row = draft.rows[SESSIONS].get(session_key(origin.session)) if origin.session else None
            if row is None or SESSION_ROW.unpack(row)[1] < origin.number:
                return execute_request(draft, request)
            return apply._execute(draft, request.command)

        return execute_always

    return (
        Replacement(Proposer, "_answer_duplicate", make_answer),
        Replacement(batches, "execute_request", make_execute),
    )


def evict_by_local_order() -> tuple[Replacement, ...]:
    from vdb.kernel import sessions
    from vdb.kernel.tables import SESSIONS

    def make(_oldest: Any) -> Any:
        return lambda draft: min(draft.settled(SESSIONS))

    return (Replacement(sessions, "_least_recently_used", make),)


def reply_before_commit() -> tuple[Replacement, ...]:
    from vdb.node.preparing.request import nobody
    from vdb.node.replication.pipeline import Pipeline

    def make_add(add: Any) -> Any:
        def reply_then_wait(self: Any, op: int, batch: Any) -> None:
            add(self, op, batch)
            for index, pending in batch.waiters:
                pending.on_reply(batch.replies[index])
                pending.on_reply = pending.on_lost = nobody

        return reply_then_wait

    return (Replacement(Pipeline, "add", make_add),)


def timestamp_from_clock_alone() -> tuple[Replacement, ...]:
    from vdb.vsr.replica import Replica

    return (Replacement(Replica, "next_timestamp", lambda _old: lambda self, wall_us: wall_us),)


def kernel_draws_lots() -> tuple[Replacement, ...]:
    from vdb.kernel import apply

    lots = Random(7)

    def make(record: Any) -> Any:
        def record_at_random(draft: Any, origin: Any, reply: Any) -> None:
            before, draft.last_timestamp = draft.last_timestamp, draft.last_timestamp - lots.randrange(2)
            record(draft, origin, reply)
            draft.last_timestamp = before

        return record_at_random

    return (Replacement(apply, "record_reply", make),)


def slot_not_bound_to_op() -> tuple[Replacement, ...]:
    from vdb.storage import wal_opening

    def make(_fits: Any) -> Any:
        def fits_anywhere(header: Any, *, slot: int, wal_slots: int, group_hash: bytes) -> bool:
            return bool(header.group == group_hash)

        return fits_anywhere

    return (Replacement(wal_opening, "fits_slot", make),)


def projection_rows_before_position() -> tuple[Replacement, ...]:
    from vdb.projections import apply, meta, runner

    def make(_commit: Any) -> Any:
        def commit_twice(db: Any, config: Any, span: Any, culprit: Any) -> None:
            with apply._transaction(db):
                for run in span.runs:
                    if apply._wanted(run, config):
                        apply._apply_run(db, config, run, span, culprit)
            with apply._transaction(db):
                meta.advance(db, config, span.group, span.start, span.end)

        return commit_twice

    return (Replacement(runner, "commit_span", make),)


_ALONE = {
    "nodes": 1, "spares": 0, "regions": 1, "harmed": [], "sql": False, "events": False, "governance": False,
    "erasing": False, "rotating": False, "witnesses": 0, "projection": False,
}  # fmt: skip
"""One node, which recovers without anybody's help."""

_MISDIRECTED = {
    **_ALONE, "beyond_repair": False, "requests": 150, "disturbances": ["misdirected_write", "crash"] * 6,
    "disk": {"lose_unsynced": 0.0},
}  # fmt: skip
"""What lands in another slot is met by the next start."""

_PROJECTED = {
    **_ALONE, "beyond_repair": False, "requests": 150, "projection": True, "disturbances": ["crash"] * 6,
    "disk": {"lose_unsynced": 1.0},
}  # fmt: skip
"""A projection whose node loses its power often."""

CONSENSUS_BUGS: tuple[Bug, ...] = (
    Bug(id="1", what="prepare_ok before fsync returns", expected=("I33", "I7"), replacements=ack_before_sync),
    Bug(id="13", what="recovery stops at the first bad slot", expected=("I1", "I2", "I5"),
        replacements=stop_at_first_bad_slot, overrides=_ALONE),
    Bug(id="16", what="superblock with one copy", expected=("I33", "I40"), replacements=one_superblock_copy),
    Bug(id="17", what="a slot is overwritten before its checkpoint is durable", expected=("I27",),
        replacements=release_before_checkpoint),
    Bug(id="18", what="replies are kept in memory only", expected=("I20", "I24"), replacements=replies_in_memory_only),
    Bug(id="19", what="dedupe ignores requests in the pipeline", expected=("I19", "I20"),
        replacements=no_dedupe_in_pipeline),
    Bug(id="20", what="sessions are evicted by local order", expected=("I21",), replacements=evict_by_local_order),
    Bug(id="22", what="reply before the commit quorum", expected=("I5", "I22"), replacements=reply_before_commit),
    Bug(id="23", what="timestamp from the local clock alone", expected=("I31", "assertion"),
        replacements=timestamp_from_clock_alone),
    Bug(id="26", what="the kernel draws random numbers", expected=("I24",), replacements=kernel_draws_lots),
    Bug(id="27", what="slot number isn't bound to the op", expected=("I1", "I5", "I40", "I16"),
        replacements=slot_not_bound_to_op, overrides=_MISDIRECTED),
    Bug(id="29", what="the projection commits rows before its position", expected=("projection",),
        replacements=projection_rows_before_position, overrides=_PROJECTED),
)  # fmt: skip

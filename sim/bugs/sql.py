"""Planted bugs of SQL mode: what sessions capture, log and commit, what replicas apply, and travels to the past."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sim.bugs.patch import Bug, Replacement

_SQL = {
    "sql": True, "events": False, "sql_deeds": 100, "requests": 60, "clients": 2, "tenants": 1, "nodes": 1,
    "spares": 0, "harmed": [], "dead_at_the_end": False, "disturbances": ["crash", "crash"], "beyond_repair": False,
}  # fmt: skip
"""One node; nearly all that clients do is SQL."""
_CRASHES = {**_SQL, "disturbances": ["crash"] * 6}
_CLUSTER = {**_SQL, "nodes": 3, "disturbances": ["isolate", "deaf_primary", "partition", "isolate", "crash", "crash"]}


def savepoint_keeps_events() -> tuple[Replacement, ...]:
    from vdb.projections.store import SqliteError
    from vdb.sql.names import CAPTURE_TABLE
    from vdb.sql.session import SqlSession
    from vdb.sql.verdict import StatementKind

    def rows(session: Any) -> list[Any] | None:
        with session.classifier.trusting():
            try:
                found: list[Any] = session._raw(f"SELECT * FROM temp.{CAPTURE_TABLE}").fetchall()
            except SqliteError:
                return None
        return found

    def make(savepoint: Any) -> Any:
        async def keep_rows(self: Any, sql: Any, verdict: Any) -> None:
            kept = (rows(self) if verdict.kind is StatementKind.ROLLBACK_TO else None) or []
            await savepoint(self, sql, verdict)
            left = rows(self)
            lost = [row for row in kept if left is not None and row not in left]
            if lost:
                with self.classifier.trusting():
                    marks = ", ".join("?" * len(lost[0]))
                    self._raw(f"INSERT INTO temp.{CAPTURE_TABLE} VALUES ({marks})", lost, many=True)

        return keep_rows

    return (Replacement(SqlSession, "_savepoint", make),)


def cascades_not_captured() -> tuple[Replacement, ...]:
    from vdb.sql.capture import Capture
    from vdb.sql.catalog import Catalog
    from vdb.sql.tables import fold

    def make_prepare(prepare: Any) -> Any:
        return lambda self, writes=None, sql=None: prepare(self, writes and writes[:1], sql)

    def make(reach: Any) -> Any:
        def reach_named(self: Any, writes: Any) -> list[str]:
            if writes is None or any(fold(name) in self.triggers or fold(name) in self.views for name in writes):
                found: list[str] = reach(self, writes)
                return found
            return [fold(name) for name in writes if self.table(fold(name)) is not None]

        return reach_named

    return (Replacement(Catalog, "reach", make), Replacement(Capture, "prepare", make_prepare))


def replaced_rows_missed() -> tuple[Replacement, ...]:
    from vdb.sql.capture import Capture

    def make(prepare: Any) -> Any:
        return lambda self, writes=None, _sql=None: prepare(self, writes, "")

    return (Replacement(Capture, "prepare", make),)


def place_behind_its_rows() -> tuple[Replacement, ...]:
    from vdb.sql.meta import Place, advance
    from vdb.sql.session import SqlSession

    def make(finish: Any) -> Any:
        def finish_in_two(self: Any, ending: str, logged: Any) -> None:
            if logged is None or not self.in_transaction:
                finish(self, ending, logged)
                return
            self._raw(ending)
            self._raw("BEGIN IMMEDIATE")
            with self.classifier.trusting():
                place = Place(next_offset=logged.next_offset, position=logged.position.number)
                advance(self.db, logged.first_offset, place)
            self._raw("COMMIT")

        return finish_in_two

    return (Replacement(SqlSession, "_finish", make),)


def as_of_one_early() -> tuple[Replacement, ...]:
    from vdb.node.crud import moments

    def make(begin_of_transaction: Any) -> Any:
        async def one_early(database: Any, offset: int, end: int) -> int:
            found: int = await begin_of_transaction(database, max(0, offset - 1), end)
            return found

        return one_early

    return (Replacement(moments, "_begin_of_transaction", make),)


def refused_and_committed() -> tuple[Replacement, ...]:
    from vdb.errors import VerityError
    from vdb.node.crud.database import CrudDatabase
    from vdb.sql.host import Logged

    def make(append: Any) -> Any:
        async def append_or_not(self: Any, payloads: Any, note: Any = None) -> Any:
            first = self.applied
            try:
                return await append(self, payloads, note)
            except VerityError:
                return Logged(first_offset=first, next_offset=first + len(payloads), position=self.position, time=0)

        return append_or_not

    return (Replacement(CrudDatabase, "append", make),)


def committed_before_the_log() -> tuple[Replacement, ...]:
    from vdb.sql.host import Logged
    from vdb.sql.session import SqlSession

    def make(log: Any) -> Any:
        async def commit_first(self: Any, batch: Any, ending: str) -> None:
            if not batch.payloads:
                await log(self, batch, ending)
                return
            host = self._host
            first = host.applied
            logged = Logged(first_offset=first, next_offset=first + len(batch.payloads), position=host.position, time=0)
            try:
                await self._bridge.off_loop(lambda: self._finish(ending, logged))
                logged = await self._bridge.on_loop(lambda: host.append(batch.payloads))
                host.advance(logged)
            except BaseException as error:
                await self._abandon(batch, (), error)
                raise
            self._release(batch)
            self.last_logged = logged
            for other in batch.done:
                other.logged = logged

        return commit_first

    return (Replacement(SqlSession, "_log", make),)


def new_rows_before_old_ones_go() -> tuple[Replacement, ...]:
    from vdb.sql.applying import Applier

    waiting: dict[Any, list[tuple[Any, Any]]] = {}

    def make_delete(_delete: Any) -> Any:
        return lambda self, plan, rows: waiting.setdefault(self, []).append((plan, rows))

    def make_insert(insert: Any) -> Any:
        def insert_first(self: Any, plan: Any, rows: Any) -> None:
            insert(self, plan, rows)
            for held, old in waiting.pop(self, []):
                delete(self, held, old)

        return insert_first

    delete: Callable[..., Any] = Applier._delete
    return (Replacement(Applier, "_delete", make_delete), Replacement(Applier, "_insert", make_insert))


def sequences_lost() -> tuple[Replacement, ...]:
    from vdb.sql.capture import Capture

    return (Replacement(Capture, "_changed_sequences", lambda _changed: lambda self: []),)


def batch_logged_in_part() -> tuple[Replacement, ...]:
    from vdb.sql.session import SqlSession

    def make(log: Any) -> Any:
        async def log_all_but_last(self: Any, batch: Any, ending: str) -> None:
            if len(batch.transactions) > 1:
                starts = [at for at, payload in enumerate(batch.payloads) if _begins(payload)]
                del batch.payloads[starts[-1] :]
            await log(self, batch, ending)

        return log_all_but_last

    return (Replacement(SqlSession, "_log", make),)


def first_after_a_restore_point() -> tuple[Replacement, ...]:
    from vdb.node.crud import copies
    from vdb.sql.meta import Place, advance

    left: dict[int, None] = {}

    def make_leave(leave: Any) -> Any:
        async def leave_and_note(self: Any, file: Any, offset: int) -> None:
            await leave(self, file, offset)
            left[offset] = None

        return leave_and_note

    def make_apply(apply: Any) -> Any:
        def apply_but_one(portion: Any, db: Any) -> None:
            first = portion[0]
            if len(portion) > 1 or first.first_offset not in left:
                apply(portion, db)
                return
            db.execute("BEGIN IMMEDIATE")
            advance(db, first.first_offset, Place(next_offset=first.next_offset, position=first.position))
            db.execute("COMMIT")

        return apply_but_one

    return (Replacement(copies.Copies, "_leave", make_leave), Replacement(copies, "_apply", make_apply))


def raw_text_mended() -> tuple[Replacement, ...]:
    from vdb.sql import capture

    def make(_text_or_raw: Any) -> Any:
        return lambda data: bytes(data).decode("utf-8", "replace")

    return (Replacement(capture, "text_or_raw", make),)


def _begins(payload: Any) -> bool:
    from vdb.wire.sql import peek

    return peek(payload.data).number == 0


SQL_BUGS: tuple[Bug, ...] = (
    Bug(id="q1", what="what a savepoint rolled back is logged", expected=("Q4", "Q6"),
        replacements=savepoint_keeps_events, overrides=_SQL),
    Bug(id="q2", what="what a foreign key's action did isn't captured", expected=("Q4", "Q6"),
        replacements=cascades_not_captured, overrides=_SQL),
    Bug(id="q3", what="rows that REPLACE deletes aren't captured", expected=("Q4", "Q6"),
        replacements=replaced_rows_missed, overrides=_SQL),
    Bug(id="q4", what="the file's place is committed in another transaction than the rows", expected=("Q6",),
        replacements=place_behind_its_rows, overrides=_CRASHES),
    Bug(id="q5", what="AS OF is one event early", expected=("Q8",), replacements=as_of_one_early, overrides=_SQL),
    Bug(id="q6", what="a transaction that the log refused is committed", expected=("Q2", "Q6", "Q7"),
        replacements=refused_and_committed, overrides=_CLUSTER),
    Bug(id="q7", what="SQLite commits before the log has the transaction", expected=("Q6", "Q7"),
        replacements=committed_before_the_log, overrides=_CRASHES),
    Bug(id="q8", what="new rows are applied before the old ones are gone", expected=("Q4", "Q6"),
        replacements=new_rows_before_old_ones_go, overrides=_SQL),
    Bug(id="q9", what="changes of sequences aren't logged", expected=("Q4", "Q6"),
        replacements=sequences_lost, overrides={**_SQL, "sql_shapes": ["counted", "people"]}),
    Bug(id="q10", what="the last transaction of a batch isn't logged", expected=("Q2", "Q6"),
        replacements=batch_logged_in_part, overrides={**_SQL, "sql_clients": 8}),
    Bug(id="q11", what="AS OF the first commit after a restore point is what it was before it", expected=("Q8", "Q9"),
        replacements=first_after_a_restore_point, overrides={**_SQL, "sql_every_commit": True}),
    Bug(id="q12", what="text that isn't UTF-8 is captured as text that is", expected=("Q4", "Q6"),
        replacements=raw_text_mended, overrides={**_SQL, "sql_raw_text": True}),
)  # fmt: skip

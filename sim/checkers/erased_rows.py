"""Rows of SQL databases about people who are erased: what may be read of them where, as the log has it.

- E9: once a node has said that its disk is rid of an erasure's keys, nothing about that subject is read from its file,
  of now or AS OF any offset; the history of a row says nothing of it as soon as the node goes by the erasure.
- E10: rows about others are what the log has, and so is their history; who was told of a transaction finds it there;
  nothing about a subject is logged after the subject's erasure.
- E11: no file of the database on such a node, restore points and what was set aside too, has a page in which anything
  about the subject stands: neither free nor in a write-ahead file, and under none of the keys that the name ever had.
- E12: an idle cluster's erasures are complete: a part of I38.

Each text that is written about a subject has the subject's name in it, so that rows tell whom they are about. What a
file holds about subjects who are being erased is between the two: it isn't looked at.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from attrs import define, field

from sim.checkers.contents import Contents
from sim.checkers.file_keys import file_keys, key_of_file
from sim.checkers.file_pages import text_in
from sim.checkers.sql_log import Logged, SqlLog
from sim.machine import Machine
from sim.sql.model import Dump, dump
from sim.verdict import Verdict
from vdb.changes import Operation, RowChange
from vdb.errors import DatabaseDamaged, WrongKey
from vdb.kernel.command import KeyScope
from vdb.kernel.erasure import erasures_of
from vdb.kernel.erasure_command import AckErasure, EraseSubject, ErasureCommand
from vdb.kernel.reply import Numbered, Reply
from vdb.projections.running import database_path
from vdb.projections.store import SqliteError, close_sqlcipher, open_sqlcipher
from vdb.sql.diffing import TableDiff
from vdb.sql.history import Version
from vdb.sql.meta import Place, read_place
from vdb.sql.names import META_TABLE, STREAM_PREFIX
from vdb.types import GroupId, TenantId
from vdb.world.database import work_on


@define(eq=False, kw_only=True)
class ErasedRows:
    """Of one database. `contents` are of its group; `is_known`: whether a node's disk is the one that it spoke of."""

    tenant: TenantId
    database: str
    columns: Mapping[str, str]
    """The subject columns, by table."""
    subjects: Sequence[str]
    """All that there may ever be."""
    contents: Contents
    verdict: Verdict
    is_known: Callable[[int], bool]
    machine: Callable[[int], Machine]
    log: SqlLog = field(init=False)
    asked: dict[str, None] = field(factory=dict)
    """Subjects that somebody has asked to be erased."""
    numbers: dict[int, str] = field(factory=dict)
    """Whom erasures are of."""
    acked: dict[int, dict[str, None]] = field(factory=dict)
    """By node: subjects of whom its disk is rid, by its word."""
    _heads: dict[str, int] = field(factory=dict)
    """By subject: where the stream ended when the erasure was committed."""

    def __attrs_post_init__(self) -> None:
        stream = STREAM_PREFIX + self.database
        self.log = SqlLog(self.contents, self.verdict, tenant=int(self.tenant), stream=stream)

    @property
    def path(self) -> str:
        """Of the file, on each node."""
        return database_path(self.tenant, self.database)

    # What the log says -----------------------------------------------------------------------------------------

    def hear(self, command: ErasureCommand, reply: Reply) -> None:
        """A command of the group was committed."""
        if not isinstance(reply, Numbered) or command.tenant != self.tenant:
            return
        if isinstance(command, EraseSubject):
            subject = self._subject_of(command.subject)
            self._heads[subject] = self.log.catch_up()
            self.numbers[reply.number] = subject
            # What is written from now on may take the place of what was erased.
            for table, column in self.columns.items() if self._heads[subject] else ():
                self.log.change(f"DELETE FROM {table} WHERE {column} = ?", subject)
        elif isinstance(command, AckErasure) and self.is_known(command.node):
            self.acked.setdefault(command.node, {})[self.numbers[command.erasure]] = None
            self.check_files(self.machine(command.node))

    def _subject_of(self, lookup: bytes) -> str:
        self.contents.catch_up()
        keyring = self.contents.keyring
        return next(one for one in self.subjects if keyring.lookup(self.tenant, KeyScope.SUBJECT, one) == lookup)

    def applied(self, machine: Machine) -> dict[str, None]:
        """Subjects whose erasure the node goes by."""
        assert machine.node is not None
        state = machine.node.groups[GroupId(self.contents.ledger.group)].state
        return {self.numbers[one.erasure]: None for one in erasures_of(state, self.tenant)}

    def check_log(self, told: dict[int, tuple[int, int]]) -> None:
        """E10, at the end. `told`: by deed, where clients were told that it lies."""
        self.log.catch_up()
        for deed, place in told.items():
            found = self.log.by_deed.get(deed)
            lies = found is not None and place[0] <= found.first_offset < found.next_offset <= place[1]
            self.verdict.check("E10", lies, f"deed {deed} was told {place}, and lies elsewhere or nowhere")
        for subject, head in self._heads.items():
            late = [one for one in self.log.transactions if one.first_offset >= head and _names(one, subject)]
            where = late[0].first_offset if late else 0
            self.verdict.check("E10", not late, f"at {where} a row about {subject} was logged, who had been erased")

    # Rows ------------------------------------------------------------------------------------------------------

    def check_rows(self, number: int, who: str, offset: int, found: Dump) -> None:
        """E9 and E10, of what a node's file holds at an offset."""
        self.log.catch_up()
        gone = _about(found, self.acked.get(number, {}))
        self.verdict.check("E9", not gone, f"{who}: at {offset} there is {gone[:1]}, which the node said is gone")
        due = self.log.dumps.get(offset)
        if self.verdict.check("E10", due is not None, f"{who}: no transaction of the log ends at {offset}"):
            assert due is not None
            differs = self._without_asked(found).differs(self._without_asked(due))
            self.verdict.check("E10", not differs, f"{who}: at {offset} others' rows differ from the log: {differs}")

    def end_before(self, offset: int) -> int:
        """Where the last transaction ends that ends at or before an offset."""
        self.log.catch_up()
        ends = list(self.log.dumps)
        return ends[bisect_right(ends, offset) - 1]

    def _without_asked(self, rows: Dump) -> Dump:
        kept = {
            name: tuple(row for row in some if not any(subject in row for subject in self.asked))
            for name, some in rows.tables.items()
        }
        return Dump(rows.schema, kept)

    def check_versions(self, who: str, gone: Sequence[str], key: int, head: int, found: Sequence[Version]) -> None:
        """E9 and E10, of the history of a visit up to an offset. `gone`: those whose erasure the node went by."""
        self.log.catch_up()
        told = [(one.first_offset, one.after["note"]) for one in found if one.after is not None]
        texts = [str(image) for one in found for image in (one.before, one.after) if image is not None]
        shown = [text for text in texts if any(subject in text for subject in gone)]
        self.verdict.check("E9", not shown, f"{who}: the history of visit {key} has {shown[:1]}, which was erased")
        due = [
            (one.first_offset, step.after[-1])
            for one in self.log.transactions
            for step in one.transaction.steps
            if one.next_offset <= head and isinstance(step, RowChange) and step.after is not None
            if one.transaction.layouts[step.layout].table == "visits" and step.after[0] == key
        ]
        asked = [str(text) for text in self.asked]
        told, due = (
            [(offset, note) for offset, note in some if not any(one in str(note) for one in asked)]
            for some in (told, due)
        )
        self.verdict.check("E10", told == due, f"{who}: the history of visit {key} is {told}; the log has {due}")

    def check_erased_versions(self, who: str, subject: str, found: Sequence[Version]) -> None:
        """E9, of the history of a row whose key names a subject by whose erasure the node goes."""
        shown = [one for one in found if one.operation is not Operation.ERASED or one.before or one.after]
        self.verdict.check("E9", not shown, f"{who}: the history of {subject}, who was erased, has {shown[:1]}")

    def check_differences(self, who: str, gone: Sequence[str], found: Sequence[TableDiff]) -> None:
        """E9, of what differs between two states. `gone`: those of whom the node had said that its disk is rid."""
        texts = [str((row.before, row.after)) for table in found for row in table.rows]
        shown = [text for text in texts if any(subject in text for subject in gone)]
        self.verdict.check("E9", not shown, f"{who}: the differences have {shown[:1]}, which was erased")

    # Files -----------------------------------------------------------------------------------------------------

    def check_files(self, machine: Machine) -> None:
        """E11, of all files of the database on a node."""
        subjects = [one.encode() for one in self.acked.get(machine.number, {})]
        if not subjects:
            return
        keys = self._keys()
        files = {unquote(name): content for name, content in machine.scratch.files().items()}
        for name, content in files.items():
            if not name.endswith("-wal") and f"/t_{self.tenant}/" in name:
                found = text_in(content, files.get(f"{name}-wal", b""), keys, subjects)
                self.verdict.check("E11", not found, f"{machine.name}: a page of {name} has what is about {found}")

    def check_file(self, machine: Machine) -> None:
        """E9 and E10, of the file that an ended incarnation left; then E11."""
        self.check_files(machine)
        keys = self._keys()
        if not keys or not machine.scratch.exists(self.path):
            return
        file = machine.scratch.location(self.path)
        try:
            connection = open_sqlcipher(file, key_of_file(keys, file))
            try:
                found = work_on(connection, _place_and_rows, self.path)
            finally:
                close_sqlcipher(connection)
        except (WrongKey, DatabaseDamaged, SqliteError) as error:
            rotted = self.path in machine.scratch.rotted
            self.verdict.check("E10", rotted, f"{machine.name}: {self.path} is damaged: {error}")
            return
        if found is not None:
            self.check_rows(machine.number, f"{machine.name}: {self.path}", found[0].next_offset, found[1])

    def _keys(self) -> list[bytes]:
        """All that the name ever had, those that were destroyed too."""
        self.contents.catch_up()
        return file_keys(self.contents.keyring, self.tenant, self.database)


def _place_and_rows(db: Any) -> tuple[Place, Dump] | None:
    """None of a file that had only just been made."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (META_TABLE,)).fetchone():
        return None
    return read_place(db), dump(db)


def _about(rows: Dump, subjects: dict[str, None]) -> list[str]:
    return [row for some in rows.tables.values() for row in some if any(subject in row for subject in subjects)]


def _names(logged: Logged, subject: str) -> bool:
    return any(
        isinstance(step, RowChange) and subject in str((step.before, step.after)) for step in logged.transaction.steps
    )

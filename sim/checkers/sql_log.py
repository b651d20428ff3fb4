"""The stream of the SQL database, as the log has it: whole transactions, replayed one by one onto a fresh database.

Q1 (each deed once, its events contiguous and numbered) and half of Q4 (the log can be replayed) are checked as the log
grows. What the replay holds after each transaction is what any file must hold that says it is there.
"""

from __future__ import annotations

from attrs import define, field, frozen

from sim.checkers.contents import Contents
from sim.sql.deeds import METADATA_KEY
from sim.sql.load import DATABASE, TENANT
from sim.sql.model import Dump, dump
from sim.verdict import Verdict
from vdb.changes import Transaction
from vdb.errors import VerityError
from vdb.ports import Connection
from vdb.projections.store import SqliteError, close_sqlcipher, in_transaction, open_plain_memory
from vdb.sql.applying import apply_transaction
from vdb.sql.names import STREAM_PREFIX
from vdb.wire.sql import TransactionReader

STREAM = STREAM_PREFIX + DATABASE


@frozen(kw_only=True)
class Logged:
    """One transaction of the log. `deed` is the number of the client's deed; 0 if it names none."""

    deed: int
    transaction: Transaction
    first_offset: int
    next_offset: int


@define
class SqlLog:
    """`contents` are of the database's group. `catch_up` opens what was committed since."""

    contents: Contents
    verdict: Verdict
    tenant: int = TENANT
    stream: str = STREAM
    transactions: list[Logged] = field(factory=list)
    head: int = 0
    """The next offset of the stream."""
    dumps: dict[int, Dump] = field(factory=dict)
    """By offset: what a database holds that has applied the log up to it."""
    positions: list[int] = field(factory=list)
    """Of each event of the stream, in the group's log."""
    times: list[int] = field(factory=list)
    """Of each event, in microseconds UTC."""
    by_deed: dict[int, Logged] = field(factory=dict)
    _db: Connection = field(factory=open_plain_memory)
    _reader: TransactionReader = field(factory=TransactionReader)
    _begin: int = 0
    _seen: int = 0
    """Events of the tenant that were looked at."""

    def __attrs_post_init__(self) -> None:
        self.dumps[0] = dump(self._db)

    def close(self) -> None:
        close_sqlcipher(self._db)

    def catch_up(self) -> int:
        """Open what is new; the next offset."""
        self.contents.catch_up()
        events = self.contents.events.get(self.tenant, [])
        for event in events[self._seen :]:
            if event.stream.name == self.stream and self.verdict.ok:
                self.positions.append(event.position)
                self.times.append(event.time)
                self._add(event.payload)
        self._seen = len(events)
        return self.head

    def change(self, sql: str, *parameters: str) -> None:
        """Have what is replayed from now on build on other rows: some of them were erased."""
        self._db.execute(sql, parameters)

    def _add(self, payload: bytes) -> None:
        try:
            transaction = self._reader.feed(payload)
        except VerityError as error:
            self.verdict.check("Q1", False, f"offset {self.head}: {type(error).__name__}: {error}")
            return
        self.head += 1
        if transaction is None:
            return
        number = int(transaction.attribution.metadata.get(METADATA_KEY, "0"))
        logged = Logged(deed=number, transaction=transaction, first_offset=self._begin, next_offset=self.head)
        self._begin = self.head
        before = self.by_deed.get(number)
        self.verdict.check(
            "Q1",
            before is None,
            f"deed {number} is in the log at {before and before.first_offset} and at {logged.first_offset}",
        )
        self.transactions.append(logged)
        self.by_deed[number] = logged
        self._replay(logged)

    def _replay(self, logged: Logged) -> None:
        try:
            self._db.execute("BEGIN")
            apply_transaction(self._db, logged.transaction)
            self._db.execute("COMMIT")
        except (VerityError, SqliteError, AssertionError) as error:
            if in_transaction(self._db):
                self._db.execute("ROLLBACK")
            self.verdict.check("Q4", False, f"deed {logged.deed} can't be replayed at {logged.first_offset}: {error}")
            return
        before = self.dumps.get(logged.first_offset)
        found = dump(self._db)
        if before is not None:  # what hasn't changed is kept once
            kept = {name: before.tables[name] if before.tables.get(name) == rows else rows
                    for name, rows in found.tables.items()}  # fmt: skip
            found = Dump(before.schema if before.schema == found.schema else found.schema, kept)
        self.dumps[logged.next_offset] = found

"""Brings the file of a SQL database up to the log: backups live by it, and every file after a crash.

What is read are whole transactions, from the place that the file itself tells; each is applied in one SQLite
transaction together with its place. Transactions of this node's own sessions are in the file by then.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from functools import partial

import trio
from attrs import frozen

from vdb.changes import SchemaChange, Transaction
from vdb.errors import DamagedData
from vdb.node.gate.mending import until_mended
from vdb.node.gate.reader import GroupReader
from vdb.ports import Connection
from vdb.sql.applying import Applier
from vdb.sql.meta import Place, advance
from vdb.types import TenantId
from vdb.wire.event import ERASED_SCHEMA, decode_batch
from vdb.wire.sql import TransactionReader

READ_EVENTS = 5000
"""Events of the stream that are opened at a time."""

DECODE_EVENTS = 500
"""Events that are decoded in one go: other tasks of the loop don't wait for more."""

APPLY_STEPS = 2000
"""Row changes, about, that go into one SQLite transaction: a big one costs less a row, and holds the writer longer."""


@frozen(kw_only=True)
class LoggedTransaction:
    """A transaction as the log has it."""

    transaction: Transaction
    first_offset: int
    next_offset: int
    position: int
    """Of the event after its last."""
    time: int
    """Microseconds UTC of the op that appended it."""
    erased: tuple[bytes, ...] = ()
    """Tokens of the subjects whose rows in it were erased."""


async def read_transactions(
    reader: GroupReader, tenant: TenantId, stream: str, from_offset: int, to_offset: int
) -> AsyncGenerator[list[LoggedTransaction], None]:
    """The transactions between two offsets, both of which are ends of transactions; some at a time, in order."""
    folding = TransactionReader()
    begin = offset = from_offset
    tokens: dict[bytes, None] = {}
    while offset < to_offset:
        state = reader.find(tenant, stream)
        assert state is not None, "a stream never goes away"
        maximum = min(READ_EVENTS, to_offset - offset)
        read = partial(reader.read_stream, tenant, state, stream, offset, maximum, ids_only=False)
        runs = await until_mended(reader.group, read)
        found: list[LoggedTransaction] = []
        for run in runs:
            erased = run.schema_id == ERASED_SCHEMA
            if erased:
                tokens[run.subject_token] = None
            for payload in decode_batch(run.batch):
                transaction = folding.feed_erased() if erased else folding.feed(payload)
                offset += 1
                if offset % DECODE_EVENTS == 0:
                    await trio.lowlevel.checkpoint()
                if transaction is not None:
                    found.append(
                        LoggedTransaction(
                            transaction=transaction,
                            first_offset=begin,
                            next_offset=offset,
                            position=run.first_position + offset - run.first_offset,
                            time=run.time,
                            erased=tuple(tokens),
                        )
                    )
                    begin = offset
                    tokens.clear()
        yield found
    if begin != to_offset:
        raise DamagedData(f"a SQL database's stream: expected a transaction's end at {to_offset}, found it at {begin}")


def portions(transactions: Sequence[LoggedTransaction]) -> list[list[LoggedTransaction]]:
    """What goes into one SQLite transaction each."""
    found: list[list[LoggedTransaction]] = []
    room = 0
    for one in transactions:
        if room <= 0:
            found.append([])
            room = APPLY_STEPS
        found[-1].append(one)
        room -= len(one.transaction.steps) + 1
    return found


def apply_logged(db: Connection, transactions: Sequence[LoggedTransaction]) -> None:
    """Apply these, which follow each other, in one transaction with their place."""
    db.execute("BEGIN IMMEDIATE")
    applier = Applier(db)
    try:
        for one in transactions:
            applier.apply(one.transaction)
    finally:
        applier.release()
    last = transactions[-1]
    advance(db, transactions[0].first_offset, Place(next_offset=last.next_offset, position=last.position))
    db.execute("COMMIT")


def changes_schema(transactions: Sequence[LoggedTransaction]) -> bool:
    """Whether the schema is another one after these."""
    return any(isinstance(step, SchemaChange) for one in transactions for step in one.transaction.steps)

"""What a caller far away tells a session with each call, and what it is told: values that cross to another machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import field, frozen

from vdb.changes import Attribution, Value
from vdb.errors import DatabaseLocked, InvalidArgument, SqlRefused
from vdb.types import Consistency, Position, ReadLevel

Parameters = Sequence[Value] | Mapping[str, Value]

STAYS_OPEN = (SqlRefused, DatabaseLocked, InvalidArgument)
"""After these an open transaction is still open. SqlFailed says for itself; after every other error it is over."""


@frozen(kw_only=True)
class SqlCall:
    """What goes with every call of a session that may write."""

    transaction: bytes = b""
    """Id of what the call commits, 16 bytes; empty: the node chooses one."""
    within: bool = False
    """The caller believes that a transaction is open."""
    level: ReadLevel = Consistency.LINEARIZABLE
    """Of what is read outside of a transaction, or where one begins."""
    attribution: Attribution | None = None
    """On whose behalf, from now on; None: as before."""


@frozen(kw_only=True)
class SqlStatement:
    """A statement with its parameters, positional or named."""

    sql: str = field(repr=False)
    parameters: Parameters = field(default=(), repr=False)


@frozen(kw_only=True)
class SqlAnswer:
    """What a statement gave, and how the session stands after it."""

    columns: tuple[str, ...] | None = None
    """None: the statement returns no rows."""
    declared: tuple[str, ...] = ()
    """Of each column the type that it is declared with, or ""."""
    rows: list[tuple[Value, ...]] = field(factory=list, repr=False)
    cursor: int = 0
    """Where to fetch the rows that are left; 0: there are none."""
    rowcount: int = -1
    lastrowid: int | None = None
    in_transaction: bool = False
    position: Position | None = None
    """Before which the last transaction lies that the session committed; None: it has committed none."""
    next_offset: int = 0
    """Of the database's stream, as far as the node's file has applied it."""
    total_changes: int = 0
    """Rows that the session has changed."""


@frozen(kw_only=True)
class SqlOutcome:
    """What became of a transaction."""

    committed: bool
    position: Position | None = None
    next_offset: int = 0

"""Row changes of a SQL database, as values: what one transaction did, in the order in which it did it.

    Transaction
      layouts   what the tables looked like that it changed: names of columns, and how a row is identified
      steps     RowChange | SequenceChange | SchemaChange, in order

Rules
- A row has the values of its table's ordinary columns; generated ones are computed wherever the row is written.
- A change names its table by the index of a layout of its own transaction, so it stays readable whatever happens to
  the table later. A table that is altered within a transaction has one layout before and another after.
- An update has both images, an insert only `after`, a delete only `before`.
- A table with rowids carries the rowid beside its columns (`rowid_before`, `rowid_after`), also where a column is an
  alias of it; a table WITHOUT ROWID is identified by its primary key alone and has None there.
- Text that isn't UTF-8 is RawText. SQLite has no NaN: it stores NULL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum

from attrs import field, frozen


@frozen
class RawText:
    """A value of storage class TEXT whose bytes aren't UTF-8."""

    data: bytes = field(repr=False)


Value = None | int | float | str | bytes | RawText
"""A value of SQLite: its five storage classes; text as str where it is UTF-8."""

Image = Sequence[Value]
"""A row: the values of its layout's columns, in their order."""


class Operation(IntEnum):
    """What happened to a row."""

    INSERT = 1
    UPDATE = 2
    DELETE = 3
    ERASED = 4
    """Of what is told of the past alone: one of those, of a row whose subject was erased since."""


@frozen(kw_only=True)
class Layout:
    """A table at the time of a change."""

    table: str
    columns: tuple[str, ...]
    """Ordinary columns (no generated ones), in their declared order."""
    key: tuple[str, ...] = ()
    """Columns of the primary key, in its order; empty where there is none."""
    rowid: bool = True
    """Whether the table has rowids."""


@frozen(kw_only=True)
class RowChange:
    """One row was inserted, updated or deleted."""

    layout: int
    """Index into the transaction's layouts."""
    operation: Operation
    rowid_before: int | None = None
    rowid_after: int | None = None
    before: Image | None = field(default=None, repr=False)
    after: Image | None = field(default=None, repr=False)


@frozen(kw_only=True)
class SequenceChange:
    """The row of a table in `sqlite_sequence` (AUTOINCREMENT) is now this; None: there is none any more."""

    table: str
    value: int | None


@frozen(kw_only=True)
class SchemaChange:
    """A statement that changed the schema, as the user wrote it."""

    sql: str = field(repr=False)


Step = RowChange | SequenceChange | SchemaChange


@frozen(kw_only=True)
class Attribution:
    """On whose behalf: goes with every transaction into the log, into history and the audit trail."""

    actor: str = ""
    purpose: str = ""
    metadata: Mapping[str, str] = field(factory=dict)


NOBODY = Attribution()
"""Nothing was said."""


@frozen(kw_only=True)
class Transaction:
    """All that one transaction did. `id` has 16 bytes."""

    id: bytes
    attribution: Attribution = NOBODY
    layouts: tuple[Layout, ...] = ()
    steps: tuple[Step, ...] = ()

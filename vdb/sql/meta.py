"""`projection_meta` of a SQL database: how much of its stream the file has applied. One row.

    projection   TEXT     the database's name
    version      INTEGER  of this layout
    grp          TEXT     the group
    position     INTEGER  all of the tenant's events before it, as far as they concern this database, are applied
    next_offset  INTEGER  the next offset of the database's stream to apply
    fingerprint  TEXT     hex id of the stream

It moves by compare-and-set, in the transaction of the rows: of two writers only one can win.
"""

from __future__ import annotations

from attrs import frozen

from vdb.errors import DatabaseDamaged, ForeignData
from vdb.ports import Connection
from vdb.sql.names import META_TABLE

VERSION = 1

_CREATE = (
    f"CREATE TABLE IF NOT EXISTS main.{META_TABLE} (projection TEXT NOT NULL, version INTEGER NOT NULL, "
    "grp TEXT NOT NULL, position INTEGER NOT NULL, next_offset INTEGER NOT NULL, fingerprint TEXT NOT NULL, "
    "PRIMARY KEY (projection, grp)) STRICT"
)
_ADVANCE = f"UPDATE main.{META_TABLE} SET position = ?, next_offset = ? WHERE next_offset = ?"


@frozen(kw_only=True)
class Place:
    """How much of the log a file has applied."""

    next_offset: int
    position: int


def prepare_meta(db: Connection, *, database: str, group: str, stream: int) -> Place:
    """Make the table if the file is new; where the file stands. ForeignData for a file of another database."""
    db.execute("BEGIN IMMEDIATE")
    db.execute(_CREATE)
    db.execute(
        f"INSERT INTO main.{META_TABLE} VALUES (?, ?, ?, 0, 0, ?) ON CONFLICT DO NOTHING",
        (database, VERSION, group, f"{stream:016x}"),
    )
    rows = db.execute(f"SELECT projection, version, grp, fingerprint FROM main.{META_TABLE}").fetchall()
    db.execute("COMMIT")
    expected = (database, VERSION, group, f"{stream:016x}")
    if rows != [expected]:
        raise ForeignData(f"the file of database {database!r}: expected it to be of {expected}, found {rows}")
    return read_place(db)


def read_place(db: Connection) -> Place:
    """Where the file stands, as this connection sees it."""
    row = db.execute(f"SELECT next_offset, position FROM main.{META_TABLE}").fetchone()
    if row is None:
        raise DatabaseDamaged("a SQL database has lost its place in the log")
    return Place(next_offset=row[0], position=row[1])


def advance(db: Connection, old: int, new: Place) -> None:
    """Move on, within the transaction of the rows."""
    assert old <= new.next_offset, "a database never goes back in its log"
    changed = db.execute(_ADVANCE, (new.position, new.next_offset, old)).rowcount
    assert changed == 1, f"the file stands at another offset than {old}: somebody else wrote to it"

"""Q6: a node's file holds exactly what the replay of the log holds, up to where the file says that it is.

It is looked at whenever an incarnation has ended: after a loss of power with what that left of it.
"""

from __future__ import annotations

from sim.checkers.sql_log import SqlLog
from sim.sql.model import dump
from sim.verdict import Verdict
from vdb.projections.store import close_sqlcipher, open_sqlcipher
from vdb.sql.meta import read_place
from vdb.sql.names import META_TABLE
from vdb.world.database import work_on


def check_sql_file(verdict: Verdict, file: str, key: bytes, name: str, log: SqlLog) -> None:
    """WrongKey or DatabaseDamaged when the file can't be read."""
    connection = open_sqlcipher(file, key)
    try:
        made = work_on(
            connection,
            lambda db: db.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (META_TABLE,)).fetchone(),
            name,
        )
        if made is None:
            return  # a file that had only just been made
        place = work_on(connection, read_place, name)
        found = work_on(connection, dump, name)
    finally:
        close_sqlcipher(connection)
    due = log.dumps.get(place.next_offset)
    if verdict.check(
        "Q6",
        due is not None,
        f"{name} says that it has applied the log up to {place.next_offset}; no transaction ends there",
    ):
        assert due is not None
        differs = found.differs(due)
        verdict.check("Q6", not differs, f"{name} at offset {place.next_offset} differs from the log: {differs}")

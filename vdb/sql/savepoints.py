"""Which savepoints of a transaction are open, by what a session ran: SQLite keeps the list, and doesn't tell it.

A savepoint that is opened outside of a transaction begins one, and releasing it commits: a session has to know that
beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from vdb.ports import Connection
from vdb.projections.store import in_transaction


@contextmanager
def all_or_nothing(db: Connection, name: str) -> Iterator[None]:
    """A savepoint of our own: an error takes back what is within, and the transaction goes on if it is still there."""
    db.execute(f"SAVEPOINT {name}")
    try:
        yield
    except BaseException:
        if in_transaction(db):
            db.execute(f"ROLLBACK TO {name}")
            db.execute(f"RELEASE {name}")
        raise
    db.execute(f"RELEASE {name}")


class Savepoints:
    """Names are compared as SQLite does; of several with one name the newest is meant."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._began = False

    def opened(self, name: str, *, began: bool) -> None:
        """A savepoint was opened; `began`: it was the begin of the transaction, too."""
        self._began = began or (self._began and bool(self._names))
        self._names.append(name.lower())

    def commits(self, name: str) -> bool:
        """Whether releasing it ends the transaction that it began."""
        return self._began and name.lower() in self._names and self._index(name) == 0

    def released(self, name: str) -> None:
        """It is gone, and with it all that were opened later."""
        del self._names[self._index(name) :]

    def rolled_back_to(self, name: str) -> None:
        """It is still open; all that were opened later are gone."""
        del self._names[self._index(name) + 1 :]

    def clear(self) -> None:
        """The transaction is over."""
        self._names.clear()
        self._began = False

    def _index(self, name: str) -> int:
        return len(self._names) - 1 - self._names[::-1].index(name.lower())

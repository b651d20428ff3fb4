"""A database in memory that takes what a SQL database takes, and logs nothing: for trying out migrations.

What a real session refuses is refused here too, at the statement that the session would refuse: verdicts and capture
are the same. It holds no data of anybody, so it isn't encrypted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from vdb.ports import Connection
from vdb.projections.store import close_sqlcipher, in_transaction, open_plain_memory
from vdb.sql.capture import Capture
from vdb.sql.verdict import Classifier, StatementKind


class Rehearsal:
    """A session without a log (`vdb.sql.migrations.MigrationSession`). Its coroutine never suspends."""

    def __init__(self, db: Connection) -> None:
        self.db = db
        self.classifier = Classifier(db)
        self._capture = Capture(db, self.classifier.trusting)
        with self.classifier.trusting():
            db.execute("PRAGMA trusted_schema = OFF")

    @property
    def in_transaction(self) -> bool:
        return in_transaction(self.db)

    async def execute(self, sql: str, parameters: Any = ()) -> Any:
        """Run a statement. SqlRefused, or what SQLite says of it."""
        return self.run(sql, parameters)

    def run(self, sql: str, parameters: Any = ()) -> Any:
        """Run a statement now."""
        verdict = self.classifier.verdict(sql)
        if verdict.kind is StatementKind.WRITE:
            self._capture.prepare(verdict.writes, sql)
        if verdict.kind is not StatementKind.SCHEMA:
            return self.db.execute(sql, parameters)
        self._capture.before_schema_change(sql, verdict)
        result = self.db.execute(sql, parameters)
        self._capture.after_schema_change(sql, verdict)
        self.classifier.forget()
        return result


@contextmanager
def rehearsal() -> Iterator[Rehearsal]:
    """An empty database."""
    db = open_plain_memory()
    try:
        yield Rehearsal(db)
    finally:
        close_sqlcipher(db)

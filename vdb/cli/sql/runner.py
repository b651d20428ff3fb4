"""Runs statements on one connection, and prints what they give."""

from __future__ import annotations

from typing import Any

import vdb.dbapi
from vdb.cli.output import print_json, print_text
from vdb.cli.sql.printing import Form, print_rows
from vdb.sql.keywords import is_empty, split_script


class Runner:
    """`talks`: say how many rows a statement changed, as a person wants it."""

    def __init__(self, connection: Any, form: Form, *, talks: bool) -> None:
        self.connection = connection
        self.form = form
        self._talks = talks

    def run_script(self, script: str) -> None:
        """Run each statement of a text, in order; the first that fails ends it. Errors are the DB-API's."""
        for statement in split_script(script):
            if not is_empty(statement):
                self.run(statement)

    def run(self, statement: str) -> None:
        """Run one statement."""
        cursor = self.connection.execute(statement)
        try:
            if cursor.description is not None:
                columns = [column[0] for column in cursor.description]
                count = print_rows(columns, cursor, self.form)
                if self._talks and self.form is Form.TABLE:
                    print_text(f"({count} {'row' if count == 1 else 'rows'})")
            elif cursor.rowcount >= 0:
                self._tell_changed(cursor.rowcount)
        finally:
            cursor.close()

    def _tell_changed(self, count: int) -> None:
        if self.form is Form.JSON:
            print_json({"changed": count})
        elif self._talks:
            print_text(f"{count} {'row' if count == 1 else 'rows'} changed")

    def query(self, statement: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of a statement of our own."""
        rows: list[tuple[Any, ...]] = self.connection.execute(statement, parameters).fetchall()
        return rows


Failure = (vdb.dbapi.Error, vdb.dbapi.Warning)
"""What a statement may raise."""

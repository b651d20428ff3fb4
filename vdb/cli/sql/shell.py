"""The conversation: statements that may go over several lines, with history and completion where the terminal has them.

The history stays in memory: statements hold what they look for, and that may be a patient's name.
"""

from __future__ import annotations

import contextlib
from types import ModuleType
from typing import Any

from vdb.cli.output import print_error, print_text
from vdb.cli.sql.dots import DOTS, TABLES, run_dot
from vdb.cli.sql.runner import Failure, Runner
from vdb.errors import VerityError
from vdb.sql.keywords import is_complete, is_empty

_PROMPT = "verity> "
_MORE = "   ...> "
_INSIDE = "verity*> "
_WORDS = [
    *("SELECT", "FROM", "WHERE", "AND", "OR", "NOT", "NULL", "IS", "IN", "LIKE", "BETWEEN", "ORDER", "BY", "GROUP"),
    *(
        "HAVING",
        "LIMIT",
        "OFFSET",
        "JOIN",
        "LEFT",
        "INNER",
        "ON",
        "AS",
        "DISTINCT",
        "COUNT",
        "WITH",
        "UNION",
        "EXPLAIN",
    ),
    *("INSERT", "INTO", "VALUES", "UPDATE", "SET", "DELETE", "RETURNING"),
    *("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE"),
    *("CREATE", "TABLE", "INDEX", "VIEW", "TRIGGER", "UNIQUE", "PRIMARY", "KEY", "REFERENCES", "DEFAULT", "CHECK"),
    *("DROP", "ALTER", "ADD", "COLUMN", "RENAME", "TO"),
]


def converse(runner: Runner, banner: str) -> None:
    """Read and run until the end of the input."""
    print_text(banner)
    _set_up_line_editing(runner)
    pending = ""
    while True:
        try:
            line = input(_MORE if pending else _INSIDE if runner.connection.in_transaction else _PROMPT)
        except EOFError:
            print_text()
            return
        except KeyboardInterrupt:
            print_text("^C")
            pending = ""
            continue
        if not pending and line.lstrip().startswith("."):
            if _run_dot(runner, line.strip()):
                return
            continue
        pending = f"{pending}\n{line}" if pending else line
        if is_empty(pending):
            pending = ""
        elif is_complete(pending):
            statement, pending = pending, ""
            _run(runner, statement)


def _run(runner: Runner, script: str) -> None:
    try:
        runner.run_script(script)
    except (*Failure, VerityError) as error:
        print_error(str(error), as_json=False)
    except KeyboardInterrupt:
        runner.connection.interrupt()
        print_text("^C")


def _run_dot(runner: Runner, line: str) -> bool:
    """True when the conversation is over."""
    try:
        run_dot(runner, line)
    except EOFError:
        return True
    except (*Failure, VerityError) as error:
        print_error(str(error), as_json=False)
    return False


def _set_up_line_editing(runner: Runner) -> None:
    readline = _readline()
    if readline is None:
        return
    readline.set_completer(_Completer(runner, readline).complete)
    readline.set_completer_delims(" \t\n,()=<>;")
    readline.parse_and_bind("tab: complete")


def _readline() -> ModuleType | None:
    """Python's module, which not every system has."""
    with contextlib.suppress(ImportError):
        import readline

        return readline
    return None


class _Completer:
    """Words of SQL, tables and columns."""

    def __init__(self, runner: Runner, readline: Any) -> None:
        self._runner = runner
        self._readline = readline
        self._found: list[str] = []

    def complete(self, text: str, state: int) -> str | None:
        """The `state`-th word that begins with `text`."""
        if state == 0:
            begins = text.lower()
            at_start = self._readline.get_begidx() == 0
            words = [*DOTS, *_WORDS] if at_start else [*self._names(), *_WORDS]
            upper = text.isupper() or not text
            self._found = [
                word if upper or not word.isupper() else word.lower()
                for word in words
                if word.lower().startswith(begins)
            ]
        return self._found[state] if state < len(self._found) else None

    def _names(self) -> list[str]:
        names: dict[str, None] = {}
        with contextlib.suppress(*Failure, VerityError):
            for (table,) in self._runner.query(TABLES):
                names[table] = None
                for (column,) in self._runner.query("SELECT name FROM pragma_table_info(?)", (table,)):
                    names[column] = None
        return list(names)

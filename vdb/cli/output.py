"""What a command prints: results on standard output, everything else on standard error.

With `--json` standard output holds one object a line and nothing else; an error is an object on standard error.
Without, text: colours and bars in a terminal only. Text from the database is shown with its control characters
escaped, so that no event can drive a terminal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vdb.errors import DefiniteError, IndefiniteError, InvalidArgument, StartError, VerityError

EXIT_OK = 0
EXIT_FAILED = 1
"""Refused or failed."""
EXIT_USAGE = 2
"""Bad usage, or a node that can't start."""
EXIT_INDEFINITE = 3
"""It may have happened."""

EXIT_INTERRUPTED = 130
"""By Ctrl-C, as a shell would say it."""

_COLUMN_GAP = 2
"""Terminal columns between two columns of a table."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def out_console() -> Console:
    """Standard output, as text. Piped, it has no colours and lines aren't folded."""
    return Console(file=sys.stdout, highlight=False, soft_wrap=not sys.stdout.isatty())


def error_console() -> Console:
    """Standard error, as text."""
    return Console(file=sys.stderr, highlight=False, soft_wrap=True)


def print_json(value: Mapping[str, Any]) -> None:
    """One object on one line of standard output, at once."""
    sys.stdout.write(json_text(value, sys.stdout) + "\n")
    sys.stdout.flush()


def json_text(value: Mapping[str, Any], stream: TextIO) -> str:
    """One line; in ASCII if the stream can't hold all of Unicode, since its own escapes wouldn't be JSON."""
    ascii_only = not (stream.encoding or "utf-8").lower().startswith("utf")
    return json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":"))


def print_text(text: str = "") -> None:
    """One line of text on standard output, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Rows: a table in a terminal that is wide enough, a record for each row in a narrower one, tabs when piped.

    No value is ever cut.
    """
    cells = [[visible(str(cell)) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        print_text("\t".join(columns))
        for row in cells:
            print_text("\t".join(row))
        return
    console = out_console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    if not rows or _width(columns, cells) <= console.width:
        console.print(table)
    else:
        _print_records(console, columns, cells)


def _width(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Terminal columns that a table takes if no cell is folded."""
    widths = [max(map(cell_len, column)) for column in zip(columns, *rows, strict=True)]
    return sum(widths) + _COLUMN_GAP * (len(widths) - 1)


def _print_records(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Each row as lines `column  value`, with an empty line between two rows. Long values go on in their column."""
    for number, row in enumerate(rows):
        if number:
            console.print()
        record = Table(box=None, pad_edge=False, show_header=False)
        record.add_column(style="bold", no_wrap=True)
        record.add_column(overflow="fold")
        for column, cell in zip(columns, row, strict=True):
            record.add_row(column, Text(cell))
        console.print(record)


def visible(text: str) -> str:
    """Text with its control characters escaped."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def time_text(micros: int) -> str:
    """Microseconds UTC as ISO 8601."""
    return (_EPOCH + timedelta(microseconds=micros)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def print_note(text: str) -> None:
    """A line that is no result."""
    sys.stderr.write(f"note: {visible(text)}\n")


def exit_code(error: Exception) -> int:
    """The exit code that tells a script what an error means."""
    if isinstance(error, StartError) or type(error) is InvalidArgument:
        return EXIT_USAGE
    if isinstance(error, IndefiniteError):
        return EXIT_INDEFINITE
    return EXIT_FAILED


def print_error(error: VerityError | str, *, as_json: bool, code: str = "") -> None:
    """One line on standard error, or one object `{"error": {code, message, definite}}`."""
    message = str(error)
    if isinstance(error, VerityError):
        code = error.code.value if isinstance(error, DefiniteError) else _words(type(error).__name__)
    if as_json:
        definite = not isinstance(error, IndefiniteError)
        detail = {"code": code, "message": message, "definite": definite}
        sys.stderr.write(json_text({"error": detail}, sys.stderr) + "\n")
    else:
        text = Text("error", style="bold red")
        text.append(f": {visible(message)}", style="not bold default")
        error_console().print(text)


def _words(name: str) -> str:
    """`WrongKey` as `WRONG_KEY`."""
    return "".join(f"_{char}" if char.isupper() and index else char for index, char in enumerate(name)).upper()

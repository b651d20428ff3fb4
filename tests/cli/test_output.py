"""Tables in a terminal show every value whole, however narrow it is."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from vdb.cli import output


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


Printed = Callable[..., list[str]]


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> Printed:
    """What `print_table` shows in a terminal of 80 columns without colours."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")

    def show(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
        terminal = Terminal()
        with contextlib.redirect_stdout(terminal):
            output.print_table(columns, rows)
        return [line.rstrip() for line in terminal.getvalue().splitlines()]

    return show


def test_a_table_that_fits(printed: Printed) -> None:
    shown = printed(("name", "n"), [("a", 1), ("b\x1b[2J", 22)])
    assert shown == ["name      n", "a         1", "b\\x1b[2J  22"]


def test_a_table_that_fits_to_the_last_column(printed: Printed) -> None:
    assert printed(("a" * 38, "b" * 40), [("x", "y")]) == ["a" * 38 + "  " + "b" * 40, "x".ljust(40) + "y"]


def test_a_table_that_does_not_fit_is_printed_as_records(printed: Printed) -> None:
    shown = printed(("id", "content"), [("a", "x" * 150), ("b", "")])
    assert shown[0] == "id       a"
    assert shown[1].startswith("content  xxx")
    assert "".join(shown[1:4]).count("x") == 150
    assert all(len(line) <= 80 for line in shown)
    assert shown[4:] == ["", "id       b", "content"]


def test_a_table_without_rows_has_its_head(printed: Printed) -> None:
    assert printed(("name", "n"), []) == ["name  n"]

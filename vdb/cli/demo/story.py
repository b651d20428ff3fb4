"""How the demo tells its story: sections, a bar and tables in a terminal; plain lines when piped; nothing for JSON."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from vdb.cli.output import out_console, visible


def command_name() -> str:
    """How the user calls `vdb`."""
    if shutil.which("vdb"):
        return "vdb"
    script = Path(sys.argv[0])
    return shlex.quote(str(script)) if script.name == "vdb" else f"{shlex.quote(sys.executable)} -m vdb.cli"


class Story:
    """Prints, unless it is silent."""

    def __init__(self, *, silent: bool) -> None:
        self._silent = silent
        self._terminal = sys.stdout.isatty()
        self._console = out_console()

    def section(self, title: str) -> None:
        if self._silent:
            return
        self._console.print()
        if self._terminal:
            self._console.print(Rule(Text(title, style="bold"), align="left", style="blue"))
        else:
            self._console.print(title)

    def say(self, text: str) -> None:
        if not self._silent:
            self._console.print(Padding(Text(visible(text)), (0, 0, 0, 2)) if self._terminal else f"  {visible(text)}")

    def command(self, line: str) -> None:
        """A command to copy: never folded."""
        if not self._silent:
            self._console.print(Text(f"    {line}", style="cyan"), soft_wrap=True)

    def check(self, holds: bool, text: str) -> bool:
        """A checked promise; returns whether it holds."""
        if not self._silent:
            line = Text("ok   " if holds else "FAIL ", style="bold green" if holds else "bold red")
            line.append(visible(text), style="not bold default")
            self._console.print(Padding(line, (0, 0, 0, 2)) if self._terminal else f"  {line.plain}")
        return holds

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        if self._silent:
            return
        table = Table(box=None, padding=(0, 2), header_style="bold", show_edge=False, show_header=bool(columns))
        for column in columns:
            table.add_column(column, no_wrap=not self._terminal)
        for row in rows:
            table.add_row(*(Text(visible(cell)) for cell in row))
        self._console.print(table)

    @contextmanager
    def progress(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar in a terminal; a line for each quarter when piped. Gives a function that takes how much is done."""
        if self._silent or not self._terminal:
            yield self._plain(total)
            return
        bar = Progress(
            TextColumn("  {task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
        )
        with bar:
            task = bar.add_task(title, total=total)
            yield lambda done: bar.update(task, completed=done)

    def _plain(self, total: int) -> Callable[[int], None]:
        told = 0

        def tell(done: int) -> None:
            nonlocal told
            quarter = 4 * done // total
            if quarter > told:
                told = quarter
                self.say(f"{done} of {total} events acknowledged")

        return tell

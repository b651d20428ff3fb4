"""How measurements are told: a table in a terminal, plain lines when piped, or JSON, one object a line."""

from __future__ import annotations

import json
import sys
from typing import Protocol

from attrs import define, field, frozen
from rich.console import Console
from rich.markup import escape

NAME_WIDTH = 66


@frozen(kw_only=True)
class Line:
    """One finished measurement. `least` and `most` are bounds that it should keep."""

    benchmark: str
    name: str
    value: float
    unit: str
    least: float | None = None
    most: float | None = None

    @property
    def kept(self) -> bool | None:
        """Whether the bound is kept; None without one."""
        if self.least is None and self.most is None:
            return None
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)

    @property
    def shown(self) -> str:
        return f"{self.value:,.0f}" if abs(self.value) >= 100 else f"{self.value:,.2f}"

    @property
    def bound(self) -> str:
        if self.least is not None:
            return f"at least {self.least:g}"
        return f"at most {self.most:g}" if self.most is not None else ""


class Report(Protocol):
    def __call__(
        self, name: str, value: float, unit: str, *, least: float | None = None, most: float | None = None
    ) -> None: ...

    def note(self, text: str) -> None:
        """A sentence about how it is measured."""


@define
class Reporter:
    """Prints lines as they come, and keeps them."""

    as_json: bool = False
    lines: list[Line] = field(factory=list)
    _console: Console = field(factory=Console)

    def begin(self, benchmark: str, about: str) -> Report:
        """The `report` of one benchmark. `about` is a line that says what it does."""
        if not self.as_json:
            if self._console.is_terminal:
                self._console.print(f"\n[bold]{benchmark}[/bold]  [dim]{about}[/dim]")
            else:
                _write(f"# {benchmark}: {about}")

        return _Section(self, benchmark)

    def add_note(self, benchmark: str, text: str) -> None:
        if self.as_json:
            _write(json.dumps({"benchmark": benchmark, "note": text}))
        elif self._console.is_terminal:
            self._console.print(f"  [dim]{escape(text)}[/dim]", highlight=False)
        else:
            _write(f"{benchmark:10} {text}")

    def add(self, line: Line) -> None:
        self.lines.append(line)
        if self.as_json:
            _write(json.dumps(_as_object(line)))
        elif self._console.is_terminal:
            style = {True: "green", False: "red", None: "default"}[line.kept]
            bound = f"[dim]{line.bound}[/dim]" if line.bound else ""
            text = f"  {line.name:{NAME_WIDTH}} [{style}]{line.shown:>12}[/{style}] {line.unit:10} {bound}"
            self._console.print(text, highlight=False)
        else:
            verdict = {True: f"ok, {line.bound}", False: f"MISSED, {line.bound}", None: ""}[line.kept]
            _write(f"{line.benchmark:10} {line.name:{NAME_WIDTH}} {line.shown:>12} {line.unit:10} {verdict}".rstrip())


@frozen
class _Section:
    """The `Report` of one benchmark."""

    reporter: Reporter
    benchmark: str

    def __call__(
        self, name: str, value: float, unit: str, *, least: float | None = None, most: float | None = None
    ) -> None:
        self.reporter.add(Line(benchmark=self.benchmark, name=name, value=value, unit=unit, least=least, most=most))

    def note(self, text: str) -> None:
        self.reporter.add_note(self.benchmark, text)


def _as_object(line: Line) -> dict[str, object]:
    found: dict[str, object] = {
        "benchmark": line.benchmark,
        "name": line.name,
        "value": line.value,
        "unit": line.unit,
    }
    if line.kept is not None:
        found |= {"least": line.least, "most": line.most, "kept": line.kept}
    return found


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()

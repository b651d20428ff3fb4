"""What SQL clients did and were told: the input of the checkers Q1 to Q11.

A deed is one script in one session: a transaction, or a statement alone. Its number goes with it into the log, as
metadata of its attribution, so that the checkers find it there.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from attrs import define, field, frozen

from sim.sql.script import Script, Statement

METADATA_KEY = "deed"
_CONSTRAINT = "IntegrityError: "


class Fate(Enum):
    """What the client knows of a deed in the end."""

    PENDING = "pending"
    DONE = "done"
    """Answered: what SQLite said of each statement is its result, errors included."""
    REFUSED = "refused"
    """It is certain that nothing was kept: a definite error, or nobody asked for a commit."""
    UNKNOWN = "unknown"


@frozen(kw_only=True)
class Answer:
    """What a statement gave: rows and counts, or SQLite's error. `open` is whether a transaction was open after it."""

    rows: tuple[str, ...] | None = None
    rowcount: int = -1
    rowid: int | None = None
    error: str = ""
    open: bool = False

    def differs(self, other: Answer, *, gives_rowid: bool) -> str:
        """In what; '' if in nothing that is the statement's own."""
        for name in ("error", "rows", "rowcount", "open"):
            if name == "rowcount" and self.rows is not None:
                continue  # with RETURNING the binding says what the statement before had changed
            mine, theirs = getattr(self, name), getattr(other, name)
            if name == "error" and mine.startswith(_CONSTRAINT) and theirs.startswith(_CONSTRAINT):
                continue  # of several constraints that a row breaks SQLite names another where triggers stand before it
            if mine != theirs:
                return f"{name} {mine!r} instead of {theirs!r}"
        if gives_rowid and not self.error and self.rowcount > 0 and self.rowid != other.rowid:
            return f"last_insert_rowid {self.rowid!r} instead of {other.rowid!r}"
        return ""


@define(eq=False)
class Said:
    """A statement that was sent, and its answer; None: none came, or none of SQLite's."""

    statement: Statement
    answer: Answer | None = None


@define(eq=False, kw_only=True)
class Deed:
    number: int
    client: int
    node: str
    """The incarnation that the session was on."""
    script: Script
    pragmas: tuple[str, ...]
    applied: int
    """What the node's file held of the log when it began."""
    settled: int
    """Where the log ended that had been acknowledged to some client when it began."""
    said: list[Said] = field(factory=list)
    fate: Fate = Fate.PENDING
    asked: bool = False
    """Whether a commit was asked for: by COMMIT, by a statement alone, or by releasing the outermost savepoint."""
    refusal: str = ""
    head: int = 0
    """The end of the log when it ended."""
    first_offset: int = -1
    next_offset: int = -1
    """Where the session says that it lies in the log; -1: it says nothing."""
    fresh: bool = False
    """Whether the client asked for a file that has all that was acknowledged."""


@define
class Deeds:
    """All of a run, by their numbers."""

    all: dict[int, Deed] = field(factory=dict)
    settled: int = 0
    """The end of what was acknowledged to clients."""

    def add(self, deed: Deed) -> None:
        self.all[deed.number] = deed

    def count(self, fate: Fate) -> int:
        return sum(deed.fate is fate for deed in self.all.values())


def row_text(row: Any) -> str:
    """A row, so that 1, 1.0 and True, or a text and its bytes, aren't the same."""
    return repr(tuple(row))

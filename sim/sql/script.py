"""Scripts: what a client says to a session, drawn beforehand, so that it depends on no answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import field, frozen

from vdb.sql.names import META_TABLE

PLACE = f"SELECT next_offset FROM {META_TABLE}"
"""How much of the log the snapshot holds that a session reads. The model has such a table as well."""

CHANGES = "SELECT changes()"
"""Means something right after a statement that changed rows."""


@frozen
class Statement:
    sql: str
    parameters: Any = ()
    many: bool = False
    """For executemany: `parameters` are several."""
    gives_rowid: bool = False
    """Whether its last_insert_rowid is its own, if it inserted a row."""


def _nothing() -> None:
    """Nobody has to know."""


@frozen(kw_only=True)
class Script:
    """A transaction with its BEGIN and its end, or a single statement."""

    statements: tuple[Statement, ...]
    kind: str
    """'auto', 'transaction', 'read' or 'setup'."""
    on_success: Callable[[], None] = field(default=_nothing, repr=False)
    """Called once it was acknowledged: the grammar then knows of the tables that it changed."""

"""Which tables and columns a statement touches, by what SQLite's authorizer is told: what a policy is asked. Pure.

- Read are the tables that hold rows, also those behind views and within subqueries; what triggers of the schema read,
  they read for the schema. The schema's own tables, and virtual ones made of nothing but arguments, hold nobody's rows.
- Written are tables through triggers and foreign keys, too. Of an UPDATE by the statement itself the columns are known;
  everything else writes whole rows.
- TEMP objects are the session's own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from attrs import field, frozen

from vdb.sql import refusals as actions
from vdb.sql.keywords import tokens
from vdb.sql.names import CAPTURE_TABLE, META_TABLE, MIGRATIONS_TABLE, SUBJECTS_TABLE
from vdb.sql.refusals import OWN_PREFIX
from vdb.sql.tables import fold
from vdb.sql.verdict import Action

_WRITES = (actions.INSERT, actions.UPDATE, actions.DELETE)
TELLING_PRAGMAS = ("foreign_key_check", "integrity_check", "quick_check")
"""Those that tell of rows."""

_OURS = (CAPTURE_TABLE, "vdb_rows_", "vdb_subject_")
"""Beginnings of names that count for something."""

_SHAPES = (actions.CREATE_TABLE, actions.DROP_TABLE)
_SHAPES_OF = (
    *(actions.ALTER_TABLE, actions.CREATE_INDEX, actions.DROP_INDEX),
    *(actions.CREATE_TRIGGER, actions.DROP_TRIGGER),
)
_NOBODYS = (
    *("sqlite_master", "sqlite_temp_master", "sqlite_sequence", "json_each", "json_tree"),
    *(META_TABLE, MIGRATIONS_TABLE, SUBJECTS_TABLE),
)


@frozen(kw_only=True)
class Objects:
    """The schema as one connection sees it: names folded."""

    tables: Mapping[str, str]
    """Tables of `main`, as they are spelled."""
    views: Mapping[str, str]
    """Views, TEMP ones too, each with its text."""
    triggers: Mapping[str, None]
    """Of `main`."""
    temporary: Mapping[str, None]
    """TEMP tables and views."""
    generated: Mapping[str, Mapping[str, tuple[str, ...]]] = field(factory=dict)
    """What generated columns are made of (`generated`), by table."""
    replacing: Mapping[str, None] = field(factory=dict)
    """Tables in which an INSERT may replace rows, as they say so themselves."""


@frozen(kw_only=True)
class Touched:
    """Names are as the schema spells them; columns as SQLite met them."""

    reads: Mapping[str, tuple[str, ...]]
    writes: Mapping[str, tuple[str, ...] | None]
    """None: whole rows."""
    triggers: tuple[str, ...]
    """The schema's that the statement can fire."""
    target: str
    """What the statement itself writes; empty: nothing of `main`."""
    shaped: tuple[str, ...]
    """Tables that are made, altered or dropped, or whose indexes and triggers are."""
    functions: tuple[str, ...]
    reads_temporary: bool
    changes_target: bool
    """Whether rows of the target may be changed that were there before."""

    @property
    def is_nothing(self) -> bool:
        """Whether it touches nobody's rows."""
        return not self.reads and not self.writes


def touched(recorded: Sequence[Action], objects: Objects, named: Collection[str]) -> Touched:
    """See the module's docstring. `named`: names in the texts of the statement and its views, folded."""
    reads: dict[str, dict[str, None]] = {}
    writes: dict[str, dict[str, None] | None] = {}
    fired: dict[str, None] = {}
    shaped: dict[str, None] = {}
    functions: dict[str, None] = {}
    target, temporary, changes = "", False, False
    for action, first, second, db, source in recorded:
        if action == actions.FUNCTION and second:
            functions[second] = None
        # A common table or a view of that name would be the statement's own.
        by_trigger = source is not None and fold(source) in objects.triggers and fold(source) not in named
        if source is not None and by_trigger:
            fired[source] = None
        shape = first if action in _SHAPES else second if action in _SHAPES_OF else None
        if shape is not None and db != "temp":
            shaped[objects.tables.get(fold(shape), shape)] = None
        if first is None or action not in (*_WRITES, actions.READ):
            continue
        name = fold(first)
        if action == actions.READ:
            if db == "temp" or (db is None and name in objects.temporary):
                temporary = True
            elif not by_trigger and not _is_nothing(name, second, db, objects):
                columns = reads.setdefault(objects.tables.get(name, first), {})
                if second:
                    columns[second] = None
                    columns |= dict.fromkeys(objects.generated.get(name, {}).get(fold(second), ()))
        elif db != "temp" and name not in objects.views and not is_nobodys(name):
            spelled = objects.tables.get(name, first)
            if source is None and not target:
                target = spelled
            changes = changes or (spelled == target and (action != actions.INSERT or name in objects.replacing))
            known = writes.setdefault(spelled, {})
            if action != actions.UPDATE:
                writes[spelled] = None
            elif known is not None and second:
                known[second] = None
    return Touched(
        reads={table: tuple(columns) for table, columns in reads.items()},
        writes={table: None if columns is None else tuple(columns) for table, columns in writes.items()},
        triggers=tuple(fired),
        target=target,
        shaped=tuple(shaped),
        functions=tuple(functions),
        reads_temporary=temporary,
        changes_target=changes,
    )


def is_nobodys(table: str) -> bool:
    """Whether a table of this folded name holds rows of the schema, of VerityDB, or of nothing at all."""
    return table in _NOBODYS or (table.startswith("pragma_") and table.removeprefix("pragma_") not in TELLING_PRAGMAS)


def names_in(sql: str, objects: Objects) -> dict[str, None]:
    """Whatever may be a name in a text, or in the texts of views that it names: SQLite doesn't tell of all that it
    reads. Folded."""
    found: dict[str, None] = {}
    waiting = [sql]
    while waiting:
        for token in tokens(waiting.pop()):
            name = fold(token.name)
            if token.kind == "text" and not name.startswith(_OURS):
                name = name.removeprefix(OWN_PREFIX)  # most are values: these aren't refused
            if name in objects.views and name not in found:
                waiting.append(objects.views[name])
            found[name] = None
    return found


def _is_nothing(name: str, column: str | None, db: str | None, objects: Objects) -> bool:
    """Whether it holds nobody's rows, or those of others: a view, or a common table, of which no column is told."""
    is_common = not column and db is None and name not in objects.tables
    return name in objects.views or is_nobodys(name) or is_common

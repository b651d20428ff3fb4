"""The schema of a database as capture sees it at one moment: its tables, whom a write reaches, what users' triggers do.

What a table looks like follows from the text of its schema alone, so it is asked of SQLite once for each text.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from vdb.sql.names import META_TABLE
from vdb.sql.schema_change import has_replace
from vdb.sql.tables import Cursor, ForeignKey, Table, UserTrigger, fold, parse_trigger, read_table

KNOWN_MAX = 4_096
"""Tables that are remembered by the text of their schema, at most."""

_MAIN = "SELECT +type, +name, +tbl_name, +sql FROM main.sqlite_master"
_TEMP = (
    "SELECT +tbl_name, +sql FROM temp.sqlite_master "
    "WHERE type = 'trigger' AND name NOT LIKE 'vdb\\_capture\\_%' ESCAPE '\\'"
)
_SEQUENCES = "sqlite_sequence"

_Text = tuple[str, ...]
_known: dict[_Text, Table | None] = {}


@frozen
class Nesting:
    """What may happen to a table within the change of one of its rows, before its capture.

    What deletes a row counts for every change: a REPLACE may delete one.
    """

    first: bool
    """Before the row changes: users' BEFORE triggers."""
    then: bool
    """After it: actions of foreign keys that come back to the table."""
    anything: bool
    """Actions of foreign keys that fire users' triggers; TEMP triggers, whose order among ours is SQLite's."""

    @property
    def entangled(self) -> bool:
        return self.first or self.then or self.anything

    @property
    def late(self) -> bool:
        """Whether a change may be captured after others that it caused."""
        return self.then or self.anything

    @property
    def hides_replace(self) -> bool:
        """Whether nobody can say which row a REPLACE deleted."""
        return self.anything or (self.first and self.then)


class Catalog:
    """See the module's docstring. Its names are folded."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._texts: dict[str, _Text] = {}
        self._children: dict[str, list[tuple[str, ForeignKey]]] = {}
        self._tables: dict[str, Table | None] = {}
        self.triggers: dict[str, list[UserTrigger]] = {}
        self.views: list[str] = []
        self.has_sequences = False
        self.may_replace = False
        """Whether the schema itself has a REPLACE, in a constraint or in a trigger."""
        self._read()

    def table(self, name: str) -> Table | None:
        """The table whose rows are captured; None for anything else."""
        name = fold(name)
        if name not in self._tables:
            text = self._texts.get(name)
            self._tables[name] = None if text is None else self._look_up(text)
        return self._tables[name]

    def all(self) -> list[str]:
        """Every table whose rows are captured."""
        return [name for name in self._texts if self.table(name) is not None]

    def reach(self, writes: Iterable[str] | None) -> list[str]:
        """The tables that a statement which writes these may change: by foreign keys and triggers too. None: all."""
        if writes is None:
            return self.all()
        found: dict[str, None] = {}
        waiting = [fold(name) for name in writes]
        while waiting:
            name = waiting.pop()
            if name in self.triggers or name in self.views:
                return self.all()
            if name in found or self.table(name) is None:
                continue
            found[name] = None
            waiting += [child for child, _ in self._children.get(name, ())]
        return list(found)

    def nesting(self, name: str) -> Nesting:
        """What else may happen to a table within the change of one of its rows."""
        own = self.triggers.get(name, ())
        descendants = self._descendants(name)
        temporary = any(trigger.temporary for trigger in own)
        return Nesting(
            first=any(trigger.before or trigger.event == "DELETE" for trigger in own),
            then=name in descendants,
            anything=temporary or any(child in self.triggers for child in descendants),
        )

    def _descendants(self, name: str) -> dict[str, None]:
        found: dict[str, None] = {}
        waiting = [name]
        while waiting:
            for child, _ in self._children.get(waiting.pop(), ()):
                if child not in found:
                    found[child] = None
                    waiting.append(child)
        return found

    def _read(self) -> None:
        texts: dict[str, list[str]] = {}
        for kind, name, table, sql in self._cursor.execute(_MAIN).fetchall():
            self.may_replace = self.may_replace or (sql is not None and has_replace(sql))
            if kind == "table":
                texts.setdefault(fold(name), [])[:0] = (name, sql)
            elif kind == "index" and sql is not None:
                texts.setdefault(fold(table), []).append(sql)
            elif kind == "view":
                self.views.append(fold(name))
            elif kind == "trigger":
                self.triggers.setdefault(fold(table), []).append(parse_trigger(fold(table), sql, temporary=False))
        for table, sql in self._cursor.execute(_TEMP).fetchall():
            self.may_replace = self.may_replace or has_replace(sql)
            self.triggers.setdefault(fold(table), []).append(parse_trigger(fold(table), sql, temporary=True))
        self.has_sequences = _SEQUENCES in texts
        for name, text in texts.items():
            if name.startswith("sqlite_") or name == META_TABLE:
                continue
            self._texts[name] = tuple(text)
            if "references" in text[1].lower():
                self._add_references(name)

    def _add_references(self, name: str) -> None:
        table = self.table(name)
        for reference in table.references if table is not None else ():
            self._children.setdefault(reference.parent, []).append((name, reference))

    def _look_up(self, text: _Text) -> Table | None:
        if text not in _known:
            if len(_known) >= KNOWN_MAX:
                _known.clear()
            _known[text] = read_table(self._cursor, text[0])
        return _known[text]

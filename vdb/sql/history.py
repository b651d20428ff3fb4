"""The versions of one row, from the transactions of the log: what it was, by whom it was changed, and why.

A row is named by the values of its primary key, or by its rowid where the table has none. It is the same row before and
after an update that changes its key, and before and after its table is renamed; who reads a stream forwards learns of
both too late. So a search takes as many passes over the transactions as it needs: one, if no row came to the key from
another.

    search = HistorySearch("patients", 42)
    while search.wants_pass():
        for one in transactions: search.feed(one)
    search.versions()

Keys are compared by their text, so that 42 and "42" name the same row.

What was erased with its subject has no images and no key any more: that something was done, when and by whom, is what
is left. It is found where the key itself names the subject: the table's key is its subject column. Of any other table
nothing in the log says whose row had a key: the key went with the images, under the subject's own key. To keep it, or a
hash of it by which who asks for the key finds it, would be to keep what singles somebody out: a number of a row may be
that of a chart, and rows of other tables, which stay, name it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from attrs import define, field, frozen

from vdb.changes import (
    Attribution,
    Image,
    Layout,
    Operation,
    RawText,
    RowChange,
    SchemaChange,
    Transaction,
    Value,
)
from vdb.sql.keywords import tokens
from vdb.sql.names import SUBJECTS_TABLE

Key = tuple[str | bytes | RawText | None, ...]


class Logged(Protocol):
    """A transaction, and where it lies in its stream."""

    @property
    def transaction(self) -> Transaction: ...
    @property
    def first_offset(self) -> int: ...
    @property
    def next_offset(self) -> int: ...
    @property
    def position(self) -> int:
        """Of the event after its last."""

    @property
    def time(self) -> int:
        """Microseconds UTC of when it was logged."""

    @property
    def erased(self) -> Sequence[bytes]:
        """Tokens of the subjects whose rows in it were erased."""


@frozen(kw_only=True)
class Version:
    """What a transaction did to a row. The images are by the names that the columns had then; ERASED has none."""

    operation: Operation
    table: str
    before: Mapping[str, Value] | None = field(repr=False)
    after: Mapping[str, Value] | None = field(repr=False)
    transaction: bytes
    attribution: Attribution
    first_offset: int
    next_offset: int
    """Where the transaction ends: the database as of here has this version."""
    position: int
    time: int


@frozen
class _Renamed:
    old: str
    new: str


@frozen
class _Dropped:
    table: str


@frozen
class _Changed:
    table: str
    before: Key | None
    after: Key | None
    version: Version


@frozen
class _Erased:
    version: Version


@define
class _Lineage:
    """One row, through all its keys."""

    versions: list[tuple[int, Version]] = field(factory=list)
    is_wanted: bool = False


class HistorySearch:
    """See the module's docstring. `key`: a value, or several for a key of several columns. `tokens`: of the subject
    that a key of one column names, if it was erased."""

    def __init__(self, table: str, key: Value | Sequence[Value], tokens: Sequence[bytes] = ()) -> None:
        values: Sequence[Value] = key if isinstance(key, list | tuple) else (key,)
        self._key: Key = tuple(map(_text, values))
        self._keys: dict[Key, None] = {self._key: None}
        self._tables: dict[str, None] = {table.lower(): None}
        self._tokens = tuple(tokens)
        self._subjects: dict[str, str] = {}
        """Of tables in lower case: the subject column."""
        self._found: list[_Renamed | _Dropped | _Changed | _Erased] = []
        self._passes = 0
        self._grew = True

    def wants_pass(self) -> bool:
        """Whether all transactions have to be fed from the first on, once more."""
        if not self._grew:
            return False
        self._grew = False
        self._found.clear()
        return True

    def feed(self, logged: Logged) -> None:
        """The next transaction."""
        for step in logged.transaction.steps:
            if isinstance(step, RowChange):
                self._feed_row(logged, step)
            elif isinstance(step, SchemaChange):
                self._feed_schema(step)
        if self._tokens and any(token in self._tokens for token in logged.erased):
            self._feed_erased(logged)

    def versions(self) -> list[Version]:
        """What happened to every row that ever had the key, in order."""
        current: dict[tuple[str, Key], _Lineage] = {}
        lineages: list[_Lineage] = []
        wanted: list[tuple[int, Version]] = []
        for number, found in enumerate(self._found):
            if isinstance(found, _Erased):
                wanted.append((number, found.version))
            elif isinstance(found, _Renamed):
                for table, key in [place for place in current if place[0] == found.old]:
                    current[found.new, key] = current.pop((table, key))
            elif isinstance(found, _Dropped):
                for place in [place for place in current if place[0] == found.table]:
                    del current[place]
            else:
                lineage = None if found.before is None else current.pop((found.table, found.before), None)
                if lineage is None:
                    lineage = _Lineage()
                    lineages.append(lineage)
                if found.after is not None:
                    current[found.table, found.after] = lineage
                lineage.versions.append((number, found.version))
                lineage.is_wanted = lineage.is_wanted or self._key in (found.before, found.after)
        wanted += [each for lineage in lineages if lineage.is_wanted for each in lineage.versions]
        return [version for _, version in sorted(wanted, key=lambda each: each[0])]

    def _feed_row(self, logged: Logged, step: RowChange) -> None:
        layout = logged.transaction.layouts[step.layout]
        table = layout.table.lower()
        if table == SUBJECTS_TABLE:
            self._feed_subject(step)
        if table not in self._tables:
            return
        before = None if step.before is None else _key(layout, step.rowid_before, step.before)
        after = None if step.after is None else _key(layout, step.rowid_after, step.after)
        if before not in self._keys:
            if after not in self._keys:
                return
            if before is not None:
                self._keys[before] = None
                self._grew = True
        if after is not None:
            self._keys[after] = None
        self._found.append(_Changed(table, before, after, _version(logged, layout, step.operation, step)))

    def _feed_subject(self, step: RowChange) -> None:
        """Whose data rows are was declared: (table, column)."""
        for image in (step.before, step.after):
            if image is not None:
                self._subjects.pop(str(image[0]).lower(), None)
        if step.after is not None:
            self._subjects[str(step.after[0]).lower()] = str(step.after[1]).lower()

    def _feed_erased(self, logged: Logged) -> None:
        """Which of the tables it was isn't known where the transaction changed several whose keys name subjects."""
        for layout in logged.transaction.layouts:
            table, key = layout.table.lower(), tuple(name.lower() for name in layout.key)
            if table in self._tables and key == (self._subjects.get(table),):
                self._found.append(_Erased(_version(logged, layout, Operation.ERASED)))
                return

    def _feed_schema(self, step: SchemaChange) -> None:
        change = table_change(step.sql)
        if change is None:
            return
        old, new = change
        if new is None:
            if old in self._tables:
                self._found.append(_Dropped(old))
            return
        if new in self._tables and old not in self._tables:
            self._tables[old] = None
            self._grew = True
        elif old in self._tables:
            self._tables[new] = None
        if old in self._tables:
            self._found.append(_Renamed(old, new))


def table_change(sql: str) -> tuple[str, str | None] | None:
    """The table that a statement renames, and its new name, or that it drops (None); in lower case."""
    words = _words(sql)
    if next(words, "") not in ("ALTER", "DROP") or next(words, "") != "TABLE":
        return None
    found = list(tokens(sql))
    rest = found[2:]
    drops = found[0].upper == "DROP"
    if drops and rest[0].upper == "IF":
        rest = rest[2:]
    if len(rest) > 2 and rest[1].text == ".":
        rest = rest[2:]
    if drops:
        return rest[0].name.lower(), None
    if len(rest) > 3 and rest[1].upper == "RENAME" and rest[2].upper == "TO":
        return rest[0].name.lower(), rest[3].name.lower()
    return None


def _words(sql: str) -> Iterator[str]:
    return (token.upper for token in tokens(sql))


def _key(layout: Layout, rowid: int | None, image: Image) -> Key:
    if not layout.key:
        return (_text(rowid),)
    return tuple(_text(image[layout.columns.index(name)]) for name in layout.key)


def _text(value: Value) -> str | bytes | RawText | None:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, int | float) else value


def _version(logged: Logged, layout: Layout, operation: Operation, step: RowChange | None = None) -> Version:
    before, after = (None, None) if step is None else (step.before, step.after)
    return Version(
        operation=operation,
        table=layout.table,
        before=None if before is None else dict(zip(layout.columns, before, strict=True)),
        after=None if after is None else dict(zip(layout.columns, after, strict=True)),
        transaction=logged.transaction.id,
        attribution=logged.transaction.attribution,
        first_offset=logged.first_offset,
        next_offset=logged.next_offset,
        position=logged.position,
        time=logged.time,
    )

"""What is told of a database's past, and of a statement that isn't run, as it crosses to another machine.

The shapes are those of `schemas/verity.capnp`: what is read on the other side equals what was told. An answer has at
most about SQL_CHUNK_BYTES of rows (one row at least); those that are left are asked for again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from attrs import field, frozen

from vdb.changes import Attribution, Operation, Value
from vdb.errors import WireError
from vdb.limits import SQL_CHUNK_BYTES
from vdb.sql.diffing import RowDiff, TableDiff
from vdb.sql.explanation import Explanation, Read, Write
from vdb.sql.history import Version
from vdb.sql.verdict import StatementKind, Verdict
from vdb.wire.sql_api import value_from, value_into

T = TypeVar("T")
_Image = Mapping[str, Value] | None

_ROW_BYTES = 256
"""Of what is told about a row beside its values, about."""


@frozen(kw_only=True)
class VersionsPage:
    """Some of the versions of a row."""

    versions: list[Version] = field(repr=False)
    more: bool
    to_offset: int
    """What the log had when the first of them were told."""


@frozen(kw_only=True)
class DiffPage:
    """Some of the rows that differ, each with its table; a table's rows stand together."""

    rows: list[tuple[str, RowDiff]] = field(repr=False)
    more: bool
    first: int
    second: int
    """Offsets of the two states."""


def versions_page(versions: Sequence[Version], skip: int, to_offset: int) -> VersionsPage:
    """Those that come after the first `skip`."""
    some, more = _some(versions, skip, lambda version: _size(version.before) + _size(version.after))
    return VersionsPage(versions=some, more=more, to_offset=to_offset)


def diff_page(tables: Sequence[TableDiff], skip: int, first: int, second: int) -> DiffPage:
    """Those that come after the first `skip`."""
    rows = [(table.table, row) for table in tables for row in table.rows]
    some, more = _some(rows, skip, lambda row: _size(row[1].before) + _size(row[1].after))
    return DiffPage(rows=some, more=more, first=first, second=second)


def tables_of(rows: Sequence[tuple[str, RowDiff]]) -> list[TableDiff]:
    """Rows by their tables again."""
    found: dict[str, list[RowDiff]] = {}
    for table, row in rows:
        found.setdefault(table, []).append(row)
    return [TableDiff(table=table, rows=tuple(found[table])) for table in found]


def _some(all_of_them: Sequence[T], skip: int, size: Callable[[T], int]) -> tuple[list[T], bool]:
    room = SQL_CHUNK_BYTES
    end = skip
    while end < len(all_of_them) and room > 0:
        room -= _ROW_BYTES + size(all_of_them[end])
        end += 1
    return list(all_of_them[skip:end]), end < len(all_of_them)


def _size(image: _Image) -> int:
    if image is None:
        return 0
    return sum(32 + len(name) + (len(value) if isinstance(value, str | bytes) else 0) for name, value in image.items())


# Messages ----------------------------------------------------------------------------------------------------------


def versions_into(results: Any, page: VersionsPage) -> None:
    """Fill the answer to sqlHistory."""
    for builder, version in zip(results.init("versions", len(page.versions)), page.versions, strict=True):
        builder.operation = int(version.operation)
        builder.table = version.table
        _images_into(builder, version.before, version.after)
        builder.transaction = version.transaction
        attribution_into(builder.attribution, version.attribution)
        builder.firstOffset = version.first_offset
        builder.nextOffset = version.next_offset
        builder.position = version.position
        builder.time = version.time
    results.more = page.more
    results.toOffset = page.to_offset


def versions_from(results: Any) -> VersionsPage:
    """Read the answer to sqlHistory."""
    versions = [
        Version(
            operation=Operation(reader.operation),
            table=str(reader.table),
            before=_image_from(reader, "before"),
            after=_image_from(reader, "after"),
            transaction=bytes(reader.transaction),
            attribution=attribution_from(reader.attribution),
            first_offset=reader.firstOffset,
            next_offset=reader.nextOffset,
            position=reader.position,
            time=reader.time,
        )
        for reader in results.versions
    ]
    return VersionsPage(versions=versions, more=results.more, to_offset=results.toOffset)


def diff_into(results: Any, page: DiffPage) -> None:
    """Fill the answer to sqlDiff."""
    for builder, (table, row) in zip(results.init("rows", len(page.rows)), page.rows, strict=True):
        builder.table = table
        builder.operation = int(row.operation)
        _images_into(builder, row.before, row.after)
    results.more = page.more
    results.firstOffset = page.first
    results.secondOffset = page.second


def diff_from(results: Any) -> DiffPage:
    """Read the answer to sqlDiff."""
    rows = [
        (
            str(reader.table),
            RowDiff(
                operation=Operation(reader.operation),
                before=_image_from(reader, "before"),
                after=_image_from(reader, "after"),
            ),
        )
        for reader in results.rows
    ]
    return DiffPage(rows=rows, more=results.more, first=results.firstOffset, second=results.secondOffset)


def explanation_into(builder: Any, explanation: Explanation) -> None:
    """Fill a SqlExplanation."""
    verdict = explanation.verdict
    builder.kind = verdict.kind.name
    builder.returnsRows = verdict.returns_rows
    builder.tablesRead = list(verdict.reads)
    builder.tablesWritten = list(verdict.writes)
    builder.functions = list(verdict.functions)
    builder.beginMode = verdict.begin_mode
    builder.name = verdict.name
    if verdict.argument is not None:
        builder.argument = verdict.argument
    for target, read in zip(builder.init("reads", len(explanation.reads)), explanation.reads, strict=True):
        target.table, target.columns, target.through = read.table, list(read.columns), read.through
    for target, write in zip(builder.init("writes", len(explanation.writes)), explanation.writes, strict=True):
        target.table, target.columns, target.through = write.table, list(write.columns), write.through
        target.operation, target.temporary, target.view = write.operation, write.temporary, write.view
    builder.logs = list(explanation.logs)
    builder.plan = list(explanation.plan)
    builder.remarks = list(explanation.remarks)


def explanation_from(reader: Any) -> Explanation:
    """Read a SqlExplanation. WireError for a kind of statement that isn't known here."""
    kind = str(reader.kind)
    if kind not in StatementKind.__members__:
        raise WireError(f"the node says that the statement is a {kind}, which this program doesn't know")
    return Explanation(
        verdict=Verdict(
            kind=StatementKind[kind],
            returns_rows=reader.returnsRows,
            reads=_texts(reader.tablesRead),
            writes=_texts(reader.tablesWritten),
            functions=_texts(reader.functions),
            begin_mode=str(reader.beginMode),
            name=str(reader.name),
            argument=str(reader.argument) if reader._has("argument") else None,
        ),
        reads=tuple(
            Read(table=str(read.table), columns=_texts(read.columns), through=str(read.through))
            for read in reader.reads
        ),
        writes=tuple(
            Write(
                table=str(write.table),
                operation=str(write.operation),
                columns=_texts(write.columns),
                through=str(write.through),
                temporary=write.temporary,
                view=write.view,
            )
            for write in reader.writes
        ),
        logs=_texts(reader.logs),
        plan=_texts(reader.plan),
        remarks=_texts(reader.remarks),
    )


def attribution_into(builder: Any, attribution: Attribution) -> None:
    """Fill an Attribution."""
    builder.actor = attribution.actor
    builder.purpose = attribution.purpose
    entries = builder.init("metadata", len(attribution.metadata))
    for entry, (name, value) in zip(entries, attribution.metadata.items(), strict=True):
        entry.name, entry.value = name, value


def attribution_from(reader: Any) -> Attribution:
    """Read an Attribution."""
    return Attribution(
        actor=str(reader.actor),
        purpose=str(reader.purpose),
        metadata={str(entry.name): str(entry.value) for entry in reader.metadata},
    )


def _images_into(builder: Any, before: _Image, after: _Image) -> None:
    for name, image in (("before", before), ("after", after)):
        if image is None:
            continue
        target = builder.init(name)
        target.columns = list(image)
        for cell, value in zip(target.init("values", len(image)), image.values(), strict=True):
            value_into(cell, value)


def _image_from(reader: Any, name: str) -> dict[str, Value] | None:
    if not reader._has(name):
        return None
    image = reader._get(name)
    return {str(column): value_from(cell) for column, cell in zip(image.columns, image.values, strict=True)}


def _texts(texts: Any) -> tuple[str, ...]:
    return tuple(map(str, texts))

"""What crosses to another machine is read there as it was told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vdb.changes import Attribution, Operation, RawText
from vdb.errors import WireError
from vdb.sql.crossing import (
    DiffPage,
    VersionsPage,
    diff_from,
    diff_into,
    diff_page,
    explanation_from,
    explanation_into,
    tables_of,
    versions_from,
    versions_into,
    versions_page,
)
from vdb.sql.diffing import RowDiff, TableDiff
from vdb.sql.explanation import Explanation, Read, Write
from vdb.sql.history import Version
from vdb.sql.verdict import StatementKind, Verdict
from vdb.wire import schema

ROW = {"id": -1, "é": 1.5, "none": None, "text": "", "raw": RawText(b"\xff"), "blob": b"\x00"}


@pytest.fixture
def message_of() -> Callable[..., Any]:
    """`message_of(method, build, read)`: what is read of the results that were built, as they travel."""

    def travel(method: str, build: Callable[[Any], None], read: Callable[[Any], Any]) -> Any:
        results = schema.struct_module(schema.verity.VerityDb.schema.methods[method].result_type, f"{method}$Results")
        message = results.new_message()
        build(message)
        return read(results.from_segments([bytes(segment) for segment in message.to_segments()]))

    return travel


def version(number: int, size: int = 0) -> Version:
    return Version(
        operation=Operation.UPDATE,
        table="t",
        before=None if number % 2 else ROW,
        after={"id": number, "pad": "x" * size},
        transaction=bytes(16),
        attribution=Attribution(actor="a", purpose="p", metadata={"k": "v"}),
        first_offset=number,
        next_offset=number + 2,
        position=number + 3,
        time=-5,
    )


def test_versions_and_differences(message_of) -> None:
    page = VersionsPage(versions=[version(0), version(1)], more=True, to_offset=9)
    assert message_of("sqlHistory", lambda builder: versions_into(builder, page), versions_from) == page
    row = RowDiff(operation=Operation.DELETE, before=ROW, after=None)
    differs = DiffPage(rows=[("t", row), ("u", row)], more=False, first=1, second=2)
    assert message_of("sqlDiff", lambda builder: diff_into(builder, differs), diff_from) == differs


def test_pages_hold_a_row_at_least_and_about_a_chunk() -> None:
    versions = [version(number, 600_000) for number in range(5)]
    first = versions_page(versions, 0, 9)
    assert (first.versions, first.more) == (versions[:2], True)
    assert versions_page(versions, 4, 9).versions == versions[4:]
    assert not versions_page(versions, 4, 9).more
    assert versions_page([], 0, 0).versions == []
    row = RowDiff(operation=Operation.INSERT, before=None, after=ROW)
    tables = [TableDiff(table="t", rows=(row, row)), TableDiff(table="u", rows=(row,))]
    assert tables_of(diff_page(tables, 0, 1, 2).rows) == tables
    assert tables_of(diff_page(tables, 2, 1, 2).rows) == tables[1:]


def test_explanations(message_of) -> None:
    explanation = Explanation(
        verdict=Verdict(kind=StatementKind.PRAGMA_SET, reads=("a",), writes=("b",), functions=("abs",), argument=""),
        reads=(Read(table="a", columns=("x", "y"), through="view"),),
        writes=(Write(table="b", operation="update", columns=("x",), temporary=True, view=True),),
        logs=("one",),
        plan=("SCAN a",),
        remarks=("two",),
    )

    def build(builder: Any) -> None:
        explanation_into(builder.explanation, explanation)

    assert message_of("sqlExplain", build, lambda reader: explanation_from(reader.explanation)) == explanation

    def unknown(builder: Any) -> None:
        builder.explanation.kind = "DREAM"

    with pytest.raises(WireError, match="is a DREAM, which this program doesn't know"):
        message_of("sqlExplain", unknown, lambda reader: explanation_from(reader.explanation))

"""Row differences of two files, against a plain comparison of all rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vdb.projections import comparing
from vdb.projections.comparing import compare
from vdb.projections.store import close_sqlcipher, open_plain_memory
from vdb.projections.stored import config_of, read_stored, stored_tables
from vdb.projections.tables import Column, ColumnType, Table

BEDS = Table(
    name="beds",
    columns=(Column("ward"), Column("bed", ColumnType.INTEGER), Column("patient")),
    key=("ward", "bed"),
    indexes=(("patient",),),
)
ROWS = st.dictionaries(
    st.tuples(st.sampled_from(["a", "B", "é", "\U0001f600", "￿", ""]), st.integers(-3, 3)),
    st.sampled_from(["p1", "p2", None]),
    max_size=30,
)


class MemoryDatabase:
    """The part of `ports.Database` that comparing uses."""

    def __init__(self, table: Table | None, rows: dict[tuple[str, int], str | None]) -> None:
        self.db: Any = open_plain_memory()
        for statement in table.ddl() if table is not None else ():
            self.db.execute(statement)
        for (ward, bed), patient in rows.items():
            self.db.execute("INSERT INTO beds (ward, bed, patient) VALUES (?, ?, ?)", (ward, bed, patient))

    async def read(self, work: Any) -> Any:
        return work(self.db)

    def close(self) -> None:
        close_sqlcipher(self.db)


@pytest.mark.parametrize("page", [1, 3, 1000])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=ROWS, after=ROWS)
async def test_differences_are_those_of_all_rows(page: int, before: Any, after: Any) -> None:
    old_size, comparing.PAGE_ROWS = comparing.PAGE_ROWS, page
    sides = [MemoryDatabase(BEDS, before), MemoryDatabase(BEDS, after)]
    try:
        found = await compare(*sides, 1000)  # type: ignore[arg-type]
    finally:
        comparing.PAGE_ROWS = old_size
        for side in sides:
            side.close()
    expected = {
        key: (before.get(key, "none"), after.get(key, "none"))
        for key in {**before, **after}
        if before.get(key, "none") != after.get(key, "none")
    }
    assert found.count == len(expected)
    assert {
        one.key: ("none" if one.before is None else one.before[2], "none" if one.after is None else one.after[2])
        for one in found.differences
    } == expected
    keys = [(one.key[0].encode(), one.key[1]) for one in found.differences]
    assert keys == sorted(keys)


async def test_a_table_of_another_shape_is_all_new() -> None:
    other = Table(name="beds", columns=(*BEDS.columns, Column("since")), key=("ward", "bed"))
    sides = [MemoryDatabase(BEDS, {("a", 1): "p"}), MemoryDatabase(other, {("a", 1): "p"}), MemoryDatabase(None, {})]
    found = await compare(sides[0], sides[1], 10)  # type: ignore[arg-type]
    assert [(one.before, one.after) for one in found.differences] == [
        (("a", 1, "p"), None),
        (None, ("a", 1, "p", None)),
    ]
    found = await compare(sides[0], sides[2], 0)  # type: ignore[arg-type]
    assert (found.count, found.differences) == (1, [])
    for side in sides:
        side.close()


def test_a_file_says_what_it_holds(tmp_path: Path) -> None:
    database = MemoryDatabase(BEDS, {})
    assert read_stored(database.db) is None
    database.db.execute("CREATE TABLE projection_meta (projection, version, grp, position, fingerprint)")
    assert read_stored(database.db) is None
    database.db.execute("INSERT INTO projection_meta VALUES ('beds', 3, 'global', 7, 'f'), ('beds', 3, 'eu', 9, 'f')")
    database.db.execute("CREATE TABLE unkeyed (a)")
    database.db.execute('CREATE TABLE "odd name" (a PRIMARY KEY)')
    stored = read_stored(database.db)
    assert stored is not None
    assert (stored.version, stored.fingerprint, stored.positions) == (3, "f", {"eu": 9, "global": 7})
    assert stored.tables == stored_tables(database.db)
    config = config_of("beds", stored)
    assert (config.name, config.version, [table.name for table in config.tables]) == ("beds", 3, ["beds"])
    assert config.tables[0].key == BEDS.key
    assert config.tables[0].columns == BEDS.columns
    database.close()

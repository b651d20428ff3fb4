"""The SQL text of what captures: TEMP triggers on a table, and the TEMP tables that they write.

    vdb_capture(seq, code, row_before, row_after, c0 .. c63)      one row for each row change, in order
    vdb_capture_state(generation, armed, sql)                     one row: whose triggers are in place
    vdb_capture_scratch(number)                                   empty: see `restore_changes`

The columns have no type: values keep their storage class. `code` says layout and event: see `Event` and `code`. The
images of a change stand one behind the other, before first; what doesn't fit goes on in rows that follow (CONTINUED).

Rules
- Whatever is inserted is so by a trigger, or into a table WITHOUT ROWID: last_insert_rowid() is the user's.
- Triggers stand on `main.<table>`, so a TEMP table of the same name neither fires them nor is read by them.
- A trigger's name ends in the layout's id, which is never used twice in a connection: SQLite keeps the text of a TEMP
  trigger whose table another connection dropped, and brings it to life with the next table of that name.
"""

from __future__ import annotations

from enum import IntEnum

from vdb.sql.names import CAPTURE_STATE_TABLE, CAPTURE_TABLE
from vdb.sql.tables import Table, quote

CAPTURE_WIDTH = 64
"""Value columns of the capture table: each costs time with every row, used or not."""

SCRATCH_TABLE = "vdb_capture_scratch"
PREFIX = "vdb_capture_"
"""Of the names of our triggers."""


class Event(IntEnum):
    """What a captured row is."""

    SCHEMA = 0
    INSERT = 1
    UPDATE = 2
    DELETE = 3
    CONTINUED = 4
    """More values of the row before."""


VALUE_COLUMNS = tuple(f"c{number}" for number in range(CAPTURE_WIDTH))
CREATE_CAPTURE = (
    f"CREATE TEMP TABLE IF NOT EXISTS {CAPTURE_TABLE} "
    f"(seq INTEGER PRIMARY KEY, code, row_before, row_after, {', '.join(VALUE_COLUMNS)})"
)
CREATE_STATE = f"CREATE TEMP TABLE IF NOT EXISTS {CAPTURE_STATE_TABLE} AS SELECT 0 AS generation, 0 AS armed, '' AS sql"
CREATE_SCRATCH = f"CREATE TEMP TABLE IF NOT EXISTS {SCRATCH_TABLE} (number PRIMARY KEY) WITHOUT ROWID"
LOG_SCHEMA = f"UPDATE temp.{CAPTURE_STATE_TABLE} SET sql = ?"
"""Captures a statement that changed the schema, by a trigger: see `create_schema_trigger`."""


def code(layout: int, event: Event) -> int:
    """How a captured row says both. SCHEMA is of no layout: 0."""
    return layout * 8 + event


CHANGES = (Event.INSERT, Event.UPDATE, Event.DELETE)


def trigger_names(layout: int) -> list[str]:
    """The triggers of a layout, whether or not all of them are there."""
    names = [f"{PREFIX}{when}_{event.name}_{layout}" for when in ("BEFORE", "AFTER") for event in CHANGES]
    return [*names, sweep_trigger_name(layout)]


def sweep_trigger_name(layout: int) -> str:
    """The trigger on a guard: see capture_guard."""
    return f"{PREFIX}sweep_{layout}"


def create_trigger(table: Table, layout: int, when: str, event: Event, steps: list[str]) -> str:
    """A trigger BEFORE or AFTER a change of any row."""
    name = f"{PREFIX}{when}_{event.name}_{layout}"
    body = "; ".join(steps)
    return f"CREATE TEMP TRIGGER {name} {when} {event.name} ON main.{quote(table.name)} BEGIN {body}; END"


def capture_steps(table: Table, layout: int, event: Event) -> list[str]:
    """Steps of a trigger that capture the change that fires it."""
    old, new = columns(table, "OLD"), columns(table, "NEW")
    number = code(layout, event)
    if event is Event.INSERT:
        return insert_values(number, "NULL", rowid(table, "NEW"), new)
    if event is Event.DELETE:
        return insert_values(number, rowid(table, "OLD"), "NULL", old)
    return insert_values(number, rowid(table, "OLD"), rowid(table, "NEW"), old + new)


def create_schema_trigger(layout: int, table: Table | None) -> str:
    """A trigger that captures LOG_SCHEMA, and every row of the table behind it, as inserted, if there is one."""
    steps = [f"INSERT INTO {CAPTURE_TABLE} (code, c0) VALUES ({code(0, Event.SCHEMA)}, NEW.sql)"]
    if table is not None:
        values, order = columns(table, "o"), rowid(table, "o")
        source = f"main.{quote(table.name)} AS o"
        steps.append(insert_rows(code(layout, Event.INSERT), "NULL", order, values, source, order))
    name = schema_trigger_name(layout)
    return f"CREATE TEMP TRIGGER {name} AFTER UPDATE OF sql ON temp.{CAPTURE_STATE_TABLE} BEGIN {'; '.join(steps)}; END"


def schema_trigger_name(layout: int) -> str:
    """The trigger that stands while a change of the schema is captured."""
    return f"{PREFIX}schema_{layout}"


def restore_changes(count: int) -> list[str]:
    """Statements after which `changes()` is `count`, as it was before ours."""
    if count == 0:
        return [f"DELETE FROM temp.{SCRATCH_TABLE}"]
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) SELECT i FROM n"
    return [f"INSERT INTO temp.{SCRATCH_TABLE} {numbers}", f"DELETE FROM temp.{SCRATCH_TABLE}"]


def insert_values(first_code: int, row_before: str, row_after: str, values: list[str]) -> list[str]:
    """Statements that capture one change with these values (SQL expressions)."""
    return [
        f"INSERT INTO {CAPTURE_TABLE} ({_names(len(part))}) VALUES ({', '.join([*head, *part])})"
        for head, part in _parts(first_code, row_before, row_after, values)
    ]


def insert_rows(first_code: int, row_before: str, row_after: str, values: list[str], source: str, order: str) -> str:
    """One statement that captures a change for each row of `source`; `order` tells its rows apart."""
    parts = list(_parts(first_code, row_before, row_after, values))
    if len(parts) == 1:
        head, part = parts[0]
        return f"INSERT INTO {CAPTURE_TABLE} ({_names(len(part))}) SELECT {', '.join([*head, *part])} FROM {source}"
    selects = []
    for number, (head, part) in enumerate(parts):
        filled = [*head, *part, *["NULL"] * (CAPTURE_WIDTH - len(part))]
        named = [f"{value} AS {name}" for value, name in zip(filled, _all_names(), strict=True)]
        selects.append(f"SELECT {', '.join(named)}, {order} AS o1, {number} AS o2 FROM {source}")
    inner = " UNION ALL ".join(selects)
    names = ", ".join(_all_names())
    return f"INSERT INTO {CAPTURE_TABLE} ({names}) SELECT {names} FROM ({inner}) ORDER BY o1, o2"


def rowid(table: Table, source: str) -> str:
    """The rowid of OLD, NEW or an alias, as an expression; NULL where the table has none."""
    return "NULL" if table.rowid is None else f"{source}.{table.rowid}"


def columns(table: Table, source: str) -> list[str]:
    """The values of a row, as expressions."""
    return [f"{source}.{quote(column)}" for column in table.columns]


def _parts(first_code: int, row_before: str, row_after: str, values: list[str]) -> list[tuple[list[str], list[str]]]:
    """The rows that one change takes: their heads and their values."""
    parts = [([str(first_code), row_before, row_after], values[:CAPTURE_WIDTH])]
    for start in range(CAPTURE_WIDTH, len(values), CAPTURE_WIDTH):
        parts.append(([str(int(Event.CONTINUED)), "NULL", "NULL"], values[start : start + CAPTURE_WIDTH]))
    return parts


def _names(count: int) -> str:
    return ", ".join(("code", "row_before", "row_after", *VALUE_COLUMNS[:count]))


def _all_names() -> tuple[str, ...]:
    return ("code", "row_before", "row_after", *VALUE_COLUMNS)

"""Whether a restricted statement reads what it may and nothing else, by what SQLite's authorizer is told of it. Pure.

SQLite says of each column that is read through which view, trigger or common table it is (`source`). Of a restricted
table that must be the common table that stands before it (`restricting`), whose name nobody else can have written.

Rules, each of which refuses the statement
- A restricted table is read through its common table alone. Two things are allowed beside it: what triggers of the
  schema read, as they are the schema's; and columns that aren't masked of the table that an UPDATE, a DELETE or a plain
  INSERT writes, as it writes rows that are shown.
- Each of our common tables reads what it reads by itself: nobody has put something of the same name in between.
- What the statement writes is what the user's own text writes.
- Other tables are read if the user's own text reads them.
- Our common tables call nothing that the program has put in the place of SQLite's functions.
- Tables in which rows of others may be found (SQLite's statistics, what was captured) are read by nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from vdb.errors import SqlRefused
from vdb.marks import mark
from vdb.sql import refusals as actions
from vdb.sql.names import CAPTURE_TABLE
from vdb.sql.restricting import Restricted, Restriction
from vdb.sql.tables import fold
from vdb.sql.verdict import Action

_WRITES = (actions.INSERT, actions.UPDATE, actions.DELETE)
_MASTER = ("sqlite_master", "sqlite_temp_master")


def check(
    restricted: Restricted,
    restrictions: Mapping[str, Restriction],
    *,
    asked: Sequence[Action],
    found: Sequence[Action],
    alone: Sequence[Action],
    triggers: Collection[str],
    strange: Collection[str] = (),
) -> None:
    """SqlRefused if a rule is broken.

    `restrictions`: by the folded name of the table. `asked`: what SQLite says of the user's text; `found`: of the
    fenced one; `alone`: of the query of our own common tables. `triggers`: the schema's that the statement can fire,
    whose names nothing in its text has. `strange`: functions of the program's, in lower case.
    """
    sources = restricted.sources
    for action, _, function, _, source in alone:
        if action == actions.FUNCTION and source and source in sources and (function or "").lower() in strange:
            raise _refused(
                sources[source], f"the filter calls {function}, for which the program has put one of its own"
            )
    known = {fold(action[1] or "") for action in asked if action[0] == actions.READ}
    for action, table, column, db, source in found:
        if action != actions.READ or not table or source in sources or table in sources:
            continue
        name = fold(table)
        if is_leaky(name):
            raise _refused(table, "rows of other tables may be found in it")
        if source is not None and source in triggers:
            continue
        one = restrictions.get(name)
        if one is None:
            if name not in known and name not in _MASTER:
                raise _refused(table, "the statement didn't read it before it was restricted")
            continue
        if not column and db is None:
            continue  # a name without a schema: that of our common table
        if source is not None or name != restricted.target:
            raise _refused(table, "it is read past the filter")
        spelled = next((each for each in one.table.readable if fold(each) == fold(column or "")), None)
        if spelled is not None and one.mask_of(spelled) is not None:
            raise _refused(f"{table}.{column}", "it is masked, and a statement that writes can't see it")
    ours, expected = _by_source(found, sources), _by_source(alone, sources)
    for source in sources:
        if ours[source] != expected[source] and (ours[source] or source.endswith("rows")):
            raise _refused(sources[source], "the filter doesn't mean the same within this statement")
    if _writes(found) != _writes(asked):
        raise _refused(restricted.target or "?", "the statement writes something else under the filter")


def is_leaky(table: str) -> bool:
    """Whether rows of other tables may be found in a table of this folded name."""
    return table.startswith(("sqlite_stat", CAPTURE_TABLE)) or table in ("dbstat", "sqlite_dbpage")


def _by_source(recorded: Sequence[Action], sources: Mapping[str, str]) -> dict[str, set[tuple[str, str]]]:
    found: dict[str, set[tuple[str, str]]] = {source: set() for source in sources}
    for action, table, column, _, source in recorded:
        if action == actions.READ and source in found and column:
            found[source].add((table or "", column))
    return found


def _writes(recorded: Sequence[Action]) -> set[Action]:
    return {action for action in recorded if action[0] in _WRITES}


def _refused(what: str, why: str) -> SqlRefused:
    mark("sql.restricted_refused")
    return SqlRefused(f"this statement can't be run under the policy's filter: {what}: {why}")

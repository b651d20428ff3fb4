"""PRAGMAs that say something else here than in plain SQLite, and what runs in their place. Pure.

- `page_size` is text where the file is encrypted; programs count with it.
- Setting `page_size` or `auto_vacuum` does nothing: as in any SQLite, once there is a table, and here there always is.
- `mmap_size` isn't set: SQLite would map the file into memory, where a disk that fails ends the process. It says 0, as
  an SQLite does that may not map files.
- `table_list` is asked as a table, from which VerityDB's own can be left out (`hiding`).

SQLite's authorizer denies what would be set all the same (`refusals`).
"""

from __future__ import annotations

from vdb.sql.keywords import tokens

_NOTHING = "PRAGMA page_size = 4096"
"""The size that the file's pages have: it gives no row."""


def instead_of(sql: str) -> str:
    """The text to run for a statement that may be a PRAGMA; most stay as they are."""
    if "pragma" not in sql.lower():
        return sql
    found = [token for token in tokens(sql) if token.text != ";"]
    if not found or found[0].upper != "PRAGMA":
        return sql
    words = found[1:]
    schema = words[0].name.lower() if len(words) > 2 and words[1].text == "." else ""
    if schema:
        words = words[2:]
    name, sets = words[0].name.lower() if words else "", len(words) > 1
    if name == "mmap_size":
        return "PRAGMA mmap_size"
    if name in ("auto_vacuum", "page_size") and sets:
        return _NOTHING
    if name == "page_size":
        return "SELECT CAST(page_size AS INTEGER) AS page_size FROM pragma_page_size"
    if name == "table_list" and not sets and schema in ("", "main", "temp"):
        return "SELECT * FROM pragma_table_list" + (f" WHERE schema = '{schema}'" if schema else "")
    return sql

"""PRAGMAs that say something else here than in plain SQLite, and what runs in their place. Pure.

- `page_size` is text where the file is encrypted; programs count with it.
- `mmap_size` isn't set: SQLite would map the file into memory, where a disk that fails ends the process. It says 0, as
  an SQLite does that was built without it.
- `table_list` is asked as a table, from which VerityDB's own can be left out (`hiding`).
"""

from __future__ import annotations

import re

_STATEMENT = re.compile(
    r"""\s*PRAGMA\s+(?:["'`\[]?(?P<schema>main|temp)["'`\]]?\s*\.\s*)?(?P<name>page_size|mmap_size|table_list)\b"""
    r"""\s*(?P<argument>[=(].*?)?[\s;]*""",
    re.IGNORECASE | re.DOTALL,
)


def instead_of(sql: str) -> str:
    """The text to run for a statement that may be a PRAGMA; most stay as they are."""
    found = _STATEMENT.fullmatch(sql)
    if found is None:
        return sql
    name, argument = found["name"].lower(), found["argument"]
    if name == "mmap_size":
        return "PRAGMA mmap_size"
    if argument is not None:
        return sql
    if name == "page_size":
        return "SELECT CAST(page_size AS INTEGER) AS page_size FROM pragma_page_size"
    schema = f" WHERE schema = '{found['schema'].lower()}'" if found["schema"] else ""
    return f"SELECT * FROM pragma_table_list{schema}"

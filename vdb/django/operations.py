"""How expressions of Django's are written: as for SQLite."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from django.db.backends.sqlite3 import operations as sqlite
from django.utils.functional import cached_property

_TABLES_MAX = 512
_REFERENCES = """
SELECT DISTINCT referring.name, lower(key."table")
FROM sqlite_master AS referring, pragma_foreign_key_list(referring.name) AS key WHERE referring.type = 'table'
"""


class DatabaseOperations(sqlite.DatabaseOperations):  # type: ignore[misc]
    """See the module's docstring."""

    def force_group_by(self) -> list[str]:
        """Nothing: it is for an SQLite older than ours."""
        return []

    @cached_property  # type: ignore[untyped-decorator]
    def _references_graph(self) -> Callable[[str], list[str]]:
        """Of a table: itself and what refers to it, for `flush`. Django asks by a regular expression, which needs a
        function in Python, so nodes far away couldn't say."""
        return lru_cache(maxsize=_TABLES_MAX)(self._with_referring)

    def _with_referring(self, table: str) -> list[str]:
        with self.connection.cursor() as cursor:
            references: list[tuple[str, str]] = cursor.execute(_REFERENCES).fetchall()
        found = [table]
        for name in found:
            found += [other for other, referred in references if referred == name.lower() and other not in found]
        return found

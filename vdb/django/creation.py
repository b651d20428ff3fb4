"""Databases for tests: in memory, shared by name within the process; or a data directory, where settings name one."""

from __future__ import annotations

import sys
from pathlib import Path

from django.db import NotSupportedError
from django.db.backends.sqlite3 import creation as sqlite


class DatabaseCreation(sqlite.DatabaseCreation):  # type: ignore[misc]
    """Makes and removes test databases."""

    def _create_test_db(self, verbosity: int, autoclobber: bool, keepdb: bool = False) -> str:
        name: str = self._get_test_db_name()
        if keepdb or self.is_in_memory_db(name) or not Path(name).exists():
            return name
        if not autoclobber:
            self.log(f"There is a test database {name} already: remove it, or run with --noinput, which does.")
            sys.exit(1)
        _delete(Path(name))
        return name

    def _destroy_test_db(self, test_database_name: str, verbosity: int) -> None:
        if test_database_name and not self.is_in_memory_db(test_database_name):
            _delete(Path(test_database_name))

    def _clone_test_db(self, suffix: str, verbosity: int, keepdb: bool = False) -> None:
        raise NotSupportedError("test databases of VerityDB aren't cloned: run tests without --parallel")


def _delete(place: Path) -> None:
    if not place.is_dir() or place.is_symlink():
        place.unlink(missing_ok=True)
        return
    for each in place.iterdir():
        _delete(each)
    place.rmdir()

"""Databases for tests: in memory, shared by name within the process; or a data directory, where settings name one.

Processes that `--parallel` forks have databases of their own, in memory.
"""

from __future__ import annotations

import sys
from pathlib import Path

from django.db.backends.sqlite3 import creation as sqlite

_SHARED = "?mode=memory&cache=shared"


class DatabaseCreation(sqlite.DatabaseCreation):  # type: ignore[misc]
    """Makes and removes test databases."""

    script = ""
    """What the test database holds, for the workers that `--parallel` starts."""

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
        if not self.script:
            self.connection.ensure_connection()
            self.script = "\n".join(self.connection.connection.iterdump())

    def setup_worker_connection(self, _worker_id: int) -> None:
        """Fill a database in memory for a worker's process: a node doesn't live on in a forked one."""
        self.connection.connection = None
        self.connection.settings_dict["NAME"] = f"file:memorydb_{self.connection.alias}_{_worker_id}{_SHARED}"
        self.connection.connect()
        self.connection.disable_constraint_checking()
        self.connection.connection.executescript(self.script)
        self.connection.enable_constraint_checking()


def _delete(place: Path) -> None:
    if not place.is_dir() or place.is_symlink():
        place.unlink(missing_ok=True)
        return
    for each in place.iterdir():
        _delete(each)
    place.rmdir()

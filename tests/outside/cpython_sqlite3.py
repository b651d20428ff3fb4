"""Runs one module of CPython's own tests of `sqlite3` on `vdb.dbapi`, and prints what became of each test.

    python tests/outside/cpython_sqlite3.py test_dbapi       a line of JSON: {test: "ok" | "skipped" | reason}

The tests are those of the Python that runs this; nothing of theirs is in the repository. They see `vdb.dbapi` under the
name of `sqlite3`. Where they remove a database's file, its data directory is removed.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
import shutil
import sys
import tempfile
import unittest
import warnings
from pathlib import Path

MODULES = (
    *("test_backup", "test_dbapi", "test_dump", "test_factory", "test_hooks"),
    *("test_regression", "test_transactions", "test_types", "test_userfunctions"),
)


class Outcomes(unittest.TestResult):
    """What became of each test: one that has a failed part has failed."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self.found[name_of(test)] = "ok"
        sys.stderr.write(f"{name_of(test)}\n")  # the last one before a crash
        sys.stderr.flush()

    def addError(self, test: unittest.TestCase, err: object) -> None:
        self._failed(test, err)

    def addFailure(self, test: unittest.TestCase, err: object) -> None:
        self._failed(test, err)

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self.found[name_of(test)] = "skipped"

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: object) -> None:
        if err is not None:
            self._failed(test, err)

    def _failed(self, test: unittest.TestCase, err: object) -> None:
        assert isinstance(err, tuple)
        self.found[name_of(test)] = f"{err[0].__name__}: {err[1]}"[:300]
        if "-v" in sys.argv:
            sys.excepthook(*err)


def name_of(test: unittest.TestCase) -> str:
    return test.id().split("test_sqlite3.", 1)[-1]


def remove(path: str | os.PathLike[str]) -> None:
    """What the tests do to a database's file when they are over."""
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.exists(path):
        os.unlink(path)


def run(module: str, patterns: list[str]) -> dict[str, str]:
    import test.support.os_helper as os_helper

    import vdb.dbapi

    sys.modules["sqlite3"] = vdb.dbapi
    os_helper.unlink = remove
    loader = unittest.TestLoader()
    loader.testNamePatterns = [f"*{pattern}*" for pattern in patterns] or None
    suite = loader.loadTestsFromModule(importlib.import_module(f"test.test_sqlite3.{module}"))
    outcomes = Outcomes()
    suite.run(outcomes)
    return outcomes.found


def main() -> None:
    os.environ["VDB_ROOT_KEY"] = base64.b64encode(bytes(32)).decode()
    arguments = [each for each in sys.argv[1:] if each != "-v"]
    sys.path.insert(0, str(Path(__file__).parents[2]))
    warnings.simplefilter("ignore", ResourceWarning)
    printed = os.fdopen(os.dup(1), "w")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        found = run(arguments[0], arguments[1:])
        os.chdir("/")
    printed.write(json.dumps(found) + "\n")
    printed.flush()


if __name__ == "__main__":
    main()

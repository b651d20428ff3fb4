"""SQLAlchemy's own suite for dialects, on `verity://`. Nothing of theirs is in the repository: it is imported.

What is excluded, and why, stands here and in `vdb.sqlalchemy.requirements`; a test that is excluded here and passes is
a failure as well. `make outside` runs all of it, each run a part.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

NO_SCHEMAS = "asks for a table in a schema (an attached database) without asking whether there are schemas"
ONE_MEMORY = "another connection or engine is another database in memory; fails on plain SQLite in memory, too"

EVERYWHERE = {
    r"ComponentReflectionTestExtra\S*::test_check_constraint_\w+\[True\b": NO_SCHEMAS,
    r"ComponentReflectionTest_\S*::test_metadata\[\w+-_exclusions_0\d-True\]": NO_SCHEMAS,
}
IN_MEMORY = {
    r"AutocommitIsolationTest\S*::test_dialect_autocommit_is_restored": ONE_MEMORY,
    r"ComponentReflectionTest_\S*::test_get_table_options": ONE_MEMORY,
    r"ComponentReflectionTest_\S*::test_unreflectable": ONE_MEMORY,
    r"HasTableTest\S*::test_has_(multi_table|table|table_cache)$": ONE_MEMORY,
}
PART = "not ComponentReflectionTest and not TrueDiv and not BizarroCharacter and not JSON and not Long"

CONFTEST = "from sqlalchemy.testing.plugin.pytestplugin import *\n"
SUITE = "from sqlalchemy.testing.suite import *\n"
REQUIREMENTS = "vdb.sqlalchemy.requirements:Requirements"
PASSED_MIN = 1200


def run(folder: Path, url: str, *arguments: str) -> tuple[list[str], list[str]]:
    """Names of the tests that passed, and of those that failed."""
    configured = f"requirement_cls={REQUIREMENTS}\nprofile_file=profiles.txt\n"
    (folder / "setup.cfg").write_text(f"[sqla_testing]\n{configured}[db]\n")
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_suite.py").write_text(SUITE)
    (folder / "pytest.ini").write_text("[pytest]\n")
    report = folder / "report.xml"
    plugins = ["-p", "no:anyio", "-p", "no:hypothesispytest", "-p", "no:cacheprovider"]
    options = ["--dburi", url, f"--junitxml={report}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--tb=short", *plugins, *options, *arguments, "test_suite.py"],
        check=False,
        cwd=folder,
        env={**os.environ, "VDB_ROOT_KEY": base64.b64encode(bytes(32)).decode()},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert report.exists(), done.stdout + done.stderr
    passed: list[str] = []
    failed: list[str] = []
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        if case.find("failure") is not None or case.find("error") is not None:
            failed.append(name)
        elif case.find("skipped") is None:
            passed.append(name)
    return passed, failed


def check(failed: list[str], excluded: dict[str, str]) -> None:
    unexpected = [name for name in failed if not any(re.search(pattern, name) for pattern in excluded)]
    assert unexpected == []
    unneeded = [pattern for pattern in excluded if not any(re.search(pattern, name) for name in failed)]
    assert unneeded == [], "these pass: they need no exclusion"


def test_a_part_of_it_in_memory(tmp_path: Path) -> None:
    excluded = {pattern: why for pattern, why in IN_MEMORY.items() if "ComponentReflectionTest" not in pattern}
    passed, failed = run(tmp_path, "verity://", "-k", PART)
    check(failed, excluded)
    assert len(passed) > PASSED_MIN / 4


@pytest.mark.outside
def test_all_of_it_on_a_data_directory(tmp_path: Path) -> None:
    passed, failed = run(tmp_path, f"verity:///{tmp_path / 'data'}")
    check(failed, EVERYWHERE)
    assert len(passed) > PASSED_MIN


@pytest.mark.outside
def test_all_of_it_in_memory(tmp_path: Path) -> None:
    passed, failed = run(tmp_path, "verity://")
    check(failed, EVERYWHERE | IN_MEMORY)
    assert len(passed) > PASSED_MIN

"""A pytest plugin, found by its entry point: the fixture `verity_db`, a fresh embedded database for each test.

    @pytest.mark.verity(projections=[census])
    def test_admissions(verity_db):
        verity_db.create_stream("patient-7")
        verity_db.append("patient-7", [PatientAdmitted(...)])

The database lies in memory where the system has a place for it, under a throw-away key, and is closed and forgotten at
the test's end. What the mark says goes to `vdb.open`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from vdb.embedded.database import EmbeddedDatabase


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Leave our own modules as they are.

    pytest rewrites the asserts of every package that brings a plugin, so that their failures explain themselves. Ours
    are invariants of a database, many of them in its innermost loops: rewritten, all tests of a program would run on a
    slower one that tells values in its errors. pytest has no public way to say so.
    """
    marked = getattr(early_config.pluginmanager.rewrite_hook, "_must_rewrite", None)
    if marked is not None:
        marked.discard("vdb")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "verity(projections=..., ...): what `vdb.open` is given for the fixture `verity_db`"
    )


@pytest.fixture
def verity_db(request: pytest.FixtureRequest) -> Iterator[EmbeddedDatabase]:
    """A fresh database, opened."""
    # Loaded when a test first asks for it, so that tests without a database don't wait for it.
    import vdb

    mark = request.node.get_closest_marker("verity")
    with vdb.open(":memory:", **({} if mark is None else mark.kwargs)) as database:
        yield database

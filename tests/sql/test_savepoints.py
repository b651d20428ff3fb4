"""Savepoints as a session follows them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from vdb.projections.store import SqliteError, close_sqlcipher, in_transaction, open_plain_memory
from vdb.sql.savepoints import Savepoints

NAMES = st.sampled_from(["a", "A", "b"])
STEPS = st.lists(
    st.tuples(st.sampled_from(["SAVEPOINT", "SAVEPOINT", "RELEASE", "ROLLBACK TO", "BEGIN"]), NAMES), max_size=12
)


@given(STEPS)
def test_what_commits_is_what_ends_sqlites_transaction(steps: list[tuple[str, str]]) -> None:
    db: Any = open_plain_memory()
    found = Savepoints()
    for verb, name in steps:
        before = in_transaction(db)
        commits = verb == "RELEASE" and found.commits(name)
        try:
            db.execute("BEGIN" if verb == "BEGIN" else f"{verb} {name}")
        except SqliteError:
            assert not commits
            continue
        assert commits == (before and not in_transaction(db))
        if commits:
            found.clear()
        elif verb == "SAVEPOINT":
            found.opened(name, began=not before)
        elif verb == "RELEASE":
            found.released(name)
        elif verb == "ROLLBACK TO":
            found.rolled_back_to(name)
    close_sqlcipher(db)

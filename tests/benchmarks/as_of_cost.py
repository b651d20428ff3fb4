"""AS OF: a SQL database as it was, with copies of earlier states at hand and without.

The log holds transactions of ROWS rows each. `from nothing` applies all of the log up to the middle; the others begin
from what the first question left, or from the live file. The same questions, side by side, in one process.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from random import Random

from attrs import frozen

from tests.benchmarks.report import Report
from vdb.embedded.crud import LocalDatabase, open_local
from vdb.embedded.keys import RootKeys
from vdb.sql.host import run_inline
from vdb.sql.restore import COPIES_MAX, spacing

ROWS = 50


@frozen
class Sizes:
    transactions: int
    questions: int


SIZES = {"full": Sizes(2_000, 20), "quick": Sizes(500, 8), "tiny": Sizes(20, 2)}


def run(report: Report, scale: str) -> None:
    sizes = SIZES[scale]
    with tempfile.TemporaryDirectory() as folder:
        database = open_local(Path(folder) / "data", RootKeys(bytes(range(32))))
        try:
            _fill(database, sizes)
            _measure(report, database, sizes)
        finally:
            database.close()


def _fill(database: LocalDatabase, sizes: Sizes) -> None:
    session = database.session()
    run_inline(session.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, patient INTEGER, body TEXT)"))
    for number in range(sizes.transactions):
        rows = [(None if number % 4 else row + 1, number % 500, f"note {number} " * 4) for row in range(ROWS)]
        run_inline(session.executemany("INSERT OR REPLACE INTO notes VALUES (?, ?, ?)", rows))
    database.end(session)


def _measure(report: Report, database: LocalDatabase, sizes: Sizes) -> None:
    head = database.crud.logged_offset
    middle = head // 2
    report("events in the log", head, "events")
    alone = _ask(database, middle)
    report(f"from nothing, {middle:,} events", alone * 1000, "ms")
    again = statistics.median(_ask(database, middle) for _ in range(sizes.questions))
    report("the same moment again, median", again * 1000, "ms")
    report("the same moment again, of its first time", again / alone, "times", most=0.5)
    near = _ask(database, middle + head // 100)
    report("1 % of the log later", near * 1000, "ms")
    report("now, from the live file", _ask(database, head) * 1000, "ms")
    _ask(database, head - 2 * ROWS)
    chance = Random(1)
    others = [_ask(database, chance.randrange(head)) for _ in range(sizes.questions)]
    report("any moment, median", statistics.median(others) * 1000, "ms")
    report("any moment, longest", max(others) * 1000, "ms")
    whole = alone * head / middle
    report("any moment, longest, of building it all", max(others) / whole, "times")
    report(f"way between {COPIES_MAX} copies, of the whole log", min(1.0, spacing(head) / head), "times")


def _ask(database: LocalDatabase, offset: int) -> float:
    """Seconds until the state can be read."""
    begun = time.perf_counter()
    then = database.call(partial(database.databases.travel.as_of, database.crud, offset=offset))
    seconds = time.perf_counter() - begun
    database.call(then.close)
    return seconds

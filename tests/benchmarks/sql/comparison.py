"""Statements per second, each a durable transaction: SQL mode beside SQLCipher, SQLite and audited PostgreSQL.

The stores are measured in turns, several times, so that what else the machine does meets all of them; the median
counts. Connections are threads of one process. SQL mode writes each row's change into its log, encrypted, with who and
why; PostgreSQL's trigger writes it into a table; the two others keep no history at all.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from attrs import frozen

from tests.benchmarks.report import Report
from tests.benchmarks.sql.postgres import Postgres
from tests.benchmarks.sql.stores import Connection, Store, Verity, files


@frozen
class Sizes:
    rows: int
    """That are there before reads and updates."""
    seconds: float
    """Of one measurement."""
    rounds: int


SIZES = {"full": Sizes(20_000, 2.0, 5), "quick": Sizes(2_000, 0.7, 3), "tiny": Sizes(20, 0.05, 1)}
CONNECTIONS = (1, 16)
OPERATIONS = ("insert", "update", "select")
_LEAST = {("SQLCipher", "select", 1): 0.9, ("SQLCipher", "insert", 1): 0.5, ("SQLCipher", "update", 1): 0.5}
_LEAST |= {("PostgreSQL, audited", operation, 16): 1.0 for operation in ("insert", "update")}
"""Of the ratios: what SQL mode aims at."""


def run(report: Report, scale: str) -> None:
    sizes = SIZES[scale]
    postgres = Postgres()
    stores: list[Store] = [Verity(), *files()]
    if absent := postgres.absent():
        report.note(f"PostgreSQL is skipped: {absent}")
    else:
        stores.append(postgres)
    with ExitStack() as exits:
        for store in stores:
            folder = exits.enter_context(tempfile.TemporaryDirectory(dir="."))
            exits.callback(store.stop)
            store.start(Path(folder).resolve())
            _fill(store, sizes.rows)
        for connections in CONNECTIONS:
            for operation in OPERATIONS:
                _compare(report, stores, operation, connections, sizes)


def _compare(report: Report, stores: Sequence[Store], operation: str, connections: int, sizes: Sizes) -> None:
    rates: dict[str, list[float]] = {store.name: [] for store in stores}
    for _ in range(sizes.rounds):
        for store in stores:
            rates[store.name].append(_rate(store, operation, connections, sizes))
    what = f"{operation}, {connections} connection{'s' if connections > 1 else ''}"
    medians = {name: statistics.median(found) for name, found in rates.items()}
    for name, median in medians.items():
        report(f"{what}: {name}", median, "a second")
    ours = medians[Verity.name]
    for name, median in medians.items():
        if name != Verity.name:
            least = _LEAST.get((name, operation, connections))
            report(f"{what}: {Verity.name} / {name}", ours / median, "times", least=least)


_keys = count(1_000_000_000)
"""Of rows that are inserted: never twice."""


def _fill(store: Store, rows: int) -> None:
    connection = store.connect()
    for key in range(rows):
        connection.insert(key)
    connection.close()


def _rate(store: Store, operation: str, connections: int, sizes: Sizes) -> float:
    opened = [store.connect() for _ in range(connections)]
    done = [0] * connections
    errors: list[BaseException] = []
    begin = threading.Barrier(connections + 1)
    over = threading.Event()

    def work(number: int, connection: Connection) -> None:
        act: Callable[[int], None] = getattr(connection, operation)
        key = number
        begin.wait()
        try:
            while not over.is_set():
                key = next(_keys) if operation == "insert" else (key + 7919) % sizes.rows
                act(key)
                done[number] += 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=pair) for pair in enumerate(opened)]
    for thread in threads:
        thread.start()
    begin.wait()
    since = time.perf_counter()
    over.wait(sizes.seconds)
    over.set()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - since
    for connection in opened:
        connection.close()
    if errors:
        raise errors[0]
    return max(sum(done), 1) / elapsed

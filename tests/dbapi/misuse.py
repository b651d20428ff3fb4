"""Uses connections and cursors at random as nobody should, also from within callbacks: errors are fine, crashes aren't.

python tests/dbapi/misuse.py SEED
"""

from __future__ import annotations

import faulthandler
import gc
import random
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import vdb.dbapi

ROUNDS, STEPS = 25, 60
SECONDS_MAX = 100
EXPECTED = (
    *(vdb.dbapi.Error, vdb.dbapi.Warning, TypeError, ValueError, OverflowError, StopIteration, IndexError),
    *(AttributeError, MemoryError),
)
SCHEMA = "CREATE TABLE t (a date, b); INSERT INTO t VALUES ('2020-01-01', 1), ('2021-01-01', 2), (NULL, x'00')"


class Misuse:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.depth = 0
        self.connection: Any = None
        self.cursors: list[Any] = []

    def run(self) -> None:
        choice = self.random.choice
        vdb.dbapi.register_converter("date", lambda data: (self.maybe(), data)[1])
        for _ in range(ROUNDS):
            level = choice([None, "", "IMMEDIATE"])
            self.connection = vdb.dbapi.connect(":memory:", detect_types=choice([0, 1, 2, 3]), isolation_level=level)
            self.connection.executescript(SCHEMA)
            self.cursors = []
            for _ in range(STEPS):
                self.attempt()
            self.connection.__init__(":memory:")
            self.connection.close()

    def attempt(self) -> None:
        with suppress(*EXPECTED):
            self.act()

    def maybe(self) -> None:
        """Within a callback: do something else, sometimes."""
        if self.depth < 3 and self.random.random() < 0.3:
            self.depth += 1
            try:
                self.attempt()
            finally:
                self.depth -= 1

    def callback(self, *given: Any) -> Any:
        self.maybe()
        return self.random.choice([0, 0, 1, None, "x", b"y", 2**70, object()])

    def rows(self) -> Iterator[tuple[Any, ...]]:
        for number in range(self.random.randrange(4)):
            self.maybe()
            yield None, number

    def __conform__(self, protocol: Any) -> str:
        self.maybe()
        return "2020-02-02"

    def act(self) -> None:
        choice, connection = self.random.choice, self.connection
        factories = (None, vdb.dbapi.Row, lambda _, row: (self.maybe(), row))
        cursor = choice(self.cursors) if self.cursors else connection.cursor()
        acts = (
            lambda: self.cursors.append(connection.cursor()),
            lambda: self.cursors.append(connection.cursor()),
            cursor.close,
            lambda: cursor.execute("SELECT a, b FROM t"),
            lambda: cursor.execute("SELECT f(b), b FROM t"),
            lambda: cursor.execute("SELECT x.a, y.b FROM t x, t y ORDER BY f(x.b)"),
            lambda: cursor.execute("DELETE FROM t WHERE f(b) RETURNING a"),
            lambda: cursor.execute("INSERT INTO t VALUES (?, ?)", (self, 1)),
            lambda: cursor.executemany("INSERT INTO t VALUES (?, ?)", self.rows()),
            lambda: cursor.executescript("CREATE INDEX IF NOT EXISTS i ON t (b); SELECT f(b) FROM t; DROP INDEX i"),
            cursor.fetchone,
            cursor.fetchall,
            lambda: next(cursor),
            lambda: cursor.__init__(connection),
            connection.commit,
            connection.rollback,
            connection.interrupt,
            lambda: connection.create_function("f", 1, self.callback),
            lambda: connection.create_collation("f", self.callback),
            lambda: connection.set_progress_handler(choice([None, self.callback]), choice([5, 50])),
            lambda: connection.set_trace_callback(choice([None, self.callback])),
            lambda: connection.set_authorizer(choice([None, self.callback])),
            lambda: setattr(connection, "text_factory", choice([str, bytes, lambda data: (self.maybe(), data)[1]])),
            lambda: setattr(connection, "row_factory", choice(factories)),
            lambda: self.cursors.clear() if self.random.random() < 0.3 else gc.collect(),
            lambda: connection.close() if self.random.random() < 0.2 else None,
            lambda: connection.__init__(":memory:") if self.random.random() < 0.1 else None,
        )
        choice(acts)()


if __name__ == "__main__":
    faulthandler.enable()
    faulthandler.dump_traceback_later(SECONDS_MAX, exit=True)
    Misuse(int(sys.argv[1])).run()

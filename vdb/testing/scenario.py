"""given(...).when(projection).then_rows(...): a projection's specification that runs.

Each `then_...` raises AssertionError that says what was expected and found, and gives the outcome back for the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import define, frozen

from vdb.projections.config import ProjectionConfig
from vdb.projections.effects import Batch
from vdb.projections.tables import Table
from vdb.testing.driver import Driver, config_of
from vdb.testing.events import GROUP, TENANT, EventLog
from vdb.testing.variations import REFERENCE, VARIATIONS

Row = Mapping[str, Any] | Sequence[Any]
"""All columns in their order, or some by name."""


def given(*events: Any) -> Given:
    """Events that are in the log: instances of registered classes, `vdb.NewEvent`s, and parts of streams."""
    return Given(events)


@frozen
class Given:
    """What is in the log."""

    events: tuple[Any, ...]

    def when(self, projection: Any, *events: Any) -> Outcome:
        """Have a projection (in any form that `vdb.open` takes) read the log, then these events that come after."""
        config = config_of(projection)
        log = EventLog(config)
        log.add(self.events)
        boundary = log.end
        log.add(events)
        results = {name: partial(_run, projection, name, log, boundary) for name in VARIATIONS}
        reference = results.pop(REFERENCE)()
        for name, run in results.items():
            _check_same(config, reference, run(), name)
        return Outcome(config, reference)


@define
class _Result:
    rows: dict[str, list[tuple[Any, ...]]]
    parked: list[tuple[Any, ...]]
    failed: Exception | None
    failed_at: int
    batches: list[Batch]


@frozen
class Outcome:
    """What there is then."""

    _config: ProjectionConfig
    _result: _Result

    def rows(self, table: str | None = None) -> list[dict[str, Any]]:
        """The rows of a table, in the order of its columns; no name: of the only one."""
        found = self._table(table)
        return [dict(zip(found.column_names, row, strict=True)) for row in self._result.rows[found.name]]

    @property
    def batches(self) -> list[Batch]:
        """What `after_commit` would be called with, were all events live and each phase one batch."""
        return self._result.batches

    def then_rows(self, table: str, rows: Iterable[Row]) -> Outcome:
        """The table holds these rows and no others, in any order. Columns that a mapping doesn't name don't count."""
        self._check_alive()
        found, wanted = self.rows(table), list(rows)
        names = self._table(table).column_names
        left = list(found)
        for row in wanted:
            expected = dict(row) if isinstance(row, Mapping) else dict(zip(names, row, strict=True))
            match = next((one for one in left if all(one.get(key) == value for key, value in expected.items())), None)
            if match is None:
                raise AssertionError(f"table {table!r}: expected the row {expected!r}; found {found!r}")
            left.remove(match)
        if left:
            raise AssertionError(f"table {table!r}: expected {len(wanted)} rows; found these too: {left!r}")
        return self

    def then_no_rows(self, table: str) -> Outcome:
        """The table is empty."""
        return self.then_rows(table, ())

    def then_parked(self, *numbers: int) -> Outcome:
        """These events, counted from 0 in the order in which they were given, failed and were parked or skipped."""
        self._check_alive()
        found = tuple(row[0] for row in self._result.parked)
        if found != numbers:
            raise AssertionError(f"expected events {numbers!r} to be parked or skipped; found {self._result.parked!r}")
        return self

    def then_fails(self, error: type[Exception], match: str = "", *, at: int | None = None) -> Outcome:
        """The projection stopped: with this error, a message in which `match` is found, at this event (from 0)."""
        failed = self._result.failed
        if failed is None:
            raise AssertionError(f"expected the projection to stop with {error.__name__}; it didn't stop")
        if not isinstance(failed, error) or not re.search(match, str(failed)):
            raise AssertionError(f"expected {error.__name__} with {match!r}; found {failed!r}") from failed
        if at is not None and at != self._result.failed_at:
            raise AssertionError(f"expected it to stop at event {at}; it stopped at {self._result.failed_at}")
        return self

    def _check_alive(self) -> None:
        if self._result.failed is not None:
            raise AssertionError(
                f"the projection stopped at event {self._result.failed_at}: {self._result.failed!r}"
            ) from self._result.failed

    def _table(self, name: str | None) -> Table:
        tables = self._config.tables
        if name is None and len(tables) == 1:
            return tables[0]
        found = None if name is None else self._config.table(name)
        if found is None:
            names = ", ".join(table.name for table in tables)
            raise AssertionError(f"expected one of the projection's tables ({names}); found {name!r}")
        return found


def _run(projection: Any, variation: str, log: EventLog, boundary: int) -> _Result:
    driver = Driver(projection)
    driver.live = variation == REFERENCE
    try:
        VARIATIONS[variation](driver, log.runs, boundary, log.end)
        parked = [(one.position.number, one.type, one.error, one.waiting) for one in driver.parked()]
        return _Result(driver.rows(), parked, driver.failed, driver.failed_at, _batches(driver, boundary))
    finally:
        if not driver.handled:  # batches read rows
            driver.close()


def _batches(driver: Driver, boundary: int) -> list[Batch]:
    first = tuple(event for event in driver.handled if event.position.number < boundary)
    second = tuple(event for event in driver.handled if event.position.number >= boundary)
    return [
        Batch(projection=driver.config.name, tenant=TENANT, group=GROUP, events=events, database=driver)
        for events in (first, second)
        if events
    ]


def _check_same(config: ProjectionConfig, reference: _Result, result: _Result, variation: str) -> None:
    for name, rows in reference.rows.items():
        if result.rows[name] != rows:
            raise AssertionError(
                f"projection {config.name!r}, table {name!r}: the same events, {variation}, give other rows. "
                f"{REFERENCE}: {rows!r}; {variation}: {result.rows[name]!r}. Rows may follow from events, their "
                "contexts and the database alone"
            )
    if (reference.parked, reference.failed_at) != (result.parked, result.failed_at):
        raise AssertionError(
            f"projection {config.name!r}: the same events, {variation}, fail elsewhere. {REFERENCE}: stopped at "
            f"{reference.failed_at}, parked {reference.parked!r}; {variation}: stopped at {result.failed_at}, parked "
            f"{result.parked!r}"
        )

"""The ways in which the same events are applied. A projection gives the same rows in all of them, or it has a bug that
only some day's load would show.

- all at once: one transaction
- one by one: a transaction each
- delivered twice: each batch is delivered again after it was committed
- crashed between: each batch is begun, cut off by a crash after its first event, in its middle, and before its commit,
  and applied in the next life, which knows nothing but what is in the database
- cut differently: batches of sizes that a fixed seed draws
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vdb.projections.source import OpenedRun
from vdb.testing.driver import Driver

Variation = Callable[[Driver, Sequence[OpenedRun], int, int], None]
"""(driver, runs, where the events of `when` begin, where all end)."""
REFERENCE = "all at once"
_BATCH = 3


def _all_at_once(driver: Driver, runs: Sequence[OpenedRun], boundary: int, end: int) -> None:
    driver.deliver(runs, boundary)
    driver.deliver(runs, end)


def _one_by_one(driver: Driver, runs: Sequence[OpenedRun], boundary: int, end: int) -> None:
    for number in range(end):
        driver.deliver(runs, number + 1)


def _delivered_twice(driver: Driver, runs: Sequence[OpenedRun], boundary: int, end: int) -> None:
    for cut in _cuts(boundary, end, lambda: _BATCH):
        start = driver.position
        driver.deliver(runs, cut)
        driver.deliver_again(runs, start)


def _crashed_between(driver: Driver, runs: Sequence[OpenedRun], boundary: int, end: int) -> None:
    for cut in _cuts(boundary, end, lambda: _BATCH):
        for events in (1, (cut - driver.position) // 2, cut - driver.position):
            driver.crash_in(runs, cut, max(1, events))
        driver.deliver(runs, cut)
        driver.restart()


def _cut_by(seed: int) -> Variation:
    def cut_differently(driver: Driver, runs: Sequence[OpenedRun], boundary: int, end: int) -> None:
        for cut in _cuts(boundary, end, _sizes(seed)):
            driver.deliver(runs, cut)

    return cut_differently


VARIATIONS: dict[str, Variation] = {
    REFERENCE: _all_at_once,
    "one by one": _one_by_one,
    "delivered twice": _delivered_twice,
    "crashed between": _crashed_between,
    **{f"cut differently ({seed})": _cut_by(seed) for seed in (1, 2, 3)},
}


def _cuts(boundary: int, end: int, size: Callable[[], int]) -> list[int]:
    """Where batches end: one ends at the boundary."""
    cuts: list[int] = []
    at = 0
    while at < end:
        at = min(at + size(), end if at >= boundary else boundary)
        cuts.append(at)
    return cuts


def _sizes(seed: int) -> Callable[[], int]:
    """Sizes from 1 to 8, from a linear congruential generator: the same in every run."""
    state = [seed]

    def size() -> int:
        state[0] = (1103515245 * state[0] + 12345) % 2**31
        return 1 + (state[0] >> 16) % 8

    return size

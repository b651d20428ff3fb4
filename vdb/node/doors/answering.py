"""How calls that wait, or read the disk, are answered: in a task of their own, with what their work gave.

    answer(call, partial(guard.list_holds, tenant, group), listed("holds", _fill_hold))

What a call asks for is read before `answer` is called: a call's parameters hold during its dispatch alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from vdb.rpc.server import IncomingCall

T = TypeVar("T")
Handler = Callable[[IncomingCall], None]
Fill = Callable[[Any, T], object]
"""Puts what was found into a builder of results."""


def answer(call: IncomingCall, work: Callable[[], Awaitable[T]], fill: Fill[T] | None = None) -> None:
    """Do the work in a task, and answer with what it gave; without `fill` with nothing. Its errors are answered."""

    async def run() -> None:
        found = await work()
        call.respond(None if fill is None else lambda results: fill(results, found))

    call.start_soon(run)


def field(name: str) -> Fill[Any]:
    """What was found is the field of this name."""
    return lambda results, found: setattr(results, name, found)


def listed(name: str, fill: Fill[T]) -> Fill[Sequence[T]]:
    """What was found is the list of this name; `fill` puts each one into its builder."""

    def fill_all(results: Any, found: Sequence[T]) -> None:
        for builder, one in zip(results.init(name, len(found)), found, strict=True):
            fill(builder, one)

    return fill_all

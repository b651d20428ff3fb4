"""What a session needs of the node that holds its database, and how it gets there.

A session's code runs in two places: in the node's loop, where SQLite is worked on in other threads, and in a program's
own thread, where the loop is a hop away. `Bridge` hides which: `on_loop` runs what belongs to the node, `off_loop` what
belongs to SQLite. In a program's thread neither of them suspends, so a session's coroutine ends at its first step
(`run_inline`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeVar

from attrs import define, field, frozen

from vdb.audit.entry import AuditEntry
from vdb.changes import Attribution
from vdb.sql.keeping import Asked
from vdb.types import Position
from vdb.wire.sql import Payload

T = TypeVar("T")


class Bridge(Protocol):
    async def on_loop(self, work: Callable[[], Awaitable[T]]) -> T:
        """Run this in the node's loop."""

    async def off_loop(self, work: Callable[[], T]) -> T:
        """Call this where SQLite may take its time."""

    def tell(self, work: Callable[[], None]) -> None:
        """Have the node's loop call this soon, and don't wait."""


@frozen(kw_only=True)
class Logged:
    """Where the transactions of one append lie."""

    first_offset: int
    next_offset: int
    position: Position
    """Before which all of them lie."""
    time: int
    """Microseconds UTC."""


@frozen(kw_only=True)
class Outcome:
    """What a statement gave that was run for its session by another one."""

    rowcount: int
    lastrowid: int | None


@define(eq=False)
class OneShot:
    """A statement that is a transaction of its own, and that any session with the same settings may run."""

    sql: str = field(repr=False)
    parameters: Any = field(repr=False)
    attribution: Attribution
    settings: tuple[tuple[str, str], ...]
    """PRAGMAs that its session has set: a session that runs it has set the same."""
    id: bytes | None = None
    """Of its transaction, where its session's caller has chosen it."""
    asked: tuple[Asked, ...] = ()
    """By which it was admitted."""
    view: int = 0
    """Of the group, when the statement began to wait: in a later one it isn't run any more."""
    outcome: Outcome | BaseException | None = None
    logged: Logged | None = None

    def result(self) -> Outcome:
        """What it gave, once it was run. Raises what it failed with."""
        outcome = self.outcome
        assert outcome is not None
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome


class Host(Protocol):
    """One database of a node. What is async, `advance` and `release`, runs in the node's loop; the rest in any
    thread."""

    @property
    def applied(self) -> int:
        """Offset of the stream up to which the file has applied it. Only whoever has the lease may rely on it."""

    @property
    def schema_epoch(self) -> int:
        """Another number whenever the schema may have changed."""

    @property
    def piece_size(self) -> int:
        """Bytes of a payload at most: an event must fit one message of the log."""

    def new_id(self) -> bytes:
        """16 random bytes, for a transaction."""

    def try_acquire(self, owner: object) -> bool:
        """Take the lease if it is free; any thread may ask. Unless `is_ready`, it is to be given back at once."""

    def is_ready(self) -> bool:
        """Whether the owner of the lease may write as things stand. From any thread."""

    async def acquire(self, owner: object, timeout: float) -> None:
        """Wait for the lease: the right to write, on a file that has all of the log.

        DatabaseLocked after `timeout` seconds; NotPrimary and NotReady where this node doesn't take writes.
        """

    async def lead(self, owner: object, one_shot: OneShot, timeout: float) -> list[OneShot] | None:
        """Wait for the lease, or until another session has run the statement.

        None: `one_shot.outcome` is there. A list: the caller has the lease, and runs these of other sessions first.
        """

    def release(self, owner: object, done: Sequence[OneShot] = (), *, schema_changed: bool = False) -> None:
        """Give the lease back. `done` have their outcomes."""

    async def append(self, payloads: Sequence[Payload], note: AuditEntry | None = None) -> Logged:
        """Append to the database's stream at `applied`, for the owner of the lease. Errors are definite or not.

        `note`: what the audit log is to say of it; None: that the node wrote.
        """

    def advance(self, logged: Logged) -> None:
        """The file has applied up to here: SQLite has committed. In the loop, for the owner of the lease, before it
        releases."""

    def on_damage(self) -> None:
        """A page of the file can't be read. In the node's loop."""

    async def catch_up(self, offset: int) -> None:
        """Wait until the file has applied the log up to an offset."""


def run_inline(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, in this thread."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise AssertionError("a session's coroutine suspended in a program's thread")

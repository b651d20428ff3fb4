"""What a session will append to the log at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from attrs import define, field

from vdb.changes import Transaction
from vdb.errors import DatabaseLocked, Timeout
from vdb.sql.host import OneShot, Outcome
from vdb.sql.keeping import Asked
from vdb.wire.sql import Payload


@define
class Batch:
    """One transaction or several, and whose they are."""

    payloads: list[Payload] = field(factory=list)
    transactions: list[Transaction] = field(factory=list)
    done: list[OneShot] = field(factory=list)
    """Others' statements that were run, also those that changed or failed."""
    schema_changed: bool = False
    lost: BaseException | None = None
    """Why what was done before couldn't be done again, after a statement had ended SQLite's transaction."""

    def asked(self, mine: Iterable[Asked]) -> Iterator[Asked]:
        """By which what is in it was admitted. `mine`: those of the session that leads it."""
        yield from mine
        for other in self.done:
            if isinstance(other.outcome, Outcome):
                yield from other.asked

    def tell(self, others: Sequence[OneShot], error: BaseException) -> None:
        """Nothing of the batch was kept here: whoever was in it is told so, unless it failed by itself."""
        ended = "the session that led the batch ended"  # while the log was taking it: nobody knows
        cancelled = Timeout(ended) if self.payloads else DatabaseLocked(ended)
        told = error if isinstance(error, Exception) else cancelled
        self.done = list(dict.fromkeys((*self.done, *others)))
        for other in self.done:
            if not isinstance(other.outcome, BaseException):
                other.outcome = told

"""What a session will append to the log at once."""

from __future__ import annotations

from attrs import define, field

from vdb.changes import Transaction
from vdb.sql.host import OneShot
from vdb.wire.sql import Payload


@define
class Batch:
    """One transaction or several, and whose they are."""

    payloads: list[Payload] = field(factory=list)
    transactions: list[Transaction] = field(factory=list)
    done: list[OneShot] = field(factory=list)
    """Others' statements that were run, also those that changed or failed."""
    schema_changed: bool = False

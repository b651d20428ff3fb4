"""Point-in-time restore: a new database that begins as another one was at some moment.

The new database has a log of its own, which begins with the rows that there were: who changed them before is in the
history of the old one. Each row lies under its subject there as well.
"""

from __future__ import annotations

from collections.abc import Iterator

from vdb.changes import Attribution, Transaction
from vdb.errors import InvalidArgument
from vdb.node.crud.copies import AsOf
from vdb.node.crud.database import CrudDatabase
from vdb.node.crud.databases import CrudDatabases
from vdb.sql.restore import contents
from vdb.sql.session import LOCK_TIMEOUT
from vdb.sql.subjects import Subjects
from vdb.types import Position
from vdb.wire.sql import Payload, encode_transaction

CHUNK_SIZE_MAX = 2 * 1024 * 1024
"""Bytes of rows that go into one transaction of the new log."""


async def restore(
    databases: CrudDatabases,
    tenant: int,
    name: str,
    new_name: str,
    *,
    attribution: Attribution,
    offset: int | None = None,
    position: Position | None = None,
    timestamp: int | None = None,
) -> CrudDatabase:
    """Create the database `new_name` as `name` was at a moment, in the same group and of the same class.

    StreamExists if there is one of the name. If this fails on the way, what has come by then is in the new database:
    nobody has been told that it is whole.
    """
    if name == new_name:
        raise InvalidArgument(f"a restore makes a new database: expected another name than {name!r}")
    old = await databases.open(tenant, name)
    then = await databases.travel.as_of(old, offset=offset, position=position, timestamp=timestamp)
    try:
        info = old.reader.find(old.tenant, old.stream)
        assert info is not None, "a stream never goes away"
        await databases.create(tenant, new_name, info.data_class, old.reader.group.name)
        new = await databases.open(tenant, new_name)
        await _fill(new, then, attribution)
    finally:
        await then.close()
    return new


async def _fill(new: CrudDatabase, then: AsOf, attribution: Attribution) -> None:
    source = await then.connect()
    size_max = min(CHUNK_SIZE_MAX, max(1, new.reader.group.limits.transaction_size_max // 2))
    subjects = await then.file.work(lambda: Subjects(source).columns())
    found = contents(source, attribution=attribution, new_id=new.new_id, size_max=size_max)

    def take() -> list[Payload] | None:
        transaction = _next(found)
        return None if transaction is None else encode_transaction(transaction, subjects, piece_size=new.piece_size)

    while (payloads := await then.file.work(take)) is not None:
        owner = object()
        await new.acquire(owner, LOCK_TIMEOUT)
        try:
            logged = await new.append(payloads)
        finally:
            new.release(owner, schema_changed=True)
        await new.catch_up(logged.next_offset)


def _next(found: Iterator[Transaction]) -> Transaction | None:
    return next(found, None)

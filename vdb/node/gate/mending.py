"""Reads of a node's own work, which go on where a call would be told of the damage.

A damaged segment is mended from other members before a read fails because of it (`vdb.storage.event_log`). Where they
are all away for a moment, a client hears what is damaged; a projection or a SQL database that reads on has nobody to
tell, and the error would end the node. So it asks again for a while, as checkpoints do. A node that is alone, and one
that nobody helps for so long, end with the error that names file and byte.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from vdb.errors import DamagedData
from vdb.marks import mark
from vdb.node.replication.group import Group
from vdb.storage.repair import REPAIR_RETRY_SECONDS, REPAIRS_MAX

T = TypeVar("T")


async def until_mended(group: Group, read: Callable[[], Awaitable[T]]) -> T:
    """What `read` returns. DamagedData that no other member can mend, or not within `REPAIRS_MAX` attempts."""
    for _attempt in range(REPAIRS_MAX):
        try:
            return await read()
        except DamagedData as error:
            if not error.path or group.is_alone:
                raise
            mark("mending.asks_again")
            await trio.sleep(REPAIR_RETRY_SECONDS)
    return await read()

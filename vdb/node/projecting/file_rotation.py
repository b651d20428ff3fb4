"""Brings a node's encrypted files under the keys that a rotation has put: each node its own, one file after another.

A projection is built anew beside the rows in use, which are read meanwhile, and used by one write of its pointer. A SQL
database is copied while it is read; its writers wait. The file before goes. A crash leaves the file before, under its
own key, which opens it still (`keyed_disk`), and this goes on from there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import trio

from vdb.errors import VerityError
from vdb.marks import mark
from vdb.node import log
from vdb.node.projecting.file_keys import FileKeys
from vdb.types import TenantId

LOOK_SECONDS = 2.0
"""Between two looks at whether a rotation has put keys for files."""
RETRY_SECONDS = 30.0
RETRY_SECONDS_MAX = 3600.0
"""Each failure doubles the wait up to this: a projection that a handler holds up is read from its start each time."""

Renew = Callable[[TenantId, str], Awaitable[None]]


class FileRotation:
    """`run` it as long as the node serves. `kinds`: keys of files, and how one of them is made anew."""

    def __init__(self, kinds: Sequence[tuple[FileKeys, Renew]]) -> None:
        self._kinds = kinds
        self._at_work = False
        self._later: dict[tuple[TenantId, str], float] = {}
        """When a file that couldn't be made anew is tried again."""
        self._waits: dict[tuple[TenantId, str], float] = {}
        """How long it waits then, if it fails once more. Seconds."""

    @property
    def settled(self) -> bool:
        """Whether no file is behind, and none is being made anew."""
        return not self._at_work and not self.behind

    @property
    def behind(self) -> int:
        """Files under an earlier key than their newest."""
        return sum(len(keys.behind()) for keys, _ in self._kinds)

    async def run(self) -> None:
        while True:
            await trio.sleep(LOOK_SECONDS)
            for keys, renew in self._kinds:
                for tenant, name in keys.behind():
                    if trio.current_time() >= self._later.get((tenant, name), 0.0):
                        await self._renew(renew, tenant, name)

    async def _renew(self, renew: Renew, tenant: TenantId, name: str) -> None:
        self._at_work = True
        try:
            await renew(tenant, name)
        except VerityError as error:
            mark("files.rotation_failed")
            log.warning("file.not_rotated", tenant=tenant, file=log.sign(name), reason=log.reason(error))
            wait = self._waits.get((tenant, name), RETRY_SECONDS)
            self._waits[tenant, name] = min(2 * wait, RETRY_SECONDS_MAX)
            self._later[tenant, name] = trio.current_time() + wait
        else:
            self._waits.pop((tenant, name), None)
            mark("files.rotated")
            log.info("file.rotated", tenant=tenant, file=log.sign(name))
        finally:
            self._at_work = False

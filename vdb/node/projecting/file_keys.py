"""Keys of encrypted files on a node: random rows of the key store of the region's group."""

from __future__ import annotations

import trio

from vdb.errors import InvalidArgument, NotPrimary, NotReady, PrimaryLost, error_for_refusal
from vdb.kernel.command import INTERNAL, KeyRow, KeyScope
from vdb.kernel.reply import Refusal
from vdb.node.preparing.request import PlainKey
from vdb.node.replication.group import Group
from vdb.types import DataClass, TenantId

KEY_RETRY_SECONDS = 0.1
"""Between two looks at whether the group's primary has put a key."""


class FileKeys:
    """Finds and makes them. `home` is the region's group."""

    def __init__(self, home: Group) -> None:
        self._home = home

    async def key_for(self, tenant: TenantId, name: str) -> bytes:
        """The key of a tenant's file, put into the key store, through the log, if it is new.

        Only the primary puts it; the others wait for it. Overloaded and DiskFull when it can't be put now.
        """
        while (row := self._row(tenant, name)) is None:
            request = PlainKey(tenant=tenant, scope=KeyScope.PROJECTION, name=name, data_class=DataClass.PHI)
            try:
                reply = await self._home.execute(request, INTERNAL)
            except (NotPrimary, NotReady, PrimaryLost):
                await trio.sleep(KEY_RETRY_SECONDS)
                continue
            if isinstance(reply, Refusal):
                raise error_for_refusal(reply.code, reply.message)
            if self._row(tenant, name) is None:
                raise InvalidArgument(f"projection '{name}' of tenant {tenant} has no key")
        return self._home.keyring.key(row.dek_id)

    def _row(self, tenant: TenantId, name: str) -> KeyRow | None:
        """The row of a file's key, once it is committed; None where its key was destroyed, and another is to be put."""
        keyring = self._home.keyring
        if keyring.row(tenant, KeyScope.TENANT) is None:
            return None
        row, _ = keyring.newest_row(tenant, KeyScope.PROJECTION, name)
        held = None if row is None else self._home.state.key(row.dek_id)
        return None if held is None or held.is_destroyed else row

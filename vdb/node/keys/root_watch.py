"""Gives a node's groups the root keys that it was given since it started; asks for those that a group waits for.

Root keys that a node has it keeps until it ends: what they wrapped may come yet. Where the log asks for one that it
doesn't have, the group holds (`vdb.node.replication.holding`): this says what is missing, and reads the keys again
until they are there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import trio

from vdb.crypto.root import RootKeys
from vdb.errors import StartError
from vdb.marks import mark
from vdb.node import log
from vdb.node.replication.group import Group
from vdb.types import GroupId

LOOK_SECONDS = 2.0
"""Between two looks at whether a group waits for a root key, and between two readings of where they come from."""


class RootWatch:
    """`run` it as long as the node runs. `reload` asks where root keys come from once more; None: nobody can."""

    def __init__(self, groups: Mapping[GroupId, Group], reload: Callable[[], Awaitable[RootKeys]] | None) -> None:
        self._groups = groups
        self._reload = reload
        self._told: dict[GroupId, bytes] = {}
        """The key that each group was last said to wait for."""

    async def run(self) -> None:
        while True:
            await trio.sleep(LOOK_SECONDS)
            if [name for name, group in self._groups.items() if self._is_missing(name, group)]:
                await self.refresh()

    def _is_missing(self, name: GroupId, group: Group) -> bool:
        missing = group.missing_root_key
        if missing and self._told.get(name) != missing:
            mark("root_watch.missing")
            given = [key_id.hex() for key_id in group.keyring.roots.ids]
            log.warning("keys.root_key_missing", group=name, missing=missing.hex(), given=given)
        self._told[name] = missing
        return bool(missing)

    async def refresh(self) -> None:
        """Take root keys that the node was given since it started."""
        if self._reload is None:
            return
        try:
            keys = await self._reload()
            for name, group in self._groups.items():
                group.keyring.give(keys.ring(name))
                group.go_on()
        except StartError as error:
            log.warning("keys.not_reloaded", reason=log.reason(error))

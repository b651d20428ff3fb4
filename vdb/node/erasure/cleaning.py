"""Rids a node's files of rows of what was erased: projections and SQL databases, with their earlier states.

The keys of these files are destroyed with the subject's, so an old file says nothing to anybody who hasn't opened it
before. Here what is open is built anew from the log, under new keys, and the old files are removed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import trio

from vdb.errors import DefiniteError, VerityError
from vdb.marks import mark
from vdb.node import log
from vdb.node.crud.databases import CrudDatabases
from vdb.node.projecting.projecting import ProjectionManager, position_text
from vdb.types import GroupId, TenantId

RETRY_SECONDS = 5.0


class FileCleaner:
    """Implements `vdb.node.erasure.eraser.Cleaner`."""

    def __init__(self, projections: ProjectionManager, databases: CrudDatabases) -> None:
        self._projections = projections
        self._databases = databases

    async def __call__(self, group: GroupId, tenants: Sequence[TenantId]) -> Mapping[str, Mapping[str, str]]:
        done: dict[str, Mapping[str, str]] = {}
        for tenant in tenants:
            while True:
                try:
                    for name, status in (await self._projections.renew(tenant)).items():
                        done[f"projection {name}"] = {
                            "generation": str(status.generation),
                            "position": position_text(status.rows.positions),
                            "key": self._projections.keys.id_of(tenant, name),
                        }
                    for name, applied in (await self._databases.renew(tenant)).items():
                        done[f"database {name}"] = {
                            "offset": str(applied),
                            "key": self._databases.keys.id_of(tenant, name),
                            "copies-of-earlier-states": "removed",
                        }
                    break
                except (VerityError, DefiniteError, trio.ClosedResourceError) as error:
                    # Until it can be built, the erasure stays pending: an operator has to look at it.
                    mark("cleaning.held_up")
                    log.warning("erasure.held_up", group=group, tenant=tenant, reason=log.reason(error))
                    await trio.sleep(RETRY_SECONDS)
        return done

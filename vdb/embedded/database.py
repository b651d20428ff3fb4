"""`vdb.open`: a node in this process, without a socket.

    with vdb.open("data", keys="root.key") as database:
        database.create_stream("notes", "phi", "ap-southeast-2")
        database.publish("notes", b"hello", subject="patient-7")
        await database.aio.read("notes")                 # from a coroutine, trio's or asyncio's

- One process holds a data directory; a second one gets DataDirectoryInUse, which says how to share it.
- A disk that fails stops the node, never the process: each call raises NodeStopped until it is opened again.
- A handle in a forked child raises ForkedHandle.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import trio

from vdb.client.face import AsyncFace
from vdb.client.stamps import Stamps
from vdb.client.sync_base import waiting_post
from vdb.client.sync_face import SyncFace
from vdb.crypto.root import RootKeys
from vdb.embedded.hop_gateway import HopGateway
from vdb.embedded.keys import Keys, find_root_keys
from vdb.embedded.loop_thread import LoopThread
from vdb.embedded.service_gateway import ServiceGateway
from vdb.errors import DataDirectoryInUse
from vdb.evidence.checkpoint import Checkpoint
from vdb.limits import Limits
from vdb.node.config import NodeConfig
from vdb.node.crud.databases import CrudDatabases
from vdb.node.evidence.auditing import LogAudit, Progress
from vdb.node.evidence.proving import Family, family_of
from vdb.node.gate.caller import Caller, embedded_caller
from vdb.node.gate.gate_settings import GateSettings
from vdb.node.gate.guard import Guard
from vdb.node.node import Node
from vdb.projections.given import GivenProjection
from vdb.types import (
    SYSTEM_TENANT,
    GroupId,
    Region,
    TenantId,
    audit_log_of,
    check_tenant_id,
    is_audit_log,
    tenant_of_log,
)
from vdb.world import make_world
from vdb.world.clock import RealClock
from vdb.world.entropy import RealEntropy

MEMORY = ":memory:"
StrPath = str | os.PathLike[str]
DEFAULT_REGION = "ap-southeast-2"
_SHARED_MEMORY = "/dev/shm"

EMBEDDED_LIMITS = Limits(message_size_max=256 * 1024, wal_slots=96, checkpoint_interval=64)
"""A data directory of a program starts at some 48 MB for both groups, not at the half gigabyte of a server's."""


class EmbeddedDatabase(SyncFace):
    """A node in this process. Blocking methods here; `aio` has the same ones for coroutines. Thread-safe."""

    def __init__(
        self, loop: LoopThread, gateway: ServiceGateway, *, data_dir: Path, tenant: int, scratch: bool
    ) -> None:
        stamps = Stamps(RealEntropy(), RealClock())
        super().__init__(AsyncFace(gateway, stamps=stamps, tenant=tenant), loop.call, partial(_post, loop))
        self.data_dir = data_dir
        self.loop = loop
        """The thread in which the node runs."""
        self._audits = gateway.audits
        self.guard: Guard = gateway.guard
        """What stands before the node: its methods run in its loop."""
        self.databases: CrudDatabases = gateway.databases
        """The node's SQL databases; their methods run in its loop."""
        self.aio = AsyncFace(HopGateway(gateway, loop), stamps=stamps, tenant=tenant)
        """The same methods as coroutines, for trio and asyncio."""
        self._finalizer = weakref.finalize(self, _end, loop, data_dir if scratch else None)

    def audited_logs(self) -> list[tuple[str, int, str]]:
        """The logs that `audit_log` can be asked for: (group, tenant, family). Tenant 0's is the system's audit log."""
        return [
            (str(group), int(tenant_of_log(log)), "audit" if is_audit_log(log) else "data")
            for group, log in self._audits.logs()
        ]

    def origin(self, group: str, tenant: int, family: str = "data") -> str:
        """The name of a log in signed heads. `family`: "data" or "audit"."""
        return self._audits.origin(GroupId(group), _log_number(tenant, family))

    def audit_log(
        self,
        group: str,
        tenant: int,
        known: Checkpoint | None = None,
        on_progress: Progress | None = None,
        *,
        family: str = "data",
    ) -> LogAudit:
        """Read, open and hash every record of a log as it is stored. `known`: a tree that was kept before."""
        audit = partial(self._audits.audit, GroupId(group), _log_number(tenant, family), known, on_progress)
        return self.loop.call(audit)

    @property
    def is_ours(self) -> bool:
        """Whether the node runs, and in this process: a forked child has none."""
        return self.loop.is_ours

    def close(self) -> None:
        """Stop the node. Closing twice is harmless, and the end of the program closes, too."""
        self._finalizer()

    def __enter__(self) -> EmbeddedDatabase:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def open(
    data_dir: str | os.PathLike[str],
    keys: Keys = None,
    *,
    region: Region | str = DEFAULT_REGION,
    projections: Sequence[GivenProjection | Sequence[GivenProjection]] = (),
    tenant: int = 1,
    limits: Limits = EMBEDDED_LIMITS,
    principal: str = "embedded",
    purpose: str = "",
    reason: str = "",
    receipts: bool | None = None,
) -> EmbeddedDatabase:
    """Open the node in `data_dir`, which is created if it is missing.

    `keys`: RootKeys, the base64 text of 32 bytes, or a path of a protected file that holds it; None takes it from
    `VDB_ROOT_KEY`. `":memory:"` as `data_dir` gives a throw-away database in a temporary directory, in memory where
    the system has a place for it, under a throw-away key unless one is given. `limits` count when the directory is
    created. `projections` are `vdb.Projection`s, classes of `vdb.ProjectionHandler`, or 'module:attribute'.
    `principal`, `purpose` (of use: a code of HL7 v3-ActReason) and `reason`: who asks and what for, by the program's
    own word; policies know it by that name, and the audit log has it. `receipts`: whether PHI is answered only once
    the audit log has that it was read; None: yes, but for a throw-away database.
    Raises StartError's kin: KeysMissing, WrongKey, DataDirectoryInUse, DamagedData, ...
    """
    scratch = os.fspath(data_dir) == MEMORY
    root_keys = RootKeys(RealEntropy().random_bytes(32)) if scratch and keys is None else find_root_keys(keys)
    place = Path(tempfile.mkdtemp(prefix="vdb-", dir=_memory())) if scratch else Path(data_dir)
    config = NodeConfig(
        region=region if isinstance(region, Region) else Region(region),
        root_keys=root_keys,
        name="embedded",
        address=None,
        limits=limits,
        projections=projections,
        gate=GateSettings(receipts=not scratch if receipts is None else receipts),
    )
    caller = embedded_caller(principal, purpose, reason)
    loop = LoopThread(_node_main(place, config, caller), name="vdb-node")
    try:
        gateway = loop.start()
    except DataDirectoryInUse as error:
        raise DataDirectoryInUse(
            f"{error}. To use one database from several processes, run `vdb start --data-dir {place} --region "
            f"{config.region}` and connect with `vdb.connect_sync`"
        ) from None
    except BaseException:
        _end(loop, place if scratch else None)
        raise
    return EmbeddedDatabase(loop, gateway, data_dir=place, tenant=tenant, scratch=scratch)


def _memory() -> str | None:
    """Where a throw-away directory lies in memory; None where the system has no such place."""
    return _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None


def _node_main(place: Path, config: NodeConfig, caller: Caller) -> Callable[[Callable[[Any], None]], Awaitable[None]]:
    async def main(ready: Callable[[Any], None]) -> None:
        node = Node(make_world(place, config.region), config)
        async with trio.open_nursery() as nursery:
            await nursery.start(node.run)
            ready(ServiceGateway(Guard(node.service, caller), nursery))

    return main


def _post(loop: LoopThread, function: Callable[[], None]) -> None:
    """Have the loop call a function, and don't wait. Where it has ended, raise what a call raises."""
    if loop.is_ours:
        loop.post(function)
    else:
        waiting_post(loop.call)(function)


def _end(loop: LoopThread, scratch: Path | None) -> None:
    loop.stop()
    if scratch is not None:
        shutil.rmtree(scratch, ignore_errors=True)


def _log_number(tenant: int, family: str) -> TenantId:
    """What a tenant's log is kept under."""
    if family_of(family) is Family.DATA:
        return check_tenant_id(tenant)
    return audit_log_of(check_tenant_id(tenant) if tenant else SYSTEM_TENANT)

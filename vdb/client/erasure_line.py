"""What carries calls of what ends data: an RPC connection, or a node in the same process. See `vdb.client.gateway`."""

from __future__ import annotations

from typing import Protocol

from vdb.erasures import ErasureBegun, ErasureInfo, HoldInfo, Pruned, RetentionInfo
from vdb.types import DataClass


class ErasureLine(Protocol):
    """Groups are named by a region, or 'global'. Times are microseconds UTC."""

    async def erase_subject(
        self, tenant: int, group: str, subject: str, basis: str, *, dry_run: bool, timeout: float
    ) -> ErasureBegun: ...

    async def list_erasures(self, tenant: int, group: str, *, timeout: float) -> list[ErasureInfo]: ...

    async def put_hold(
        self, tenant: int, group: str, subject: str, stream: str, reason: str, *, timeout: float
    ) -> int: ...

    async def release_hold(self, tenant: int, group: str, hold: int, reason: str, *, timeout: float) -> None: ...

    async def list_holds(self, tenant: int, group: str, *, timeout: float) -> list[HoldInfo]: ...

    async def put_retention(
        self, tenant: int, group: str, stream: str, data_class: DataClass, days: int, *, timeout: float
    ) -> None: ...

    async def list_retention(self, tenant: int, group: str, *, timeout: float) -> list[RetentionInfo]: ...

    async def prune(self, tenant: int, group: str, *, dry_run: bool, timeout: float) -> Pruned: ...

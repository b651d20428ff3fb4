"""What carries calls about keys: an RPC connection, or a node in the same process. See `vdb.client.gateway`."""

from __future__ import annotations

from typing import Protocol

from vdb.keys import KeyReport, RotationStep


class KeyLine(Protocol):
    """Groups are named by a region, or 'global'."""

    async def rotate(
        self, tenant: int, group: str, maximum: int, *, begin: bool, rotation_id: bytes, force: bool, timeout: float
    ) -> RotationStep:
        """`rotation_id`: 16 bytes under which it is begun once; empty: one that is drawn for this call."""

    async def statuses(self, group: str, *, timeout: float) -> list[KeyReport]:
        """Of each node that holds the group."""

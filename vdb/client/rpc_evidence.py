"""Evidence over RPC: asked of the group's primary, again until it is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from vdb.client.evidence_line import RecordProof, TreeHead
from vdb.client.router import Router
from vdb.evidence.note import VerifierKey, parse_note
from vdb.evidence.proof import LogProof
from vdb.types import GroupId

GroupOf = Callable[[int, str, float], Awaitable[GroupId]]


class RpcEvidence:
    """Implements `vdb.client.evidence_line.EvidenceLine`."""

    def __init__(self, router: Router, group_of: GroupOf) -> None:
        self._router = router
        self._group_of = group_of

    async def head(
        self, tenant: int, group: str, *, family: str = "", cosigned: bool = False, timeout: float
    ) -> TreeHead:
        def build(params: Any) -> None:
            params.tenant = tenant
            params.group = group
            params.family = family
            params.cosigned = cosigned

        return await self._router.ask("treeHead", build, _head, timeout=timeout, group=_group(group))

    async def prove(self, tenant: int, stream: str, offset: int, *, timeout: float) -> RecordProof:
        def build(params: Any) -> None:
            params.tenant = tenant
            params.stream = stream
            params.offset = offset

        def parse(results: Any) -> RecordProof:
            return RecordProof(
                proof=LogProof.parse(bytes(results.proof)), verifier=VerifierKey.parse(results.verifierKey)
            )

        group = await self._group_of(tenant, stream, timeout)
        return await self._router.ask("proveRecord", build, parse, timeout=timeout, group=group)

    async def leaves(
        self, tenant: int, group: str, first: int, maximum: int, *, family: str = "", timeout: float
    ) -> tuple[list[bytes], int]:
        def build(params: Any) -> None:
            params.tenant, params.group, params.family = tenant, group, family
            params.fromIndex, params.max = first, maximum

        def parse(results: Any) -> tuple[list[bytes], int]:
            return [bytes(leaf) for leaf in results.leaves], int(results.size)

        return await self._router.ask("leaves", build, parse, timeout=timeout, group=_group(group))

    async def consistency(
        self, tenant: int, group: str, size: int, *, family: str = "", timeout: float
    ) -> tuple[TreeHead, tuple[bytes, ...]]:
        def build(params: Any) -> None:
            params.tenant = tenant
            params.group = group
            params.size = size
            params.family = family

        def parse(results: Any) -> tuple[TreeHead, tuple[bytes, ...]]:
            return _head(results), tuple(bytes(one) for one in results.path)

        return await self._router.ask("proveConsistency", build, parse, timeout=timeout, group=_group(group))


def _group(name: str) -> GroupId | None:
    return GroupId(name) if name else None


def _head(results: Any) -> TreeHead:
    return TreeHead(note=parse_note(bytes(results.note)), verifier=VerifierKey.parse(results.verifierKey))

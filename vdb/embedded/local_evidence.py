"""Evidence of a node in this process: in its own loop, and from other loops."""

from __future__ import annotations

from functools import partial

import trio

from vdb.client.evidence_line import EvidenceLine, RecordProof, TreeHead
from vdb.embedded.loop_thread import LoopThread
from vdb.errors import Timeout
from vdb.node.node_service import NodeService
from vdb.node.proving import SignedHead


class ServiceEvidence:
    """Implements `vdb.client.evidence_line.EvidenceLine` in the node's loop."""

    def __init__(self, service: NodeService) -> None:
        self._service = service

    async def head(self, tenant: int, group: str, *, timeout: float) -> TreeHead:
        with trio.move_on_after(timeout):
            return _head(await self._service.proofs.head(tenant, group or self._service.region.name))
        raise _timed_out("tree_head", timeout)

    async def prove(self, tenant: int, stream: str, offset: int, *, timeout: float) -> RecordProof:
        with trio.move_on_after(timeout):
            proof, verifier = await self._service.prove_record(tenant, stream, offset)
            return RecordProof(proof=proof, verifier=verifier)
        raise _timed_out("prove", timeout)

    async def consistency(
        self, tenant: int, group: str, size: int, *, timeout: float
    ) -> tuple[TreeHead, tuple[bytes, ...]]:
        with trio.move_on_after(timeout):
            head, path = await self._service.proofs.consistency(tenant, group or self._service.region.name, size)
            return _head(head), path
        raise _timed_out("tree_consistency", timeout)


class HopEvidence:
    """The same for other loops: each call hops to the node's and back."""

    def __init__(self, inner: EvidenceLine, loop: LoopThread) -> None:
        self._inner = inner
        self._loop = loop

    async def head(self, tenant: int, group: str, *, timeout: float) -> TreeHead:
        return await self._loop.call_async(partial(self._inner.head, tenant, group, timeout=timeout))

    async def prove(self, tenant: int, stream: str, offset: int, *, timeout: float) -> RecordProof:
        return await self._loop.call_async(partial(self._inner.prove, tenant, stream, offset, timeout=timeout))

    async def consistency(
        self, tenant: int, group: str, size: int, *, timeout: float
    ) -> tuple[TreeHead, tuple[bytes, ...]]:
        return await self._loop.call_async(partial(self._inner.consistency, tenant, group, size, timeout=timeout))


def _head(found: SignedHead) -> TreeHead:
    return TreeHead(note=found.note, verifier=found.verifier)


def _timed_out(what: str, timeout: float) -> Timeout:
    return Timeout(f"{what}: no answer within {timeout:g} s")

"""Evidence of a node in this process: in its own loop, and from other loops."""

from __future__ import annotations

from functools import partial

import trio

from vdb.client.evidence_line import EvidenceLine, RecordProof, TreeHead
from vdb.embedded.loop_thread import LoopThread
from vdb.errors import Timeout
from vdb.node.evidence.proving import SignedHead
from vdb.node.evidence.stored import StoredLogs
from vdb.node.gate.guard import Guard
from vdb.node.gate.node_service import NodeService


class ServiceEvidence:
    """Implements `vdb.client.evidence_line.EvidenceLine` in the node's loop."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    async def head(
        self, tenant: int, group: str, *, family: str = "", cosigned: bool = False, timeout: float
    ) -> TreeHead:
        with trio.move_on_after(timeout):
            return _head(await self._guard.tree_head(tenant, group, family, cosigned=cosigned))
        raise _timed_out("tree_head", timeout)

    async def prove(self, tenant: int, stream: str, offset: int, *, timeout: float) -> RecordProof:
        with trio.move_on_after(timeout):
            proof, verifier = await self._guard.prove_record(tenant, stream, offset)
            return RecordProof(proof=proof, verifier=verifier)
        raise _timed_out("prove", timeout)

    async def leaves(
        self, tenant: int, group: str, first: int, maximum: int, *, family: str = "", timeout: float
    ) -> tuple[list[bytes], int]:
        with trio.move_on_after(timeout):
            found, _, size = await self._guard.leaves(tenant, group, first, maximum, family)
            return found, size
        raise _timed_out("tree_leaves", timeout)

    async def consistency(
        self, tenant: int, group: str, size: int, *, family: str = "", timeout: float
    ) -> tuple[TreeHead, tuple[bytes, ...]]:
        with trio.move_on_after(timeout):
            head, path = await self._guard.consistency(tenant, group, size, family)
            return _head(head), tuple(path)
        raise _timed_out("tree_consistency", timeout)


class LocalAudit(StoredLogs):
    """Audits of the log as it is stored, in the node's loop."""

    def __init__(self, service: NodeService) -> None:
        super().__init__(service.readers)
        self._service = service


class HopEvidence:
    """The same for other loops: each call hops to the node's and back."""

    def __init__(self, inner: EvidenceLine, loop: LoopThread) -> None:
        self._inner = inner
        self._loop = loop

    async def head(
        self, tenant: int, group: str, *, family: str = "", cosigned: bool = False, timeout: float
    ) -> TreeHead:
        call = partial(self._inner.head, tenant, group, family=family, cosigned=cosigned, timeout=timeout)
        return await self._loop.call_async(call)

    async def prove(self, tenant: int, stream: str, offset: int, *, timeout: float) -> RecordProof:
        return await self._loop.call_async(partial(self._inner.prove, tenant, stream, offset, timeout=timeout))

    async def leaves(
        self, tenant: int, group: str, first: int, maximum: int, *, family: str = "", timeout: float
    ) -> tuple[list[bytes], int]:
        call = partial(self._inner.leaves, tenant, group, first, maximum, family=family, timeout=timeout)
        return await self._loop.call_async(call)

    async def consistency(
        self, tenant: int, group: str, size: int, *, family: str = "", timeout: float
    ) -> tuple[TreeHead, tuple[bytes, ...]]:
        call = partial(self._inner.consistency, tenant, group, size, family=family, timeout=timeout)
        return await self._loop.call_async(call)


def _head(found: SignedHead) -> TreeHead:
    return TreeHead(note=found.note, verifier=found.verifier)


def _timed_out(what: str, timeout: float) -> Timeout:
    return Timeout(f"{what}: no answer within {timeout:g} s")

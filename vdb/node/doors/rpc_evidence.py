"""The RPC door of evidence: heads of trees, and proofs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vdb.node.evidence.proving import SignedHead
from vdb.node.gate.guard import Guard
from vdb.rpc.server import IncomingCall

Handler = Callable[[IncomingCall], None]


def evidence_calls(guard: Guard) -> dict[str, Handler]:
    """Handlers by the names of their methods."""

    def head(call: IncomingCall) -> None:
        tenant, group, family = call.params.tenant, call.params.group, call.params.family

        async def run() -> None:
            found = await guard.tree_head(tenant, group, family)
            call.respond(lambda results: _fill_head(results, found))

        call.start_soon(run)

    def prove(call: IncomingCall) -> None:
        tenant, stream, offset = call.params.tenant, call.params.stream, call.params.offset

        async def run() -> None:
            proof, verifier = await guard.prove_record(tenant, stream, offset)

            def build(results: Any) -> None:
                results.proof = str(proof).encode()
                results.verifierKey = str(verifier)

            call.respond(build)

        call.start_soon(run)

    def consistency(call: IncomingCall) -> None:
        tenant, group, size = call.params.tenant, call.params.group, call.params.size
        family = call.params.family

        async def run() -> None:
            found, path = await guard.consistency(tenant, group, size, family)

            def build(results: Any) -> None:
                _fill_head(results, found)
                results.path = list(path)

            call.respond(build)

        call.start_soon(run)

    def leaves(call: IncomingCall) -> None:
        params = call.params
        tenant, group, family, first, maximum = (
            params.tenant, params.group, params.family, params.fromIndex, params.max,
        )  # fmt: skip

        async def run() -> None:
            found, after, size = await guard.leaves(tenant, group, first, maximum, family)

            def build(results: Any) -> None:
                results.leaves, results.next, results.size = found, after, size

            call.respond(build)

        call.start_soon(run)

    return {"leaves": leaves, "treeHead": head, "proveRecord": prove, "proveConsistency": consistency}


def _fill_head(results: Any, head: SignedHead) -> None:
    results.note = str(head.note).encode()
    results.verifierKey = str(head.verifier)

"""The RPC door of evidence: heads of trees, and proofs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from vdb.evidence.note import VerifierKey
from vdb.evidence.proof import LogProof
from vdb.node.doors.answering import Handler, answer
from vdb.node.evidence.proving import SignedHead
from vdb.node.gate.guard import Guard
from vdb.rpc.server import IncomingCall


def evidence_calls(guard: Guard) -> dict[str, Handler]:
    """Handlers by the names of their methods."""

    def head(call: IncomingCall) -> None:
        params = call.params
        asked = partial(guard.tree_head, params.tenant, params.group, params.family, cosigned=params.cosigned)
        answer(call, asked, _fill_head)

    def prove(call: IncomingCall) -> None:
        params = call.params
        answer(call, partial(guard.prove_record, params.tenant, params.stream, params.offset), _fill_proof)

    def consistency(call: IncomingCall) -> None:
        params = call.params
        tenant, group, size, family = params.tenant, params.group, params.size, params.family
        answer(call, partial(guard.consistency, tenant, group, size, family), _fill_consistency)

    def leaves(call: IncomingCall) -> None:
        params = call.params
        tenant, group, first, maximum = params.tenant, params.group, params.fromIndex, params.max
        answer(call, partial(guard.leaves, tenant, group, first, maximum, params.family), _fill_leaves)

    return {"leaves": leaves, "treeHead": head, "proveRecord": prove, "proveConsistency": consistency}


def _fill_proof(results: Any, found: tuple[LogProof, VerifierKey]) -> None:
    proof, verifier = found
    results.proof = str(proof).encode()
    results.verifierKey = str(verifier)


def _fill_consistency(results: Any, found: tuple[SignedHead, Sequence[bytes]]) -> None:
    head, path = found
    _fill_head(results, head)
    results.path = list(path)


def _fill_leaves(results: Any, found: tuple[Sequence[bytes], int, int]) -> None:
    results.leaves, results.next, results.size = list(found[0]), found[1], found[2]


def _fill_head(results: Any, head: SignedHead) -> None:
    results.note = str(head.note).encode()
    results.verifierKey = str(head.verifier)

"""Merkle trees: each tree of a tenant, of its data and of its audit log, has a leaf for each of its records, in commit
order, and no other.

The tree of the state (which the shadow has, and digests compare with every replica's) is held against one made of the
ledger's records, so a proof that a node gives is of what was committed.
"""

from __future__ import annotations

from sim.checkers.ledger import Ledger
from sim.verdict import Verdict
from vdb.crypto.record import record_leaf
from vdb.evidence.merkle import Frontier
from vdb.kernel.state import State
from vdb.types import TenantId, is_audit_log, tenant_of_log


def check_trees(verdict: Verdict, ledger: Ledger, state: State) -> None:
    """`state`: after the highest op that the ledger has."""
    for tenant, frames in ledger.frames.items():
        expected = Frontier()
        for frame in frames:
            expected = expected.append(record_leaf(frame.record))
        log = TenantId(tenant)
        found = state.audit_log(tenant_of_log(log)) if is_audit_log(log) else state.tenant(log)
        assert found is not None, "a tenant with records is in the state"
        verdict.check(
            "tree",
            found.frontier == expected,
            f"{ledger.group}: the tree of tenant {tenant} has {found.frontier.size} leaves and root "
            f"{found.frontier.root().hex()[:16]}; its {expected.size} records make {expected.root().hex()[:16]}",
        )

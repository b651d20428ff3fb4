"""Named quorums: how many replicas must do what. Never "majority".

Source: Viewstamped Replication Revisited, section 3, with separate sizes for replication and view change, as
flexible quorums allow: all that safety needs is that they intersect, which the asserts below state.
"""

from __future__ import annotations

from attrs import frozen

from vdb.limits import REPLICAS_MAX


@frozen
class Quorums:
    """Sizes for one group. `nack`: so many replicas that never acked an op prove that it never committed."""

    replication: int
    view_change: int
    nack: int


_REPLICATION = {1: 1, 2: 2, 3: 2, 4: 2, 5: 3, 6: 3}
_VIEW_CHANGE = {1: 1, 2: 2, 3: 2, 4: 3, 5: 3, 6: 4}
assert list(_REPLICATION) == list(_VIEW_CHANGE) == list(range(1, REPLICAS_MAX + 1))


def quorums(replica_count: int) -> Quorums:
    """The quorums of a group of 1 to 6 replicas."""
    assert 1 <= replica_count <= REPLICAS_MAX
    replication = _REPLICATION[replica_count]
    view_change = _VIEW_CHANGE[replica_count]
    nack = replica_count - replication + 1
    assert replication + view_change > replica_count
    assert nack + replication > replica_count
    return Quorums(replication, view_change, nack)

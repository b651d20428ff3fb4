"""Who belongs to a group: voters and learners, by node number, and who is the primary of a view.

A configuration changes by an op of the log (Viewstamped Replication Revisited, section 7). Every prepare's header names
the one that holds from this op on, so that any header tells a replica who counts for it.

Rules
- `epoch` is the op that made the configuration; 0 for the founding one. A header whose op is its own epoch is a
  reconfiguration. Nothing else is in the pipeline beside one.
- A reconfiguration commits with a replication quorum of the configuration before it *and* of its own. A view starts
  with a view-change quorum of each configuration that its log may be under: so two views can't be blind to each other.
- In the view that made it the primary stays who it was: `base_index` is its place among the new voters. Later views go
  round from there.

Packed, big-endian: epoch 8, base_view 4, base_index 1, voters 1, learners 1, zero 1, voters 6, learners 6.
"""

from __future__ import annotations

import struct
from functools import cached_property, lru_cache

from attrs import field, frozen

from vdb.limits import LEARNERS_MAX, NODE_NUMBER_MAX, REPLICAS_MAX
from vdb.vsr.quorum import Quorums, quorums

_LAYOUT = struct.Struct(">QIBBBx6s6s")
CONFIGURATION_SIZE = _LAYOUT.size


@frozen(kw_only=True)
class Configuration:
    """Node numbers from 0 to NODE_NUMBER_MAX; voters 1 to 6, learners 0 to 6, none in both."""

    epoch: int
    base_view: int
    base_index: int
    voters: tuple[int, ...]
    learners: tuple[int, ...] = ()
    quorums: Quorums = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        assert 1 <= len(self.voters) <= REPLICAS_MAX
        assert len(self.learners) <= LEARNERS_MAX
        assert 0 <= self.base_index < len(self.voters)
        members = self.voters + self.learners
        assert all(0 <= member <= NODE_NUMBER_MAX for member in members)
        assert len(dict.fromkeys(members)) == len(members), "a member is either voter or learner, once"
        object.__setattr__(self, "quorums", quorums(len(self.voters)))

    @classmethod
    def founding(cls, voters: tuple[int, ...]) -> Configuration:
        """The first configuration of a group: the primary of view v is voter v mod R."""
        return cls(epoch=0, base_view=0, base_index=0, voters=voters)

    @cached_property
    def members(self) -> tuple[int, ...]:
        """Voters, then learners."""
        return self.voters + self.learners

    def primary(self, view: int) -> int:
        """The node number of the primary of a view."""
        return self.voters[(view - self.base_view + self.base_index) % len(self.voters)]

    def pack(self) -> bytes:
        return _LAYOUT.pack(
            self.epoch,
            self.base_view,
            self.base_index,
            len(self.voters),
            len(self.learners),
            bytes(self.voters),
            bytes(self.learners),
        )


@lru_cache(maxsize=256)
def unpack_configuration(data: bytes) -> Configuration | None:
    """The configuration in these bytes; None when they can't be one."""
    epoch, base_view, base_index, voter_count, learner_count, voters, learners = _LAYOUT.unpack(data)
    if not 1 <= voter_count <= REPLICAS_MAX or learner_count > LEARNERS_MAX or base_index >= voter_count:
        return None
    members = voters[:voter_count] + learners[:learner_count]
    if len(dict.fromkeys(members)) != len(members) or max(members) > NODE_NUMBER_MAX:
        return None
    return Configuration(
        epoch=epoch,
        base_view=base_view,
        base_index=base_index,
        voters=tuple(voters[:voter_count]),
        learners=tuple(learners[:learner_count]),
    )

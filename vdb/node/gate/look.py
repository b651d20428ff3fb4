"""A look at a group's log by its primary, for a read whose receipt takes the place of the quorum's confirmation.

The receipt shows that nobody else led the group when the answer was made, if this node put it into the log itself, in
the view that it looked in. A node that hears of another primary between the two has its receipts recorded by that one:
they commit, and say nothing about what was read before.
"""

from __future__ import annotations

from attrs import frozen

from vdb.errors import NotReady
from vdb.marks import mark
from vdb.node.replication.group import Group


@frozen
class Look:
    """See the module's docstring. Asked `begin`, then read, then `still_leads` just before the receipt."""

    group: Group
    view: int

    @classmethod
    async def begin(cls, group: Group) -> Look:
        """NotPrimary, NotReady."""
        await group.wait_own_log()
        return cls(group, group.replica.view)

    def still_leads(self) -> None:
        """NotPrimary, NotReady where another view has begun since."""
        refusal = self.group.not_serving()
        if refusal is None and self.group.replica.view != self.view:
            refusal = NotReady(f"the primary of group {self.group.name} has changed while it was read: try again")
        if refusal is not None:
            mark("gate.deposed_while_reading")
            raise refusal

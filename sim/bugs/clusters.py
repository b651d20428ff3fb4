"""Planted bugs as whole nodes have them: those of `sim.bugs.views` without the product's gate where it would stop them.

The gate asserts what must be durable before a message leaves. It would end the node before anybody has seen the
message: what finds the bug here must be the simulator.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve

from sim.bugs.patch import Bug, Replacement
from sim.bugs.views import VIEW_BUGS

HELD_BY_THE_GATE = ("8", "9", "10")


def _without_gate(bug: Bug) -> Bug:
    def replacements() -> tuple[Replacement, ...]:
        from vdb.node.replication.send_gate import SendGate

        opened = Replacement(SendGate, "check_durable", lambda _check: lambda self, message: None)
        return (*bug.replacements(), opened)

    return evolve(bug, replacements=replacements)


def wiped_replica_votes() -> tuple[Replacement, ...]:
    from vdb.node.config import NodeConfig
    from vdb.node.peers.identity import Identity, IdentityFile
    from vdb.vsr.configuration import Configuration

    def make_first(_first: Any) -> Any:
        return lambda self, _group: Configuration.founding(
            tuple(sorted(member.node for member in self.members)) or (self.node,)
        )

    return (
        Replacement(NodeConfig, "first_configuration", make_first),
        Replacement(Identity, "joins", lambda _joins: property(lambda self: False)),
        Replacement(IdentityFile, "remembered", lambda _remembered: lambda self, node: None),
    )


def phi_goes_to_the_global_group() -> tuple[Replacement, ...]:
    from vdb.kernel import keys, streams
    from vdb.node.gate import writes
    from vdb.node.preparing import appending
    from vdb.types import GLOBAL_GROUP, DataClass

    def make_check(check: Any) -> Any:
        def check_anywhere(state: Any, tenant: Any, lookup: Any, data_class: Any, _region: Any, exists: Any) -> Any:
            known = DataClass.NON_PHI if state.group == GLOBAL_GROUP else data_class
            return check(state, tenant, lookup, known, state.group, exists)

        return check_anywhere

    def make_create(create: Any) -> Any:
        def create_as_phi(self: Any, origin: Any, tenant: Any, name: Any, data_class: Any, placement: Any, *rest: Any,
                          **named: Any) -> Any:  # fmt: skip
            known = DataClass.PHI if placement == GLOBAL_GROUP else data_class
            return create(self, origin, tenant, name, known, placement, *rest, **named)

        return create_as_phi

    def make_group(group_for: Any) -> Any:
        def group_anyway(self: Any, data_class: Any, placement: Any) -> Any:
            return group_for(self, DataClass.NON_PHI if placement == GLOBAL_GROUP else data_class, placement)

        return group_anyway

    def make_owner(check: Any) -> Any:
        return lambda state, row: None if state.group == GLOBAL_GROUP else check(state, row)

    return (
        Replacement(writes.Writes, "create", make_create),
        Replacement(writes.Writes, "_group_for", make_group),
        Replacement(appending, "check_create", make_check),
        Replacement(streams, "check_create", make_check),
        Replacement(keys, "_check_owner", make_owner),
    )


CLUSTER_BUGS: tuple[Bug, ...] = (
    *(_without_gate(bug) if bug.id in HELD_BY_THE_GATE else bug for bug in VIEW_BUGS),
    Bug(id="28", what="a wiped replica rejoins as empty and votes", expected=("I6", "I14", "I12", "I15"),
        replacements=wiped_replica_votes),
    Bug(id="30", what="PHI is routed to the global group", expected=("placement",),
        replacements=phi_goes_to_the_global_group),
)  # fmt: skip

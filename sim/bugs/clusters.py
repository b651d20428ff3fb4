"""Planted bugs as whole nodes have them: those of `sim.bugs.views` without the product's gate where it would stop them.

The gate asserts what must be durable before a message leaves. It would end the node before anybody has seen the
message: what finds the bug here must be the simulator.
"""

from __future__ import annotations

from attrs import evolve

from sim.bugs.patch import Bug, Replacement
from sim.bugs.views import VIEW_BUGS

HELD_BY_THE_GATE = ("8", "9", "10")


def _without_gate(bug: Bug) -> Bug:
    def replacements() -> tuple[Replacement, ...]:
        from vdb.node.send_gate import SendGate

        opened = Replacement(SendGate, "check_durable", lambda _check: lambda self, message: None)
        return (*bug.replacements(), opened)

    return evolve(bug, replacements=replacements)


CLUSTER_BUGS: tuple[Bug, ...] = tuple(_without_gate(bug) if bug.id in HELD_BY_THE_GATE else bug for bug in VIEW_BUGS)

"""Whether replicas have come to the same place (I38), and there hold the same (I24, I35)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sim.machine import Machine

if TYPE_CHECKING:
    from sim.cluster import Cluster
    from sim.watch import Watch


def unconverged(watch: Watch, cluster: Cluster) -> str:
    """What still differs; '' when every member of every group has applied all that was ever committed."""
    return next(filter(None, (_lack(watch, cluster.machines, group) for group in watch.watches)), "")


def _lack(watch: Watch, machines: Mapping[int, Machine], group: str) -> str:
    found = watch.watches[group]
    head = found.ledger.head
    configuration = found.configuration_before(head + 1)
    views: dict[int, int] = {}
    for number in configuration.members:
        machine = machines[number]
        held: Any = machine.node.groups.get(group) if machine.node is not None and machine.is_alive() else None  # type: ignore[call-overload]
        if held is None or not machine.is_up:
            return f"{group}: node {number} isn't up"
        replica = held.replica
        if replica.status.value != "normal":
            return f"{group}: replica {number} is {replica.status.value} in view {replica.view}"
        applied = found.ledger.at.get(number, 0)
        if not applied == replica.commit_number == replica.op == found.ledger.head:
            return (
                f"{group}: replica {number} has applied op {applied} and committed op {replica.commit_number}; its "
                f"head is op {replica.op}, and op {head} is committed"
            )
        views[number] = replica.view
        found.shadow.check_digest(head, held.state.digest(), machine.who)
    return "" if len(dict.fromkeys(views.values())) == 1 else f"{group}: replicas are in views {views}"

"""Planted bugs of regions: a door is left open through which a region's data gets out of it.

Each is looked for in clusters of two regions, near enough to each other that runs get far.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sim.bugs.patch import Bug, Replacement

TWO_REGIONS: Mapping[str, Any] = {
    "regions": 2, "nodes": 5, "spares": 0, "global_nodes": 0, "wan_us": 2_000, "harmed": [], "sql": False,
    "events": False, "dead_at_the_end": False,
}  # fmt: skip
_NOWHERE = "nowhere"


def clients_go_round_all_nodes() -> tuple[Replacement, ...]:
    """Where no primary is known, they ask the nodes of other regions as well, with what they have in flight."""
    from vdb.client import router
    from vdb.client.routes import Routes

    right = Routes.circle

    def make_circle(circle: Any) -> Any:
        def all_of_them(self: Any, target: Any) -> Any:
            held = circle(self, target)
            return [*held, *(address for address in self.addresses if address not in held)]

        return all_of_them

    def make_of(of: Any) -> Any:
        def begin_right(self: Any, target: Any) -> Any:
            known = target in self._routes
            route, held = of(self, target), right(self, target)
            if not known and held and route.address not in held:
                route.address = held[0]
            return route

        return begin_right

    return (
        Replacement(router, "_holds", lambda _holds: lambda link, target: True),
        Replacement(Routes, "circle", make_circle),
        Replacement(Routes, "of", make_of),
    )


def _clients_send_anywhere() -> tuple[Replacement, ...]:
    from vdb.client import router
    from vdb.client.routes import Routes

    return (
        Replacement(router, "_holds", lambda _holds: lambda link, target: True),
        Replacement(Routes, "_may_hold", lambda _may_hold: lambda self, address, group: True),
    )


def _links_let_all_pass() -> tuple[Replacement, ...]:
    from vdb.node.peers.neighbourhood import Neighbourhood

    return (Replacement(Neighbourhood, "may_hold", lambda _may_hold: lambda self, name, node: True),)


def groups_are_founded_with_all_nodes() -> tuple[Replacement, ...]:
    from vdb.node.config import NodeConfig

    def make_members(_members_of: Any) -> Any:
        return lambda self, _group: tuple(sorted(member.node for member in self.members)) or (self.node,)

    return (Replacement(NodeConfig, "members_of", make_members), *_links_let_all_pass())


def the_log_takes_foreign_members() -> tuple[Replacement, ...]:
    from vdb.kernel import members

    return (
        Replacement(members, "_foreign_member", lambda _check: lambda state, command: None),
        *_links_let_all_pass(),
    )


def records_name_no_region() -> tuple[Replacement, ...]:
    from vdb.kernel import audit, records
    from vdb.node.preparing import sealer

    def make_encode(encode: Any) -> Any:
        def encode_nowhere(tenant: Any, stream: Any, offset: Any, count: Any, data_class: Any, _region: Any,
                           *rest: Any) -> Any:  # fmt: skip
            return encode(tenant, stream, offset, count, data_class, _NOWHERE.encode(), *rest)

        return encode_nowhere

    def make_sealed(sealed_for: Any) -> Any:
        return lambda record, **place: sealed_for(record, **{**place, "region": _NOWHERE})

    return (
        Replacement(sealer, "encode_header", make_encode),
        Replacement(records, "sealed_for", make_sealed),
        Replacement(audit, "sealed_for", make_sealed),
    )


def gate_and_log_take_any_placement() -> tuple[Replacement, ...]:
    """What is meant for another region goes into that of the node which is asked."""
    from vdb.kernel import streams
    from vdb.node.gate import writes
    from vdb.node.gate.service import Service
    from vdb.node.preparing import appending
    from vdb.types import GLOBAL_GROUP, GroupId

    def make_group(_group: Any) -> Any:
        return lambda self, name: self.groups.get(GroupId(name)) or self.groups[GroupId(self.region.name)]

    def make_group_for(group_for: Any) -> Any:
        def group_here(self: Any, data_class: Any, placement: Any) -> Any:
            home = next(name for name in self._readers if name != GLOBAL_GROUP)
            return group_for(self, data_class, placement if placement in self._readers else home)

        return group_here

    def make_check(check: Any) -> Any:
        return lambda state, tenant, lookup, kind, _region, exists: check(
            state, tenant, lookup, kind, state.group, exists
        )

    return (
        *_clients_send_anywhere(),
        Replacement(Service, "_group", make_group),
        Replacement(writes.Writes, "_group_for", make_group_for),
        Replacement(appending, "check_create", make_check),
        Replacement(streams, "check_create", make_check),
    )


REGION_BUGS: tuple[Bug, ...] = (
    Bug(id="r1", what="a client that finds no primary asks nodes of other regions, too", expected=("abroad-wire",),
        replacements=clients_go_round_all_nodes, overrides={**TWO_REGIONS, "mix": {"append": 4, "append_many": 2}}),
    Bug(id="r2", what="a region's group is founded with nodes of all regions", expected=("abroad-wire",),
        replacements=groups_are_founded_with_all_nodes, overrides=TWO_REGIONS),
    Bug(id="r3", what="the log takes a node of another region for a member", expected=("placement", "abroad-wire"),
        replacements=the_log_takes_foreign_members,
        overrides={**TWO_REGIONS, "disturbances": ["foreign_member", "crash", "isolate"]}),
    Bug(id="r4", what="records are sealed for no region", expected=("placement",),
        replacements=records_name_no_region, overrides=TWO_REGIONS),
    Bug(id="r5", what="gate and log take streams of any placement", expected=("placement",),
        replacements=gate_and_log_take_any_placement, overrides={**TWO_REGIONS, "mix": {"append": 4, "create": 2}}),
)  # fmt: skip

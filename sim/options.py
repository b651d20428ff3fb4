"""Options of a run: everything that a seed draws (swarm testing).

Most faults are off in most runs and some options are extreme, because a run in which everything happens a little never
gets deep anywhere. Limits are tiny, so that the ring laps, checkpoints follow each other and sessions are evicted
within seconds. A story of the corpus, or a scenario, may override any field by name.

What only a group with peers has is drawn apart from the rest, so a seed of one node stays what it was. So is the SQL
workload, which is there in a third of the seeds; typed streams are there in another third.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import attrs
from attrs import field, frozen

from sim.regions import Regions
from sim.sql.grammar import KINDS as SQL_KINDS
from sim.sql.shapes import SHAPES as SQL_SHAPES
from sim.world.entropy import draws
from sim.world.faults import DiskFaults, NetworkFaults
from vdb.limits import EVENT_IDS_MAX, REPLICAS_MAX, SECTOR_SIZE, Limits
from vdb.vsr.timing import Timing

SMALL_WORK = ("append", "append_many", "append_exact", "append_empty", "create", "read", "follow", "read_log", "twice")
PEER_WORK = ("read_stale", "read_at_least")
"""Reads that any replica may answer."""
WORK_KINDS = (*SMALL_WORK, "append_large", *PEER_WORK)
"""`append_large` doesn't fit one prepare: it travels as parts."""
MAIN_DISTURBANCES = (
    "crash",
    "crash_in_recovery",
    "bit_rot",
    "misdirected_write",
    "lost_write",
    "read_error",
    "write_error",
    "sync_failed",
    "disk_full",
    "slow_disk",
    "connection_cut",
    "connection_stalled",
    "half_open",
    "clock_jump",
)
PEER_DISTURBANCES = (
    "pause",
    "partition",
    "isolate",
    "one_way",
    "clog",
    "power_cut",
    "deaf_primary",
)
"""What the nemesis does to machines that have peers."""
MEMBER_DISTURBANCES = ("lose_disk", "add_member", "remove_member")
"""Changes of members, under fire."""
REGION_DISTURBANCES = ("cut_region", "foreign_member")
"""What happens to regions: all links of one break; somebody tries to make a node of one a member of another."""
DISTURBANCES = (
    *MAIN_DISTURBANCES, "database_rot", *PEER_DISTURBANCES, *MEMBER_DISTURBANCES, *REGION_DISTURBANCES,
)  # fmt: skip
"""What the nemesis does at drawn moments."""
SQL_SHARE = 1 / 3
"""Of seeds that have a SQL workload."""
EVENTS_KINDS = ("append", "rows", "read", "follow", "aggregate", "again", "audit")
"""What clients of typed streams do."""
GOVERNANCE_SHARE = 1 / 2
"""Of the seeds with neither SQL nor typed streams: those in which policies are applied, and glasses broken."""
ERASING_SHARE = 1 / 2
"""Of those that have none of the workloads before: those in which subjects are erased."""
ROTATING_SHARE = 1 / 2
"""Of the seeds with neither SQL, typed streams nor governance: those in which keys rotate."""
EVENTS_SHARE = 1 / 2
"""Of the other seeds: those that have a workload of typed streams."""
REGIONS_SHARE = 0.6
"""Of the seeds that have several nodes and neither of these workloads: those with several regions."""
NODES = (1, 1, 1, 1, 2, 3, 3, 3, 3, 3, 4, 5, 6)
"""How many nodes found a cluster: one is drawn of these."""

US = 1_000_000


@frozen(kw_only=True)
class Options:
    """One run. Times are microseconds of virtual time."""

    limits: Limits
    tenants: int
    clients: int
    session_clients: int
    """How many of the clients send in a session; the others may see an append run twice."""
    requests: int
    """Of all clients together."""
    in_flight: int
    """Requests that one client has under way at once."""
    streams: int
    """Per tenant, made before the others may be made by clients."""
    payload_size: int
    events_per_run: int
    think_us: int
    """Between an answer and the next request of a client, at most."""
    mix: Mapping[str, int]
    """Weight of each kind of work."""
    disturbances: tuple[str, ...]
    """What the nemesis does, in order, spread over the run."""
    beyond_repair: bool
    """Whether the last disturbance destroys what one replica can't repair. The node must then stop, or never notice."""
    projection: bool
    """Whether each tenant has a projection."""
    disk: DiskFaults
    """Times of the disk, and what a crash does to unsynced writes."""
    network: NetworkFaults
    clock_skew_us: int
    clock_drift_ppm: int
    scrub_period_s: float
    nodes: int = 1
    """Founding members."""
    spares: int = 0
    """Machines that may become members later."""
    regions: int = 1
    """Among which the nodes are dealt out; no more than there are nodes."""
    global_nodes: int = 0
    """Of each region, so many hold the global group; 0: all."""
    wan_us: int = 0
    """Between two regions, one way, on top of what a link takes."""
    harmed: tuple[int, ...] = ()
    """Nodes whose disks may be harmed at rest: a minority."""
    clock_error_us: int = 0
    """Of machines that have peers, at most, either way."""
    dead_at_the_end: bool = False
    """Whether those that may be harmed are down while the others must go on."""
    timing: Timing = field(factory=Timing)
    """Of view changes, in ticks."""
    tick_us: int = 10_000
    heal_bound_us: int = field(default=120 * US)
    """After the faults every request is answered within this time."""

    sql: bool = False
    """Whether SQL clients work beside the others."""
    sql_clients: int = 3
    sql_deeds: int = 80
    """Transactions, and statements alone, of all SQL clients together."""
    sql_shapes: tuple[str, ...] = ("people", "child", "watched")
    """Of the tables that are made first."""
    sql_mix: Mapping[str, int] = field(factory=lambda: dict.fromkeys(SQL_KINDS, 1))
    """Weight of each kind of statement."""
    sql_global: bool = False
    """Whether the database lies in the global group."""
    sql_elsewhere: float = 0.2
    """How often a SQL client goes to any node instead of the primary."""
    sql_impatience: float = 0.0
    """How often a SQL client gives up half way."""
    sql_travel: float = 0.1
    """How often a SQL client looks at the past before it does something."""
    sql_think_us: int = 0

    events: bool = False
    """Whether clients of typed streams work beside the others."""
    events_clients: int = 3
    events_deeds: int = 80
    """Appends and reads of all of them together."""
    events_mix: Mapping[str, int] = field(factory=lambda: dict.fromkeys(EVENTS_KINDS, 1))
    """Weight of each kind of deed."""
    events_streams: int = 4
    events_per_append: int = 3
    events_patients: int = 6
    """Whom the events are about: their keys."""
    events_poison: float = 0.0
    """How many of the events handlers of projections refuse."""
    events_policy: str = "stop"
    """What projections then do: 'stop', 'park' or 'skip'."""
    events_batch: int = 500
    """Events that a projection applies in one transaction."""
    events_effects: bool = True
    """Whether the projection has effects after a commit."""
    events_rebuilds: int = 0
    """How often somebody has projections built anew, switched, or their version raised."""
    events_inline: bool = False
    """Whether appends wait for the projection."""
    events_global: bool = False
    """Whether the streams lie in the global group."""
    events_think_us: int = 0
    governance: bool = False
    """Whether people apply policies, break the glass, review that, and record consents, beside the others."""
    governance_deeds: int = 60
    """Of all of them together."""
    rotating: bool = False
    """Whether root keys are exchanged, and keys rotate, beside the others."""
    rotations: int = 3
    erasing: bool = False
    """Whether somebody writes about subjects, and has them erased, beside the others."""
    erasing_deeds: int = 60
    consumers: int = 2
    consumer_members: int = 2
    """Of each consumer, at a time."""
    consumer_ack_us: int = 500_000
    consumer_faults: float = 0.2
    """How often a member does something else with a delivery than to ack it."""
    consumer_vanish: float = 0.1
    """How often a member goes, with what it holds, instead of the next fetch."""

    @classmethod
    def draw(cls, seed: int) -> Options:
        """The options of a seed."""
        drawn = cls._draw(seed)
        sql = draws(seed, "sql").random() < SQL_SHARE
        events = not sql and draws(seed, "events").random() < EVENTS_SHARE
        options = attrs.evolve(
            drawn,
            sql=sql,
            events=events,
            **draw_sql(draws(seed, "sql options")),
            **draw_events(draws(seed, "events options")),
        )
        if events:
            return options.with_sessions_for_events()
        if sql:
            return options
        governance = draws(seed, "governance").random() < GOVERNANCE_SHARE
        regions = draw_regions(seed, options) if options.nodes > 1 else {}
        erasing = not governance and draws(seed, "erasing").random() < ERASING_SHARE
        rotating = not governance and draws(seed, "rotating").random() < ROTATING_SHARE
        if rotating:
            regions |= {"rotating": True, "projection": False}
        return attrs.evolve(options, governance=governance, erasing=erasing, **regions)

    @classmethod
    def _draw(cls, seed: int) -> Options:
        random = draws(seed, "options")
        clients = random.choice((1, 2, 2, 3, 4, 6, 8))
        large = draws(seed, "large").choice((0, 1, 2, 4))
        drawn = cls(
            limits=draw_limits(random),
            tenants=random.choice((1, 1, 2, 3)),
            clients=clients,
            session_clients=random.choice((clients, clients, (clients + 1) // 2, 0)),
            requests=random.randrange(220, 340),
            in_flight=random.choice((1, 1, 2, 4, 16)),
            streams=random.choice((1, 2, 4, 8)),
            payload_size=random.choice((40, 40, 200, 900)),
            events_per_run=random.choice((1, 1, 3, 8)),
            think_us=random.choice((0, 0, 200, 2_000)),
            mix={**draw_mix(random), "append_large": large},
            disturbances=_with_database_rot(draw_disturbances(random), draws(seed, "database rot")),
            beyond_repair=random.random() < 0.12,
            projection=random.random() < 0.6,
            disk=draw_disk(random),
            network=draw_network(random),
            clock_skew_us=random.choice((0, 0, -3_600 * US, 3_600 * US)),
            clock_drift_ppm=random.choice((0, 0, -200, 200)),
            scrub_period_s=random.choice((2.0, 20.0, 86_400.0)),
        )
        nodes = draws(seed, "nodes").choice(NODES)
        return drawn if nodes == 1 else attrs.evolve(drawn, **draw_peers(draws(seed, "peers"), drawn, nodes))

    def with_sessions_for_events(self) -> Options:
        """Room for the sessions of members and operators, each of which has one: with less they evict each other."""
        needed = 2 * (self.clients + self.events_clients + self.consumers * (self.consumer_members + 2))
        return attrs.evolve(
            self, limits=_changed_limits(self.limits, {"sessions_max": max(self.limits.sessions_max, needed)})
        )

    @property
    def places(self) -> Regions:
        """Which machine is where."""
        return Regions(count=self.regions, nodes=self.nodes, spares=self.spares, shared=self.global_nodes)

    @property
    def harmed_nodes(self) -> tuple[int, ...]:
        """Those of `harmed` that exist, and are a minority of each of their groups."""
        places, chosen = self.places, list[int]()
        for number in (number for number in self.harmed if number < self.nodes):
            groups = [places.founders(group) for group in places.groups_of(number)]
            if all(sum(other in group for other in chosen) < minority(len(group)) for group in groups):
                chosen.append(number)
        return tuple(chosen)

    @property
    def lost_nodes(self) -> tuple[int, ...]:
        """Those of the harmed ones without which each of their groups goes on."""
        places = self.places
        return tuple(
            number
            for number in self.harmed_nodes
            if all(len(places.founders(group)) > 2 for group in places.groups_of(number))
        )

    def override(self, changes: Mapping[str, Any]) -> Options:
        """The same run with some fields changed. `limits`, `disk` and `network` may be tables; lists become tuples."""
        fields: dict[str, Any] = {}
        for name, value in changes.items():
            if name == "limits" and isinstance(value, Mapping):
                value = _changed_limits(self.limits, value)
            elif name in ("disk", "network", "timing") and isinstance(value, Mapping):
                value = attrs.evolve(getattr(self, name), **value)
            fields[name] = tuple(value) if isinstance(value, list) else value
        found = attrs.evolve(self, **fields)
        return found.with_sessions_for_events() if found.events and "limits" not in changes else found


def _changed_limits(limits: Limits, changes: Mapping[str, Any]) -> Limits:
    """The largest transaction follows from the others, unless it is given."""
    kept = {name: value for name, value in attrs.asdict(limits).items() if name != "transaction_size_max"}
    return Limits(**{**kept, **changes})


def minority(nodes: int) -> int:
    """How many of so many nodes may be lost: a quorum of the others goes on. Of two, one may be harmed, not lost."""
    return max(1, (nodes - 1) // 2) if nodes > 1 else 0


def draw_peers(random: Random, drawn: Options, nodes: int) -> dict[str, Any]:
    """What a cluster has beside, or instead of, what one node has."""
    return {
        "nodes": nodes,
        "limits": _changed_limits(drawn.limits, {"sessions_max": max(drawn.limits.sessions_max, 2 * drawn.clients)}),
        "spares": random.choice((0, 0, 1)) if nodes < REPLICAS_MAX else 0,
        "harmed": tuple(sorted(random.sample(range(nodes), minority(nodes)))),
        "clock_error_us": random.choice((0, 1_000, 100_000)),
        "clock_skew_us": 0,
        "dead_at_the_end": nodes > 2 and random.random() < 0.5,
        "disturbances": _with_database_rot(draw_peer_disturbances(random), random),
        "mix": {**drawn.mix, **{kind: random.choice((0, 1, 2)) for kind in PEER_WORK}},
        "timing": draw_timing(random),
        "tick_us": random.choice((2_000, 10_000, 10_000)),
    }


def draw_regions(seed: int, drawn: Options) -> dict[str, Any]:
    """What a cluster of several regions has beside, or instead of, what one has; nothing in the other seeds."""
    random = draws(seed, "regions")
    if random.random() >= REGIONS_SHARE:
        return {}
    nodes = random.choice((2, 3, 4, 5, 6, 6))
    spares = random.choice((0, 1)) if nodes < REPLICAS_MAX else 0
    disturbances = list(drawn.disturbances)
    for kind in ("cut_region", "foreign_member"):
        for _ in range(random.choice((0, 1, 2))):
            disturbances.insert(random.randrange(len(disturbances) + 1), kind)
    return {
        "regions": random.choice((2, 2, 3)) if nodes > 2 else 2,
        "nodes": nodes,
        "spares": spares,
        "global_nodes": random.choice((0, 1, 2)),
        "wan_us": random.choice((2_000, 20_000, 70_000)),
        "harmed": tuple(random.sample(range(nodes), nodes)),
        "dead_at_the_end": random.random() < 0.5,
        "disturbances": tuple(disturbances),
        "timing": Timing(),
        "tick_us": 10_000,
    }


def draw_sql(random: Random) -> dict[str, Any]:
    """What SQL clients do, if there are any."""
    mix = {kind: random.choice((0, 1, 2, 4)) for kind in SQL_KINDS}
    mix["insert"] = random.choice((3, 6))
    mix["schema"] = random.choice((0, 0, 1, 1, 3))
    mix["bulk"] = random.choice((0, 0, 1, 1, 2))
    names = [shape.name for shape in SQL_SHAPES]
    return {
        "sql_clients": random.choice((1, 2, 3, 5, 8)),
        "sql_deeds": random.randrange(50, 120),
        "sql_shapes": tuple(random.sample(names, random.choice((1, 2, 3, 5)))),
        "sql_mix": mix,
        "sql_global": random.random() < 0.2,
        "sql_elsewhere": random.choice((0.0, 0.1, 0.3)),
        "sql_impatience": random.choice((0.0, 0.0, 0.05, 0.2)),
        "sql_travel": random.choice((0.0, 0.05, 0.2)),
        "sql_think_us": random.choice((0, 0, 500, 5_000)),
    }


def draw_events(random: Random) -> dict[str, Any]:
    """What clients of typed streams do, if there are any."""
    return {
        "events_clients": random.choice((1, 2, 3, 5)),
        "events_deeds": random.randrange(50, 120),
        "events_mix": {**{kind: random.choice((0, 1, 2)) for kind in EVENTS_KINDS}, "append": random.choice((2, 5, 8))},
        "events_streams": random.choice((1, 2, 4, 6)),
        "events_per_append": random.choice((1, 2, 5)),
        "events_patients": random.choice((1, 4, 12)),
        "events_poison": random.choice((0.0, 0.02, 0.1)),
        "events_rebuilds": random.choice((0, 2, 6)),
        "events_global": random.random() < 0.2,
        "events_think_us": random.choice((0, 0, 500, 5_000)),
        "events_policy": random.choice(("stop", "park", "park", "skip")),
        "events_batch": random.choice((1, 3, 500)),
        "events_effects": random.random() < 0.7,
        "consumers": random.choice((0, 1, 2, 3)),
        "consumer_members": random.choice((1, 2, 4)),
        "consumer_ack_us": random.choice((50_000, 300_000, 2_000_000)),
        "consumer_faults": random.choice((0.0, 0.1, 0.3, 0.6)),
        "consumer_vanish": random.choice((0.0, 0.05, 0.2)),
        "events_inline": random.random() < 0.4,
    }


def draw_timing(random: Random) -> Timing:
    """As in production, or hasty, or one that suspects as soon as it may."""
    return random.choice(
        (
            Timing(),
            Timing(),
            Timing(
                heartbeat=2, ping=8, suspicion_min=8, suspicion_max=60, view_change=20, vote_expiry=15, step_down=30
            ),
            Timing(suspicion_min=10, suspicion_max=30, jitter=2, repair_budget=2),
        )
    )


def draw_peer_disturbances(random: Random) -> tuple[str, ...]:
    """As for one node, with what only machines that have peers suffer."""
    chosen = [kind for kind in MAIN_DISTURBANCES if kind != "crash" and random.random() < 0.2]
    chosen += [kind for kind in PEER_DISTURBANCES if random.random() < 0.35]
    chosen += [kind for kind in MEMBER_DISTURBANCES if random.random() < 0.3]
    found = [kind for kind in chosen for _ in range(random.choice((1, 1, 2, 3)))]
    if random.random() < 0.9:
        found += ["crash"] * random.choice((1, 2, 3))
    random.shuffle(found)
    return tuple(found)


def draw_limits(random: Random) -> Limits:
    """Tiny limits that keep the relations which `Limits` asserts."""
    pipeline = random.choice((2, 3, 4))
    interval = random.randrange(8, 21)
    least = interval + 2 * pipeline
    message_size = SECTOR_SIZE * random.choice((4, 4, 8, 16))
    requests = random.choice((1, 2, 8, 32))
    return Limits(
        message_size_max=message_size,
        wal_slots=max(least, random.choice((least, 16, 24, 32))),
        pipeline_max=pipeline,
        requests_per_prepare_max=requests,
        request_queue_max=random.choice((64, 128)),
        checkpoint_interval=interval,
        sessions_max=random.choice((3, 6, 16, 64)),
        segment_size=random.choice((1, 4, 16, 256)) * 1024,
        read_bytes_max=SECTOR_SIZE * random.choice((1, 2, 16)),
        open_files_max=random.choice((4, 8, 64)),
        event_ids_max=EVENT_IDS_MAX,
    )


def draw_disk(random: Random) -> DiskFaults:
    """What is unsynced at a crash may be lost, torn or kept out of order; in a few runs it is always kept."""
    return DiskFaults(
        read_us=random.choice((5, 60, 400)),
        write_us=random.choice((5, 15, 200)),
        sync_us=random.choice((50, 250, 2_000)),
        lose_unsynced=random.choice((0.0, 0.5, 1.0, 1.0)),
        reorder=random.choice((0.0, 0.3, 1.0)),
        tear=random.choice((0.0, 0.5, 1.0)),
        tear_garbage=random.choice((0.0, 0.5)),
        lose_names=random.choice((0.0, 0.5, 1.0)),
    )


def draw_network(random: Random) -> NetworkFaults:
    return NetworkFaults(
        latency_us=random.choice((20, 100, 1_000)),
        jitter_us=random.choice((0, 50, 2_000)),
        split=random.choice((0.0, 0.0, 0.3)),
        half_open=random.choice((0.0, 0.3)),
    )


def draw_mix(random: Random) -> dict[str, int]:
    """A few kinds of work are left out, one may dominate; appends are always there."""
    mix = {kind: random.choice((0, 1, 2, 4)) for kind in SMALL_WORK}
    mix["append"] = random.choice((4, 8, 16))
    mix["read"] = max(1, mix["read"])
    return mix


def draw_disturbances(random: Random) -> tuple[str, ...]:
    """Some kinds, some often; a crash nearly always."""
    chosen = [kind for kind in MAIN_DISTURBANCES if random.random() < 0.3]
    found = [kind for kind in chosen for _ in range(random.choice((1, 1, 2, 4)))]
    if random.random() < 0.95:
        found += ["crash"] * random.choice((1, 2, 3))
    random.shuffle(found)
    return tuple(found)


def _with_database_rot(disturbances: tuple[str, ...], random: Random) -> tuple[str, ...]:
    """Rot of databases among the others, in some runs."""
    found = list(disturbances)
    if random.random() < 0.3:
        for _ in range(random.choice((1, 1, 2))):
            found.insert(random.randrange(len(found) + 1), "database_rot")
    return tuple(found)

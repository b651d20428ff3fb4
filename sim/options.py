"""Options of a run: everything that a seed draws (swarm testing).

Most faults are off in most runs and some options are extreme, because a run in which everything happens a little never
gets deep anywhere. Limits are tiny, so that the ring laps, checkpoints follow each other and sessions are evicted
within seconds. A story of the corpus, or a scenario, may override any field by name.

What only a group with peers has is drawn apart from the rest, so a seed of one node stays what it was. So is the SQL
workload, which is there in a third of the seeds; typed streams are there in another third. Beside these, as in the last
third, there may be several regions, policies, erasures and rotations, in any combination.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from attrs import field, frozen

from sim.drawing import (
    ERASING_SHARE,
    EVENTS_KINDS,
    EVENTS_SHARE,
    GOVERNANCE_SHARE,
    NODES,
    RARE_CHANCES,
    ROTATING_SHARE,
    SQL_EVERY_COMMIT_SHARE,
    SQL_RAW_TEXT_SHARE,
    SQL_SHARE,
    changed_limits,
    draw_beside,
    draw_disk,
    draw_disturbances,
    draw_erased_rows,
    draw_events,
    draw_limits,
    draw_mix,
    draw_network,
    draw_peers,
    draw_regions,
    draw_sql,
    draw_witnesses,
    minority,
    with_database_rot,
    with_file_rot,
    with_head_rot,
)
from sim.regions import Regions
from sim.sql.grammar import KINDS as SQL_KINDS
from sim.world.entropy import draws
from sim.world.faults import DiskFaults, NetworkFaults
from vdb.limits import Limits
from vdb.vsr.timing import Timing

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
    rare: float = 0.0
    """The chance of a rare branch, each time that one which is on in the run is passed (`sim.rare`)."""
    words_lost: float = 0.0
    """The chance that a message between replicas is lost alone, without its connection (`sim.words`)."""
    words_again: float = 0.0
    """The chance that with a message comes an older one, once more."""
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
    sql_raw_text: bool = False
    """Whether some texts aren't UTF-8."""
    sql_every_commit: bool = False
    """Whether the last look back is at the end of every transaction instead of some."""

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
    erased_rows: int = 0
    """What is done about rows of a SQL database whose subjects are erased, where subjects are; 0: there is none."""
    erasing: bool = False
    """Whether somebody writes about subjects, and has them erased, beside the others."""
    erasing_deeds: int = 60
    witnesses: int = 0
    """That are to cosign all heads."""
    witness_every_us: int = 1_000_000
    """How old a cosigned head gets before the next is asked for."""
    witness_trouble_us: int = 0
    """Between two things that happen to a witness or its links, on average; 0: nothing does."""
    witness_skew_us: int = 0
    """Of some witnesses' clocks, either way."""
    witnesses_away: bool = False
    """Whether none of them is there before all is healed."""
    witness_forger: bool = False
    """Whether in the end somebody shows one of them other histories."""
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
            erased_rows=draw_erased_rows(draws(seed, "erased rows")),
            sql_raw_text=sql and draws(seed, "sql raw text").random() < SQL_RAW_TEXT_SHARE,
            sql_every_commit=sql and draws(seed, "sql every commit").random() < SQL_EVERY_COMMIT_SHARE,
            **draw_events(draws(seed, "events options")),
            **draw_witnesses(draws(seed, "witnesses")),
        )
        if options.nodes > 1:
            rotten = with_file_rot(options.disturbances, draws(seed, "file rot"))
            rotten = with_head_rot(rotten, draws(seed, "head rot"))
            options = attrs.evolve(options, disturbances=rotten)
        regions = draw_regions(seed, options) if options.nodes > 1 else {}
        if sql or events:
            options = attrs.evolve(options, **draw_beside(seed), **regions)
            return options.with_sessions_for_events() if events else options
        governance = draws(seed, "governance").random() < GOVERNANCE_SHARE
        erasing = not governance and draws(seed, "erasing").random() < ERASING_SHARE
        rotating = not governance and draws(seed, "rotating").random() < ROTATING_SHARE
        return attrs.evolve(options, governance=governance, erasing=erasing, rotating=rotating, **regions)

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
            disturbances=with_database_rot(draw_disturbances(random), draws(seed, "database rot")),
            beyond_repair=random.random() < 0.12,
            projection=random.random() < 0.6,
            disk=draw_disk(random),
            network=draw_network(random),
            clock_skew_us=random.choice((0, 0, -3_600 * US, 3_600 * US)),
            clock_drift_ppm=random.choice((0, 0, -200, 200)),
            scrub_period_s=random.choice((2.0, 20.0, 86_400.0)),
            rare=draws(seed, "rare").choice(RARE_CHANCES),
        )
        nodes = draws(seed, "nodes").choice(NODES)
        return drawn if nodes == 1 else attrs.evolve(drawn, **draw_peers(draws(seed, "peers"), drawn, nodes))

    def with_sessions_for_events(self) -> Options:
        """Room for the sessions of members and operators, each of which has one: with less they evict each other."""
        needed = 2 * (self.clients + self.events_clients + self.consumers * (self.consumer_members + 2))
        return attrs.evolve(
            self, limits=changed_limits(self.limits, {"sessions_max": max(self.limits.sessions_max, needed)})
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
                value = changed_limits(self.limits, value)
            elif name in ("disk", "network", "timing") and isinstance(value, Mapping):
                value = attrs.evolve(getattr(self, name), **value)
            fields[name] = tuple(value) if isinstance(value, list) else value
        found = attrs.evolve(self, **fields)
        return found.with_sessions_for_events() if found.events and "limits" not in changes else found

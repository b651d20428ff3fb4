"""What a seed draws, part by part: limits, faults, peers, regions, and what each workload does.

Most faults are off in most runs, and some values are extreme. Each part has draws of its own, so that a change of one
leaves the others what they were.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING, Any

import attrs

from sim.sql.grammar import KINDS as SQL_KINDS
from sim.sql.shapes import SHAPES as SQL_SHAPES
from sim.world.entropy import draws
from sim.world.faults import DiskFaults, NetworkFaults
from vdb.limits import EVENT_IDS_MAX, REPLICAS_MAX, SECTOR_SIZE, Limits
from vdb.vsr.timing import Timing

if TYPE_CHECKING:
    from sim.options import Options

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
    *MAIN_DISTURBANCES, "database_rot", "file_rot", "head_rot", *PEER_DISTURBANCES, *MEMBER_DISTURBANCES,
    *REGION_DISTURBANCES,
)  # fmt: skip
"""What the nemesis does at drawn moments."""
SQL_SHARE = 1 / 3
"""Of seeds that have a SQL workload."""
SQL_EVERY_COMMIT_SHARE = 1 / 4
"""Of these: those that look back at the end of every transaction."""
EVENTS_KINDS = ("append", "rows", "read", "follow", "aggregate", "again", "audit")
"""What clients of typed streams do."""
GOVERNANCE_SHARE = 1 / 2
"""Of the seeds with neither SQL nor typed streams: those in which policies are applied, and glasses broken."""
ERASING_SHARE = 1 / 2
"""Of those that have none of the workloads before: those in which subjects are erased."""
ERASED_ROWS_SHARE = 2 / 3
"""Of the seeds in which subjects are erased: those that have rows of a SQL database about some."""
ROTATING_SHARE = 1 / 2
"""Of the seeds with neither SQL, typed streams nor governance: those in which keys rotate."""
EVENTS_SHARE = 1 / 2
"""Of the other seeds: those that have a workload of typed streams."""
FILE_ROT_SHARE = 0.25
"""Of the seeds that have several nodes: those in which segments and checkpoints rot."""
HEAD_ROT_SHARE = 0.2
"""Of the seeds that have several nodes: those in which what was acked last rots."""
REGIONS_SHARE = 0.6
"""Of the seeds that have several nodes and neither SQL nor typed streams: those with several regions."""
APART_SHARE = 0.12
"""Of the seeds that have several nodes in one region: those in which some of them don't hold the global group."""
REGIONS_BESIDE_SHARE = 0.42
"""Of the seeds that have several nodes, and SQL or typed streams: those with several regions."""
BESIDE_SHARE = 0.2
"""Of the seeds with SQL or typed streams: those with each of rotation, erasing and governance beside."""
WITNESSES_SHARE = 0.15
"""Of the seeds, whatever else they have: those whose heads are cosigned by witnesses."""
SQL_RAW_TEXT_SHARE = 0.3
"""Of the seeds that have a SQL workload: those with texts that aren't UTF-8."""
RARE_CHANCES = (0.0, 0.0, 0.02, 0.1)
"""Of rare branches of the product, where they are on."""
NODES = (1, 1, 1, 1, 2, 3, 3, 3, 3, 3, 4, 5, 6)
"""How many nodes found a cluster: one is drawn of these."""


def changed_limits(limits: Limits, changes: Mapping[str, Any]) -> Limits:
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
        "limits": changed_limits(drawn.limits, {"sessions_max": max(drawn.limits.sessions_max, 2 * drawn.clients)}),
        "spares": random.choice((0, 0, 1)) if nodes < REPLICAS_MAX else 0,
        "harmed": tuple(sorted(random.sample(range(nodes), minority(nodes)))),
        "clock_error_us": random.choice((0, 1_000, 100_000)),
        "clock_skew_us": 0,
        "dead_at_the_end": nodes > 2 and random.random() < 0.5,
        "disturbances": with_database_rot(draw_peer_disturbances(random), random),
        "mix": {**drawn.mix, **{kind: random.choice((0, 1, 2)) for kind in PEER_WORK}},
        "timing": draw_timing(random),
        "tick_us": random.choice((2_000, 10_000, 10_000)),
    }


def draw_regions(seed: int, drawn: Options) -> dict[str, Any]:
    """What a cluster of several regions has beside, or instead of, what one has. In the other seeds there may be nodes
    that don't hold the global group."""
    random = draws(seed, "regions")
    if random.random() >= (REGIONS_BESIDE_SHARE if drawn.sql or drawn.events else REGIONS_SHARE):
        apart = draws(seed, "apart")
        return {"global_nodes": apart.choice((1, 2))} if apart.random() < APART_SHARE else {}
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


def draw_beside(seed: int) -> dict[str, Any]:
    """What goes on beside SQL, or typed streams, in some seeds. Each does less than where it is alone."""
    random = draws(seed, "beside")
    rotating, erasing, governance = (random.random() < BESIDE_SHARE for _ in range(3))
    return {
        "rotating": rotating, "rotations": 2 if rotating else 3,
        "erasing": erasing, "erasing_deeds": 30 if erasing else 60,
        "governance": governance, "governance_deeds": 30 if governance else 60,
    }  # fmt: skip


def draw_erased_rows(random: Random) -> int:
    """How much is done about them."""
    return random.choice((25, 40, 60)) if random.random() < ERASED_ROWS_SHARE else 0


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


def draw_witnesses(random: Random) -> dict[str, Any]:
    """Witnesses beside the cluster, in some seeds."""
    if random.random() >= WITNESSES_SHARE:
        return {}
    return {
        "witnesses": random.choice((1, 1, 2, 3)),
        "witness_every_us": random.choice((100_000, 300_000, 2_000_000)),
        "witness_trouble_us": random.choice((0, 100_000, 500_000)),
        "witness_skew_us": random.choice((0, 2_000_000, 86_400_000_000)),
        "witnesses_away": random.random() < 0.15,
        "witness_forger": random.random() < 0.4,
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


def with_database_rot(disturbances: tuple[str, ...], random: Random) -> tuple[str, ...]:
    """Rot of databases among the others, in some runs."""
    found = list(disturbances)
    if random.random() < 0.3:
        for _ in range(random.choice((1, 1, 2))):
            found.insert(random.randrange(len(found) + 1), "database_rot")
    return tuple(found)


def with_file_rot(disturbances: tuple[str, ...], random: Random) -> tuple[str, ...]:
    """Rot of segments and checkpoints among the others, in some runs of several nodes."""
    found = list(disturbances)
    if random.random() < FILE_ROT_SHARE:
        for _ in range(random.choice((1, 2, 4))):
            found.insert(random.randrange(len(found) + 1), "file_rot")
    return tuple(found)


def with_head_rot(disturbances: tuple[str, ...], random: Random) -> tuple[str, ...]:
    """Rot of what was acked last among the others, in some runs of several nodes."""
    found = list(disturbances)
    if random.random() < HEAD_ROT_SHARE:
        for _ in range(random.choice((1, 2, 4))):
            found.insert(random.randrange(len(found) + 1), "head_rot")
    return tuple(found)

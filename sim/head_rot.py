"""Rot of an op that was acked a moment ago, on a machine that starts again while nobody leads.

Of the slots of a write-ahead log few hold what isn't known to be committed: drawn places would seldom hit one. Here
the last op that a machine acked rots, and it loses its power together with who leads: what it says of that op in the
vote that follows must be that it can't tell.
"""

from __future__ import annotations

from random import Random

from sim.checkers.media import group_file
from sim.machine import Machine
from sim.watch import Watch
from vdb.limits import PREPARE_HEADER_SIZE, Limits


def places_at_the_head(watch: Watch, machine: Machine, limits: Limits, random: Random) -> list[tuple[str, int]]:
    """A byte of the last prepare that the machine acked and may not know to be committed, and at times one of its
    redundant header, too: then nothing there says which op it was. None if there is no such prepare."""
    group = random.choice(watch.places.groups_of(machine.number))
    of_group = watch.watches[group]
    header = of_group.acks.last_of(machine.number, of_group.replicas[machine.number])
    path = group_file(group, "wal")
    if header is None or path not in machine.disk.paths():
        return []
    slot, content = header.op % limits.wal_slots, machine.disk.stable_content(path)
    start = limits.wal_headers_size + slot * limits.message_size_max
    # Of a slot whose other header was lost, nothing would be left to tell that there was an op.
    for place in (start, slot * PREPARE_HEADER_SIZE):
        if content[place : place + PREPARE_HEADER_SIZE] != header.encode():
            return []
    places = [(path, start + random.randrange(header.size))]
    if random.random() < 0.5:
        places.append((path, slot * PREPARE_HEADER_SIZE + random.randrange(200)))
    return places

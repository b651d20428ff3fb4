"""A projection is the fold of the log up to its position: recomputed here from the opened log, at every end of a life.

The simulator's projection keeps the latest event of each entity and drops entities that are gone. Since rows and
position commit together, the rows must fit the position exactly, whenever the power is cut.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from sim.canary import NAME_CANARY
from sim.checkers.contents import Opened
from sim.verdict import Verdict
from vdb.projections.config import ProjectionConfig
from vdb.projections.latest import LatestById
from vdb.projections.rows import dump_tables
from vdb.projections.store import close_sqlcipher, open_sqlcipher
from vdb.projections.tables import ColumnType
from vdb.world.database import work_on

NAME = "latest"
TABLE = "entities"


def projection_config(stream_prefix: str) -> ProjectionConfig:
    """The projection that runs in simulations."""
    return ProjectionConfig(
        name=NAME,
        streams=(f"{stream_prefix}*",),
        template=LatestById(
            table=TABLE,
            key_path="id",
            columns={"by": "by", "n": "n"},
            types={"n": ColumnType.INTEGER},
            deletes=("gone",),
            payload="json",
            type_path="type",
        ),
    )


def fold(events: Sequence[Opened], upto: int) -> dict[str, tuple[str, int]]:
    """Rows by id after all events before position `upto`."""
    rows: dict[str, tuple[str, int]] = {}
    for event in events:
        if event.position >= upto:
            break
        if not event.stream.name.startswith(NAME_CANARY.decode()):
            continue
        fields = json.loads(event.payload)
        if fields["type"] == "gone":
            rows.pop(fields["id"], None)
        else:
            rows[fields["id"]] = (fields["by"], fields["n"])
    return rows


def check_projection(verdict: Verdict, file: str, key: bytes, name: str, logs: Mapping[str, Sequence[Opened]]) -> int:
    """Compare a database file's rows with its positions. `logs` are the tenant's events by group. Returns the lag.

    WrongKey or DatabaseDamaged when the file can't be read.
    """
    connection = open_sqlcipher(file, key)
    try:
        tables = work_on(connection, lambda db: dump_tables(db, with_meta=True), name)
    finally:
        close_sqlcipher(connection)
    meta = tables.get("projection_meta", [])
    expected: dict[str, tuple[str, int]] = {}
    lag = 0
    for _projection, _version, group, position, _fingerprint in meta:
        events = logs.get(group, ())
        expected.update(fold(events, position))
        lag += sum(event.position >= position for event in events)
    found = {row[0]: (row[1], row[2]) for row in tables.get(TABLE, [])}
    differing = sorted(key for key in {**found, **expected} if found.get(key) != expected.get(key))
    verdict.check(
        "projection",
        not differing,
        f"{name}: {len(differing)} rows differ from the fold of the log up to its positions "
        f"{[(row[2], row[3]) for row in meta]}; it has {len(found)} rows, the fold {len(expected)}",
    )
    return lag

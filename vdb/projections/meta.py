"""`projection_meta`: how far a projection has read each group, in the same file and transaction as its rows.

    projection   TEXT     the projection's name
    version      INTEGER  of its configuration
    grp          TEXT     group
    position     INTEGER  the next position to apply
    fingerprint  TEXT     hash of the configuration that made the rows
    PRIMARY KEY (projection, grp)

Rules
- A position moves by compare-and-set on the old one: of two writers only one can win.
- A file made by another version is emptied and filled anew from position 0. A configuration that changed under the
  same version is refused: half of the rows would follow the old one.
"""

from __future__ import annotations

from vdb.errors import ConfigError, ProjectionFailed
from vdb.marks import mark
from vdb.ports import Connection
from vdb.projections import parking
from vdb.projections.config import ProjectionConfig
from vdb.projections.tables import META_TABLE
from vdb.types import GroupId

_CREATE = (
    f"CREATE TABLE IF NOT EXISTS {META_TABLE} (projection TEXT NOT NULL, version INTEGER NOT NULL, grp TEXT NOT NULL, "
    "position INTEGER NOT NULL, fingerprint TEXT NOT NULL, PRIMARY KEY (projection, grp)) STRICT"
)


def prepare(db: Connection, config: ProjectionConfig, groups: tuple[GroupId, ...]) -> dict[GroupId, int]:
    """Create what is missing, within the caller's transaction; the position of each group."""
    db.execute(_CREATE)
    parking.create(db)
    fingerprint = config.fingerprint()
    found = db.execute(f"SELECT DISTINCT projection, version, fingerprint FROM {META_TABLE}").fetchall()
    mine = (config.name, config.version, fingerprint)
    if found and found != [mine]:
        _check_replaceable(config, found)
        _empty(db)
        parking.create(db)
        found = []
    if not found:
        for table in config.tables:
            for statement in table.ddl():
                db.execute(statement)
    for group in groups:
        db.execute(
            f"INSERT INTO {META_TABLE} VALUES (?, ?, ?, 0, ?) ON CONFLICT DO NOTHING",
            (config.name, config.version, group, fingerprint),
        )
    return positions(db, config)


def positions(db: Connection, config: ProjectionConfig) -> dict[GroupId, int]:
    """The next position to apply, by group."""
    rows = db.execute(f"SELECT grp, position FROM {META_TABLE} WHERE projection = ? ORDER BY grp", (config.name,))
    return {GroupId(group): position for group, position in rows.fetchall()}


def advance(db: Connection, config: ProjectionConfig, group: GroupId, old: int, new: int) -> None:
    """Move a group's position within the transaction of its rows; ProjectionFailed when another writer did."""
    assert old <= new, "a projection's position never goes back"
    changed = db.execute(
        f"UPDATE {META_TABLE} SET position = ? WHERE projection = ? AND version = ? AND grp = ? AND position = ?",
        (new, config.name, config.version, group, old),
    ).rowcount
    if changed != 1:
        mark("projection.other_writer")
        raise ProjectionFailed(
            f"projection {config.name!r} expected its position in group {group} to be {old} and found another: "
            "something else wrote to its file"
        )


def _check_replaceable(config: ProjectionConfig, found: list[tuple[str, int, str]]) -> None:
    for name, version, _fingerprint in found:
        if name != config.name:
            raise ConfigError(f"projection {config.name!r}: its file belongs to projection {name!r}")
        if version == config.version:
            raise ConfigError(
                f"projection {config.name!r}: its configuration changed, but its version is still {version}: raise it"
            )
        if version > config.version:
            raise ConfigError(
                f"projection {config.name!r}: its file was made by version {version}, newer than {config.version}"
            )


def _empty(db: Connection) -> None:
    mark("projection.new_version")
    names = db.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
        f"AND name <> '{META_TABLE}' ORDER BY name"
    ).fetchall()
    for (name,) in names:
        db.execute('DROP TABLE "{}"'.format(name.replace('"', '""')))
    db.execute(f"DELETE FROM {META_TABLE}")

"""`vdb migrate apply|status|check`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from vdb.cli.options import TENANT, TenantOptions, tls_config
from vdb.cli.output import EXIT_FAILED, EXIT_OK, print_json, print_table, print_text
from vdb.client.connect import connect_sync
from vdb.client.sync_face import SyncFace
from vdb.client.sync_sql import SyncSession
from vdb.embedded.crud import DEFAULT_NAME
from vdb.embedded.database import DEFAULT_REGION, open
from vdb.embedded.keys import find_root_keys
from vdb.embedded.migrating import read_migration_files
from vdb.errors import ConfigError
from vdb.sql.diff import read_schema
from vdb.sql.lint import Finding, Severity, lint
from vdb.sql.migrations import MigrationState, load_migrations, migration_status
from vdb.sql.registry import SchemaRegistry

app = App(name="migrate", help="Bring a SQL database's schema up to a folder of migrations: NNNN_name.sql, in order.")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Where:
    """Which database, and whose node has it."""

    db: Annotated[str, Parameter(name=["--db", "--database"])] = DEFAULT_NAME
    "The database's name."

    data_dir: Path | None = None
    "A data directory to open here, instead of asking a node: nobody else may have it open."

    key_file: Path | None = None
    "With --data-dir: a file with the root key, of mode 0600; otherwise VDB_ROOT_KEY."

    region: str = DEFAULT_REGION
    "With --data-dir: the region that it belongs to."

    @contextmanager
    def face(self, options: TenantOptions, *, make: bool = False) -> Iterator[SyncFace]:
        """The node, or the one of the data directory, which is made if that is wanted."""
        if self.data_dir is None:
            tls = tls_config(options.tls_cert, options.tls_key, options.tls_ca)
            with connect_sync(options.address, tls=tls, tenant=options.tenant) as client:
                yield client
            return
        if not make and not self.data_dir.is_dir():
            raise ConfigError(f"--data-dir: there is no directory {self.data_dir}")
        keys = find_root_keys(self.key_file, option="--key-file")
        with open(self.data_dir, keys, region=self.region, tenant=options.tenant) as database:
            yield database


WHERE = Where()
Folder = Annotated[Path, Parameter(name="--dir")]
FOLDER = Path("migrations")


@app.command
def apply(
    *,
    folder: Folder = FOLDER,
    data_class: str = "phi",
    actor: str = "",
    purpose: str = "",
    where: Where = WHERE,
    options: TenantOptions = TENANT,
) -> None:
    """Apply the migrations that a database doesn't have yet, each as one transaction.

    The first that fails ends it: those before it stay. A file that changed or is gone since it was applied is an error.

    Example: `vdb migrate apply --db clinic --dir migrations`

    Example: `vdb migrate apply --db clinic --dir migrations --data-dir data --key-file root.key`

    Parameters
    ----------
    folder
        The folder with the migrations.
    data_class
        'phi', 'non-phi' or 'deidentified', if the database has to be made.
    actor
        On whose behalf: goes into the log.
    purpose
        Why: goes into the log.
    """
    files = read_migration_files(folder)
    total = len(load_migrations(files))
    with where.face(options, make=True) as face:
        if where.db not in [found.name for found in face.list_databases()]:
            face.create_database(where.db, data_class, if_not_exists=True)
        with face.sql(where.db, actor=actor, purpose=purpose) as session:
            done = session.migrate(files)
    if options.json:
        print_json({"applied": done, "total": total})
        return
    for name in done:
        print_text(f"applied {name}")
    if not done:
        print_text(f"nothing to apply: database {where.db!r} has all of {total}")


@app.command
def status(*, folder: Folder = FOLDER, where: Where = WHERE, options: TenantOptions = TENANT) -> None:
    """Show which migrations a database has: applied, pending, changed, missing, or late.

    Example: `vdb migrate status --db clinic --dir migrations --json`

    Parameters
    ----------
    folder
        The folder with the migrations.
    """
    migrations = load_migrations(read_migration_files(folder))
    with where.face(options) as face, face.sql(where.db) as session:
        found = migration_status(session.migrations(), migrations)
    if options.json:
        for each in found:
            print_json({"number": each.number, "name": each.name, "state": each.state.value})
    elif found:
        print_table(("migration", "state"), [(each.name, each.state.value) for each in found])
    else:
        print_text(f"no migrations: neither in {folder} nor in database {where.db!r}")


@app.command
def check(
    *,
    folder: Folder = FOLDER,
    phi: Annotated[bool, Parameter(negative="--no-phi")] = True,
    compare: bool = False,
    where: Where = WHERE,
    options: TenantOptions = TENANT,
) -> int:
    """Try migrations out in memory, and say what is wrong or worth knowing; fails if anything is wrong.

    Example: `vdb migrate check --dir migrations`

    Example: `vdb migrate check --dir migrations --compare --db clinic`

    Parameters
    ----------
    folder
        The folder with the migrations.
    phi
        Whether the database holds data of patients: then tables without a subject column are worth knowing.
    compare
        Also compare with a database: whether it has what the migrations that were applied say.
    """
    files = read_migration_files(folder)
    found = lint(files, phi=phi)
    if compare and not _failed(found):
        with where.face(options) as face, face.sql(where.db) as session:
            found = [*_compared(session, SchemaRegistry.from_files(files)), *found]
    for finding in found:
        if options.json:
            print_json(_as_json(finding))
        else:
            print_text(finding.text())
    if not found and not options.json:
        print_text("nothing to say")
    return EXIT_FAILED if _failed(found) else EXIT_OK


def _failed(found: list[Finding]) -> bool:
    return any(finding.severity is Severity.ERROR for finding in found)


def _compared(session: SyncSession, registry: SchemaRegistry) -> Iterator[Finding]:
    """What a database has that its migrations don't say."""
    applied = session.migrations()
    wrong = (MigrationState.CHANGED, MigrationState.MISSING, MigrationState.LATE)
    states = migration_status(applied, registry.migrations)
    for each in states:
        if each.state in wrong:
            yield Finding(severity=Severity.ERROR, message=_WRONG[each.state], file=each.name)
    if not any(each.state in wrong for each in states):
        numbers = [each.number for each in applied]
        made = SchemaRegistry([each for each in registry.migrations if each.number in numbers])
        for difference in made.drift(read_schema(session)):
            yield Finding(severity=Severity.WARNING, message=f"not by a migration: {difference.text()}")


_WRONG = {
    MigrationState.CHANGED: "changed since it was applied",
    MigrationState.MISSING: "was applied, and is missing",
    MigrationState.LATE: "comes before one that was applied",
}


def _as_json(finding: Finding) -> dict[str, object]:
    return {
        "severity": finding.severity.value,
        "file": finding.file,
        "line": finding.line,
        "message": finding.message,
    }

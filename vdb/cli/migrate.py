"""`vdb migrate apply|status|check`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from vdb.changes import Attribution
from vdb.cli.options import Json
from vdb.cli.output import EXIT_FAILED, EXIT_OK, print_json, print_table, print_text
from vdb.embedded.crud import DEFAULT_NAME, LocalDatabase, open_local
from vdb.embedded.database import DEFAULT_REGION
from vdb.embedded.keys import find_root_keys
from vdb.embedded.migrating import migrate, migration_facts, read_migration_files
from vdb.errors import ConfigError
from vdb.sql.lint import Finding, Severity, lint
from vdb.sql.migrations import MigrationState, load_migrations, migration_status
from vdb.sql.registry import SchemaRegistry

app = App(name="migrate", help="Bring a SQL database's schema up to a folder of migrations: NNNN_name.sql, in order.")

Database = Annotated[str, Parameter(name=["--db", "--database"])]
Folder = Annotated[Path, Parameter(name="--dir")]


@app.command
def apply(
    *,
    db: Database = DEFAULT_NAME,
    dir: Folder = Path("migrations"),
    data_dir: Path,
    key_file: Path | None = None,
    region: str = DEFAULT_REGION,
    tenant: Annotated[int, Parameter(env_var="VDB_TENANT")] = 1,
    actor: str = "",
    purpose: str = "",
    json: Json = False,
) -> None:
    """Apply the migrations that a database doesn't have yet, each as one transaction.

    The first that fails ends it: those before it stay. A file that changed or is gone since it was applied is an error.

    Example: `vdb migrate apply --db clinic --dir migrations --data-dir data --key-file root.key`

    Parameters
    ----------
    db
        The database's name; it is made if it is missing.
    dir
        The folder with the migrations.
    data_dir
        The data directory; nobody else may have it open. It is made if it is missing.
    key_file
        A file with the root key, of mode 0600; otherwise VDB_ROOT_KEY.
    region
        The region of the data directory.
    tenant
        The tenant's number.
    actor
        On whose behalf: goes into the log.
    purpose
        Why: goes into the log.
    json
        Print one object: what was applied, and how many are applied in all.
    """
    migrations = load_migrations(read_migration_files(dir))
    with _opened(data_dir, key_file, db, tenant, region) as database:
        done = migrate(database, migrations, Attribution(actor=actor, purpose=purpose))
    if json:
        print_json({"applied": [migration.name for migration in done], "total": len(migrations)})
        return
    for migration in done:
        print_text(f"applied {migration.name}")
    if not done:
        print_text(f"nothing to apply: database {db!r} has all of {len(migrations)}")


@app.command
def status(
    *,
    db: Database = DEFAULT_NAME,
    dir: Folder = Path("migrations"),
    data_dir: Path,
    key_file: Path | None = None,
    region: str = DEFAULT_REGION,
    tenant: Annotated[int, Parameter(env_var="VDB_TENANT")] = 1,
    json: Json = False,
) -> None:
    """Show which migrations a database has: applied, pending, changed, missing, or late.

    Example: `vdb migrate status --db clinic --dir migrations --data-dir data`

    Parameters
    ----------
    db
        The database's name.
    dir
        The folder with the migrations.
    data_dir
        The data directory; nobody else may have it open.
    key_file
        A file with the root key, of mode 0600; otherwise VDB_ROOT_KEY.
    region
        The region of the data directory.
    tenant
        The tenant's number.
    json
        Print one object a line.
    """
    migrations = load_migrations(read_migration_files(dir))
    _check_there(data_dir)
    with _opened(data_dir, key_file, db, tenant, region) as database:
        applied, _ = migration_facts(database)
    found = migration_status(applied, migrations)
    if json:
        for each in found:
            print_json({"number": each.number, "name": each.name, "state": each.state.value})
    elif found:
        print_table(("migration", "state"), [(each.name, each.state.value) for each in found])
    else:
        print_text(f"no migrations: neither in {dir} nor in database {db!r}")


@app.command
def check(
    *,
    db: Database = DEFAULT_NAME,
    dir: Folder = Path("migrations"),
    data_dir: Path | None = None,
    key_file: Path | None = None,
    region: str = DEFAULT_REGION,
    tenant: Annotated[int, Parameter(env_var="VDB_TENANT")] = 1,
    phi: bool = True,
    json: Json = False,
) -> int:
    """Try migrations out in memory, and say what is wrong or worth knowing; fails if anything is wrong.

    With a data directory, also whether the database has what the migrations that were applied say.

    Example: `vdb migrate check --dir migrations`

    Parameters
    ----------
    db
        The database's name.
    dir
        The folder with the migrations.
    data_dir
        A data directory to compare with; nobody else may have it open.
    key_file
        A file with the root key, of mode 0600; otherwise VDB_ROOT_KEY.
    region
        The region of the data directory.
    tenant
        The tenant's number.
    phi
        Whether the database holds data of patients: then tables without a subject column are worth knowing.
    json
        Print one object a line.
    """
    files = read_migration_files(dir)
    found = lint(files, phi=phi)
    failed = any(finding.severity is Severity.ERROR for finding in found)
    if data_dir is not None and not failed:
        _check_there(data_dir)
        with _opened(data_dir, key_file, db, tenant, region) as database:
            found = [*_compared(database, SchemaRegistry.from_files(files)), *found]
        failed = any(finding.severity is Severity.ERROR for finding in found)
    for finding in found:
        if json:
            print_json(_as_json(finding))
        else:
            print_text(finding.text())
    if not found and not json:
        print_text("nothing to say")
    return EXIT_FAILED if failed else EXIT_OK


def _compared(database: LocalDatabase, registry: SchemaRegistry) -> Iterator[Finding]:
    """What a database has that its migrations don't say."""
    applied, schema = migration_facts(database)
    wrong = (MigrationState.CHANGED, MigrationState.MISSING, MigrationState.LATE)
    states = migration_status(applied, registry.migrations)
    for each in states:
        if each.state in wrong:
            yield Finding(severity=Severity.ERROR, message=f"{each.state.value} since it was applied", file=each.name)
    if not any(each.state in wrong for each in states):
        numbers = [each.number for each in applied]
        made = SchemaRegistry([each for each in registry.migrations if each.number in numbers])
        for difference in made.drift(schema):
            yield Finding(severity=Severity.WARNING, message=f"not by a migration: {difference.text()}")


def _as_json(finding: Finding) -> dict[str, object]:
    return {
        "severity": finding.severity.value,
        "file": finding.file,
        "line": finding.line,
        "message": finding.message,
    }


def _check_there(data_dir: Path) -> None:
    if not data_dir.is_dir():
        raise ConfigError(f"--data-dir: there is no directory {data_dir}")


@contextmanager
def _opened(data_dir: Path, key_file: Path | None, db: str, tenant: int, region: str) -> Iterator[LocalDatabase]:
    keys = find_root_keys(key_file, option="--key-file")
    database = open_local(data_dir, keys, name=db, tenant=tenant, region=region)
    try:
        yield database
    finally:
        database.close()

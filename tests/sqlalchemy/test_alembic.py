"""Migrations by Alembic: autogenerate finds nothing but what changed, and a migration is one transaction."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.util import CommandError

from vdb.sqlalchemy.alembic import VerityImpl

ENVIRONMENT = """
from alembic import context

connection = context.config.attributes["connection"]
context.configure(
    connection=connection, target_metadata=context.config.attributes["metadata"], render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
"""

SCRIPT = '''"""${message}"""
import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade():
    ${upgrades if upgrades else "pass"}


def downgrade():
    ${downgrades if downgrades else "pass"}
'''


def first_model() -> sa.MetaData:
    metadata = sa.MetaData()
    sa.Table(
        "patients",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("born", sa.Date),
        sa.Column("weight", sa.Numeric(5, 2), server_default="0"),
    )
    sa.Table(
        "visits",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("patient_id", sa.ForeignKey("patients.id", ondelete="CASCADE", name="visits_patient"), index=True),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.UniqueConstraint("patient_id", "at", name="one_visit_at_a_time"),
    )
    return metadata


def second_model() -> sa.MetaData:
    metadata = sa.MetaData()
    sa.Table(
        "patients",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("email", sa.String(120), server_default="", nullable=False),
        sa.Column("weight", sa.Numeric(5, 2), server_default="0"),
    )
    sa.Table(
        "visits",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("patient_id", sa.ForeignKey("patients.id", ondelete="CASCADE", name="visits_patient"), index=True),
        sa.Column("at", sa.DateTime, nullable=True),
    )
    sa.Table("rooms", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(10)))
    return metadata


def differences(connection: sa.Connection, metadata: sa.MetaData) -> list[Any]:
    return list(compare_metadata(MigrationContext.configure(connection), metadata))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    scripts = tmp_path / "migrations"
    (scripts / "versions").mkdir(parents=True)
    (scripts / "env.py").write_text(ENVIRONMENT)
    (scripts / "script.py.mako").write_text(SCRIPT)
    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", str(scripts))
    config.set_main_option("path_separator", "os")
    return config


def run(config: Config, engine: sa.Engine, metadata: sa.MetaData, action: Callable[..., Any], *arguments: Any) -> None:
    with engine.connect() as connection:
        config.attributes.update(connection=connection, metadata=metadata)
        action(config, *arguments)
        connection.commit()


def test_there_and_back(engine: sa.Engine, config: Config) -> None:
    one, two = first_model(), second_model()
    run(config, engine, one, lambda c: command.revision(c, "first", autogenerate=True, rev_id="0001"))
    run(config, engine, one, command.upgrade, "head")
    run(config, engine, one, command.check)
    with engine.begin() as connection:
        connection.execute(one.tables["patients"].insert(), [{"name": "Ann"}, {"name": "Bob"}])
        connection.execute(sa.text("INSERT INTO visits (patient_id, at) VALUES (1, '2026-01-01 10:00:00.000000')"))
        assert differences(connection, one) == []
        changes = sorted(
            str(each[0] if isinstance(each, tuple) else each[0][0]) for each in differences(connection, two)
        )
        assert changes == ["add_column", "add_table", "modify_nullable", "remove_column", "remove_constraint"]

    run(config, engine, two, lambda c: command.revision(c, "second", autogenerate=True, rev_id="0002"))
    with pytest.raises(CommandError, match="Target database is not up to date"):
        run(config, engine, two, command.check)
    run(config, engine, two, command.upgrade, "head")
    run(config, engine, two, command.check)
    with engine.begin() as connection:
        assert connection.execute(sa.text("SELECT id, name, email FROM patients")).all() == [
            (1, "Ann", ""),
            (2, "Bob", ""),
        ]
        assert connection.execute(sa.text("SELECT count(*) FROM visits")).scalar() == 1
        assert sa.inspect(connection).get_table_names() == ["alembic_version", "patients", "rooms", "visits"]
        assert [each["name"] for each in sa.inspect(connection).get_indexes("visits")] == ["ix_visits_patient_id"]

    run(config, engine, one, command.downgrade, "0001")
    with engine.connect() as connection:
        assert differences(connection, one) == []
    run(config, engine, one, command.downgrade, "base")
    with engine.connect() as connection:
        assert sa.inspect(connection).get_table_names() == ["alembic_version"]


def test_a_migration_that_fails_leaves_nothing(engine: sa.Engine, config: Config) -> None:
    run(config, engine, first_model(), lambda c: command.revision(c, "first", autogenerate=True, rev_id="0001"))
    script = next(Path(config.get_main_option("script_location") or "").glob("versions/0001_*.py"))
    script.write_text(script.read_text().replace("\n\ndef downgrade", "\n    op.execute('nonsense')\n\ndef downgrade"))
    with pytest.raises(sa.exc.OperationalError, match="syntax error"):
        run(config, engine, first_model(), command.upgrade, "head")
    with engine.connect() as connection:
        assert sa.inspect(connection).get_table_names() == ["alembic_version"]
        assert connection.scalar(sa.text("SELECT count(*) FROM alembic_version")) == 0


def test_operations_in_place_and_in_batches(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        first_model().create_all(connection)
        context = MigrationContext.configure(connection)
        assert isinstance(context.impl, VerityImpl)
        assert context.impl.transactional_ddl
        operations = Operations(context)
        operations.rename_table("patients", "people")
        operations.alter_column("people", "name", new_column_name="full_name")
        operations.add_column("people", sa.Column("email", sa.String))
        operations.drop_column("people", "weight")
        with operations.batch_alter_table("visits") as batch:
            batch.alter_column("at", new_column_name="began", nullable=True)
            batch.drop_constraint("one_visit_at_a_time")
        with pytest.raises(NotImplementedError, match="No support for ALTER of constraints in SQLite"):
            operations.create_unique_constraint("u", "people", ["full_name"])
        found = sa.inspect(connection)
        assert [each["name"] for each in found.get_columns("people")] == ["id", "full_name", "born", "email"]
        assert [each["name"] for each in found.get_columns("visits")] == ["id", "patient_id", "began"]
        assert found.get_foreign_keys("visits")[0]["referred_table"] == "people"
        assert found.get_unique_constraints("visits") == []

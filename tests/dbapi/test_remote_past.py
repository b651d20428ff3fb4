"""The past of a database at a node in another process: told as where its data directory is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import vdb
from vdb import dbapi
from vdb.changes import RawText
from vdb.errors import StreamExists

KEY = b64encode(bytes(range(32))).decode()
REGION = "ap-southeast-2"


@contextmanager
def node_at(folder: Path) -> Iterator[str]:
    """A real node; its address."""
    command = [sys.executable, "-m", "vdb.cli", "start", "--data-dir", str(folder)]
    command += ["--region", REGION, "--address", "127.0.0.1:0", "--json"]
    environment = {**os.environ, "VDB_ROOT_KEY": KEY}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as node:
        assert node.stdout is not None
        try:
            yield json.loads(node.stdout.readline())["address"]
        finally:
            node.terminate()


SPANS = ((0, 12), (12, 6), ("2000-01-01", "2200-01-01"), (9, 9), (6, 12))
RAW = "SELECT id, CAST(name AS BLOB) FROM patients ORDER BY id"

STATEMENTS = (
    "CREATE TABLE patients (id INTEGER PRIMARY KEY, name TEXT, photo BLOB, weight REAL)",
    "INSERT INTO patients VALUES (1, 'Ada', x'00ff', 61.5), (2, CAST(x'ff' AS TEXT), NULL, -1e300)",
    "UPDATE patients SET name = 'Ada L.' WHERE id = 1",
    "ALTER TABLE patients ADD COLUMN note TEXT",
    "UPDATE patients SET id = 7, note = 'moved' WHERE id = 1",
    "DELETE FROM patients WHERE id = 2",
)


def fill(connect: Any) -> None:
    connection = connect(isolation_level=None, actor="dr.lee", purpose="treatment", metadata={"request": "7"})
    for statement in STATEMENTS:
        connection.execute(statement)
    connection.close()


def states(connect: Any) -> list[Any]:
    """What each moment reads."""
    found = []
    for moment in (*range(0, 30, 3), "2200-01-01T00:00:00Z", datetime(2200, 1, 1, tzinfo=UTC)):
        try:
            past = connect(as_of=moment)
        except dbapi.Error as error:
            found.append(str(error))
            continue
        past.text_factory = bytes
        exists = past.execute("SELECT count(*) FROM sqlite_master WHERE name = 'patients'").fetchone()[0]
        found.append(past.execute("SELECT * FROM patients").fetchall() if exists else None)
        past.close()
    return found


def refusals(connect: Any) -> list[str]:
    past = connect(as_of=12, isolation_level=None)
    found = []
    for statement in ("INSERT INTO patients (id) VALUES (9)", "DROP TABLE patients", "BEGIN IMMEDIATE"):
        with pytest.raises(dbapi.Error) as caught:
            past.execute(statement)
        found.append(f"{type(caught.value).__name__}: {caught.value}")
    past.close()
    return found


def histories(connect: Any) -> list[Any]:
    connection = connect()
    keys = (("patients", 1), ("patients", (2,)), ("PATIENTS", "7"), ("patients", None), ("nothing", b"1"))
    found = [connection.history(table, key) for table, key in keys]
    connection.close()
    return found


def explanations(connect: Any) -> list[Any]:
    connection = connect()
    found = []
    for sql in (
        "UPDATE patients SET name = ? WHERE id = :id",
        "SELECT name, count(*) FROM patients GROUP BY name",
        "INSERT OR REPLACE INTO patients (id) VALUES (abs(-1))",
        "CREATE TABLE x AS SELECT * FROM patients",
        "PRAGMA foreign_keys = ON",
        "PRAGMA foreign_keys",
        "BEGIN IMMEDIATE",
        "SAVEPOINT here",
        "-- nothing",
        "SELEC",
        "VACUUM",
    ):
        try:
            explanation = connection.explain(sql)
        except dbapi.Error as error:
            found.append(f"{type(error).__name__}: {error}")
        else:
            found.append((explanation, explanation.lines(), explanation.as_json()))
    connection.close()
    return found


QUESTIONS = (states, refusals, histories, explanations)


def test_the_same_is_told_from_afar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VDB_ROOT_KEY", KEY)
    folder = tmp_path / "data"
    with node_at(folder) as address:

        def remote(**options: Any) -> Any:
            return dbapi.connect(f"verity://{address}/clinic?create=true", **options)

        fill(remote)
        far = [question(remote) for question in QUESTIONS]
        with vdb.connect_sync(address) as client, client.sql("clinic", actor="ops") as session:
            diffs = [session.diff(first, second) for first, second in SPANS]
            session.restore("then", 12)
            with pytest.raises(StreamExists):
                session.restore("then", 12)

    def local(**options: Any) -> Any:
        return dbapi.connect(str(folder), name="clinic", region=REGION, **options)

    anchor = local()  # keeps the node of this process running
    for told, question in zip(far, QUESTIONS, strict=True):
        assert told == question(local)
    anchor.close()
    with vdb.open_crud(folder, name="clinic") as clinic:
        assert diffs == [clinic.diff(first, second) for first, second in SPANS]
    assert [table.table for table in diffs[0]] == ["patients"]
    then = dbapi.connect(str(folder), name="then", region=REGION)
    past = local(as_of=12)
    assert then.execute(RAW).fetchall() == past.execute(RAW).fetchall() != []
    past.close()
    then.close()
    assert far[0][-1] == [(7, b"Ada L.", b"\x00\xff", 61.5, b"moved")]
    assert far[0][-1] == far[0][-2]
    assert [version.operation.name for version in far[2][0]] == ["INSERT", "UPDATE", "UPDATE"]
    assert far[2][0][0].attribution.metadata == {"request": "7"}
    assert far[2][1][0].after["name"] == RawText(b"\xff")
    assert far[3][-2].startswith("OperationalError: near")

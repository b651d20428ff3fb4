"""Once a subject is erased, no path gives its data: each that there is, in a program's own node and at another one.

Of clusters, state sync included, tests/node/cluster/test_erasure.py tells, and the simulator's workload of erasures.
"""

from __future__ import annotations

import importlib
import shutil
import signal
import sys
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

import vdb

PLACE = "ap-southeast-2"
KEY = bytes(range(32))
SMALL = {
    "message_size_max": 64 * 1024, "wal_slots": 64, "checkpoint_interval": 32, "segment_size": 256 * 1024,
    "read_bytes_max": 64 * 1024,
}  # fmt: skip
SECRET = "quisquam-7781"
"""Stands in all that is written about the subject; what is written about others has OTHER."""
OTHER = "nequiquam-1877"
MIGRATIONS = {
    "0001_patients.sql": (
        "-- vdb: subject patients.id\n-- vdb: subject visits.patient\n"
        "CREATE TABLE patients (id TEXT PRIMARY KEY, name TEXT);\n"
        "CREATE TABLE visits (number INTEGER PRIMARY KEY, patient TEXT, note TEXT);\n"
    )
}
MODELS = """
import attrs
import vdb


@vdb.event("paths-note-written", subject="patient")
@attrs.frozen(kw_only=True)
class NoteWritten:
    patient: str
    text: str


NOTES = vdb.Table(name="notes", columns=(vdb.Column("at"), vdb.Column("text")), key=("at",))
chart = vdb.Projection("chart", streams=["chart-*"], tables=[NOTES], on_error="park")


@chart.on(NoteWritten)
def written(event, context):
    if "poison" in event.text:
        raise ValueError(f"can't take {event.text}")
    context.db.execute("INSERT INTO notes VALUES (?, ?)", (str(context.position), event.text))


@chart.on(vdb.Erased)
def erased(_event, context):
    context.db.execute("INSERT INTO notes VALUES (?, ?)", (str(context.position), "(erased)"))
"""


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module with the program's events and rows, for this process, and beside the node's configuration."""
    folder = tmp_path / "node"
    folder.mkdir()
    (folder / "models_of_erased_paths.py").write_text(MODELS)
    monkeypatch.syspath_prepend(str(folder))
    yield importlib.import_module("models_of_erased_paths")
    del sys.modules["models_of_erased_paths"]


def flat(value: Any) -> Iterator[str]:
    """All texts and bytes in a value, those that its repr leaves out too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes | bytearray | memoryview):
        yield bytes(value).decode("latin-1")
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from (*flat(key), *flat(one))
    elif isinstance(value, list | tuple | set):
        for one in value:
            yield from flat(one)
    elif attrs.has(type(value)):
        for field in attrs.fields(type(value)):
            yield from flat(getattr(value, field.name))
    else:
        yield repr(value)


def fill(db: Any, models: Any) -> int:
    """Write about two people everywhere; an offset of the database in the midst."""
    db.create_stream("notes")
    for number in range(3):
        db.publish("notes", [f"{SECRET} {number}".encode()], subject="alice")
        db.publish("notes", [f"{OTHER} {number}".encode()], subject="bob")
    for text in ("one", "poison"):
        db.append("chart-alice", models.NoteWritten(patient="alice", text=f"{SECRET} {text}"), create="phi")
    last = db.append("chart-bob", models.NoteWritten(patient="bob", text=OTHER), create="phi")
    assert db.wait_for("chart", last.position, timeout=60)
    assert db.parked_events("chart")
    consumer = db.create_consumer("workers", prefixes=["chart-"], start="first")
    with consumer.member("one") as member:
        for delivery in member.fetch(max=3, wait=10):
            delivery.term("it never works out", confirm=True)
    assert len(consumer.dead_letters()) == 3
    db.create_database("main")
    with db.sql("main", actor="dr-lee") as sql:
        sql.migrate(MIGRATIONS)
        for patient, text in (("alice", SECRET), ("bob", OTHER)):
            sql.execute("INSERT INTO patients VALUES (?, ?)", (patient, text))
            sql.execute("INSERT INTO visits (patient, note) VALUES (?, ?)", (patient, text))
        middle = max(version.next_offset for version in sql.history("patients", "bob"))
        sql.execute("UPDATE patients SET name = ? WHERE id = 'alice'", (f"{SECRET} again",))
    with db.sql("main", as_of=middle) as past:
        assert SECRET in str(past.execute("SELECT * FROM patients").fetchall()), "there is a copy of the past"
    return middle


def told(db: Any, middle: int, mark: str) -> Iterator[tuple[str, Any]]:
    """What each path gives, by its name. `mark`: makes names of what is made by asking."""
    yield "read", list(db.read("notes"))
    yield "follow", list(db.read("notes", 1, max_events=4))
    yield "log", list(db.log(PLACE))
    yield "log pages", db.read_log(PLACE, 0, 100)
    yield "events", list(db.read_events("chart-alice"))
    yield "events backward", list(db.read_events("notes", backward=True))
    yield "events of all", list(db.read_events(prefixes=["chart-"]))
    yield "rows", db.rows("chart", "notes").dicts()
    yield "parked", db.parked_events("chart")
    db.rebuild_projection("chart", hold=True)
    until_built(db)
    yield "projection's differences", db.diff_projection("chart")
    letters = db.consumer("workers").dead_letters()
    yield "dead letters", [(letter.recorded(), letter.reason) for letter in letters]
    again = db.create_consumer(f"again-{mark}", prefixes=["chart-", "notes"], start="first")
    with again.member("two") as member:
        yield "consumer", [(one.recorded, one.event) for one in member.fetch(max=100, wait=10)]
    with db.sql("main") as sql:
        yield "SQL", [sql.execute(f"SELECT * FROM {table}").fetchall() for table in ("patients", "visits")]
        yield "history", [sql.history("patients", "alice"), sql.history("visits", 1)]
        yield "differences", [sql.diff(0, middle), sql.diff(middle, 0)]
        sql.restore(f"copy_{mark}", middle)
    with db.sql(f"copy_{mark}") as sql:
        yield "restored", sql.execute("SELECT * FROM patients").fetchall()
    with db.sql("main", as_of=middle) as past:
        yield "AS OF", [past.execute(f"SELECT * FROM {table}").fetchall() for table in ("patients", "visits")]
    yield "leaves", list(db.tree_leaves())
    yield "proof", db.prove("notes", 0)
    yield "erasures", db.erasures()
    yield "streams", db.list_streams()


def until_built(db: Any) -> None:
    for _ in range(600):
        (found,) = [one for one in db.status().projections if one.name == "chart"]
        if found.building is not None and found.building.state == "ready":
            return
        time.sleep(0.1)
    raise AssertionError("the rows aren't built")


def check(db: Any, middle: int, mark: str) -> None:
    others = []
    for path, found in told(db, middle, mark):
        texts = list(flat(found))
        assert not [text for text in texts if SECRET in text], f"{path} gives what was erased"
        if any(OTHER in text for text in texts):
            others.append(path)
    with db.sql("main") as sql:
        history = [(one.operation.name, one.attribution.actor) for one in sql.history("patients", "alice")]
    assert history == [("ERASED", "dr-lee")] * 2, "it keeps when, and who"
    asked = {"read", "log", "events of all", "rows", "SQL", "AS OF", "restored", "consumer", "dead letters"}
    assert asked <= set(others), "what isn't about the subject is there"


def check_files(*folders: Path) -> None:
    """`strings` over all files: neither what was erased nor what wasn't stands anywhere in clear."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 5
    for path in files:
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue  # of a node that runs: an older checkpoint
        for text in (SECRET, OTHER):
            assert text.encode() not in content, path
            assert text.encode("utf-16-le") not in content, path


def check_export(run_here: Any, officer: Sequence[str], out: Path, *place: str) -> None:
    """A bundle for auditors with all records of the audit log, and their keys."""
    ran = run_here("audit", "export", *place, "--out", str(out), *officer, "--json")
    assert ran.code == 0, ran.err
    assert run_here("audit", "verify-export", "--export", str(out)).code == 0
    check_files(out)


def configured(folder: Path) -> list[str]:
    """Arguments by which `vdb start` serves the data directory in this folder."""
    (folder / "root.key").write_text(b64encode(KEY).decode())
    (folder / "root.key").chmod(0o600)
    limits = "".join(f"{name.replace('_', '-')} = {value}\n" for name, value in SMALL.items())
    (folder / "node.toml").write_text(
        f'builtin-projections = []\nprojections = ["models_of_erased_paths:chart"]\n'
        f'[node]\nregion = "{PLACE}"\ndata-dir = "data"\nkey-file = "root.key"\n[limits]\n{limits}'
    )
    return ["start", "--config", str(folder / "node.toml"), "--address", "127.0.0.1:0"]


def test_no_path_gives_what_was_erased(tmp_path: Path, models: Any, start_node: Any, run_here: Any) -> None:
    officer = ["--sign-key", str(tmp_path / "officer.key"), "--signer", "officer.kim"]
    assert run_here("witness", "key", "--out", officer[1], "--name", "officer.kim", "--exporter").code == 0
    folder = tmp_path / "node"
    data, copy = folder / "data", tmp_path / "copy"

    def own(place: Path) -> Any:
        return vdb.open(
            place, keys=vdb.RootKeys(KEY), region=PLACE, projections=[models.chart], limits=vdb.Limits(**SMALL)
        )

    with own(data) as db:
        middle = fill(db, models)
        done = db.wait_erased(db.erase("alice", "she asked for it").erasure, timeout=120)
        assert SECRET not in done.certificate
        check(db, middle, "own")
        check_files(data)  # as they are while it runs
    shutil.copytree(data, copy)
    with own(copy) as db:
        check(db, middle, "copied")
    node = start_node(folder, arguments=configured(folder))
    with vdb.connect_sync(node.address, tenant=1) as remote:
        check(remote, middle, "remote")
    check_export(run_here, officer, tmp_path / "exported", "--address", node.address)
    node.end(signal.SIGTERM)
    stopped = ("--data-dir", str(data), "--key-file", str(folder / "root.key"))
    check_export(run_here, officer, tmp_path / "exported-later", *stopped)
    check_files(copy, folder)

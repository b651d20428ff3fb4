"""Every method of a program's own handle, and of the DB-API: for another tenant, and with too low a role."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import define, frozen

import vdb
import vdb.dbapi as dbapi
from vdb.audit.entry import Outcome
from vdb.embedded.database import EmbeddedDatabase
from vdb.errors import AccessDenied

REGION = "ap-southeast-2"
POLICY = """
name = "clinic"

[roles]
officer = []
clinician = []
visitor = []

[[binding]]
principals = ["officer"]
roles = ["officer"]

[[binding]]
principals = ["lee"]
roles = ["clinician"]
tenants = [1]

[[binding]]
principals = ["guest"]
roles = ["visitor"]

[[rule]]
name = "officers-rule"
roles = ["officer"]
actions = ["policy", "audit", "create"]

[[rule]]
name = "clinicians-work"
roles = ["clinician"]
actions = [
    "create", "append", "read", "query", "consume", "time-travel", "schema", "operate", "keys", "erase", "export",
]

[[rule]]
name = "visitors-see-the-menu"
roles = ["visitor"]
actions = ["read"]
classes = ["non-phi"]
streams = ["menu"]
"""


@vdb.event("all-handles.seen")
@frozen
class Seen:
    """Something that a note says."""


@define
class Notes:
    count: int = 0

    @vdb.applies(Seen)
    def seen(self, _event: Seen) -> None:
        self.count += 1


def _sql(database: Any, text: str, **settings: Any) -> Any:
    with database.sql("main", **settings) as session:
        return session.execute(text)


def _fetch(database: Any) -> Any:
    with database.consumer("labs").member() as member:
        return member.fetch(wait=0.0)


DENIED: Mapping[str, Callable[[Any], Any]] = {
    "aggregate": lambda db: db.aggregate(Notes, "notes", ignore_unknown=True),
    "append": lambda db: db.append("notes", [Seen()]),
    "apply_policy": lambda db: db.apply_policy(POLICY, 1),
    "apply_retention": lambda db: db.apply_retention(),
    "attest": lambda db: db.attest("notes", expert="Dr. Who", statement="fine", document_digest=bytes(32)),
    "audit_entries": lambda db: db.audit_entries(),
    "audit_search": lambda db: list(db.audit_search()),
    "break_glass": lambda db: db.break_glass("because"),
    "consents": lambda db: db.consents(),
    "consumer": _fetch,
    "create_consumer": lambda db: db.create_consumer("more"),
    "create_database": lambda db: db.create_database("more"),
    "create_stream": lambda db: db.create_stream("more"),
    "diff_projection": lambda db: db.diff_projection("ward"),
    "drop_parked": lambda db: db.drop_parked("ward"),
    "erase": lambda db: db.erase("p-1", "GDPR 17(1)(b)", dry_run=True),
    "erasures": lambda db: db.erasures(),
    "event_ids": lambda db: db.event_ids("notes"),
    "events": lambda db: list(db.events("notes")),
    "follow": lambda db: next(iter(db.follow("notes"))),
    "get_stream": lambda db: db.get_stream("notes"),
    "give_consent": lambda db: db.give_consent("p-1", ["TREAT"]),
    "grants": lambda db: db.grants(),
    "holds": lambda db: db.holds(),
    "list_consumers": lambda db: db.list_consumers(),
    "list_databases": lambda db: db.list_databases(),
    "log": lambda db: list(db.log(REGION)),
    "parked_events": lambda db: db.parked_events("ward"),
    "place_hold": lambda db: db.place_hold("because", subject="p-1"),
    "prove": lambda db: db.prove("notes", 0),
    "publish": lambda db: db.publish("notes", b"x"),
    "read": lambda db: db.read("notes"),
    "read_events": lambda db: list(db.read_events("notes")),
    "read_log": lambda db: db.read_log(REGION),
    "rebuild_projection": lambda db: db.rebuild_projection("ward"),
    "record_audit": lambda db: db.record_audit("export", {}),
    "release_hold": lambda db: db.release_hold(1, "because"),
    "retention": lambda db: db.retention(),
    "retry_parked": lambda db: db.retry_parked("ward"),
    "review_grant": lambda db: db.review_grant(1, "justified"),
    "rows": lambda db: db.rows("ward", "patients"),
    "set_retention": lambda db: db.set_retention("notes", 30),
    "sql": lambda db: _sql(db, "SELECT 1"),
    "start_key_period": lambda db: db.start_key_period(),
    "switch_projection": lambda db: db.switch_projection("ward"),
    "tree_leaves": lambda db: db.tree_leaves(),
    "wait_erased": lambda db: db.wait_erased(1),
    "wait_for": lambda db: db.wait_for("ward", f"{REGION}:1", 0.1),
    "wait_for_projection": lambda db: db.wait_for_projection("ward", f"{REGION}:1", 0.1),
    "withdraw_consent": lambda db: db.withdraw_consent("p-1"),
}
"""What concerns a tenant's data, and is denied to whoever has no right to it."""
READERS: Mapping[str, Callable[[Any], Any]] = {
    "cosigned_head": lambda db: db.cosigned_head(),
    "follow_tree": lambda db: db.follow_tree(None, []),
    "list_streams": lambda db: db.list_streams(),
    "tree_head": lambda db: db.tree_head(),
}
"""What they tell readers of anything of the tenant is cut to that, or hashes."""
NO_TENANTS = ("key_status", "rotate_keys")
"""They concern no tenant: a role decides."""
OPEN = ("close", "policy", "status")
"""They tell of nobody."""
WHOSE_KEYS = ("audit_log", "audited_logs", "origin")
"""They check what is stored, for the program that holds the keys of all of it, and give nothing of it out."""
TELL = ("is_ours", "tenant", "aio", "cluster")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory in which two tenants have notes, and a policy holds."""
    folder = tmp_path_factory.mktemp("handles") / "data"
    key = folder.parent / "root.key"
    key.touch(mode=0o600)
    key.write_text("A" * 43 + "=")
    for tenant in (1, 2):
        with vdb.open(folder, keys=str(key), principal="officer", tenant=tenant) as database:
            database.create_stream("notes")
            database.publish("notes", b"hello", subject="p-1")
            database.create_stream("menu", "non-phi", "global")
            database.publish("menu", b"soup")
            database.create_database("main")
            database.create_consumer("labs")
    with vdb.open(folder, keys=str(key), principal="officer") as database:
        database.apply_policy(POLICY)
    return folder


@contextmanager
def _as(place: Path, principal: str, tenant: int) -> Iterator[EmbeddedDatabase]:
    with vdb.open(place, keys=str(place.parent / "root.key"), principal=principal, tenant=tenant) as database:
        yield database


def _answers(calls: Mapping[str, Callable[[Any], Any]], database: Any) -> dict[str, str]:
    """What isn't denied."""
    found: dict[str, str] = {}
    for name, call in calls.items():
        try:
            found[name] = repr(call(database))
        except AccessDenied:
            pass
        except Exception as error:
            found[name] = repr(error)
    return found


def test_every_method_of_a_handle_is_listed() -> None:
    public = [name for name in dir(EmbeddedDatabase) if not name.startswith("_")]
    listed = [*DENIED, *READERS, *NO_TENANTS, *OPEN, *WHOSE_KEYS]
    assert sorted(listed) == sorted(name for name in public if name not in TELL)


def test_another_tenants_are_denied(place: Path) -> None:
    with _as(place, "lee", 2) as database:
        for name, call in {
            **DENIED,
            "list_streams": lambda db: db.list_streams(),
            "tree_head": lambda db: db.tree_head(),
            "cosigned_head": lambda db: db.cosigned_head(),
        }.items():
            with pytest.raises(AccessDenied):
                pytest.fail(f"{name} answers {call(database)!r}")
    with _as(place, "lee", 1) as database:
        assert [event.payload for event in database.read("notes")] == [b"hello"]


def test_too_low_a_role_is_denied(place: Path) -> None:
    with _as(place, "guest", 1) as database:
        assert _answers(DENIED, database) == {}
        for door in (database.key_status, database.rotate_keys):
            with pytest.raises(AccessDenied):
                door()
        assert [stream.name for stream in database.list_streams()] == ["menu"]
        assert database.tree_head().note
    with _as(place, "officer", 1) as database:
        denied = [entry for entry in database.audit_search() if entry.outcome is Outcome.DENIED]
        named = {entry.door for entry in denied if entry.actor == "guest"}
        assert {"read", "readLog", "append", "rows", "consumerList", "eraseSubject", "auditEntries"} <= named


def test_so_are_statements_of_the_db_api(place: Path) -> None:
    def connect(principal: str, tenant: int) -> Any:
        key = str(place.parent / "root.key")
        return dbapi.connect(str(place), keys=key, principal=principal, tenant=tenant)

    with connect("lee", 1) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT)")
        connection.execute("INSERT INTO notes (text) VALUES ('seen')")
    for principal, tenant in (("guest", 1), ("lee", 2)):
        with pytest.raises(dbapi.Error, match="no rule allows"):
            connect(principal, tenant).execute("SELECT * FROM notes").fetchall()

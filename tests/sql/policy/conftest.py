"""A database of two wards under a policy's filters, for the tests of restricted statements.

`Clinic` runs statements as one ward sees them. `shown` is the same database with what that ward mustn't see taken out
by hand: what a statement gives on it, it must give under the filter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import pytest

from vdb.audit.entry import AuditEntry
from vdb.changes import NOBODY, Attribution
from vdb.errors import AccessDenied
from vdb.policy.decide import Decision
from vdb.policy.words import Action, Mask
from vdb.projections.store import open_plain_memory
from vdb.sql.conditions import Bindings
from vdb.sql.host import run_inline
from vdb.sql.keeping import Answered, Question, Written
from vdb.sql.rulings import Apart, Ruling
from vdb.sql.verdict import Classifier, Verdict
from vdb.sql.warden import Admission, Warden

SCHEMA = """
CREATE TABLE patients (
    id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE, ssn TEXT, born TEXT, ward TEXT, last4 AS (substr(ssn, -4))
);
CREATE TABLE notes (id INTEGER PRIMARY KEY, patient INTEGER REFERENCES patients ON DELETE CASCADE, text TEXT, stars);
CREATE TABLE team (member TEXT, ward TEXT, PRIMARY KEY (member, ward)) WITHOUT ROWID;
CREATE TABLE drugs (code TEXT, label TEXT);
CREATE TABLE trail (what TEXT);
CREATE VIEW charts (patient, who, text) AS
    SELECT p.id, p.name, n.text FROM patients AS p LEFT JOIN notes AS n ON n.patient = p.id;
CREATE VIEW long_charts AS SELECT * FROM charts WHERE length(text) > 3;
CREATE TRIGGER tells AFTER UPDATE ON patients BEGIN
    INSERT INTO trail SELECT name || ' had ' || ssn FROM patients WHERE id = new.id;
END;
CREATE INDEX by_ward ON patients (ward);
"""
PATIENTS = [
    (1, "Ada", "123-45-6789", "1960-02-03", "A"),
    (2, "Bob", "987-65-4321", "1970-05-06", "B"),
    (3, "Cyd", "555", None, "A"),
    (4, "Dee", None, "1990", "B"),
    (5, "Eve", "111-22-3333", "not a date", "A"),
]
NOTES = [(1, 1, "cough", 3), (2, 1, "ok", 1), (3, 2, "HIV", 5), (4, 3, None, 2), (5, 4, "flu", 4), (6, 5, "", 0)]
TEAM = [("lee", "A"), ("kim", "B"), ("ann", "A"), ("ann", "B")]
SUBJECTS = {"patients": "id", "notes": "patient"}

ROWS = {
    "patients": "ward IN (SELECT ward FROM team WHERE member = :principal)",
    "notes": "patient IN (SELECT id FROM patients JOIN team USING (ward) WHERE member = :principal)",
    "team": "member = :principal",
}
MASKS = {"patients": {"ssn": Mask.LAST_FOUR, "born": Mask.YEAR}}


def make() -> Any:
    db: Any = open_plain_memory()
    db.executescript(SCHEMA)
    db.executemany("INSERT INTO patients VALUES (?, ?, ?, ?, ?)", PATIENTS)
    db.executemany("INSERT INTO notes VALUES (?, ?, ?, ?)", NOTES)
    db.executemany("INSERT INTO team VALUES (?, ?)", TEAM)
    db.execute("INSERT INTO drugs VALUES ('N02', 'paracetamol'), ('J01', 'penicillin')")
    db.execute("CREATE TABLE vdb_subject_columns (tbl TEXT PRIMARY KEY, col TEXT NOT NULL) STRICT")
    db.executemany("INSERT INTO vdb_subject_columns VALUES (?, ?)", SUBJECTS.items())
    return db


def make_shown(principal: str) -> Any:
    """The database as the principal sees it under ROWS and MASKS."""
    db = make()
    wards = [ward for member, ward in TEAM if member == principal]
    patients = [row for row in PATIENTS if row[4] in wards]
    db.executescript("DROP TRIGGER tells; DELETE FROM patients; DELETE FROM notes; DELETE FROM team")
    db.executescript("CREATE TABLE other AS SELECT id, name, ssn, born, ward FROM patients")
    db.executescript("DROP VIEW charts; DROP VIEW long_charts; DROP TABLE patients; DROP TABLE other")
    db.execute("CREATE TABLE patients (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE, ssn, born, ward TEXT, last4)")
    for view in [part for part in SCHEMA.split(";\n") if part.strip().startswith("CREATE VIEW")]:
        db.execute(view)
    for number, name, ssn, born, ward in patients:
        masked = None if ssn is None else "***" if len(ssn) < 8 else f"***{ssn[-4:]}"
        year = {"1960-02-03": "1960", "1970-05-06": "1970", "1990": "1990"}.get(born or "")
        db.execute("INSERT INTO patients VALUES (?, ?, ?, ?, ?, NULL)", (number, name, masked, year, ward))
    seen = [row[0] for row in patients]
    db.executemany("INSERT INTO notes VALUES (?, ?, ?, ?)", [row for row in NOTES if row[1] in seen])
    db.executemany("INSERT INTO team VALUES (?, ?)", [row for row in TEAM if row[0] == principal])
    return db


class FakeKeeper:
    """Decides by what it was told, and remembers what it was asked. Implements `vdb.sql.keeping.Keeper`."""

    is_governed = True
    gives_receipts = True
    key = ""

    def __init__(self, principal: str, rows: Mapping[str, str], masks: Mapping[str, Mapping[str, Mask]]) -> None:
        self.principal = principal
        self.rows = dict(rows)
        self.masks = dict(masks)
        self.append_rows: dict[str, str] = {}
        self.apart: dict[str, tuple[Apart, ...]] = {}
        self.denied: list[str] = []
        self.asked: list[Question] = []
        self.recorded: list[Answered] = []

    def bindings(self, attribution: Attribution) -> Bindings:
        return Bindings(principal=self.principal, tenant=1, purpose=attribution.purpose)

    async def ask(self, questions: Sequence[Question], attribution: Attribution) -> Sequence[Ruling]:
        self.asked = list(questions)
        return [self._ruling(question) for question in questions]

    def _ruling(self, question: Question) -> Ruling:
        table = question.table
        rows = self.append_rows if question.action is Action.APPEND else self.rows
        masks = {} if question.action is Action.APPEND else self.masks.get(table, {})
        if table in self.denied or (question.plain and (table in rows or masks)):
            raise AccessDenied(f"{question.action.value} of {table} is denied")
        decision = Decision(allowed=True, rule="r", version="v", reason="", rows=rows.get(table, ""), masks=masks)
        return Ruling(decision=decision, apart=self.apart.get(table, ()) if question.knows_subjects else ())

    async def deny(self, rulings: Sequence[Ruling], table: str, why: str, attribution: Attribution) -> AccessDenied:
        return AccessDenied(why)

    async def record(self, answers: Sequence[Answered], attribution: Attribution) -> None:
        self.recorded += answers

    def note(self, written: Written) -> AuditEntry:
        raise NotImplementedError


class InlineBridge:
    """Both sides are here."""

    async def on_loop(self, work: Any) -> Any:
        return await work()

    async def off_loop(self, work: Any) -> Any:
        return work()

    def tell(self, work: Any) -> None:
        work()


class BareSession:
    """What a warden needs of a session."""

    def __init__(self, db: Any) -> None:
        self.db = db
        self.classifier = Classifier(db)
        self.attribution = NOBODY
        self.generation = 0

    @property
    def in_transaction(self) -> bool:
        return bool(self.db.in_transaction)

    async def verdict(self, sql: str) -> Verdict:
        return self.classifier.verdict(sql)

    async def take_lease(self) -> None:
        """Nobody else writes."""


class Clinic:
    """See the module's docstring."""

    def __init__(self, principal: str = "lee", rows: Any = None, masks: Any = None) -> None:
        self.db = make()
        self.session = BareSession(self.db)  # all that a warden asks of one
        self.keeper = FakeKeeper(principal, ROWS if rows is None else rows, MASKS if masks is None else masks)
        self.warden = Warden(cast(Any, self.session), self.keeper, InlineBridge())
        self.answered: Answered | None = None

    def admit(self, sql: str) -> Admission:
        return run_inline(self.warden.admit(sql))

    def __call__(self, sql: str, parameters: Any = ()) -> list[tuple[Any, ...]]:
        """The rows that a statement gives under the filter."""
        admission = self.admit(sql)
        cursor = self.db.execute(admission.sql, parameters)
        rows = cursor.fetchall()
        if cursor.description is None:
            return []
        rows, self.answered = self.warden.told(admission, cursor.description, rows)
        return rows

    def changed(self) -> None:
        """The schema was changed past the session."""
        self.session.generation += 1
        self.session.classifier.forget()

    def close(self) -> None:
        self.db.close()


@pytest.fixture
def make_clinic() -> Iterator[Any]:
    """Makes clinics, and closes them."""
    made: list[Clinic] = []

    def one(*args: Any, **options: Any) -> Clinic:
        made.append(Clinic(*args, **options))
        return made[-1]

    yield one
    for clinic in made:
        clinic.close()


@pytest.fixture
def clinic(make_clinic: Any) -> Any:
    """Of Lee, who is in ward A."""
    return make_clinic()


@pytest.fixture
def shown() -> Iterator[Any]:
    """The database with what Lee mustn't see taken out."""
    db = make_shown("lee")
    yield db
    db.close()

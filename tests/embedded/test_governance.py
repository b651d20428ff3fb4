"""A day of a clinic in one process: a policy, a broken glass, its review; blocking, and as coroutines."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import vdb
from vdb.crypto.root import RootKeys
from vdb.errors import AccessDenied, InvalidArgument, NotDeidentified

KEYS = RootKeys(bytes(range(32)))
POLICY = """
name = "clinic"

[roles]
clinician = []
officer = []

[[binding]]
principals = ["lee"]
roles = ["clinician"]

[[binding]]
principals = ["kim"]
roles = ["officer"]

[[rule]]
name = "officers-govern"
roles = ["officer"]
actions = ["policy", "audit", "create", "append"]

[[rule]]
name = "emergency"
effect = "break-glass"
roles = ["clinician"]
actions = ["read"]

[break-glass]
roles = ["clinician"]
minutes = 60
reviewers = ["officer"]
"""


def test_the_glass_is_broken_for_one_patient(tmp_path: Path) -> None:
    place = tmp_path / "clinic"
    with vdb.open(place, KEYS, principal="kim") as db:
        db.create_stream("notes")
        db.publish("notes", b"allergic to penicillin", subject="p-1")
        db.publish("notes", b"somebody else's", subject="p-2")
        assert db.apply_policy(POLICY).serial == 1
        assert db.policy().text == POLICY
    with vdb.open(place, KEYS, principal="lee", purpose="BTG") as db:
        with pytest.raises(AccessDenied, match="rule 'emergency' would with the glass broken for it"):
            db.read("notes")
        opened = db.break_glass("unconscious in the emergency room", "p-1")
        assert [event.payload for event in db.read("notes")] == [b"allergic to penicillin"]
        assert [stream.name for stream in db.list_streams()] == ["notes"]
    with vdb.open(place, KEYS, principal="kim") as db:
        (waiting,) = db.grants(unreviewed=True)
        assert (waiting.grant, waiting.principal, waiting.subject) == (opened.grant, "lee", "p-1")
        db.review_grant(waiting.grant, "justified", "a clear case")
        assert db.grants(unreviewed=True) == []
    with (
        vdb.open(place, KEYS, principal="lee", purpose="BTG") as db,
        pytest.raises(AccessDenied, match="the glass broken for it"),
    ):
        db.read("notes")


def test_deidentified_data(tmp_path: Path) -> None:
    with vdb.open(tmp_path / "clinic", KEYS, principal="kim") as db:
        db.create_stream("cohort", "deidentified")
        db.publish("cohort", b'{"age": 47, "zip": "021", "hba1c": 6.1}')
        with pytest.raises(NotDeidentified, match="field 'birthDate' holds a date more exact than its year"):
            db.publish("cohort", b'{"birthDate": "1979-03-12"}')
        with pytest.raises(NotDeidentified, match="free text needs an expert's attestation"):
            db.publish("cohort", b'{"note": "feels better"}')
        db.attest("cohort", expert="Dr. A. Expert", statement="the risk is very small", document_digest=bytes(32))
        db.publish("cohort", b'{"note": "feels better"}')
        assert len(db.read("cohort")) == 2


def test_the_same_as_coroutines(tmp_path: Path) -> None:
    async def day(db: vdb.EmbeddedDatabase) -> None:
        face = db.aio
        assert (await face.policy()).serial == 0
        assert (await face.apply_policy(POLICY)).serial == 1
        assert (await face.policy("global")).applied_by == "kim"
        await face.create_stream("notes")
        await face.give_consent("p-1", ["HRESCH", "TREAT"])
        await face.withdraw_consent("p-1", ["TREAT"])
        assert [one.purposes for one in await face.consents("p-1")] == [("HRESCH",)]
        assert await face.grants() == []
        with pytest.raises(AccessDenied, match="for one of the roles clinician; found officer"):
            await face.break_glass("curious")
        with pytest.raises(InvalidArgument, match="tenant 1 has no grant 7"):
            await face.review_grant(7, "justified")
        await face.create_stream("cohort", "deidentified")
        await face.attest("cohort", expert="Dr. A. Expert", statement="the risk is very small")

    with vdb.open(tmp_path / "clinic", KEYS, principal="kim") as db:
        with pytest.raises(InvalidArgument, match="purposes are several codes"):
            db.give_consent("p-1", "TREAT")
        asyncio.run(day(db))

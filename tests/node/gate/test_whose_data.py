"""What names subjects, or tells of their records, is for those who may see PHI: not for whoever may see anything."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from vdb.audit.entry import Kind, Outcome, decode_entry
from vdb.errors import AccessDenied, OnHold, PlacementViolation
from vdb.kernel.command import INTERNAL
from vdb.node.gate.answers import RowDifferences
from vdb.node.gate.caller import Caller, Credential
from vdb.node.gate.guard import Guard
from vdb.node.preparing.request import PlainAppend, PlainRun
from vdb.policy.decide import Principal
from vdb.projections.comparing import Difference
from vdb.projections.tables import Column, Table
from vdb.types import GLOBAL_GROUP, DataClass, TenantId
from vdb.wire.event import encode_batch

PLACE = "ap-southeast-2"
POLICY = """
name = "clinic"

[[rule]]
name = "officers"
principals = ["officer"]
actions = ["policy", "audit", "create", "append", "read", "erase"]

[[rule]]
name = "only-what-is-no-phi"
principals = ["outsider"]
actions = ["policy", "audit", "read", "erase"]
classes = ["non-phi", "deidentified"]
"""

TABLES = """
name = "clinic"

[[rule]]
name = "officers"
principals = ["officer"]
actions = ["policy", "query"]

[[rule]]
name = "not-the-numbers"
effect = "deny"
principals = ["ana"]
actions = ["query"]
tables = ["people"]
columns = ["ssn"]

[[rule]]
name = "analysts"
principals = ["ana"]
actions = ["query"]
"""


def guard(node: Any, name: str) -> Guard:
    return Guard(node.service, Caller(principal=Principal(name=name), credential=Credential.MTLS))


async def filled(node: Any) -> Guard:
    """A note about Ada, a hold on her, her consent, and a policy."""
    officer = guard(node, "officer")
    await officer.create_stream(INTERNAL, 1, "notes", DataClass.PHI, PLACE)
    run = PlainRun(subject="Ada", count=1, batch=encode_batch([b"cough"]), event_ids=b"", schema_id=0)
    await officer.append(INTERNAL, 1, [PlainAppend(stream="notes", runs=(run,))])
    await officer.put_hold(1, PLACE, "Ada", "", "a case before a court")
    await officer.apply_policy(POLICY, 0)
    book = node.service.governance.book
    with trio.fail_after(10):
        await node.groups[node.config.groups[0]].wait_until(lambda: book.policy(node.config.groups[0]) is not None)
    await officer.put_consent(1, PLACE, "Ada", ("HRESCH",), 0, withdraw=False)
    return officer


async def test_who_sees_no_phi_is_told_of_no_subject(start: Any) -> None:
    async with start() as node:
        officer = await filled(node)
        outsider = guard(node, "outsider")
        assert [hold.subject for hold in await officer.list_holds(1, PLACE)] == ["Ada"]
        assert [one.subject for one in await officer.list_consents(1, PLACE, "")] == ["Ada"]
        assert (await officer.leaves(1, PLACE, 0, 10))[0]
        await officer.prove_record(1, "notes", 0)
        for ask in (
            lambda: outsider.list_holds(1, PLACE),
            lambda: outsider.list_consents(1, PLACE, ""),
            lambda: outsider.leaves(1, PLACE, 0, 10),
            lambda: outsider.leaves(1, PLACE, 0, 10, "audit"),
            lambda: outsider.prove_record(1, "notes", 0),
        ):
            with pytest.raises(AccessDenied, match="of phi data in tenant 1"):
                await ask()


async def test_an_erasure_that_a_hold_stands_against_is_written_down_as_refused(start: Any) -> None:
    async with start() as node:
        officer = await filled(node)
        with pytest.raises(OnHold, match="is on the subject"):
            await officer.erase_subject(1, PLACE, "Ada", "she asked for it", dry_run=False)
        page = await node.service.audit.records(TenantId(1), node.config.groups[0], 0, 1000)
        found = [decode_entry(entry) for record in page.records for entry in record.entries]
        last = found[-1]
        assert (last.kind, last.outcome, last.code) == (Kind.ERASE, Outcome.REFUSED, "ON_HOLD")
        assert (last.actor, last.subjects) == ("officer", ("Ada",))


async def test_data_for_another_region_is_refused_and_that_is_written_down(start: Any) -> None:
    async with start() as node:
        officer = await filled(node)
        with pytest.raises(PlacementViolation, match="found 'eu-west-1'"):
            await officer.create_stream(INTERNAL, 1, "there", DataClass.PHI, "eu-west-1")
        page = await node.service.audit.records(TenantId(1), node.config.groups[0], 0, 1000)
        last = [decode_entry(entry) for record in page.records for entry in record.entries][-1]
        assert (last.kind, last.outcome, last.code) == (Kind.CREATE, Outcome.REFUSED, "PLACEMENT_VIOLATION")
        assert (last.actor, last.door, last.object) == ("officer", "createStream", "there")


async def test_differences_show_no_column_that_a_rule_denies(start: Any) -> None:
    people = Table("people", columns=(Column("id"), Column("ssn")), key=("id",))
    one = Difference(table=people, key=("p-1",), before=("p-1", "123-45-6789"), after=None)

    async def diff_projection(_tenant: int, _projection: str, _maximum: int) -> RowDifferences:
        return RowDifferences(differences=(one,), count=1, position_before="", position_after="")

    async with start() as node:
        node.service.diff_projection = diff_projection
        officer = guard(node, "officer")
        await officer.apply_policy(TABLES, 0)
        book, region = node.service.governance.book, node.config.groups[0]
        with trio.fail_after(10):
            await node.groups[region].wait_until(lambda: book.policy(region) is not None)
        assert (await officer.diff_projection(1, "people", 10)).count == 1
        with pytest.raises(AccessDenied, match="rule 'not-the-numbers' denies"):
            await guard(node, "ana").diff_projection(1, "people", 10)


async def test_whom_somebody_asked_about_isnt_told_outside_the_region(start: Any) -> None:
    async with start() as node:
        officer = await filled(node)
        await officer.create_stream(INTERNAL, 2, "menu", DataClass.NON_PHI, GLOBAL_GROUP)
        for group in (PLACE, GLOBAL_GROUP):
            with pytest.raises(AccessDenied):
                await guard(node, "outsider").erase_subject(2, group, "Eve", "", dry_run=True)
        region = node.config.groups[0]
        for tenant, group, count in ((2, GLOBAL_GROUP, 0), (0, GLOBAL_GROUP, 0), (0, region, 2)):
            page = await node.service.audit.records(TenantId(tenant), group, 0, 1000)
            found = [decode_entry(entry) for record in page.records for entry in record.entries]
            assert sum("Eve" in entry.subjects for entry in found) == count

"""Erasures in the kernel: keys go in their rows, and stay gone; members acknowledge; holds stand against it."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from vdb.errors import RefusalCode
from vdb.kernel.command import KeyRow, KeyScope, MemberRow, PutKey, Reconfigure, StartPeriod
from vdb.kernel.effect import DestroyKeys
from vdb.kernel.erasure import erasures_of, is_erased, pending_nodes, unacknowledged
from vdb.kernel.erasure_command import AckErasure, EraseSubject, PutHold, PutRetention, ReleaseHold
from vdb.kernel.erasure_rows import DestroyedKey, Erasure, numbered_key, unpack_erasure
from vdb.kernel.holds import holds_of, judgement_serial, live_hold, retention_of
from vdb.kernel.reply import KeyPut, Numbered, Reconfigured, Refusal
from vdb.kernel.state import State
from vdb.kernel.tables import KEYS
from vdb.types import DataClass, TenantId

TENANT = TenantId(1)
ALICE = b"a" * 32
TOKEN = b"t" * 32


def subject_row(primary: Any, number: int = 0, lookup: bytes = ALICE, period: int = 0) -> KeyRow:
    row = primary.key_row(1, KeyScope.SUBJECT, dek_id=b"D%015d" % number)
    return evolve(row, lookup=lookup, subject_token=TOKEN, period=period, wrapped=b"w" * 40, wrapped_secret=b"s" * 40)


def erasing(*dek_ids: bytes, members: tuple[int, ...] = (0,), subject: bytes = ALICE) -> EraseSubject:
    return EraseSubject(
        tenant=TENANT, subject=subject, dek_ids=dek_ids, basis="GDPR 17(1)(b)", by="officer", members=members
    )


def ack(erasure: int, node: int) -> AckErasure:
    return AckErasure(tenant=TENANT, erasure=erasure, node=node, statement=b"{}", signature=b"x" * 64)


def started(primary: Any) -> KeyRow:
    """A tenant with a stream, and a subject with a key."""
    primary.apply(PutKey(row=primary.key_row(1)))
    primary.apply(PutKey(row=primary.key_row(1, KeyScope.STREAM)))
    primary.apply(primary.create_command(1, "notes", DataClass.PHI))
    row = subject_row(primary)
    _, reply = primary.apply(PutKey(row=row))
    assert reply == KeyPut(row.dek_id)
    return row


def code_of(reply: object) -> RefusalCode | None:
    return reply.code if isinstance(reply, Refusal) else None


def test_the_key_goes_and_its_row_stays(primary: Any) -> None:
    row = started(primary)
    effects, reply = primary.apply(erasing(row.dek_id))
    assert reply == Numbered(1)
    assert effects == (DestroyKeys(TENANT, 1, (row.dek_id,)),)
    held = primary.state.key(row.dek_id)
    assert held.is_destroyed
    packed = primary.state.rows[KEYS][row.dek_id]
    assert row.wrapped not in packed
    assert row.wrapped_secret not in packed
    assert is_erased(primary.state, TENANT, ALICE)
    for again in (PutKey(row=row), PutKey(row=subject_row(primary, 1)), PutKey(row=subject_row(primary, 2, period=3))):
        assert code_of(primary.apply(again)[1]) is RefusalCode.SUBJECT_ERASED
    assert code_of(primary.apply(erasing(row.dek_id))[1]) is RefusalCode.SUBJECT_ERASED
    tables = [(table, key, value) for table, rows in primary.state.tables().items() for key, value in rows.items()]
    assert State.from_rows(primary.group, 4, tables).digest() == primary.state.digest()


def test_a_destroyed_key_is_put_by_nobody(primary: Any) -> None:
    row = started(primary)
    primary.apply(erasing(row.dek_id))
    destroyed = primary.state.key(row.dek_id)
    other = evolve(destroyed, dek_id=b"E" * 16, lookup=b"b" * 32)
    assert code_of(primary.apply(PutKey(row=other))[1]) is RefusalCode.INVALID_ARGUMENT


def test_keys_of_somebody_else_stay(primary: Any) -> None:
    row = started(primary)
    bob = evolve(subject_row(primary, 5, lookup=b"b" * 32), subject_token=b"u" * 32)
    primary.apply(PutKey(row=bob))
    for wrong in (erasing(row.dek_id, bob.dek_id), erasing(b"N" * 16), erasing(row.dek_id, primary.key_row(1).dek_id)):
        assert code_of(primary.apply(wrong)[1]) is RefusalCode.INVALID_ARGUMENT
    assert not primary.state.key(row.dek_id).is_destroyed


def test_a_subject_without_keys_is_erased_for_good(primary: Any) -> None:
    started(primary)
    assert primary.apply(erasing(subject=b"c" * 32))[1] == Numbered(1)
    assert (
        code_of(primary.apply(PutKey(row=subject_row(primary, 7, lookup=b"c" * 32)))[1]) is RefusalCode.SUBJECT_ERASED
    )


def test_it_is_complete_when_all_have_acknowledged(primary: Any) -> None:
    row = started(primary)
    primary.apply(erasing(row.dek_id, members=(0, 1, 2)))
    for node in (0, 2, 2):
        assert primary.apply(ack(1, node))[1] == Numbered(1)
    (found,) = erasures_of(primary.state, TENANT)
    assert (found.completed, pending_nodes(primary.state, found)) == (0, (1,))
    assert [one.erasure for one in unacknowledged(primary.state, 1)] == [1]
    assert unacknowledged(primary.state, 0) == ()
    primary.apply(ack(1, 1))
    (found,) = erasures_of(primary.state, TENANT)
    assert found.completed
    assert unacknowledged(primary.state, 1) == ()
    assert code_of(primary.apply(ack(2, 1))[1]) is RefusalCode.INVALID_ARGUMENT


def member(node: int, disk: bytes) -> MemberRow:
    return MemberRow(node=node, name=f"n{node}", peer_address="h:1", address="h:2", disk_id=disk * 16, region="")


def test_who_left_is_not_waited_for_and_a_new_disk_says_it_anew(primary: Any) -> None:
    row = started(primary)
    first = Reconfigure(epoch=10, base_epoch=0, voters=(0, 1, 2), learners=(), members=tuple(
        member(node, b"d") for node in range(3)
    ))  # fmt: skip
    assert isinstance(primary.apply(first)[1], Reconfigured)
    primary.apply(erasing(row.dek_id, members=(0, 1, 2)))
    primary.apply(ack(1, 0))
    primary.apply(ack(1, 1))
    renewed = Reconfigure(epoch=11, base_epoch=10, voters=(0, 2), learners=(1,), members=(member(1, b"e"),))
    primary.apply(renewed)
    (found,) = erasures_of(primary.state, TENANT)
    assert pending_nodes(primary.state, found) == (1, 2)
    primary.apply(ack(1, 1))
    primary.apply(Reconfigure(epoch=12, base_epoch=11, voters=(0, 1), learners=()))
    (found,) = erasures_of(primary.state, TENANT)
    assert found.completed


def test_a_hold_on_the_subject_stands_against_it(primary: Any) -> None:
    row = started(primary)
    for _ in range(2):
        primary.apply(PutHold(tenant=TENANT, subject=ALICE, sealed=b"why"))
    assert primary.apply(ReleaseHold(tenant=TENANT, hold=2, sealed=b"over"))[1] == Numbered(2)
    assert live_hold(primary.state, TENANT, ALICE)
    assert code_of(primary.apply(erasing(row.dek_id))[1]) is RefusalCode.ON_HOLD
    assert code_of(primary.apply(ReleaseHold(tenant=TENANT, hold=2, sealed=b""))[1]) is RefusalCode.INVALID_ARGUMENT
    primary.apply(ReleaseHold(tenant=TENANT, hold=1, sealed=b"over"))
    assert primary.apply(erasing(row.dek_id))[1] == Numbered(1)
    assert [bool(hold.released) for hold in holds_of(primary.state, TENANT)] == [True, True]


def test_expired_keys_are_of_periods_that_are_over(primary: Any) -> None:
    row = started(primary)
    primary.apply(PutHold(tenant=TENANT, subject=b"", sealed=b"streams"))
    assert code_of(primary.apply(erasing(row.dek_id, subject=b""))[1]) is RefusalCode.INVALID_ARGUMENT
    primary.apply(StartPeriod(tenant=TENANT, period=1))
    assert primary.apply(erasing(row.dek_id, subject=b""))[1] == Numbered(1)
    assert not is_erased(primary.state, TENANT, ALICE)
    _, reply = primary.apply(PutKey(row=subject_row(primary, 9, period=1)))
    assert isinstance(reply, KeyPut), "its data go on under keys of later periods"


def test_retention_is_set_and_taken_back(primary: Any) -> None:
    started(primary)
    rule = PutRetention(tenant=TENANT, lookup=b"l" * 32, data_class=DataClass.PHI, days=10, sealed=b"notes*")
    primary.apply(rule)
    primary.apply(evolve(rule, days=20))
    assert [(one.days, one.sealed) for one in retention_of(primary.state, TENANT)] == [(20, b"notes*")]
    primary.apply(evolve(rule, days=0))
    primary.apply(evolve(rule, days=0))
    assert retention_of(primary.state, TENANT) == ()


def test_rows_come_back_as_they_were() -> None:
    erasure = Erasure(
        tenant=TENANT,
        erasure=7,
        time=5,
        completed=9,
        subject=ALICE,
        keys=(DestroyedKey(b"k" * 16, b"d" * 32, TOKEN),),
        members=(0, 3),
        basis="basis é",
        by="who",
        sealed=b"sealed",
    )
    assert unpack_erasure(numbered_key(TENANT, 7), erasure.pack()) == erasure
    assert erasure.token == TOKEN


def test_what_was_judged_before_the_last_hold_or_rule_is_refused(primary: Any) -> None:
    row = started(primary)
    assert judgement_serial(primary.state, TENANT) == 0
    rule = PutRetention(tenant=TENANT, lookup=b"l" * 32, data_class=DataClass.PHI, days=10, sealed=b"notes*")
    changes = [
        PutHold(tenant=TENANT, subject=b"", sealed=b"streams"),
        rule,
        evolve(rule, days=20),
        evolve(rule, days=0),
    ]
    for number, change in enumerate(changes, 1):
        assert isinstance(primary.apply(change)[1], Numbered)
        assert judgement_serial(primary.state, TENANT) == number
        stale = evolve(erasing(row.dek_id), judged=number)
        assert code_of(primary.apply(stale)[1]) is RefusalCode.POLICY_CHANGED
    primary.apply(ReleaseHold(tenant=TENANT, hold=1, sealed=b"over"))
    assert judgement_serial(primary.state, TENANT) == len(changes), "a release permits only"
    assert primary.apply(evolve(erasing(row.dek_id), judged=1 + len(changes)))[1] == Numbered(1)


def test_an_erasure_that_does_not_say_how_it_was_judged_is_of_an_earlier_log(primary: Any) -> None:
    row = started(primary)
    primary.apply(PutHold(tenant=TENANT, subject=b"", sealed=b"streams"))
    assert primary.apply(erasing(row.dek_id))[1] == Numbered(1)

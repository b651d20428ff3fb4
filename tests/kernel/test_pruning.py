"""Pruning in the kernel: rows of what was pruned, and what is refused."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import RefusalCode
from vdb.kernel.command import ANY
from vdb.kernel.effect import PruneSegments
from vdb.kernel.erasure_command import Prune, PrunedSegment, PutHold, PutRetention, ReleaseHold
from vdb.kernel.pruning import PrunedRow, check_prune, is_pruned, pruned_of
from vdb.kernel.reply import Numbered, Refusal
from vdb.types import DataClass, TenantId, audit_log_of

TENANT = TenantId(1)


def segment(number: int, first: int, following: int) -> PrunedSegment:
    return PrunedSegment(
        segment=number, first_position=first, next_position=following, length=900, stub_length=90, stub_crc=7
    )


def pruning(*segments: PrunedSegment, judged: int = 0, tenant: TenantId = TENANT) -> Prune:
    return Prune(tenant=tenant, segments=segments, judged=judged, by="officer")


def started(primary: Any) -> None:
    """A tenant with ten events behind the record that names their stream."""
    primary.put_keys(1)
    stream = primary.create(1, "notes")
    primary.append(1, (stream, ANY, [10]))


def refused(primary: Any, command: Prune) -> tuple[RefusalCode, str]:
    before = primary.rows()
    effects, reply = primary.apply(command)
    assert isinstance(reply, Refusal)
    assert effects == ()
    assert {place: row for place, row in primary.rows().items() if place[0]} == {
        place: row for place, row in before.items() if place[0]
    }
    return reply.code, reply.message


def test_what_was_pruned_has_rows(primary: Any) -> None:
    started(primary)
    head = primary.state.tenant_head(TENANT)
    first, second = segment(1, 0, 4), segment(3, 6, head)
    effects, reply = primary.apply(pruning(first, second))
    assert reply == Numbered(2)
    assert effects == (PruneSegments(TENANT, (first, second)),)
    assert [row.pruned for row in pruned_of(primary.state, TENANT)] == [first, second]
    assert {row.time for row in pruned_of(primary.state, TENANT)} == {primary.state.last_timestamp}
    assert is_pruned(primary.state, TENANT, 3)
    assert not is_pruned(primary.state, TENANT, 2)
    assert pruned_of(primary.state, TenantId(2)) == ()


def test_what_is_wrong_is_refused_and_said(primary: Any) -> None:
    started(primary)
    head = primary.state.tenant_head(TENANT)
    invalid = RefusalCode.INVALID_ARGUMENT
    assert refused(primary, pruning()) == (invalid, "a pruning names 1 to 64 segments; found 0")
    assert refused(primary, pruning(segment(1, 0, head + 1))) == (
        invalid,
        f"segment 1 ends at position {head + 1}, the tenant's log at {head}",
    )
    assert refused(primary, pruning(segment(1, 4, 4)))[1] == "segment 1 from position 4 to 4 isn't one"
    assert refused(primary, pruning(segment(2, 0, 4), segment(1, 4, 5)))[1] == "segments come in order; found 1 after 2"
    assert refused(primary, pruning(segment(1, 0, 4), segment(2, 3, 5)))[1] == "segments come in order; found 2 after 1"
    assert refused(primary, pruning(segment(1, 0, 4), tenant=TenantId(5))) == (
        RefusalCode.UNKNOWN_TENANT,
        f"tenant 5 has no stream in group {primary.state.group}",
    )
    assert refused(primary, pruning(segment(1, 0, 4), tenant=audit_log_of(TENANT))) == (
        invalid,
        "an audit log isn't pruned: what it tells is kept for six years at least",
    )
    assert refused(primary, evolve(pruning(segment(1, 0, 4)), by="x" * 2000))[0] is invalid
    primary.apply(pruning(segment(1, 0, 4)))
    assert refused(primary, pruning(segment(1, 0, 4))) == (
        RefusalCode.POLICY_CHANGED,
        "segments were pruned by another call while they were judged",
    )


def test_what_was_judged_before_a_hold_or_a_rule_came_is_judged_again(primary: Any) -> None:
    started(primary)
    primary.apply(PutHold(tenant=TENANT, subject=b"", sealed=b"sealed"))
    assert refused(primary, pruning(segment(1, 0, 4))) == (
        RefusalCode.POLICY_CHANGED,
        "a hold or a rule of retention came while the segments were judged",
    )
    primary.apply(ReleaseHold(tenant=TENANT, hold=1, sealed=b"sealed"))
    rule = PutRetention(tenant=TENANT, lookup=b"n" * 32, data_class=DataClass.PHI, days=7, sealed=b"sealed")
    primary.apply(rule)
    assert refused(primary, pruning(segment(1, 0, 4), judged=1))[0] is RefusalCode.POLICY_CHANGED
    assert check_prune(primary.state, pruning(segment(1, 0, 4), judged=2)) is None
    primary.apply(evolve(rule, days=0))
    assert refused(primary, pruning(segment(1, 0, 4), judged=2))[0] is RefusalCode.POLICY_CHANGED


@given(st.integers(1, 2**32 - 1), st.lists(st.integers(1, 2**63), min_size=4, max_size=4), st.integers(0, 2**32 - 1))
def test_a_row_says_what_the_command_said(number: int, sizes: list[int], crc: int) -> None:
    from vdb.kernel.pruning import unpack_pruned
    from vdb.kernel.tables import pruned_key

    first, more, length, stub = sizes
    pruned = PrunedSegment(
        segment=number,
        first_position=first,
        next_position=first + more,
        length=length,
        stub_length=stub,
        stub_crc=crc,
    )
    row = PrunedRow(pruned=pruned, time=first)
    assert unpack_pruned(pruned_key(1, number), row.pack()) == row

from hypothesis import given
from hypothesis import strategies as st

from vdb.evidence.merkle import Frontier
from vdb.kernel.command import Expected, ExpectedKind, KeyRow, KeyScope, Origin
from vdb.kernel.rows import (
    KeptRecord,
    SessionState,
    StreamState,
    Target,
    TenantState,
    TransactionState,
    pack_key,
    unpack_kept,
    unpack_key,
    unpack_session,
    unpack_stream,
    unpack_tenant,
    unpack_transaction,
)
from vdb.types import DataClass, GroupId

u64 = st.integers(0, 2**64 - 1)
GROUP = GroupId("eu-west-1")


frontiers = u64.flatmap(
    lambda size: st.builds(
        Frontier.unpack, st.just(size), st.binary(min_size=32 * size.bit_count(), max_size=32 * size.bit_count())
    )
)


@given(
    frontiers.flatmap(
        lambda frontier: st.builds(
            TenantState,
            tenant=u64,
            group=st.just(GROUP),
            chain=st.binary(min_size=32, max_size=32),
            record_count=st.just(frontier.size),
            frontier=st.just(frontier),
            event_count=u64,
            stream_count=u64,
            next_position=u64,
        )
    )
)
def test_tenant_round_trip(tenant: TenantState) -> None:
    assert unpack_tenant(GROUP, tenant.tenant, tenant.pack()) == tenant


@given(
    st.builds(
        StreamState,
        stream=u64,
        data_class=st.sampled_from(DataClass),
        next_offset=u64,
        created_at=u64,
        last_position=u64,
    )
)
def test_stream_round_trip(stream: StreamState) -> None:
    assert unpack_stream(stream.stream, stream.pack()) == stream


@given(st.builds(SessionState, session=u64, client=st.binary(min_size=16, max_size=16), last_number=u64, last_used=u64))
def test_session_round_trip(session: SessionState) -> None:
    assert unpack_session(session.session, session.pack()) == session


@given(
    st.builds(
        KeyRow,
        dek_id=st.binary(min_size=16, max_size=16),
        tenant=u64,
        scope=st.sampled_from(KeyScope),
        data_class=st.sampled_from(DataClass),
        lookup=st.binary(min_size=32, max_size=32),
        subject_token=st.binary(min_size=32, max_size=32),
        kek_id=st.binary(min_size=16, max_size=16),
        kek_version=st.integers(0, 2**16 - 1),
        period=st.integers(0, 2**16 - 1),
        wrapped=st.binary(min_size=40, max_size=40),
        wrapped_secret=st.sampled_from([b"", bytes(range(40))]),
    )
)
def test_key_round_trip(row: KeyRow) -> None:
    assert unpack_key(row.dek_id, pack_key(row, 5)) == row


def test_a_stream_is_a_small_row() -> None:
    """A million streams must fit: 25 bytes, whatever they hold."""
    state = StreamState(stream=1, data_class=DataClass.PHI, next_offset=2**40, created_at=2**50, last_position=2**60)
    assert len(state.pack()) == 25


@given(
    st.builds(
        TransactionState,
        transaction=u64,
        origin=st.builds(Origin, st.binary(min_size=16, max_size=16), u64, u64),
        tenant=u64,
        parts=st.integers(0, 2**32 - 1),
        records=st.integers(0, 2**32 - 1),
        targets=st.lists(
            st.builds(
                Target,
                stream=u64,
                expected=st.builds(Expected, st.sampled_from(ExpectedKind), u64),
                first_offset=u64,
                next_offset=u64,
            ),
            max_size=3,
        ).map(tuple),
    )
)
def test_transaction_round_trip(transaction: TransactionState) -> None:
    assert unpack_transaction(transaction.transaction, transaction.pack()) == transaction


@given(st.builds(KeptRecord, u64, st.integers(0, 2**32 - 1), st.binary(min_size=32, max_size=32), st.binary()))
def test_kept_record_round_trip(kept: KeptRecord) -> None:
    assert unpack_kept(kept.pack()) == kept

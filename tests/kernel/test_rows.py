from hypothesis import given
from hypothesis import strategies as st

from vdb.kernel.command import KeyRow, KeyScope
from vdb.kernel.rows import (
    SessionState,
    StreamState,
    TenantState,
    pack_key,
    unpack_key,
    unpack_session,
    unpack_stream,
    unpack_tenant,
)
from vdb.types import DataClass, GroupId

u64 = st.integers(0, 2**64 - 1)
GROUP = GroupId("eu-west-1")


@given(
    st.builds(
        TenantState,
        tenant=u64,
        group=st.just(GROUP),
        chain=st.binary(min_size=32, max_size=32),
        record_count=u64,
        event_count=u64,
        stream_count=u64,
        next_position=u64,
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
        kek_version=st.integers(0, 2**32 - 1),
        wrapped=st.binary(min_size=40, max_size=40),
        wrapped_secret=st.sampled_from([b"", bytes(range(40))]),
    )
)
def test_key_round_trip(row: KeyRow) -> None:
    assert unpack_key(row.dek_id, pack_key(row)) == row


def test_a_stream_is_a_small_row() -> None:
    """A million streams must fit: 25 bytes, whatever they hold."""
    state = StreamState(stream=1, data_class=DataClass.PHI, next_offset=2**40, created_at=2**50, last_position=2**60)
    assert len(state.pack()) == 25

"""Commands by which data end, through their bytes and back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vdb.kernel.command import INTERNAL, Request
from vdb.kernel.erasure_command import (
    AckErasure,
    EraseSubject,
    ErasureCommand,
    Prune,
    PrunedSegment,
    PutHold,
    PutRetention,
    ReleaseHold,
)
from vdb.types import DataClass, TenantId
from vdb.wire.command import decode_body, encode_body

u64 = st.integers(0, 2**64 - 1)
u32 = st.integers(0, 2**32 - 1)
tenants = st.integers(1, 2**63 - 1).map(TenantId)
some = st.binary(max_size=80)
texts = st.text(max_size=40)

segments = st.builds(
    PrunedSegment, segment=u32, first_position=u64, next_position=u64, length=u64, stub_length=u64, stub_crc=u32
)
commands: st.SearchStrategy[ErasureCommand] = st.one_of(
    st.builds(
        EraseSubject,
        tenant=tenants,
        subject=some,
        dek_ids=st.lists(some, max_size=4).map(tuple),
        basis=texts,
        by=texts,
        members=st.lists(st.integers(0, 255), max_size=5).map(tuple),
        sealed=some,
        judged=u64,
    ),
    st.builds(AckErasure, tenant=tenants, erasure=u64, node=st.integers(0, 255), statement=some, signature=some),
    st.builds(PutHold, tenant=tenants, subject=some, sealed=some),
    st.builds(ReleaseHold, tenant=tenants, hold=u64, sealed=some),
    st.builds(PutRetention, tenant=tenants, lookup=some, data_class=st.sampled_from(DataClass), days=u32, sealed=some),
    st.builds(Prune, tenant=tenants, segments=st.lists(segments, max_size=5).map(tuple), judged=u64, by=texts),
)


@given(st.lists(commands, min_size=1, max_size=4))
def test_they_come_back_as_they_were(sent: list[ErasureCommand]) -> None:
    requests = [Request(origin=INTERNAL, command=command) for command in sent]
    assert [request.command for request in decode_body(encode_body(requests))] == sent

"""Commands of governance through a prepare's body."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import WireError
from vdb.kernel.command import INTERNAL, Request
from vdb.kernel.governance_command import Attest, OpenGrant, PutConsent, PutPolicy, ReviewGrant
from vdb.types import TenantId
from vdb.wire import schema
from vdb.wire.command import decode_body, encode_body

u64 = st.integers(0, 2**64 - 1)
times = st.integers(0, 2**63 - 1)
texts = st.text(max_size=40)
sealed = st.binary(max_size=40)
commands = st.one_of(
    st.builds(PutPolicy, serial=u64, version=texts, text=texts, by=texts),
    st.builds(OpenGrant, tenant=u64, principal=texts, subject=sealed, until=times, sealed=sealed),
    st.builds(ReviewGrant, tenant=u64, grant=u64, reviewer=texts, sealed=sealed),
    st.builds(
        PutConsent,
        tenant=u64,
        subject=sealed,
        purposes=st.lists(texts, max_size=3).map(tuple),
        until=times,
        withdraw=st.booleans(),
        sealed=sealed,
    ),
    st.builds(Attest, tenant=u64, stream=u64, by=texts, sealed=sealed),
)


@given(st.lists(commands, max_size=4))
def test_commands_survive_the_wire(found: list[Any]) -> None:
    requests = [Request(INTERNAL, command) for command in found]
    assert decode_body(encode_body(requests)) == requests


def test_a_time_before_1970_is_no_time() -> None:
    command = OpenGrant(tenant=TenantId(1), principal="lee", subject=b"", until=5, sealed=b"")
    body = encode_body([Request(INTERNAL, command)])
    with schema.command.PrepareBody.from_bytes(body) as message:
        builder = message.as_builder()
    builder.requests[0].openGrant.until = -1
    with pytest.raises(WireError, match="microseconds since 1970; found -1"):
        decode_body(builder.to_bytes())

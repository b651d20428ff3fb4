"""What apply demands of a sealed record before it takes it into the log.

The primary sealed it for the place that it predicted. A record that was sealed for another place, under a key that
the log doesn't hold, or for another region would never open again, or would put PHI where it may not lie. So each
difference is a broken invariant, not a refusal: the client did nothing wrong.
"""

from __future__ import annotations

from vdb.crypto.record import decode_record, sealed_for
from vdb.errors import RecordTampered
from vdb.kernel.draft import Draft
from vdb.kernel.rows import KEY_LIVE, KEY_PERIOD, KEY_STATE_AT
from vdb.kernel.streamid import CATALOGUE
from vdb.kernel.tables import KEY_PERIODS, KEYS, U64, tenant_key
from vdb.types import GLOBAL_GROUP, DataClass, StreamId, TenantId

_PHI = DataClass.PHI


def check_record(
    draft: Draft,
    tenant: TenantId,
    stream: StreamId,
    data_class: int,
    offset: int,
    count: int,
    record: bytes,
    time: int,
) -> tuple[bytes, bytes]:
    """Assert that the record was sealed for this very place and time (of its request).

    Its leaf hash (32 bytes) and event ids (16 bytes each, or none).
    """
    assert record, f"stream {stream}: the primary predicted a refusal of what is accepted"
    assert count > 0, f"stream {stream}: a record without events"
    group = draft.group
    found = sealed_for(
        record,
        tenant=tenant,
        stream=stream,
        offset=offset,
        count=count,
        data_class=data_class,
        region=group,
        time=time,
    )
    assert found is not None, difference(record, group, tenant, stream, data_class, offset, count, time)
    assert group != GLOBAL_GROUP or data_class != _PHI, "PHI in the global group"
    dek_id, leaf, ids = found
    key = draft.rows[KEYS].get(dek_id)
    assert key is not None, f"stream {stream}: the record's key was never put"
    owner = tenant_key(tenant)
    assert key.startswith(owner), f"stream {stream}: the record's key is another tenant's"
    periods = draft.rows[KEY_PERIODS].get(owner)
    if periods is not None and stream != CATALOGUE:
        period, current = int.from_bytes(key[KEY_PERIOD], "big"), len(periods) // U64.size
        assert period == current, f"stream {stream}: the record's key is of period {period}, this is period {current}"
    assert key[KEY_STATE_AT] == KEY_LIVE, f"stream {stream}: the record's key was destroyed"
    return leaf, ids


def difference(
    record: bytes, group: str, tenant: int, stream: int, data_class: int, offset: int, count: int, time: int
) -> str:
    """What the record was sealed for instead."""
    try:
        header = decode_record(record).header
    except RecordTampered:
        return f"stream {stream}: the record doesn't decode"
    for sealed, expected, message in (
        (header.tenant, tenant, f"sealed for tenant {header.tenant}, found tenant {tenant}"),
        (header.stream, stream, f"sealed for stream {header.stream}, found stream {stream}"),
        (header.offset, offset, f"sealed for offset {header.offset}, stream {stream} is at {offset}"),
        (header.count, count, f"sealed with {header.count} events, the run names {count}"),
        (header.data_class, data_class, f"sealed as class {header.data_class}, stream {stream} is {data_class}"),
        (header.time, time, f"sealed at {header.time}, the request is at {time}"),
        (header.region, group, f"sealed for {header.region}, this is group {group}"),
    ):
        if sealed != expected:
            return message
    return f"stream {stream}: the record isn't what its header says"

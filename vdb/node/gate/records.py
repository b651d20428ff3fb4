"""Opens sealed frames of the event log: checks that a record is what its place says, decrypts, and cuts runs.

Served payloads always went through AES-GCM with the whole header as associated data, so a record that was moved,
swapped or changed on disk is an error here, never an answer.
"""

from __future__ import annotations

from vdb.crypto.keyring import Keyring
from vdb.crypto.record import SealedRecord, decode_record, open_body
from vdb.errors import DamagedData
from vdb.limits import EVENT_ID_SIZE
from vdb.projections.source import OpenedRun
from vdb.storage.event_log import Frame
from vdb.types import GroupId, TenantId
from vdb.wire.event import ERASED_SCHEMA, decode_batch, encode_batch


def open_frame(
    frame: Frame, *, tenant: TenantId, group: GroupId, stream_name: str, keyring: Keyring, ids_only: bool = False
) -> OpenedRun:
    """The events of one frame; of one whose key was destroyed, or that was pruned, as many that say no more than that.

    RecordTampered, KeyUnavailable and DamagedData name no payload.
    """
    sealed = checked_record(frame, tenant=tenant, group=group)
    header = sealed.header
    batch, schema_id = b"", header.schema_id
    if sealed.is_pruned or keyring.is_destroyed(header.dek_id):
        batch, schema_id = encode_batch([b""] * header.count), ERASED_SCHEMA
    elif not ids_only:
        batch = open_body(sealed.header_bytes, keyring.key(header.dek_id), sealed.body)
    return OpenedRun(
        tenant=tenant,
        group=group,
        stream=stream_name,
        stream_id=frame.stream,
        first_offset=frame.offset,
        first_position=frame.position,
        time=header.time,
        data_class=header.data_class,
        schema_id=schema_id,
        batch=batch,
        event_ids=bytes(sealed.event_ids),
        count=frame.count,
        subject_token=header.subject_token,
        dek_id=header.dek_id,
    )


def checked_record(frame: Frame, *, tenant: TenantId, group: GroupId) -> SealedRecord:
    """The record of a frame, if its header says that it belongs just there; DamagedData otherwise."""
    sealed = decode_record(frame.record)
    header = sealed.header
    expected = (group, tenant, frame.stream, frame.offset, frame.count)
    found = (header.region, header.tenant, header.stream, header.offset, header.count)
    if found != expected:
        raise DamagedData(
            f"the record at position {group}:{frame.position} belongs elsewhere: expected (group, tenant, stream, "
            f"offset, count) {expected}, found {found}"
        )
    return sealed


def cut_run(run: OpenedRun, *, skip: int, keep: int) -> OpenedRun:
    """The same run without its first `skip` events, and with at most `keep` of the rest."""
    assert 0 <= skip < run.count
    assert keep >= 1
    count = min(run.count - skip, keep)
    if count == run.count:
        return run
    ids = run.event_ids[skip * EVENT_ID_SIZE : (skip + count) * EVENT_ID_SIZE]
    batch = encode_batch(decode_batch(run.batch)[skip : skip + count]) if run.batch else b""
    return OpenedRun(
        tenant=run.tenant,
        group=run.group,
        stream=run.stream,
        stream_id=run.stream_id,
        first_offset=run.first_offset + skip,
        first_position=run.first_position + skip,
        time=run.time,
        data_class=run.data_class,
        schema_id=run.schema_id,
        batch=batch,
        event_ids=ids,
        count=count,
        subject_token=run.subject_token,
        dek_id=run.dek_id,
    )

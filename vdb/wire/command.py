"""A prepare's body as bytes: the requests that travel together (`schemas/command.capnp`).

Rules
- Encoding is deterministic: the same requests give the same bytes, on which the prepare's checksum stands.
- Decoding reads bytes that another replica or a disk handed over: whatever they are, the outcome is a list of
  requests or a WireError. A request that decodes can be applied: numbers fit their fields, ids have their sizes.
- Records are carried whole: one copy into the message, one out of it, nothing per event.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, assert_never

from vdb.errors import RefusalCode, WireError
from vdb.kernel.command import (
    CLIENT_ID_SIZE,
    AppendBatch,
    Command,
    CreateStream,
    Expected,
    ExpectedKind,
    KeyRow,
    KeyScope,
    OpenSession,
    Origin,
    PutKey,
    Reject,
    Request,
    Run,
    StreamAppend,
)
from vdb.limits import RECORD_SIZE_MAX
from vdb.types import DataClass, StreamId, TenantId
from vdb.wire import schema

_BODY = schema.command.PrepareBody
_WORD = 8
_BODY_SIZE_MAX = RECORD_SIZE_MAX
"""Bytes. No group's message_size_max is above it."""
_TRAVERSAL_WORDS_MAX = 4 * _BODY_SIZE_MAX // _WORD
"""pycapnp counts each access again: a decoder that reads a pointer twice needs room for both."""

_EXPECTED_KINDS = tuple(ExpectedKind)
_DATA_CLASSES = tuple(DataClass)
_KEY_SCOPES = tuple(KeyScope)
_ANY = Expected()


def encode_body(requests: Sequence[Request]) -> bytes:
    message = _BODY.new_message()
    builders = message.init("requests", len(requests))
    for builder, request in zip(builders, requests, strict=True):
        origin = request.origin
        builder.client = origin.client
        builder.session = origin.session
        builder.number = origin.number
        _encode_command(builder, request.command)
    encoded: bytes = message.to_bytes()
    return encoded


def _encode_command(builder: Any, command: Command) -> None:
    if isinstance(command, AppendBatch):
        _encode_append(builder.init("appendBatch"), command)
    elif isinstance(command, CreateStream):
        _encode_create(builder.init("createStream"), command)
    elif isinstance(command, PutKey):
        _encode_key(builder.init("putKey"), command.row)
    elif isinstance(command, Reject):
        reject = builder.init("reject")
        reject.code = command.code.value
        reject.message = command.message
    elif isinstance(command, OpenSession):
        builder.openSession = None
    else:
        assert_never(command)


def _encode_append(builder: Any, command: AppendBatch) -> None:
    builder.tenant = command.tenant
    for target, append in zip(builder.init("appends", len(command.appends)), command.appends, strict=True):
        target.stream = append.stream
        target.expectedKind = append.expected.kind.value
        target.expectedOffset = append.expected.offset
        for run_target, run in zip(target.init("runs", len(append.runs)), append.runs, strict=True):
            run_target.count = run.count
            run_target.record = run.record


def _encode_create(builder: Any, command: CreateStream) -> None:
    builder.tenant = command.tenant
    builder.stream = command.stream
    builder.dataClass = command.data_class.value
    builder.region = command.region
    builder.lookup = command.lookup
    builder.record = command.record
    builder.ifNotExists = command.if_not_exists


def _encode_key(builder: Any, row: KeyRow) -> None:
    builder.dekId = row.dek_id
    builder.tenant = row.tenant
    builder.scope = row.scope.value
    builder.dataClass = row.data_class.value
    builder.lookup = row.lookup
    builder.subjectToken = row.subject_token
    builder.kekId = row.kek_id
    builder.kekVersion = row.kek_version
    builder.wrapped = row.wrapped
    builder.wrappedSecret = row.wrapped_secret


def decode_body(body: bytes) -> list[Request]:
    """The requests in the body; WireError when it isn't one, whatever is in it."""
    if len(body) > _BODY_SIZE_MAX or len(body) % _WORD:
        raise WireError(
            f"a prepare's body has whole words of {_WORD} bytes, at most {_BODY_SIZE_MAX} bytes; found {len(body)}"
        )
    try:
        with _BODY.from_bytes(body, traversal_limit_in_words=_TRAVERSAL_WORDS_MAX) as message:
            return [_decode_request(reader) for reader in message.requests]
    except (schema.CapnpError, UnicodeDecodeError) as error:
        raise WireError("a prepare's body isn't a Cap'n Proto message of requests") from error


def _decode_request(reader: Any) -> Request:
    client = reader.client
    if len(client) != CLIENT_ID_SIZE:
        raise WireError(f"a client id has {CLIENT_ID_SIZE} bytes; found {len(client)}")
    origin = Origin(client, reader.session, reader.number)
    which = str(reader.which())
    decode = _DECODERS.get(which)
    if decode is None:
        raise WireError(f"a request holds a command of this version; found {which}")
    return Request(origin, decode(reader))


def _decode_append(reader: Any) -> Command:
    batch = reader.appendBatch
    return AppendBatch(
        tenant=batch.tenant,
        appends=tuple(
            StreamAppend(
                stream=append.stream,
                expected=_expected(append.expectedKind, append.expectedOffset),
                runs=tuple(Run(count=run.count, record=run.record) for run in append.runs),
            )
            for append in batch.appends
        ),
    )


def _expected(kind: int, offset: int) -> Expected:
    if kind == 0 and offset == 0:
        return _ANY
    if kind >= len(_EXPECTED_KINDS):
        raise WireError(f"an expected offset is of kind 0 to {len(_EXPECTED_KINDS) - 1}; found {kind}")
    return Expected(_EXPECTED_KINDS[kind], offset)


def _decode_create(reader: Any) -> Command:
    create = reader.createStream
    return CreateStream(
        tenant=TenantId(create.tenant),
        stream=StreamId(create.stream),
        data_class=_data_class(create.dataClass),
        region=create.region,
        lookup=create.lookup,
        record=create.record,
        if_not_exists=create.ifNotExists,
    )


def _decode_key(reader: Any) -> Command:
    row = reader.putKey
    scope = row.scope
    if scope >= len(_KEY_SCOPES):
        raise WireError(f"a key's scope lies between 0 and {len(_KEY_SCOPES) - 1}; found {scope}")
    return PutKey(
        row=KeyRow(
            dek_id=row.dekId,
            tenant=TenantId(row.tenant),
            scope=_KEY_SCOPES[scope],
            data_class=_data_class(row.dataClass),
            lookup=row.lookup,
            subject_token=row.subjectToken,
            kek_id=row.kekId,
            kek_version=row.kekVersion,
            wrapped=row.wrapped,
            wrapped_secret=row.wrappedSecret,
        )
    )


def _decode_reject(reader: Any) -> Command:
    reject = reader.reject
    code = reject.code
    try:
        return Reject(code=RefusalCode(code), message=reject.message)
    except ValueError as error:
        raise WireError("a rejected request names a refusal code of this version; found another") from error


def _decode_open(_reader: Any) -> Command:
    return OpenSession()


def _data_class(value: int) -> DataClass:
    if value >= len(_DATA_CLASSES):
        raise WireError(f"a data class lies between 0 and {len(_DATA_CLASSES) - 1}; found {value}")
    return _DATA_CLASSES[value]


_DECODERS = {
    "appendBatch": _decode_append,
    "createStream": _decode_create,
    "openSession": _decode_open,
    "putKey": _decode_key,
    "reject": _decode_reject,
}

"""Commands of the key store in a prepare's body (`schemas/command.capnp`): into builders, and back out of readers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vdb.errors import WireError
from vdb.kernel.command import KeyRow, KeyScope, PutKey, RewrapKeys, StartPeriod
from vdb.types import DataClass, TenantId

_DATA_CLASSES = tuple(DataClass)
_KEY_SCOPES = tuple(KeyScope)
_VERSION_MAX = 0xFFFF


def encode_key_command(builder: Any, command: PutKey | RewrapKeys | StartPeriod) -> None:
    """Fill a request's builder."""
    if isinstance(command, PutKey):
        _encode_row(builder.init("putKey"), command.row)
    elif isinstance(command, RewrapKeys):
        target = builder.init("rewrapKeys")
        target.rootKeyId = command.root_key_id
        target.begins = command.begins
        if command.rotation_id:
            target.rotationId = command.rotation_id
        for row_target, row in zip(target.init("rows", len(command.rows)), command.rows, strict=True):
            _encode_row(row_target, row)
    else:
        target = builder.init("startPeriod")
        target.tenant = command.tenant
        target.period = command.period
        if command.rotation_id:
            target.rotationId = command.rotation_id


def _encode_row(builder: Any, row: KeyRow) -> None:
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
    if row.period:
        builder.period = row.period


def _decode_put(reader: Any) -> PutKey:
    return PutKey(row=_row(reader._get("putKey")))


def _decode_rewrap(reader: Any) -> RewrapKeys:
    rewrap = reader._get("rewrapKeys")
    return RewrapKeys(
        root_key_id=rewrap._get("rootKeyId"),
        begins=rewrap._get("begins"),
        rotation_id=rewrap._get("rotationId"),
        rows=tuple(_row(row) for row in rewrap._get("rows")),
    )


def _decode_period(reader: Any) -> StartPeriod:
    start = reader._get("startPeriod")
    return StartPeriod(
        tenant=TenantId(start._get("tenant")), period=start._get("period"), rotation_id=start._get("rotationId")
    )


def _row(row: Any) -> KeyRow:
    scope, data_class = row._get("scope"), row._get("dataClass")
    if scope >= len(_KEY_SCOPES):
        raise WireError(f"a key's scope lies between 0 and {len(_KEY_SCOPES) - 1}; found {scope}")
    if data_class >= len(_DATA_CLASSES):
        raise WireError(f"a data class lies between 0 and {len(_DATA_CLASSES) - 1}; found {data_class}")
    version = row._get("kekVersion")
    if version > _VERSION_MAX:
        raise WireError(f"a key is wrapped anew at most {_VERSION_MAX} times; found {version}")
    return KeyRow(
        dek_id=row._get("dekId"),
        tenant=TenantId(row._get("tenant")),
        scope=_KEY_SCOPES[scope],
        data_class=_DATA_CLASSES[data_class],
        lookup=row._get("lookup"),
        subject_token=row._get("subjectToken"),
        kek_id=row._get("kekId"),
        kek_version=version,
        wrapped=row._get("wrapped"),
        wrapped_secret=row._get("wrappedSecret"),
        period=row._get("period"),
    )


KEY_DECODERS: dict[str, Callable[[Any], PutKey | RewrapKeys | StartPeriod]] = {
    "putKey": _decode_put,
    "rewrapKeys": _decode_rewrap,
    "startPeriod": _decode_period,
}

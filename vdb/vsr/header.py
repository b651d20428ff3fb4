"""The header of a prepare: 256 bytes that name an op, its body and, through `parent`, the whole history before it.

Layout (big-endian, the checksum is SHA-256 over bytes 32 to 255):

    0    checksum        32   of the rest of the header, which holds body_checksum: so of the whole prepare
    32   body_checksum   32   SHA-256 of the body
    64   parent          32   checksum of the header of op - 1; zeros for op 1
    96   checkpoint_id   32   the checkpoint that the primary had when it made the prepare
    128  group           32   SHA-256 of the group's name and cluster id: a prepare of another group is foreign
    160  magic "VDBP"     4
    164  version          2
    166  operation        2   `Operation`
    168  view             4
    172  size             4   header and body, bytes
    176  op               8
    184  commit           8   the primary's commit number when it made the prepare
    192  timestamp        8   microseconds UTC; request i of the body has timestamp + i
    200  request_count    4
    204  configuration   28   the one that holds from this op on (`vdb.vsr.configuration`)
    232  zeros           24
"""

from __future__ import annotations

import struct
from enum import IntEnum
from hashlib import sha256

from attrs import field, frozen

from vdb.limits import PREPARE_HEADER_SIZE
from vdb.ports import Buffer
from vdb.vsr.configuration import CONFIGURATION_SIZE, Configuration, unpack_configuration

MAGIC = b"VDBP"
VERSION = 1
ZERO_CHECKSUM = bytes(32)
_LAYOUT = struct.Struct(f">32s32s32s32s4sHHIIQQQI{CONFIGURATION_SIZE}s24s")
assert _LAYOUT.size == PREPARE_HEADER_SIZE - 32


class Operation(IntEnum):
    RESERVED = 0
    """A slot that was formatted and never written."""
    REQUESTS = 1
    """The body is a list of client requests."""
    RECONFIGURATION = 2
    """The body is one request that changes the group's members; the header names the new configuration."""


ALONE = Configuration.founding((0,))
"""The configuration of a group of one."""


@frozen(kw_only=True)
class PrepareHeader:
    """See the module's docstring for the meaning of each field. `checksum` is derived in `make`, checked on decode."""

    checksum: bytes
    body_checksum: bytes
    parent: bytes
    checkpoint_id: bytes
    group: bytes = field(repr=False)
    operation: Operation
    view: int
    size: int
    op: int
    commit: int
    timestamp: int
    request_count: int
    configuration: Configuration = ALONE

    @property
    def is_reconfiguration(self) -> bool:
        return self.operation is Operation.RECONFIGURATION

    @classmethod
    def make(
        cls,
        *,
        body: Buffer,
        parent: bytes,
        checkpoint_id: bytes,
        group: bytes,
        view: int,
        op: int,
        commit: int,
        timestamp: int,
        request_count: int,
        operation: Operation = Operation.REQUESTS,
        configuration: Configuration = ALONE,
    ) -> PrepareHeader:
        """The header for a new prepare with this body."""
        assert op >= 1
        assert commit < op
        draft = cls(
            checksum=ZERO_CHECKSUM,
            body_checksum=sha256(body).digest(),
            parent=parent,
            checkpoint_id=checkpoint_id,
            group=group,
            operation=operation,
            view=view,
            size=PREPARE_HEADER_SIZE + len(body),
            op=op,
            commit=commit,
            timestamp=timestamp,
            request_count=request_count,
            configuration=configuration,
        )
        return draft._seal()

    @classmethod
    def reserved(cls, *, group: bytes, slot: int) -> PrepareHeader:
        """What formatting writes into a slot. `op` holds the slot's number, so that a misdirected one is seen."""
        draft = cls(
            checksum=ZERO_CHECKSUM,
            body_checksum=sha256(b"").digest(),
            parent=ZERO_CHECKSUM,
            checkpoint_id=ZERO_CHECKSUM,
            group=group,
            operation=Operation.RESERVED,
            view=0,
            size=PREPARE_HEADER_SIZE,
            op=slot,
            commit=0,
            timestamp=0,
            request_count=0,
        )
        return draft._seal()

    def _seal(self) -> PrepareHeader:
        """The same object, which nobody else has yet, with its checksum."""
        object.__setattr__(self, "checksum", sha256(self._rest()).digest())
        return self

    def encode(self) -> bytes:
        """256 bytes."""
        return self.checksum + self._rest()

    def _rest(self) -> bytes:
        return _LAYOUT.pack(
            self.body_checksum,
            self.parent,
            self.checkpoint_id,
            self.group,
            MAGIC,
            VERSION,
            self.operation,
            self.view,
            self.size,
            self.op,
            self.commit,
            self.timestamp,
            self.request_count,
            self.configuration.pack(),
            bytes(24),
        )


@frozen
class Prepare:
    """A header with its body. The body is the encoded list of requests (`vdb.wire.command`)."""

    header: PrepareHeader
    body: bytes = field(repr=False)


def decode_header(data: Buffer) -> PrepareHeader | None:
    """The header in these 256 bytes, or None if its checksum, magic, version or operation is wrong."""
    view = memoryview(data)
    if len(view) != PREPARE_HEADER_SIZE:
        return None
    checksum = bytes(view[:32])
    if sha256(view[32:]).digest() != checksum:
        return None
    (body_checksum, parent, checkpoint_id, group, magic, version, operation, view_number, size, op, commit,
     timestamp, request_count, packed, _zeros) = _LAYOUT.unpack(view[32:])  # fmt: skip
    if magic != MAGIC or version != VERSION or operation not in (0, 1, 2):
        return None
    configuration = unpack_configuration(packed)
    if configuration is None:
        return None
    return PrepareHeader(
        checksum=checksum,
        body_checksum=body_checksum,
        parent=parent,
        checkpoint_id=checkpoint_id,
        group=group,
        operation=Operation(operation),
        view=view_number,
        size=size,
        op=op,
        commit=commit,
        timestamp=timestamp,
        request_count=request_count,
        configuration=configuration,
    )


def decode_prepare(data: Buffer) -> Prepare | None:
    """The prepare at the start of these bytes, or None if header or body is damaged or cut short."""
    view = memoryview(data)
    header = decode_header(view[:PREPARE_HEADER_SIZE])
    if header is None or header.size > len(view) or header.size < PREPARE_HEADER_SIZE:
        return None
    body = bytes(view[PREPARE_HEADER_SIZE : header.size])
    if sha256(body).digest() != header.body_checksum:
        return None
    return Prepare(header, body)

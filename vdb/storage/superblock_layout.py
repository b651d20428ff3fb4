"""The bytes of a superblock: what a group's replica must remember to start again, in four equal copies.

The file `superblock` holds SUPERBLOCK_COPIES copies of COPY_SIZE bytes, back to back, so that each starts on a sector.
One copy, big-endian:

    0     magic "VDBSUPER"     8
    8     format version       2
    10    copy                 2   the copy's number: a copy that lies in another's place was misdirected
    12    zeros                4
    16    checksum             32  SHA-256 over magic, version and bytes 48 to the end; equal in all copies
    48    parent               32  checksum of the superblock with sequence - 1; zeros in the first
    80    sequence             8   from 1
    88    cluster              16
    104   root_key_id          16
    120   view, log_view, commit, checkpoint_op   8 each
    152   checkpoint_id        32
    184   replica, zeros       2 each; replica is the node's number
    188   length of the group's name, its bytes in UTF-8 padded with zeros   2 + 64
    254   configuration        28  the one that holds at the checkpoint (vdb.vsr.configuration)
    282   limits               8 each, in the order of LIMIT_FIELDS
    378   zeros to 8192
    8192  length of the tail   2
    8194  the tail             of a vote, or of the log with which a view started (vdb.vsr.tail); zeros to the end
"""

from __future__ import annotations

import struct
from hashlib import sha256

import attrs
from attrs import field, frozen

from vdb.limits import NODE_NUMBER_MAX, PIPELINE_MAX, SECTOR_SIZE, Limits
from vdb.ports import Buffer
from vdb.vsr.configuration import CONFIGURATION_SIZE, Configuration, unpack_configuration
from vdb.vsr.tail import tail_size

COPY_SIZE = 16 * 1024
MAGIC = b"VDBSUPER"
FORMAT_VERSION = 2
"""2: each prepare holds the audit entries of what it writes; a log without them isn't read."""
GROUP_BYTES_MAX = 64
LIMIT_FIELDS = (
    "message_size_max",
    "wal_slots",
    "pipeline_max",
    "requests_per_prepare_max",
    "request_queue_max",
    "checkpoint_interval",
    "sessions_max",
    "segment_size",
    "read_bytes_max",
    "open_files_max",
    "transaction_size_max",
    "event_ids_max",
)

_PREFIX = struct.Struct(">8sHHI32s")
_BODY = struct.Struct(f">32sQ16s16sQQQQ32sH2xH64s{CONFIGURATION_SIZE}s")
_LIMITS = struct.Struct(f">{len(LIMIT_FIELDS)}Q")
assert COPY_SIZE % SECTOR_SIZE == 0
assert tuple(entry.name for entry in attrs.fields(Limits)) == LIMIT_FIELDS, "a new limit changes the superblock's bytes"
_TAIL_LENGTH = struct.Struct(">H")
_TAIL_AT = COPY_SIZE // 2
TAIL_SIZE_MAX = COPY_SIZE - _TAIL_AT - _TAIL_LENGTH.size
assert _PREFIX.size + _BODY.size + _LIMITS.size <= _TAIL_AT
assert tail_size(PIPELINE_MAX + 1) <= TAIL_SIZE_MAX, "what isn't known to be committed, and the op below it"


@frozen(kw_only=True)
class SuperblockState:
    """What the superblock says. `checkpoint_op` 0 with a zero id means that there is no checkpoint yet.

    Invariants: log_view <= view; view, log_view, commit, checkpoint_op and the configuration's epoch never go back from
    one sequence to the next.
    """

    cluster: bytes
    group: str
    replica: int
    """The node's number."""
    configuration: bytes = field(repr=False)
    """Packed: the one that holds at the checkpoint; of a node that joins, its own guess."""
    limits: Limits
    root_key_id: bytes = field(repr=False)
    view: int = 0
    log_view: int = 0
    commit: int = 0
    checkpoint_op: int = 0
    checkpoint_id: bytes = bytes(32)
    tail: bytes = field(default=b"", repr=False)
    """Of the last view change, as it was given."""
    sequence: int = 1
    parent: bytes = field(default=bytes(32), repr=False)

    def __attrs_post_init__(self) -> None:
        assert len(self.cluster) == 16
        assert len(self.root_key_id) == 16
        assert len(self.checkpoint_id) == 32
        assert len(self.parent) == 32
        assert 0 <= self.replica <= NODE_NUMBER_MAX
        assert unpack_configuration(self.configuration) is not None
        assert len(self.tail) <= TAIL_SIZE_MAX
        assert 0 < len(self.group.encode()) <= GROUP_BYTES_MAX
        assert 0 <= self.log_view <= self.view
        assert self.commit >= 0
        assert self.checkpoint_op >= 0
        assert self.sequence >= 1

    @property
    def members(self) -> Configuration:
        """The configuration, unpacked."""
        found = unpack_configuration(self.configuration)
        assert found is not None
        return found


def check_successor(old: SuperblockState, new: SuperblockState) -> None:
    """Assert that `new` may follow `old` (invariant I10)."""
    assert new.sequence == old.sequence + 1
    assert new.view >= old.view, f"view went back from {old.view} to {new.view}"
    assert new.log_view >= old.log_view, f"log_view went back from {old.log_view} to {new.log_view}"
    assert new.log_view <= new.view
    assert new.commit >= old.commit, f"commit went back from {old.commit} to {new.commit}"
    assert new.checkpoint_op >= old.checkpoint_op, "a checkpoint went back"
    assert new.checkpoint_op > old.checkpoint_op or new.checkpoint_id == old.checkpoint_id
    assert new.members.epoch >= old.members.epoch, "a configuration went back"
    assert new.checkpoint_op > old.checkpoint_op or new.configuration == old.configuration
    assert (new.cluster, new.group, new.replica) == (old.cluster, old.group, old.replica)
    assert new.limits == old.limits


def _body(state: SuperblockState) -> bytes:
    group = state.group.encode()
    packed = _BODY.pack(
        state.parent,
        state.sequence,
        state.cluster,
        state.root_key_id,
        state.view,
        state.log_view,
        state.commit,
        state.checkpoint_op,
        state.checkpoint_id,
        state.replica,
        len(group),
        group,
        state.configuration,
    )
    limits = _LIMITS.pack(*(getattr(state.limits, name) for name in LIMIT_FIELDS))
    head = (packed + limits).ljust(_TAIL_AT - _PREFIX.size, b"\0")
    return (head + _TAIL_LENGTH.pack(len(state.tail)) + state.tail).ljust(COPY_SIZE - _PREFIX.size, b"\0")


def _checksum(version: int, body: Buffer) -> bytes:
    return sha256(MAGIC + version.to_bytes(2, "big") + body).digest()


def state_checksum(state: SuperblockState) -> bytes:
    """What names this state: the checksum in its copies, the parent of the next one."""
    return _checksum(FORMAT_VERSION, _body(state))


def encode_copy(state: SuperblockState, copy: int) -> bytes:
    """COPY_SIZE bytes."""
    body = _body(state)
    return _PREFIX.pack(MAGIC, FORMAT_VERSION, copy, 0, _checksum(FORMAT_VERSION, body)) + body


def read_prefix(data: Buffer) -> tuple[bytes, int]:
    """(magic, version) as they stand, unchecked; (b"", 0) when the copy is cut short."""
    if len(data) < _PREFIX.size:
        return b"", 0
    magic, version, _copy, _zeros, _found = _PREFIX.unpack_from(data)
    return magic, version


def decode_copy(data: Buffer, copy: int) -> SuperblockState | None:
    """The state in this copy, or None when the copy is damaged, misdirected or of another format."""
    if len(data) != COPY_SIZE:
        return None
    magic, version, found_copy, _zeros, checksum = _PREFIX.unpack_from(data)
    body = memoryview(data)[_PREFIX.size :]
    if (magic, version, found_copy) != (MAGIC, FORMAT_VERSION, copy) or _checksum(version, body) != checksum:
        return None
    (parent, sequence, cluster, root_key_id, view, log_view, commit, checkpoint_op, checkpoint_id, replica,
     group_size, group, configuration) = _BODY.unpack_from(body)  # fmt: skip
    limits = _LIMITS.unpack_from(body, _BODY.size)
    (tail_length,) = _TAIL_LENGTH.unpack_from(data, _TAIL_AT)
    tail_at = _TAIL_AT + _TAIL_LENGTH.size
    return SuperblockState(
        cluster=cluster,
        group=group[:group_size].decode(),
        replica=replica,
        configuration=configuration,
        limits=Limits(**dict(zip(LIMIT_FIELDS, limits, strict=True))),
        root_key_id=root_key_id,
        view=view,
        log_view=log_view,
        commit=commit,
        checkpoint_op=checkpoint_op,
        checkpoint_id=checkpoint_id,
        tail=bytes(data[tail_at : tail_at + tail_length]),
        sequence=sequence,
        parent=parent,
    )

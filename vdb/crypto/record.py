"""Sealed records (envelope `VDBR` v1): a run of consecutive events of one stream under one data key.

Header, big-endian; also the additional authenticated data of the seal:

    0     magic "VDBR"     4        46     count of events    4
    4     version 1        1        50     data class         1
    5     algorithm 1      1        51     region's length    1
    6     tenant          16        52     region, ASCII      n
    22    stream          16        52+n   subject token     32
    38    first offset     8        84+n   dek_id            16
                                    100+n  schema id          4
                                    104+n  time, us UTC       8      -> 112+n bytes

    OKM(64)   = KBKDF(data key, label "veritydb/v1/record", context = salt || dek_id)
    enc_key   = OKM[:32], commit = OKM[32:]
    sealed    = AES-256-GCM(enc_key, nonce, plaintext, AAD = header || salt || commit), tag 16 last
    body      = salt 32 || commit 32 || nonce 12, zero || sealed
    leaf_hash = SHA256(0x00 || header || SHA256(body))
    chain_n   = SHA256(0x02 || chain_{n-1} || leaf_hash_n), chain_0 = 32 zero bytes
    record    = header || u32 length || event ids, 16 bytes each || body        what a Run and a segment frame hold
    pruned    = header || u32 length, top bit set || event ids || SHA256(body)  what is left in a pruned segment

Rules
- One salt is used once: it gives each record a key of its own, so the nonce can be zero. A random nonce under a shared
  key would end at 2^32 records, and a counter would repeat after a failover or a restored backup.
- The commitment fixes the key: GCM alone lets one body open under two keys. It is compared before anything is
  decrypted, in constant time.
- Opening fails in one way, RecordTampered, for a wrong key and for changed bytes alike: who asks learns no more.
- Event ids travel in clear beside the seal, so that duplicates are found without a key. Neither seal nor leaf covers
  them; the id inside a sealed EventEnvelope is the one to believe.
"""

from __future__ import annotations

import struct
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest

from attrs import field, frozen
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vdb.crypto.kdf import KEY_SIZE
from vdb.errors import RecordTampered, TooLarge
from vdb.limits import EVENT_ID_SIZE, RECORD_SIZE_MAX
from vdb.ports import Buffer
from vdb.types import DataClass

MAGIC = b"VDBR"
VERSION = 1
ALGORITHM = 1
"""AES-256-GCM under a key derived for each record, with key commitment."""

SALT_SIZE = 32
DEK_ID_SIZE = 16
TOKEN_SIZE = 32
NO_SUBJECT = bytes(TOKEN_SIZE)
CHAIN_START = bytes(32)

_ID_SIZE = 16
_HEAD = struct.Struct(">4sBB16s16sQIBB")
_HEAD_OF_IDS = struct.Struct(">4sBB8xQ8xQQIBB")
"""The same for ids of 8 bytes, which ours are: the other half of their fields is zero."""
assert _HEAD_OF_IDS.size == _HEAD.size
_TAIL = struct.Struct(">32s16sIQ")
_REGION_LENGTH_AT = _HEAD.size - 1
_HEADER_SIZE_MIN = _HEAD.size + _TAIL.size
_IDS_LENGTH = struct.Struct(">I")
_PRUNED = 1 << 31
"""In the length of the event ids: the body is gone, and its SHA-256 stands in its place."""
_DIGEST_SIZE = 32

_COMMIT_AT = SALT_SIZE
_NONCE_AT = _COMMIT_AT + 32
_NONCE = bytes(12)
_CIPHERTEXT_AT = _NONCE_AT + len(_NONCE)
_TAG_SIZE = 16
BODY_OVERHEAD = _CIPHERTEXT_AT + _TAG_SIZE
"""Bytes that a body has more than its plaintext."""

# KBKDF (`vdb.crypto.kdf.derive`) with its constant parts made once: this runs for each record that is sealed or opened.
_FIXED_START = b"veritydb/v1/record\0"
_FIXED_END = (64 * 8).to_bytes(4, "big")
_BLOCK_1 = b"\0\0\0\1" + _FIXED_START
_BLOCK_2 = b"\0\0\0\2" + _FIXED_START

_HMAC_BLOCK_SIZE = 64
_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))

_TAMPERED = "a sealed record doesn't open: expected the key and the bytes that it was sealed with, found others"


@frozen(kw_only=True)
class RecordHeader:
    """What a record says of itself in clear. Ids and the token never name anybody."""

    tenant: int
    stream: int
    offset: int
    """Stream offset of the run's first event."""
    count: int
    """Events in the run."""
    data_class: DataClass
    region: str
    """The group's name: a region's, or 'global'."""
    subject_token: bytes = field(repr=False)
    """32 bytes; zeros where no subject was given."""
    dek_id: bytes
    """16 bytes."""
    schema_id: int
    time: int
    """Microseconds UTC of the request's op."""

    def encode(self) -> bytes:
        """The header's bytes: 112 and the region's length."""
        assert len(self.subject_token) == TOKEN_SIZE
        assert len(self.dek_id) == DEK_ID_SIZE
        region = self.region.encode("ascii")
        head = _HEAD.pack(
            MAGIC,
            VERSION,
            ALGORITHM,
            self.tenant.to_bytes(_ID_SIZE, "big"),
            self.stream.to_bytes(_ID_SIZE, "big"),
            self.offset,
            self.count,
            self.data_class,
            len(region),
        )
        return head + region + _TAIL.pack(self.subject_token, self.dek_id, self.schema_id, self.time)


def encode_header(
    tenant: int,
    stream: int,
    offset: int,
    count: int,
    data_class: int,
    region: bytes,
    subject_token: bytes,
    dek_id: bytes,
    schema_id: int,
    time: int,
) -> bytes:
    """`RecordHeader.encode` for ids of 8 bytes, without the value, which would cost as much as the seal."""
    assert len(subject_token) == TOKEN_SIZE
    assert len(dek_id) == DEK_ID_SIZE
    head = _HEAD_OF_IDS.pack(MAGIC, VERSION, ALGORITHM, tenant, stream, offset, count, data_class, len(region))
    return head + region + _TAIL.pack(subject_token, dek_id, schema_id, time)


@frozen(kw_only=True)
class SealedRecord:
    """A record's parts. The views are valid while the decoded buffer is held."""

    header: RecordHeader
    header_bytes: memoryview = field(repr=False)
    event_ids: memoryview = field(repr=False)
    """16 bytes an event, or empty."""
    body: memoryview = field(repr=False)
    """Empty where it was pruned."""
    pruned_digest: bytes = field(default=b"", repr=False)
    """SHA-256 of a body that was pruned."""

    @property
    def is_pruned(self) -> bool:
        """Whether the body is gone, and its hash alone is left."""
        return bool(self.pruned_digest)

    @property
    def leaf_data(self) -> bytes:
        """What the record's leaf in the tenant's Merkle tree hashes."""
        return bytes(self.header_bytes) + (self.pruned_digest or sha256(self.body).digest())


def record_start(tenant: int) -> bytes:
    """What each encoded record of a tenant begins with."""
    return MAGIC + bytes((VERSION, ALGORITHM)) + tenant.to_bytes(_ID_SIZE, "big")


def decode_header(data: Buffer) -> RecordHeader:
    """The header in exactly these bytes; RecordTampered when they aren't one."""
    view = memoryview(data)
    if len(view) != header_size(view):
        raise RecordTampered(f"a record's header ends wrong: expected {header_size(view)} bytes, found {len(view)}")
    magic, version, algorithm, tenant, stream, offset, count, data_class, _ = _HEAD.unpack_from(view)
    if (magic, version, algorithm) != (MAGIC, VERSION, ALGORITHM):
        raise RecordTampered(
            f"not a sealed record: expected VDBR version {VERSION} algorithm {ALGORITHM}, "
            f"found other bytes, version {version} algorithm {algorithm}"
        )
    if data_class not in (0, 1, 2):
        raise RecordTampered(f"a record's data class is 0, 1 or 2; found {data_class}")
    region = bytes(view[_HEAD.size : -_TAIL.size])
    if not region.isascii():
        raise RecordTampered("a record's region is ASCII; found other bytes")
    subject_token, dek_id, schema_id, time = _TAIL.unpack_from(view, len(view) - _TAIL.size)
    return RecordHeader(
        tenant=int.from_bytes(tenant, "big"),
        stream=int.from_bytes(stream, "big"),
        offset=offset,
        count=count,
        data_class=DataClass(data_class),
        region=region.decode("ascii"),
        subject_token=subject_token,
        dek_id=dek_id,
        schema_id=schema_id,
        time=time,
    )


def header_size(record: Buffer) -> int:
    """Length of the header that this record starts with; RecordTampered when it is cut short."""
    if len(record) < _HEADER_SIZE_MIN:
        raise RecordTampered(f"a record is cut short: expected {_HEADER_SIZE_MIN} bytes or more, found {len(record)}")
    return _HEADER_SIZE_MIN + record[_REGION_LENGTH_AT]


class RecordKey:
    """A data key, ready to seal: HMAC's two hashes have taken in the key and the start of each block already.

    It tells as much as the key itself, and is kept where the key is kept. Deriving takes 2 µs so, 5 from the bare key.
    """

    __slots__ = ("_block_1", "_block_2", "_outer")

    def __init__(self, key: bytes) -> None:
        assert len(key) == KEY_SIZE
        block = key.ljust(_HMAC_BLOCK_SIZE, b"\0")
        inner = block.translate(_INNER_PAD)
        self._block_1 = sha256(inner + _BLOCK_1)
        self._block_2 = sha256(inner + _BLOCK_2)
        self._outer = sha256(block.translate(_OUTER_PAD))

    def derive(self, salt: bytes, header_bytes: Buffer) -> tuple[bytes, bytes]:
        """(enc_key, commit) of one record. The dek_id is read from the header's fixed tail."""
        rest = b"".join((salt, header_bytes[-28:-12], _FIXED_END))
        # HMAC (RFC 2104) from its hashed pads: H(outer pad || H(inner pad || message)).
        inner, outer = self._block_1.copy(), self._outer.copy()
        inner.update(rest)
        outer.update(inner.digest())
        enc_key = outer.digest()
        inner, outer = self._block_2.copy(), self._outer.copy()
        inner.update(rest)
        outer.update(inner.digest())
        return enc_key, outer.digest()

    def seal(self, header_bytes: bytes, plaintext: Buffer, salt: bytes) -> bytes:
        """`seal` under this key."""
        assert len(salt) == SALT_SIZE
        size = len(plaintext) + BODY_OVERHEAD
        if size > RECORD_SIZE_MAX:
            raise TooLarge(f"a sealed record has at most {RECORD_SIZE_MAX} bytes; found {size}")
        enc_key, commit = self.derive(salt, header_bytes)
        sealed = AESGCM(enc_key).encrypt(_NONCE, plaintext, header_bytes + salt + commit)
        return b"".join((salt, commit, _NONCE, sealed))

    def __repr__(self) -> str:
        return "RecordKey()"


def seal(header_bytes: bytes, key: bytes, plaintext: Buffer, salt: bytes) -> bytes:
    """The body of a record: `plaintext` sealed under the data key `key`, bound to this header.

    `salt` is 32 bytes never used before. TooLarge when the body would exceed RECORD_SIZE_MAX.
    """
    return RecordKey(key).seal(header_bytes, plaintext, salt)


def open_body(header_bytes: Buffer, key: bytes, body: Buffer) -> bytes:
    """The plaintext; RecordTampered when key, header or body isn't what was sealed."""
    if len(body) < BODY_OVERHEAD or len(header_bytes) < _HEADER_SIZE_MIN:
        raise RecordTampered(_TAMPERED)
    view = memoryview(body)
    salt = bytes(view[:_COMMIT_AT])
    enc_key, commit = _derive(key, salt, header_bytes)
    if not compare_digest(commit, view[_COMMIT_AT:_NONCE_AT]) or view[_NONCE_AT:_CIPHERTEXT_AT] != _NONCE:
        raise RecordTampered(_TAMPERED)
    try:
        return AESGCM(enc_key).decrypt(_NONCE, view[_CIPHERTEXT_AT:], b"".join((header_bytes, salt, commit)))
    except InvalidTag:
        pass
    raise RecordTampered(_TAMPERED)


def _derive(key: bytes, salt: bytes, header_bytes: Buffer) -> tuple[bytes, bytes]:
    """(enc_key, commit) of one record. The dek_id is read from the header's fixed tail."""
    assert len(key) == KEY_SIZE
    rest = b"".join((salt, header_bytes[-28:-12], _FIXED_END))
    return hmac_digest(key, _BLOCK_1 + rest, "sha256"), hmac_digest(key, _BLOCK_2 + rest, "sha256")


def leaf_hash(header_bytes: Buffer, body: Buffer) -> bytes:
    """The record's leaf in the tenant's Merkle tree (RFC 6962): 32 bytes."""
    return sha256(b"".join((b"\0", header_bytes, sha256(body).digest()))).digest()


def chain(previous: bytes, leaf: bytes) -> bytes:
    """The tenant's hash chain after one more record. It starts from CHAIN_START."""
    assert len(previous) == len(leaf) == 32
    return sha256(b"\2" + previous + leaf).digest()


def encode_record(header_bytes: bytes, event_ids: bytes, body: Buffer) -> bytes:
    """What travels in a Run and lies in a segment frame."""
    assert len(event_ids) % EVENT_ID_SIZE == 0
    return b"".join((header_bytes, _IDS_LENGTH.pack(len(event_ids)), event_ids, body))


def prune_record(record: Buffer) -> bytes:
    """What stays of an encoded record when its body goes: its leaf, its event ids, and where it stood."""
    view = memoryview(record)
    ids_at, body_at, pruned = _bounds(view)
    if pruned:
        return bytes(view)
    length = _IDS_LENGTH.pack((body_at - ids_at) | _PRUNED)
    return b"".join((view[: ids_at - _IDS_LENGTH.size], length, view[ids_at:body_at], sha256(view[body_at:]).digest()))


def decode_record(buffer: Buffer) -> SealedRecord:
    """The parts of an encoded record, without copying ids and body; RecordTampered when it is malformed."""
    view = memoryview(buffer)
    ids_at, body_at, pruned = _bounds(view)
    header_bytes = view[: ids_at - _IDS_LENGTH.size]
    header = decode_header(header_bytes)
    ids = view[ids_at:body_at]
    if len(ids) not in (0, EVENT_ID_SIZE * header.count):
        raise RecordTampered(
            f"a record of {header.count} events holds none or {EVENT_ID_SIZE * header.count} bytes of event ids; "
            f"found {len(ids)}"
        )
    if pruned:
        digest = bytes(view[body_at:])
        return SealedRecord(
            header=header, header_bytes=header_bytes, event_ids=ids, body=view[len(view) :], pruned_digest=digest
        )
    return SealedRecord(header=header, header_bytes=header_bytes, event_ids=ids, body=view[body_at:])


def schema_of(record: bytes) -> int:
    """The schema id of a whole record, without a look at the rest."""
    _token, _dek_id, schema_id, _time = _TAIL.unpack_from(record, _HEAD.size + record[_REGION_LENGTH_AT])
    return int(schema_id)


def event_ids_of(record: bytes) -> bytes:
    """The event ids of a whole record, 16 bytes each, without a look at the rest."""
    ids_at = header_size(record) + _IDS_LENGTH.size
    (size,) = _IDS_LENGTH.unpack_from(record, ids_at - _IDS_LENGTH.size)
    return record[ids_at : ids_at + size]


def sealed_for(
    record: bytes, *, tenant: int, stream: int, offset: int, count: int, data_class: int, region: str, time: int
) -> tuple[bytes, bytes, bytes] | None:
    """(dek_id, leaf hash, event ids) of a whole record that was sealed for just this place; None for any other.

    The same as `decode_record` with a look at each field, without an object for it: apply asks it of every record.
    """
    name = region.encode("ascii")
    head = _HEAD_OF_IDS.pack(MAGIC, VERSION, ALGORITHM, tenant, stream, offset, count, data_class, len(name))
    tail_at = len(head) + len(name)
    header_end = tail_at + _TAIL.size
    if not record.startswith(head + name) or len(record) < header_end + _IDS_LENGTH.size:
        return None
    _token, dek_id, _schema, sealed_at = _TAIL.unpack_from(record, tail_at)
    (ids_size,) = _IDS_LENGTH.unpack_from(record, header_end)
    body_at = header_end + _IDS_LENGTH.size + ids_size
    if sealed_at != time or ids_size not in (0, EVENT_ID_SIZE * count) or len(record) < body_at + BODY_OVERHEAD:
        return None
    ids = record[header_end + _IDS_LENGTH.size : body_at] if ids_size else b""
    return dek_id, leaf_hash(record[:header_end], record[body_at:]), ids


def record_leaf(record: Buffer) -> bytes:
    """The leaf hash of an encoded record, pruned or whole; RecordTampered when it is malformed."""
    view = memoryview(record)
    ids_at, body_at, pruned = _bounds(view)
    header_bytes, rest = view[: ids_at - _IDS_LENGTH.size], view[body_at:]
    return sha256(b"".join((b"\0", header_bytes, rest))).digest() if pruned else leaf_hash(header_bytes, rest)


def _bounds(view: memoryview) -> tuple[int, int, bool]:
    """Where the event ids and the body of an encoded record start, and whether its hash stands in the body's place."""
    ids_at = header_size(view) + _IDS_LENGTH.size
    if len(view) < ids_at:
        raise RecordTampered(f"a record is cut short: expected {ids_at} bytes or more, found {len(view)}")
    (ids_size,) = _IDS_LENGTH.unpack_from(view, ids_at - _IDS_LENGTH.size)
    pruned = bool(ids_size & _PRUNED)
    body_at = ids_at + (ids_size & ~_PRUNED)
    if pruned and len(view) != body_at + _DIGEST_SIZE:
        raise RecordTampered(f"a pruned record has {body_at + _DIGEST_SIZE} bytes; found {len(view)}")
    if not pruned and len(view) < body_at + BODY_OVERHEAD:
        raise RecordTampered(
            f"a record is cut short: expected {body_at + BODY_OVERHEAD} bytes or more, found {len(view)}"
        )
    return ids_at, body_at, pruned

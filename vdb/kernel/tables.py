"""The tables of the replicated state: what each row's key and value are.

Rows are bytes to bytes, because a million streams must fit in memory: a stream is two small rows and no object of
its own. Numbers in keys are big-endian, so that sorting the bytes sorts the numbers. The numbers of the tables stand
in checkpoints: they are never reused. Those of storage start at 100 (`vdb.storage.tables`).

| table        | key                          | value (`vdb.kernel.rows`)                              |
|--------------|------------------------------|--------------------------------------------------------|
| META         | name of a scalar             | u64                                                    |
| TENANTS      | tenant u64                   | `TenantState`                                          |
| STREAMS      | tenant u64, stream u64       | `StreamState`                                          |
| STREAM_NAMES | tenant u64, lookup 32        | stream u64                                             |
| SESSIONS     | session u64                  | `SessionState`                                         |
| CLIENTS      | client id 16                 | session u64: the one session that the client has open  |
| REPLIES      | session u64, slot u8         | request number u64, reply; slot = number mod the window |
| KEYS         | dek_id 16                    | `KeyRow`                                               |
| TRANSACTIONS | transaction u64              | `TransactionState`: the one that is being sent          |
| PARTS        | transaction u64, record u32  | `KeptRecord`: its records so far, in their order        |
| CONFIGURATION | "current"                   | `Membership`; no row while the founding one holds       |
| MEMBERS      | node u8                      | `MemberRow`: of members whose row a reconfiguration put |
| EVENT_IDS    | tenant u64, stream u64       | ids of the stream's last events (`vdb.kernel.event_ids`) |
| CONSUMERS    | tenant u64, lookup 32        | `ConsumerRow`: what a consumer group is                 |
| CONSUMER_WORK | the same                    | `Work`: where it stands                                 |
| DEAD_LETTERS | the same, position u64       | `DeadLetter`                                            |
| AUDIT_LOGS   | tenant u64                   | `TenantState` of the tenant's audit log; events: entries |
| POLICY       | "current"                    | the policy that holds in this group                     |
| GRANTS       | tenant u64, grant u64        | a glass that was broken                                 |
| CONSENTS     | tenant u64, subject 32       | a subject's consent                                     |
| KEY_PERIODS  | tenant u64                   | when its periods 1, 2, ... of keys began: u64 each      |
|              | "root"                       | `Rotation`: the root key that wraps tenants' keys       |
| ERASURES     | tenant u64, erasure u64      | keys that were destroyed, and who has yet to do so      |
| HOLDS        | tenant u64, hold u64         | a legal hold                                            |
| RETENTION    | tenant u64, lookup 32        | how long events of some streams are kept                |
| ATTESTATIONS | tenant u64, stream u64       | an expert's word that a stream is de-identified         |
| PRUNED       | tenant u64, segment u32      | a segment that was pruned (`vdb.kernel.pruning`)        |
| SESSION_OWNERS | session u64                | SHA-256 of the name of the principal who opened it      |
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

from vdb.limits import SESSION_WINDOW


class Table(IntEnum):
    META = 0
    TENANTS = 1
    STREAMS = 2
    STREAM_NAMES = 3
    SESSIONS = 4
    CLIENTS = 5
    REPLIES = 6
    KEYS = 7
    TRANSACTIONS = 8
    PARTS = 9
    CONFIGURATION = 10
    MEMBERS = 11
    EVENT_IDS = 12
    CONSUMERS = 13
    CONSUMER_WORK = 14
    DEAD_LETTERS = 15
    AUDIT_LOGS = 16
    POLICY = 17
    GRANTS = 18
    CONSENTS = 19
    KEY_PERIODS = 20
    ERASURES = 21
    HOLDS = 22
    RETENTION = 23
    ATTESTATIONS = 24
    PRUNED = 25
    SESSION_OWNERS = 26


# The members as plain names: Python 3.11 looks a member up in its enum in 130 ns, and an append needs ten.
TENANTS: Final = Table.TENANTS
STREAMS: Final = Table.STREAMS
STREAM_NAMES: Final = Table.STREAM_NAMES
SESSIONS: Final = Table.SESSIONS
CLIENTS: Final = Table.CLIENTS
REPLIES: Final = Table.REPLIES
KEYS: Final = Table.KEYS
TRANSACTIONS: Final = Table.TRANSACTIONS
PARTS: Final = Table.PARTS
CONFIGURATION: Final = Table.CONFIGURATION
MEMBERS: Final = Table.MEMBERS
EVENT_IDS: Final = Table.EVENT_IDS
CONSUMERS: Final = Table.CONSUMERS
CONSUMER_WORK: Final = Table.CONSUMER_WORK
DEAD_LETTERS: Final = Table.DEAD_LETTERS
AUDIT_LOGS: Final = Table.AUDIT_LOGS
POLICY: Final = Table.POLICY
GRANTS: Final = Table.GRANTS
CONSENTS: Final = Table.CONSENTS
KEY_PERIODS: Final = Table.KEY_PERIODS
ERASURES: Final = Table.ERASURES
HOLDS: Final = Table.HOLDS
RETENTION: Final = Table.RETENTION
ATTESTATIONS: Final = Table.ATTESTATIONS
PRUNED: Final = Table.PRUNED
SESSION_OWNERS: Final = Table.SESSION_OWNERS

ROW_TABLES: tuple[Table, ...] = (
    TENANTS,
    STREAMS,
    STREAM_NAMES,
    SESSIONS,
    CLIENTS,
    REPLIES,
    KEYS,
    TRANSACTIONS,
    PARTS,
    CONFIGURATION,
    MEMBERS,
    EVENT_IDS,
    CONSUMERS,
    CONSUMER_WORK,
    DEAD_LETTERS,
    AUDIT_LOGS,
    POLICY,
    GRANTS,
    CONSENTS,
    KEY_PERIODS,
    ERASURES,
    HOLDS,
    RETENTION,
    ATTESTATIONS,
    PRUNED,
    SESSION_OWNERS,
)
"""The tables that the state keeps as maps. META is made from the state's scalars whenever it is asked for."""

KERNEL_TABLES: tuple[Table, ...] = (Table.META, *ROW_TABLES)

ROTATION = b"root"
"""Key of the one row of KEY_PERIODS that is no tenant's."""
PERIOD_ID = b"id"
"""Behind a tenant's key: the row of what whoever started its last period has called that."""

META_NEXT_POSITION = b"next_position"
META_LAST_TIMESTAMP = b"last_timestamp"
META_NEXT_SESSION = b"next_session"
CURRENT_CONFIGURATION = b"current"
CURRENT_POLICY = b"current"

U64 = struct.Struct(">Q")
_TWO_U64 = struct.Struct(">QQ")
_SLOT = struct.Struct(">QB")
_PART = struct.Struct(">QI")

assert SESSION_WINDOW <= 256, "a slot is one byte of the key"

tenant_key = U64.pack
session_key = U64.pack
transaction_key = U64.pack
member_key = struct.Struct(">B").pack
part_key = _PART.pack
"""(transaction, number of the record among the transaction's records)"""
pruned_key = _PART.pack
"""(tenant, segment)"""
stream_key = _TWO_U64.pack
"""(tenant, stream)"""


def stream_name_key(tenant: int, lookup: bytes) -> bytes:
    return U64.pack(tenant) + lookup


consumer_key = stream_name_key
"""(tenant, lookup)"""


grant_key = _TWO_U64.pack
"""(tenant, grant)"""
consent_key = stream_name_key
"""(tenant, lookup of the subject)"""


def letter_key(consumer: bytes, position: int) -> bytes:
    return consumer + U64.pack(position)


def letter_of(key: bytes) -> int:
    """The position in a dead letter's key."""
    return int.from_bytes(key[-U64.size :], "big")


def reply_key(session: int, number: int) -> bytes:
    """A reply takes the slot of the reply that leaves the window, so that no row has to be removed."""
    return _SLOT.pack(session, number % SESSION_WINDOW)

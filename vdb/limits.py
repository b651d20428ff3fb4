"""Every bound of the system, and the relations between them, in one place.

`Limits` are the bounds that a node's configuration, and each simulated run, may change; they are fixed when a
data directory is created and stored in the superblock. The constants below them never change.
"""

from __future__ import annotations

from functools import cached_property

from attrs import field, frozen

SECTOR_SIZE = 4096
"""Bytes. Every write to a ring or a superblock starts and ends on a multiple of it."""

PREPARE_HEADER_SIZE = 256
"""Bytes. A power of two that divides SECTOR_SIZE, so that no header crosses a sector."""

WAL_EVIDENCE_SIZE = 40
"""Bytes behind each prepare in its slot of the WAL (`vdb.storage.wal_layout`)."""

SUPERBLOCK_COPIES = 4
SUPERBLOCK_WRITE_QUORUM = 3
SUPERBLOCK_OPEN_QUORUM = 2

PIPELINE_MAX = 24
"""Prepares in flight at most, whatever the limits say: a superblock has room for their headers."""

SESSION_WINDOW = 64
"""Consecutive request numbers of one session that may be in flight, and whose replies are kept."""

STREAM_NAME_BYTES_MAX = 512
SUBJECT_BYTES_MAX = 512
STREAMS_PER_APPEND_MAX = 64
EVENTS_PER_APPEND_MAX = 10_000
"""Of one append that a client sends."""
EVENTS_PER_COMMAND_MAX = 1_000_000
"""Of one append in the log. A SQL transaction has an event for each row that it changes."""
RUNS_PER_PART_MAX = 256
"""Runs of one append that are sealed in one go: each may need a new key, and the loop must not stall."""
RECORD_SIZE_MAX = 16 * 1024 * 1024
"""Bytes of one sealed record (`vdb.crypto.record`)."""

WAL_SIZE_MAX = 4 * 1024**3
"""Bytes of the whole WAL file of a group."""

TRANSACTION_SIZE = 16 * 1024 * 1024
"""Bytes of the largest append that a client may send, unless the limits say otherwise."""

PART_ROOM = 4096
"""Bytes of a part's prepare that needn't hold payloads, for the arithmetic of `Limits`."""

AUDIT_ENTRY_SIZE = 64 * 1024
"""Bytes of the longest entry of an audit log, unless messages are small."""
AUDIT_ENTRY_SIZE_MIN = 1536
AUDIT_ENTRIES_FORWARDED_MAX = 1000
"""Entries that a backup has the primary record at once."""
AUDIT_RECORD_OVERHEAD = 1536
"""Bytes that a record of an audit log may take beside its entries: header, seal, framing, and the rows of new keys."""
AUDIT_ENTRY_OVERHEAD = 48
"""Bytes that an entry may take beside its own: its time, and a pointer and padding of the batch."""

EVENT_ID_SIZE = 16
EVENT_IDS_REMEMBERED = 64
"""Of each stream, unless the limits say otherwise."""
EVENT_IDS_MAX = 1024
"""They are one row of the state, which is written anew by each append that brings one."""
CONSUMERS_MAX = 10_000
"""Consumer groups that a group of nodes holds."""
CONSUMER_IN_FLIGHT_MAX = 10_000
"""Deliveries without an answer of one consumer group."""
CONSUMER_DELAY_SECONDS_MAX = 7 * 86_400
"""Of a deadline of deliveries, a nak's delay, an extension and a back-off."""
CONSUMER_NAME_BYTES_MAX = 512
CONSUMER_REASON_BYTES_MAX = 1024
DELIVERIES_PER_FETCH_MAX = 1000
SETTLEMENTS_PER_REQUEST_MAX = 1000
LETTERS_PER_REQUEST_MAX = 10_000
"""Dead letters that one request delivers anew or drops."""
SQL_SESSIONS_MAX = 256
"""Sessions of SQL databases that clients have open on a node at once."""
SQL_STATEMENT_BYTES_MAX = 1_000_000
"""Of one statement's text: SQLite's own limit."""
SQL_CURSORS_MAX = 64
"""Results of one session that wait to be fetched."""
SQL_ROWS_PER_CHUNK = 10_000
SQL_CHUNK_BYTES = 1024 * 1024
"""Of the rows that one answer carries, about: the row that goes beyond is its last."""
SQL_ROW_BYTES_MAX = 16 * 1024 * 1024
"""Of a row that a client may read: an answer must fit one message."""
SQL_STATEMENTS_PER_BATCH = 1000
SQL_IDLE_SECONDS = 30.0
"""A transaction that a client leaves open without a call for so long is rolled back."""
SQL_LOCK_SECONDS_MAX = 60.0
SQL_VOIDED_MAX = 100_000
"""Ids of transactions that a node remembers as never to be committed."""

POLICY_BYTES_MAX = 128 * 1024
"""Of a policy's text. It travels in one prepare."""
PRINCIPAL_BYTES_MAX = 512
GRANT_SECONDS_MAX = 4 * 3600
"""For so long a broken glass allows something at most."""
CONSENTS_PER_SUBJECT_MAX = 64
"""Purposes that a subject consents to."""
GOVERNANCE_TEXT_BYTES_MAX = 4096
"""Of a reason, a remark, an expert's statement."""

REWRAPPED_KEYS_MAX = 256
"""Tenants' keys that one step of a rotation wraps anew at most; a small prepare holds fewer."""
ERASED_KEYS_MAX = 4096
"""Keys that one erasure destroys."""
PRUNED_SEGMENTS_MAX = 64
"""Segments that one op prunes: their stubs are made by one checkpoint."""
RETENTION_DAYS_MAX = 365 * 200
KEY_PERIODS_MAX = 4096
"""Periods of a tenant's keys, one after the other: monthly ones last for 341 years."""

REPLICAS_MAX = 6
"""Voters of a group."""
LEARNERS_MAX = 6
NODE_NUMBER_MAX = 254


@frozen(kw_only=True)
class Limits:
    """The bounds of one group. Sizes are bytes, unless the name says otherwise."""

    message_size_max: int = 1024 * 1024
    wal_slots: int = 256
    pipeline_max: int = 4
    """Prepares in flight at once."""
    requests_per_prepare_max: int = 256
    request_queue_max: int = 1024
    """Requests that wait for a prepare; more are refused with Overloaded."""
    checkpoint_interval: int = 128
    """Ops between two checkpoints."""
    sessions_max: int = 1024
    segment_size: int = 16 * 1024 * 1024
    """A segment is closed by the first record that takes it to this size or beyond."""
    read_bytes_max: int = 1024 * 1024
    """Bytes of sealed records that one read returns; at least one record is returned."""
    open_files_max: int = 256
    transaction_size_max: int = field()
    """An append larger than a prepare travels as parts in consecutive ops, up to this size with seals and headers.
    At 0 there are none."""
    event_ids_max: int = EVENT_IDS_REMEMBERED
    """Of each stream so many event ids are remembered, the last ones: an append that brings them again is answered as
    the first time. 0: none, as in a data directory that was made before there was this limit."""

    @transaction_size_max.default
    def _transaction_size_that_fits(self) -> int:
        return min(TRANSACTION_SIZE, self._transaction_size_bound)

    def __attrs_post_init__(self) -> None:
        assert SECTOR_SIZE % PREPARE_HEADER_SIZE == 0, "a sector holds whole headers"
        size = self.message_size_max
        assert size % SECTOR_SIZE == 0, f"message_size_max: expected a multiple of {SECTOR_SIZE}, found {size}"
        assert size >= 2 * SECTOR_SIZE, f"message_size_max: expected at least {2 * SECTOR_SIZE}, found {size}"
        assert size <= RECORD_SIZE_MAX, f"message_size_max: expected at most {RECORD_SIZE_MAX}, found {size}"
        assert 1 <= self.pipeline_max < self.checkpoint_interval, (
            f"pipeline_max: expected at least 1 and less than checkpoint_interval ({self.checkpoint_interval}), "
            f"found {self.pipeline_max}"
        )
        assert self.pipeline_max <= PIPELINE_MAX, (
            f"pipeline_max: expected at most {PIPELINE_MAX}, found {self.pipeline_max}"
        )
        # A checkpoint is taken every `checkpoint_interval` ops and is written while the pipeline goes on; the
        # ring must hold the ops since the last durable checkpoint and those that arrive during the next one.
        slots = self.checkpoint_interval + 2 * self.pipeline_max
        assert self.wal_slots >= slots, (
            f"wal_slots: expected at least checkpoint_interval + 2 * pipeline_max ({slots}), found {self.wal_slots}"
        )
        assert self.requests_per_prepare_max >= 1, (
            f"requests_per_prepare_max: expected at least 1, found {self.requests_per_prepare_max}"
        )
        assert self.request_queue_max >= self.requests_per_prepare_max, (
            f"request_queue_max: expected at least requests_per_prepare_max ({self.requests_per_prepare_max}), "
            f"found {self.request_queue_max}"
        )
        assert self.sessions_max >= 1, f"sessions_max: expected at least 1, found {self.sessions_max}"
        assert 0 <= self.event_ids_max <= EVENT_IDS_MAX, (
            f"event_ids_max: expected 0 to {EVENT_IDS_MAX}, found {self.event_ids_max}"
        )
        assert self.read_bytes_max >= SECTOR_SIZE, (
            f"read_bytes_max: expected at least {SECTOR_SIZE}, found {self.read_bytes_max}"
        )
        assert self.wal_size <= WAL_SIZE_MAX, (
            f"wal_slots * message_size_max, with the headers: expected at most {WAL_SIZE_MAX} bytes, "
            f"found {self.wal_size}"
        )
        assert 0 <= self.transaction_size_max <= self._transaction_size_bound, (
            f"transaction_size_max: expected at most {self._transaction_size_bound} with this message_size_max and "
            f"checkpoint_interval, found {self.transaction_size_max}"
        )

    @property
    def wal_headers_size(self) -> int:
        """Bytes of the ring of redundant headers, rounded up to a sector."""
        raw = self.wal_slots * PREPARE_HEADER_SIZE
        return -(-raw // SECTOR_SIZE) * SECTOR_SIZE

    @property
    def wal_size(self) -> int:
        """Bytes of the whole WAL file: the ring of headers, then the ring of prepares."""
        return self.wal_headers_size + self.wal_slots * self.message_size_max

    @cached_property
    def body_size_max(self) -> int:
        """Bytes of a prepare's body."""
        return self.message_size_max - PREPARE_HEADER_SIZE - WAL_EVIDENCE_SIZE

    @cached_property
    def audit_entry_size_max(self) -> int:
        """Bytes of one entry of an audit log."""
        return min(AUDIT_ENTRY_SIZE, max(AUDIT_ENTRY_SIZE_MIN, self.body_size_max // 16))

    @cached_property
    def request_size_max(self) -> int:
        """Bytes of a prepare's body that one request may take: there must be room for its entry in the audit log."""
        return self.body_size_max - self.audit_entry_size_max - AUDIT_RECORD_OVERHEAD

    @property
    def _transaction_size_bound(self) -> int:
        """So much fits the ops between two checkpoints, if parts are half full, as those of large events may be."""
        return (self.checkpoint_interval - 1) * (self.request_size_max - PART_ROOM) // 2

    @property
    def transaction_parts_max(self) -> int:
        """Parts of one transaction: at most the ops between two checkpoints."""
        return self.checkpoint_interval

    @cached_property
    def request_queue_bytes_max(self) -> int:
        """Bytes of requests that wait for a prepare; beyond them one is refused with Overloaded, unless it is alone."""
        return 4 * max(self.transaction_size_max, self.message_size_max)

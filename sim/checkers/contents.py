"""What the log holds, opened: the ledger's sealed records as payloads, by stream and position.

The records are opened with a keyring of the checker's own, made of the keys that the log put; they are named by the
log's catalogue records. What they hold is then compared with what clients sent, were told and read.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field, frozen

from sim.checkers.audits import Audits
from sim.checkers.ledger import CATALOGUE, Frame, Ledger
from sim.checkers.linearizable import Entry
from sim.events.kinds import PREFIX
from sim.history import Call, History, Outcome, StreamKey
from sim.verdict import Verdict
from vdb.crypto.keyring import KEK_VERSION, Keyring
from vdb.crypto.record import decode_record, open_body
from vdb.kernel.command import KeyRow, KeyScope
from vdb.types import GLOBAL_GROUP, DataClass, TenantId, is_audit_log, tenant_of_log
from vdb.wire.event import decode_batch

SYSTEM_PREFIX = "$"
"""Of streams that nodes write themselves: SQL databases, what was done with dead letters."""


@frozen
class Opened:
    """One event of the log."""

    position: int
    stream: StreamKey
    offset: int
    payload: bytes
    time: int = 0
    """Microseconds UTC, as the log has it."""


@define
class Contents:
    """One group's log, opened as far as `catch_up` has gone."""

    ledger: Ledger
    verdict: Verdict
    keyring: Keyring
    events: dict[int, list[Opened]] = field(factory=dict)
    """Per tenant, in position order."""
    audits: Audits = field(init=False)
    _entries: list[tuple[int, int, int, Entry]] = field(factory=list)
    _names: dict[tuple[int, int], str] = field(factory=dict)
    _done: dict[int, int] = field(factory=dict)
    _keys: int = 0

    def __attrs_post_init__(self) -> None:
        self.audits = Audits(self.ledger, self.verdict)

    def check_audits(self, history: History) -> None:
        """What was committed, and what was answered, is told in the audit logs."""
        self.audits.check_writes(self._names)
        self.audits.check_reads(history, self._names)

    def catch_up(self) -> None:
        """Open what was committed since the last time."""
        for row in self.ledger.keys[self._keys :]:
            self._add(row)
        self._keys = len(self.ledger.keys)
        for tenant, frames in self.ledger.frames.items():
            start = self._done.get(tenant, 0)
            for frame in frames[start:]:
                self._open(tenant, frame)
            self._done[tenant] = len(frames)

    def _add(self, row: KeyRow) -> None:
        """A key that is put; or one that is wrapped anew, which must be the same one (K3)."""
        if row.kek_version == KEK_VERSION:
            self.keyring.add(row)
            return
        held, before = self.keyring.held(row.dek_id), self.keyring.key(row.dek_id)
        assert held is not None
        self.keyring.add(row)
        same = self.keyring.key(row.dek_id) == before
        if not same:
            self.keyring.add(held)  # what it sealed still opens
        said = f"{self.ledger.group}: key {row.dek_id.hex()} is another one since it was rotated"
        self.verdict.check("K3", same, said)

    def _check_period(self, tenant: int, frame: Frame, dek_id: bytes) -> None:
        """K2. Names of streams lie under a key that has no periods; parts are judged where they were sealed."""
        row = self.keyring.held(dek_id)
        if row is None or row.scope is KeyScope.CATALOGUE:
            return
        owner = tenant_of_log(TenantId(tenant)) if is_audit_log(TenantId(tenant)) else tenant
        began = sum(place < (frame.op, frame.request) for place in self.ledger.periods.get(owner, ()))
        self.verdict.check(
            "K2",
            row.period == began,
            f"{self.ledger.group} position {frame.position}: the keys of tenant {owner} are of period {began}, "
            f"this record's is of period {row.period}",
        )

    def entries(self) -> list[Entry]:
        """Clients' appends in position order, the records of one append to one stream joined; none of SQL and typed."""
        ordered = sorted(self._entries, key=lambda item: item[0])
        joined: list[Entry] = []
        previous: tuple[int, int] | None = None
        for _, op, request, entry in ordered:
            if joined and previous == (op, request) and joined[-1].stream == entry.stream:
                last = joined.pop()
                entry = Entry(entry.stream, last.first_offset, last.payloads + entry.payloads)
            joined.append(entry)
            previous = (op, request)
        return joined

    def stream_ids(self, tenant: int) -> dict[str, int]:
        """The tenant's streams: ids by names."""
        return {name: stream for (owner, stream), name in self._names.items() if owner == tenant}

    def _open(self, tenant: int, frame: Frame) -> None:
        sealed = decode_record(frame.record)
        header = sealed.header
        self.verdict.check(
            "records",
            (header.tenant, header.stream, header.offset, header.count)
            == (tenant, frame.stream, frame.offset, frame.count),
            f"{self.ledger.group} position {frame.position}: the record was sealed for another place",
        )
        self.verdict.check(
            "placement",
            header.region == self.ledger.group
            and (self.ledger.group != GLOBAL_GROUP or header.data_class is not DataClass.PHI),
            f"{self.ledger.group} position {frame.position}: a record of {header.data_class.name} data for "
            f"{header.region} lies there",
        )
        self._check_period(tenant, frame, header.dek_id)
        plain = open_body(sealed.header_bytes, self.keyring.key(header.dek_id), sealed.body)
        if is_audit_log(TenantId(tenant)):
            self.audits.open(tenant_of_log(TenantId(tenant)), frame, decode_batch(plain))
            return
        if frame.stream == CATALOGUE:
            self._names[tenant, frame.created] = plain.decode()
            return
        stream = StreamKey(tenant, self.ledger.group, self._names[tenant, frame.stream])
        payloads = tuple(decode_batch(plain))
        self.verdict.check(
            "records", len(payloads) == frame.count, f"position {frame.position}: {len(payloads)} events"
        )
        if not stream.name.startswith((SYSTEM_PREFIX, PREFIX)):
            self._entries.append((frame.position, frame.op, frame.request, Entry(stream, frame.offset, payloads)))
        events = self.events.setdefault(tenant, [])
        time = self.ledger.ops[frame.op].header.timestamp + frame.request
        for index, payload in enumerate(payloads):
            events.append(Opened(frame.position + index, stream, frame.offset + index, payload, time))


def check_log_reads(verdict: Verdict, history: History, contents: Contents) -> None:
    """Each read of a tenant's log saw just the tenant's events from its start to where it says it ended."""
    for call in history.calls:
        stream = call.stream
        if call.kind != "read_log" or call.outcome is not Outcome.OK or stream is None:
            continue
        if stream.group == contents.ledger.group:
            _check_log_read(verdict, call, contents.events.get(stream.tenant, []))


def _check_log_read(verdict: Verdict, call: Call, events: Sequence[Opened]) -> None:
    expected = tuple(
        (event.position, event.stream.name, event.payload)
        for event in events
        if call.from_offset <= event.position < call.next_position
    )
    verdict.check(
        "read-log",
        call.log == expected,
        f"client {call.client} read {len(call.log)} events of tenant {call.stream.tenant if call.stream else 0}'s log "
        f"from position {call.from_offset} to {call.next_position}; the log has {len(expected)} there, or others",
    )

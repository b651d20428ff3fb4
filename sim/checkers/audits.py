"""What audit logs tell, opened and held against what was committed and answered.

- A1: each write of PHI that was committed has its entry in the same op, with the stream, the place and the count.
- A2: entries of a log are numbered without a gap, in records that say so, and their times never fall; each has the time
  of its op.
- A3: each answered read of PHI has an entry of its own, committed after it was asked for and before the answer: of that
  stream, from that place on, with as many events.
- A4: nothing but what nodes write of themselves is told of as the node's own.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field, frozen

from sim.checkers.ledger import Frame, Ledger, Write
from sim.history import History
from sim.history import Outcome as Answered
from sim.verdict import Verdict
from vdb.audit.entry import AuditEntry, Kind, Outcome, decode_entry
from vdb.errors import DamagedData
from vdb.sql.names import STREAM_PREFIX

SYSTEM_PREFIX = "$"
READS = ("read", "read_stale", "read_at_least", "follow")
"""Calls of the history that read one stream."""


_Seen = tuple[int, str, int | None, int]
"""Tenant, stream, first offset and number of events."""


@frozen
class Told:
    """One entry of an audit log."""

    op: int
    number: int
    entry: AuditEntry


@define
class Audits:
    """The audit logs of one group, as far as they were opened."""

    ledger: Ledger
    verdict: Verdict
    told: dict[int, list[Told]] = field(factory=dict)
    """By tenant, in order."""
    _by_op: dict[tuple[int, int], list[Told]] = field(factory=dict)

    def open(self, tenant: int, frame: Frame, payloads: Sequence[bytes]) -> None:
        """The next record of a tenant's audit log, opened."""
        told = self.told.setdefault(tenant, [])
        name = f"{self.ledger.group} op {frame.op}, audit log of tenant {tenant}"
        self.verdict.check("A2", frame.offset == len(told), f"{name}: entry {frame.offset} follows {len(told)} entries")
        header = self.ledger.ops[frame.op].header
        for number, payload in enumerate(payloads, frame.offset):
            try:
                entry = decode_entry(payload)
            except DamagedData as error:
                self.verdict.fail("A2", f"{name}: entry {number}: {error}")
                continue
            self.verdict.check(
                "A2",
                header.timestamp <= entry.time < header.timestamp + header.request_count
                and (not told or told[-1].entry.time <= entry.time),
                f"{name}: entry {number} has time {entry.time}, of an op at {header.timestamp}",
            )
            one = Told(frame.op, number, entry)
            told.append(one)
            self._by_op.setdefault((frame.op, tenant), []).append(one)

    def check_writes(self, names: dict[tuple[int, int], str]) -> None:
        """A1, of all writes that the ledger has. `names`: of streams, by tenant and id."""
        for write in self.ledger.writes:
            told = self._by_op.get((write.op, write.tenant), [])
            name = names[write.tenant, write.stream]
            self.verdict.check(
                "A1",
                any(_tells(one.entry, write, name) for one in told),
                f"{self.ledger.group} op {write.op}: {write.count} events of {name} from {write.first} on, of which "
                f"{len(told)} entries of the audit log tell nothing",
            )
        for tenant, entries in self.told.items():
            for one in entries:
                self.verdict.check(
                    "A4",
                    one.entry.credential != "node"
                    or one.entry.object.startswith(SYSTEM_PREFIX)
                    or one.entry.kind is Kind.POLICY,  # a copy, which a region's primary carries by itself
                    f"{self.ledger.group} op {one.op}: what happened to {one.entry.object} of tenant {tenant} is "
                    "told of as the node's own",
                )

    def check_reads(self, history: History, names: dict[tuple[int, int], str]) -> None:
        """A3, of all reads of PHI that were answered. `names`: of streams, by tenant and id."""
        receipts: dict[_Seen, list[int]] = {}
        for tenant, entries in self.told.items():
            for one in entries:
                if one.entry.kind is Kind.READ and one.entry.outcome is Outcome.OK:
                    seen = (tenant, one.entry.object, one.entry.first, one.entry.count)
                    receipts.setdefault(seen, []).append(self.ledger.ops[one.op].tick)
        phi = {(tenant, names[tenant, stream]) for tenant, stream in self.ledger.phi}
        for call in sorted(history.calls, key=lambda call: call.returned):
            stream = call.stream
            if stream is None or stream.group != self.ledger.group or call.outcome is not Answered.OK:
                continue
            if call.kind not in READS or not call.seen or (stream.tenant, stream.name) not in phi:
                continue
            ticks = receipts.get((stream.tenant, stream.name, call.from_offset, len(call.seen)), [])
            found = next((tick for tick in ticks if call.invoked <= tick <= call.returned), None)
            self.verdict.check(
                "A3",
                found is not None,
                f"client {call.client} was given {len(call.seen)} events of {stream.name} from {call.from_offset} on, "
                f"and no entry of its own tells so before its answer: {len(ticks)} of such reads were committed",
            )
            if found is not None:
                ticks.remove(found)


def _tells(entry: AuditEntry, write: Write, name: str) -> bool:
    if entry.outcome is not Outcome.OK:
        return False
    if entry.door == "sql":
        name = name.removeprefix(STREAM_PREFIX)  # of a database, as its users know it
    if write.creates:
        return entry.kind is Kind.CREATE and entry.object == name
    if entry.first is None:
        return entry.kind is Kind.WRITE and name in entry.object.split(", ") and entry.count >= write.count
    return (entry.kind, entry.object, entry.first, entry.count) == (Kind.WRITE, name, write.first, write.count)

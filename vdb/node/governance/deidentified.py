"""De-identified streams hold what passes the Safe Harbor check, and free text where an expert stands for it.

Rules
- Each event that goes into such a stream is looked at: JSON payloads, the bodies of typed events, rows of a SQL
  database, and what changes of its schema say. The first that doesn't pass refuses the whole append, and nothing is
  written.
- Such data are about nobody: an event with a subject is refused.
- A typed event has the time at which it was written. One that has another time tells a date.
- An append behind a creation that is still on its way is judged by what that would create.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from vdb.changes import RawText, RowChange, SchemaChange, Transaction
from vdb.errors import NotDeidentified, WireError
from vdb.kernel.governance import find_attestation
from vdb.marks import mark
from vdb.node.gate.reader import GroupReader
from vdb.node.preparing.request import PlainAppend, PlainRun
from vdb.policy.safe_harbor import Finding, Scope, check_fields, check_payload
from vdb.policy.safe_harbor_schema import check_schema
from vdb.policy.safe_harbor_words import Identifier
from vdb.sql.names import is_internal
from vdb.sql.schema_change import parts_of
from vdb.types import DataClass, TenantId
from vdb.wire.event import ENVELOPE_SCHEMA, decode_batch, decode_envelope
from vdb.wire.sql import SQL_SCHEMA, TransactionReader

SKEW_US = 86_400_000_000
"""A typed event's time may differ by so much from this node's: a day."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STREAMS_MAX = 100_000
_Name = tuple[TenantId, str]


class Deidentified:
    """Which streams are de-identified, and what may be written to them. One per node."""

    def __init__(self) -> None:
        self._known: dict[_Name, bool] = {}
        """Of streams that are committed: they keep their class."""
        self._coming: dict[_Name, int] = {}
        """How many creations of a de-identified stream of this name are on their way."""

    def begin(self, tenant: TenantId, name: str, data_class: DataClass) -> None:
        """A creation goes on its way."""
        if data_class is DataClass.DEIDENTIFIED:
            self._coming[tenant, name] = self._coming.get((tenant, name), 0) + 1

    def end(self, tenant: TenantId, name: str, data_class: DataClass) -> None:
        """It was answered."""
        if data_class is DataClass.DEIDENTIFIED:
            left = self._coming.pop((tenant, name)) - 1
            if left:
                self._coming[tenant, name] = left

    def check(self, reader: GroupReader, tenant: TenantId, appends: Sequence[PlainAppend]) -> None:
        """NotDeidentified for an append that one of its streams may not hold; names field and identifier."""
        for append in appends:
            known = self._known.get((tenant, append.stream))
            if self._holds(reader, tenant, append.stream) if known is None else known:
                _check(reader, tenant, append)

    def _holds(self, reader: GroupReader, tenant: TenantId, name: str) -> bool:
        committed = reader.find(tenant, name)
        if committed is None:
            prepared = reader.class_of(tenant, name)
            return prepared is DataClass.DEIDENTIFIED or (tenant, name) in self._coming
        if len(self._known) >= _STREAMS_MAX:
            self._known.clear()
        found = self._known[tenant, name] = committed.data_class is DataClass.DEIDENTIFIED
        return found


def is_attested(reader: GroupReader, tenant: TenantId, name: str) -> bool:
    """Whether an expert's word stands behind a stream."""
    found = reader.find(tenant, name)
    return found is not None and find_attestation(reader.group.state, tenant, found.stream) is not None


def _check(reader: GroupReader, tenant: TenantId, append: PlainAppend) -> None:
    now = reader.group.world.clock.wall_us()
    scope = Scope(year=(_EPOCH + timedelta(microseconds=now)).year, attested=is_attested(reader, tenant, append.stream))
    number = 0
    transactions = TransactionReader()
    for run in append.runs:
        if run.subject:
            raise _refused(append.stream, number, "names a subject: de-identified data are about nobody", scope)
        for payload in decode_batch(run.batch):
            finding = _finding(run, payload, scope, now, transactions)
            if finding is not None:
                mark("deidentified.refused")
                raise _refused(append.stream, number, f"isn't de-identified: {finding}", scope)
            number += 1


def _refused(stream: str, number: int, why: str, scope: Scope) -> NotDeidentified:
    hint = "" if scope.attested else "; free text needs an expert's attestation (`vdb attest`)"
    return NotDeidentified(f"event {number} of the append to stream '{stream}' {why}{hint}")


def _finding(run: PlainRun, payload: bytes, scope: Scope, now: int, transactions: TransactionReader) -> Finding | None:
    try:
        if run.schema_id == SQL_SCHEMA:
            transaction = transactions.feed(payload)
            return None if transaction is None else _in_rows(transaction, scope)
        if run.schema_id == ENVELOPE_SCHEMA:
            return _in_envelope(payload, scope, now)
    except WireError:
        return Finding("", Identifier.TEXT)
    return check_payload(payload, scope)


def _in_envelope(payload: bytes, scope: Scope, now: int) -> Finding | None:
    envelope = decode_envelope(payload)
    if envelope.subject:
        return Finding("subject", Identifier.OTHER)
    if abs(envelope.time - now) > SKEW_US:
        return Finding("time", Identifier.DATE)
    return check_payload(envelope.body, scope)


def _in_rows(transaction: Transaction, scope: Scope) -> Finding | None:
    for step in transaction.steps:
        if isinstance(step, RowChange) and step.after is not None:
            layout = transaction.layouts[step.layout]
            if is_internal(layout.table):  # what migrations are called, and which columns name subjects
                texts = (("name", value) for value in step.after if isinstance(value, str))
                finding = check_schema(texts, scope)
                if finding is not None:
                    return finding
                continue
            finding = check_fields(_columns(layout.columns, step.after), scope)
            if finding is not None:
                return Finding(f"{layout.table}.{finding.field}", finding.identifier)
        elif isinstance(step, SchemaChange):
            finding = check_schema(parts_of(step.sql), scope)
            if finding is not None:
                mark("deidentified.schema_refused")
                return finding
    return None


def _columns(names: Sequence[str], values: Sequence[object]) -> Iterable[tuple[str, object]]:
    return ((name, _as_bytes(value)) for name, value in zip(names, values, strict=True))


def _as_bytes(value: object) -> object:
    """Text that isn't UTF-8 is looked at as bytes are."""
    return value.data if isinstance(value, RawText) else value

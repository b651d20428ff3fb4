"""The gate of retention: rules that say how long events are kept, and the end of what has expired.

    rules -> keys that have expired, segments of which nothing need be kept -> segments pruned -> keys destroyed, as an
    erasure: each member says when its disk is rid of both

Rules
- What has expired is judged by the group's primary (`vdb.node.erasure.expiring`), as is what nobody can open any more.
  The ops say by which holds and rules; if one comes meanwhile, apply refuses, and it is judged again.
- A segment is pruned when each record in it has expired, was erased, or is erased by this very call, and no hold is on
  any of them. Names of streams stay.
- An erasure follows each pruning, if it destroys no key but those of files: what was derived from the records is built
  anew without them, and there is a certificate once every member's disk is rid of them. One that an earlier call could
  not begin is begun by the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field

from vdb.audit.entry import AuditEntry
from vdb.crypto.record import decode_record
from vdb.erasures import Pruned, RetentionInfo
from vdb.errors import PolicyChanged
from vdb.kernel.erasure import erasures_of
from vdb.kernel.erasure_command import PrunedSegment
from vdb.kernel.holds import holds_of, judgement_serial, retention_of
from vdb.kernel.pruning import is_pruned, pruned_of
from vdb.kernel.streamid import CATALOGUE
from vdb.limits import PRUNED_SEGMENTS_MAX, STREAM_NAME_BYTES_MAX
from vdb.marks import mark
from vdb.node.erasure.endings import Endings, check_words
from vdb.node.erasure.erasure_request import PlainExpire, PlainPrune, PlainRetention
from vdb.node.erasure.expiring import Expired, Held, days_of, expired_keys, has_expired, streams_of, subject_rows
from vdb.node.erasure.sealing import HOLD_SEALS, RETENTION_SEALS, HoldText, RetentionText, open_text
from vdb.node.gate.answers import StreamInfo
from vdb.node.gate.reader import GroupReader
from vdb.node.replication.group import Group
from vdb.sql.names import STREAM_PREFIX
from vdb.storage.event_log import Frame
from vdb.types import DataClass, StreamId, TenantId, check_tenant_id

SPARE_KEYS = 4
"""Keys of files that a tenant may be given between the judgement and the erasure."""
JUDGED_AGAIN = 4
"""So often, if holds or rules come while it is judged."""
Note = Callable[[dict[str, str]], AuditEntry]
"""The audit log's entry with this detail."""


@define(kw_only=True)
class Segments:
    """What was judged of a tenant's segments."""

    pruned: list[PrunedSegment] = field(factory=list)
    """That are to go, as many as one op prunes."""
    left: int = 0
    """So many more that weren't looked at: one op prunes no more than it has."""
    held: int = 0
    """So many a hold keeps back."""
    held_bytes: int = 0


class Retaining(Endings):
    """See the module's docstring. One per node."""

    async def put_retention(
        self, tenant: int, group: str, stream: str, data_class: DataClass, days: int, note: AuditEntry | None = None
    ) -> None:
        """How many days the events of a stream (or PREFIX*) are kept; 0: no rule for it any more."""
        check_words("a stream's name", stream, STREAM_NAME_BYTES_MAX)
        found = (await self._primary(group)).group
        request = PlainRetention(tenant=check_tenant_id(tenant), stream=stream, data_class=data_class, days=days)
        await self._commit(found, request, note)

    async def list_retention(self, tenant: int, group: str) -> list[RetentionInfo]:
        """A tenant's rules, by stream."""
        found = (await self._primary(group)).group
        return retention_rules(found, check_tenant_id(tenant))

    async def prune(self, tenant: int, group: str, *, dry_run: bool, by: str = "", note: Note | None = None) -> Pruned:
        """End what has expired: destroy its keys, with a certificate, and prune the segments that hold nothing else.

        Keys end with their period (`vdb key rotate`): what was sealed in one that is over has expired once its rule's
        days have passed since the period's end. Leaves and proofs stay. NotPrimary, UnknownTenant; PolicyChanged if
        holds and rules don't come to rest.
        """
        checked = check_tenant_id(tenant)
        gone: list[PrunedSegment] = []
        for again in range(JUDGED_AGAIN, -1, -1):
            reader = await self._primary(group)
            self._check_tenant(reader.group, checked)
            try:
                return await self._end(reader, checked, gone, dry_run=dry_run, by=by, note=note)
            except PolicyChanged:
                if not again:
                    raise
                mark("retaining.judged_again")
        raise AssertionError("unreachable")

    async def _end(
        self,
        reader: GroupReader,
        tenant: TenantId,
        gone: list[PrunedSegment],
        *,
        dry_run: bool,
        by: str,
        note: Note | None,
    ) -> Pruned:
        """`gone`: what this call has pruned so far, and in a dry run what it would."""
        group = reader.group
        serial = judgement_serial(group.state, tenant)
        rules, held = retention_rules(group, tenant), _held(group, tenant)
        streams = await streams_of(reader, tenant)
        expired = await expired_keys(reader, tenant, streams, rules, held)
        segments = await _judge(reader, tenant, streams, rules, held, expired)
        erasure = 0
        if segments.pruned and not dry_run:
            mark("retaining.pruned")
            prune = PlainPrune(tenant=tenant, segments=tuple(segments.pruned), judged=serial, by=by)
            told = {"prunes": f"{len(segments.pruned)} segments, {_size(segments.pruned)} bytes"}
            await self._commit(group, prune, note and note(told))
        gone += segments.pruned
        if not dry_run and (expired.keys or _is_owed(group, tenant)):
            request = PlainExpire(
                tenant=tenant,
                dek_ids=expired.keys,
                by=by,
                members=group.members,
                keys_max=len(expired.keys) + len(group.keyring.file_rows(tenant)) + SPARE_KEYS,
                judged=1 + serial,
            )
            erasure = await self._commit(group, request, note and note({"expires": f"{len(expired.keys)} keys"}))
        return Pruned(
            segments=len(gone),
            bytes=_size(gone),
            report={
                "keys": len(expired.keys),
                "segments": len(gone),
                "bytes": _size(gone),
                "left": expired.left + segments.left,
                "held": {"keys": expired.held, "segments": segments.held, "bytes": segments.held_bytes},
                "erasure": erasure,
            },
        )


def _size(segments: Sequence[PrunedSegment]) -> int:
    """Bytes that go with them."""
    return sum(one.length - one.stub_length for one in segments)


def retention_rules(group: Group, tenant: TenantId) -> list[RetentionInfo]:
    """A tenant's rules, by stream."""
    rules: list[RetentionInfo] = []
    for row in retention_of(group.state, tenant):
        text = open_text(group.keyring, row.sealed, RETENTION_SEALS, RetentionText)
        assert text is not None, "a rule is sealed under the catalogue's key, which nobody destroys"
        rules.append(RetentionInfo(stream=text.stream, data_class=row.data_class, days=row.days))
    return sorted(rules, key=lambda rule: rule.stream)


def _held(group: Group, tenant: TenantId) -> Held:
    """What is on hold."""
    live = [hold for hold in holds_of(group.state, tenant) if not hold.released]
    texts = [
        open_text(group.keyring, hold.sealed, HOLD_SEALS, HoldText) or HoldText(subject="", stream="", reason="")
        for hold in live
        if not hold.subject
    ]
    subjects = tuple(hold.subject for hold in live if hold.subject)
    return Held(subjects=subjects, patterns=tuple(text.stream for text in texts))


def _is_owed(group: Group, tenant: TenantId) -> bool:
    """Whether segments were pruned that no erasure of what has expired has followed yet: one of a subject ends less."""
    pruned = max((row.time for row in pruned_of(group.state, tenant)), default=0)
    followed = (erasure.time for erasure in erasures_of(group.state, tenant) if not any(erasure.subject))
    return pruned > max(followed, default=0)


class _Judge:
    """Judges the records of one segment after the other."""

    def __init__(
        self,
        group: Group,
        streams: Sequence[StreamInfo],
        rules: Sequence[RetentionInfo],
        held: Held,
        ending: Sequence[bytes],
        held_tokens: Sequence[bytes],
    ) -> None:
        self._keyring = group.keyring
        self._now = group.time_us
        self._days: dict[StreamId, int] = {
            one.stream: 0 if one.name.startswith(STREAM_PREFIX) else days_of(one, rules) for one in streams
        }
        self._held = {one.stream: held.holds_stream(one.name) for one in streams}
        self._everything_held = "" in held.patterns
        self._ending = dict.fromkeys(ending)
        self._held_tokens = dict.fromkeys(held_tokens)
        self.is_held = False
        """Whether a hold is on a record that was seen since this was set."""

    def may_go(self, frame: Frame) -> bool:
        """Whether nothing but a hold keeps this record."""
        if frame.stream == CATALOGUE:
            return True
        header = decode_record(frame.record).header
        days = self._days.get(frame.stream, 0)
        gone = (
            has_expired(header.time, days, self._now)
            or header.dek_id in self._ending
            or self._keyring.is_destroyed(header.dek_id)
        )
        self.is_held |= header.subject_token in self._held_tokens
        self.is_held |= self._held.get(frame.stream, self._everything_held)
        return gone


async def _judge(
    reader: GroupReader,
    tenant: TenantId,
    streams: Sequence[StreamInfo],
    rules: Sequence[RetentionInfo],
    held: Held,
    expired: Expired,
) -> Segments:
    """Which of the closed segments that a checkpoint has may go. The cost follows the tenant's log."""
    group, found = reader.group, Segments()
    rows = await subject_rows(reader, tenant) if held.subjects else []
    tokens = [row.subject_token for row in rows if row.lookup in held.subjects]
    judge = _Judge(group, streams, rules, held, expired.keys, tokens)
    for number in group.event_log.durable_segments(tenant):
        if is_pruned(group.prepared, tenant, number):
            continue
        if len(found.pruned) == PRUNED_SEGMENTS_MAX:
            found.left += 1
            continue
        judge.is_held = False
        plan = await group.event_log.plan_prune(tenant, number, judge.may_go)
        if plan is None:
            continue
        if judge.is_held:
            found.held += 1
            found.held_bytes += _size([plan])
        else:
            found.pruned.append(plan)
    return found

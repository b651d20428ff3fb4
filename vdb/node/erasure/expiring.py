"""What has expired: keys that have sealed nothing else, and records.

Rules
- A stream's key of a period has expired once the days of the rule for the stream have passed since the period's end. Of
  several rules that fit the one that keeps longest counts; without one nothing expires.
- A subject's key of a period seals events of all streams. It has expired once those of the rule that keeps longest have
  passed, and only where each stream of the tenant has a rule.
- A SQL database's rows don't expire: they are what they are until a statement changes them. Where a tenant has one, no
  subject's key does.
- A record has expired once the days of the rule for its stream have passed since it was written.
- What is on hold doesn't expire.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio
from attrs import field, frozen

from vdb.erasures import RetentionInfo, fits_pattern
from vdb.kernel.command import KeyRow, KeyScope
from vdb.kernel.rows import unpack_key
from vdb.kernel.tables import KEYS, tenant_key
from vdb.limits import ERASED_KEYS_MAX
from vdb.node.consumers.consumer_preparer import DEEDS, DEEDS_OF_GLOBAL
from vdb.node.gate.answers import StreamInfo
from vdb.node.gate.reader import GroupReader
from vdb.sql.names import STREAM_PREFIX
from vdb.types import TenantId

DAY_US = 86_400_000_000
KEYS_AT_ONCE = ERASED_KEYS_MAX // 2
_LISTED = 1000
_STEP = 2048
"""Rows that are looked at between two chances for other tasks."""


@frozen(kw_only=True)
class Held:
    """What is on hold: subjects by their lookups, streams by patterns."""

    subjects: tuple[bytes, ...] = field(repr=False)
    patterns: tuple[str, ...] = field(repr=False)

    def holds_stream(self, name: str) -> bool:
        return any(fits_pattern(pattern, name) for pattern in self.patterns)


@frozen(kw_only=True)
class Expired:
    """Keys that have expired, as many as one erasure destroys."""

    keys: tuple[bytes, ...]
    left: int
    """So many more there are."""
    held: int
    """So many a hold keeps back."""


async def expired_keys(
    reader: GroupReader, tenant: TenantId, streams: Sequence[StreamInfo], rules: Sequence[RetentionInfo], held: Held
) -> Expired:
    """Keys of these streams, which are all of the tenant's (`streams_of`), and of its subjects."""
    days = {one.name: days_of(one, rules) for one in streams}
    kept = [one for one in streams if held.holds_stream(one.name)]
    found = _of_streams(reader, tenant, [one for one in streams if one not in kept], days)
    on_hold = _of_streams(reader, tenant, kept, days)
    if streams and not any(one.name.startswith(STREAM_PREFIX) for one in streams) and all(days.values()):
        for row in await _of_subjects(reader, tenant, max(days.values())):
            (on_hold if kept or row.lookup in held.subjects else found).append(row.dek_id)
    return Expired(keys=tuple(found[:KEYS_AT_ONCE]), left=max(0, len(found) - KEYS_AT_ONCE), held=len(on_hold))


def days_of(stream: StreamInfo, rules: Sequence[RetentionInfo]) -> int:
    """How long what is in it is kept; 0: for good."""
    fitting = [
        rule for rule in rules if rule.data_class is stream.data_class and fits_pattern(rule.stream, stream.name)
    ]
    return max((rule.days for rule in fitting), default=0)


def has_expired(time: int, days: int, now: int) -> bool:
    """Whether the days have passed since this time; all in microseconds UTC but the days, of which 0 is for ever."""
    return bool(days) and time + days * DAY_US <= now


def _ended(reader: GroupReader, tenant: TenantId, days: int) -> range:
    """The periods that ended so long ago: the first ones."""
    state, now = reader.group.state, reader.group.time_us
    count = 0
    while count < state.key_period(tenant) and has_expired(state.period_began(tenant, count + 1), days, now):
        count += 1
    return range(count)


def _of_streams(
    reader: GroupReader, tenant: TenantId, streams: Sequence[StreamInfo], days: dict[str, int]
) -> list[bytes]:
    keyring = reader.group.keyring
    found: list[bytes] = []
    for one in streams:
        if not days[one.name] or one.name.startswith(STREAM_PREFIX):
            continue
        for period in _ended(reader, tenant, days[one.name]):
            row = keyring.row(tenant, KeyScope.STREAM, one.name, period)
            if row is not None and not row.is_destroyed:
                found.append(row.dek_id)
    return found


async def _of_subjects(reader: GroupReader, tenant: TenantId, days: int) -> list[KeyRow]:
    ended = _ended(reader, tenant, days)
    rows = await subject_rows(reader, tenant) if ended else []
    return [row for row in rows if row.period in ended and not row.is_destroyed]


async def subject_rows(reader: GroupReader, tenant: TenantId) -> list[KeyRow]:
    """Rows of all keys of a tenant's subjects, by their ids, destroyed ones too."""
    owner = tenant_key(tenant)
    found: list[KeyRow] = []
    for number, (dek_id, packed) in enumerate(reader.group.state.rows[KEYS].items()):
        if number % _STEP == _STEP - 1:
            await trio.lowlevel.checkpoint()
        if packed.startswith(owner):
            row = unpack_key(dek_id, packed)
            if row.scope is KeyScope.SUBJECT:
                found.append(row)
    return sorted(found, key=lambda row: row.dek_id)


async def streams_of(reader: GroupReader, tenant: TenantId) -> list[StreamInfo]:
    """A tenant's streams, but for the node's own."""
    found: list[StreamInfo] = []
    more = True
    while more:
        infos, more = await reader.list_streams(tenant, len(found), _LISTED)
        found += infos
    return [one for one in found if one.name not in (DEEDS, DEEDS_OF_GLOBAL)]

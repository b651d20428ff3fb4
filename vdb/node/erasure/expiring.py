"""Which keys have sealed nothing but what has expired.

Rules
- A stream's key of a period has expired once the days of the rule for the stream have passed since the period's end. Of
  several rules that fit the one that keeps longest counts; without one nothing expires.
- A subject's key of a period seals events of all streams. It has expired once those of the rule that keeps longest have
  passed, and only where each stream of the tenant has a rule.
- A SQL database's rows don't expire: they are what they are until a statement changes them. Where a tenant has one, no
  subject's key does.
- What is on hold doesn't expire.
"""

from __future__ import annotations

from collections.abc import Sequence

import trio
from attrs import field, frozen

from vdb.erasures import RetentionInfo, fits_pattern
from vdb.kernel.command import KeyScope
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


async def expired_keys(
    reader: GroupReader, tenant: TenantId, rules: Sequence[RetentionInfo], held: Held
) -> tuple[tuple[bytes, ...], int]:
    """Ids of keys that have expired, as many as one erasure destroys, and how many more there are."""
    streams = [one for one in await _streams(reader, tenant) if one.name not in (DEEDS, DEEDS_OF_GLOBAL)]
    days = {one.name: _days(one, rules) for one in streams}
    free = {one.name: not any(fits_pattern(pattern, one.name) for pattern in held.patterns) for one in streams}
    found = _of_streams(reader, tenant, [one for one in streams if free[one.name]], days)
    whole = streams and all(free.values()) and not any(one.name.startswith(STREAM_PREFIX) for one in streams)
    if whole and all(days.values()):
        found += await _of_subjects(reader, tenant, max(days.values()), held)
    return tuple(found[:KEYS_AT_ONCE]), max(0, len(found) - KEYS_AT_ONCE)


def _days(stream: StreamInfo, rules: Sequence[RetentionInfo]) -> int:
    """How long it is kept; 0: for good."""
    fitting = [
        rule for rule in rules if rule.data_class is stream.data_class and fits_pattern(rule.stream, stream.name)
    ]
    return max((rule.days for rule in fitting), default=0)


def _ended(reader: GroupReader, tenant: TenantId, days: int) -> range:
    """The periods that ended so long ago: the first ones."""
    state, now = reader.group.state, reader.group.time_us
    count = 0
    while count < state.key_period(tenant) and state.period_began(tenant, count + 1) + days * DAY_US <= now:
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


async def _of_subjects(reader: GroupReader, tenant: TenantId, days: int, held: Held) -> list[bytes]:
    ended = _ended(reader, tenant, days)
    owner = tenant_key(tenant)
    found: list[bytes] = []
    if not ended:
        return found
    for number, (dek_id, packed) in enumerate(reader.group.state.rows[KEYS].items()):
        if number % _STEP == _STEP - 1:
            await trio.lowlevel.checkpoint()
        if not packed.startswith(owner):
            continue
        row = unpack_key(dek_id, packed)
        expired = row.scope is KeyScope.SUBJECT and row.period in ended and not row.is_destroyed
        if expired and row.lookup not in held.subjects:
            found.append(dek_id)
    return sorted(found)


async def _streams(reader: GroupReader, tenant: TenantId) -> list[StreamInfo]:
    found: list[StreamInfo] = []
    more = True
    while more:
        infos, more = await reader.list_streams(tenant, len(found), _LISTED)
        found += infos
    return found

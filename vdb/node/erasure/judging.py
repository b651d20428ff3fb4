"""What stands against erasing a subject: holds on it, and holds and retention of streams that hold data of it."""

from __future__ import annotations

from collections.abc import Sequence

from vdb.erasures import RetentionInfo, fits_pattern
from vdb.kernel.holds import holds_of
from vdb.node.erasure.finding import FoundStream
from vdb.node.erasure.sealing import HOLD_SEALS, HoldText, open_text
from vdb.node.replication.group import Group
from vdb.types import TenantId

DAY_US = 86_400_000_000


def against(
    group: Group,
    tenant: TenantId,
    lookup: bytes,
    streams: Sequence[FoundStream],
    rules: Sequence[RetentionInfo],
) -> list[str]:
    """What stands against erasing the subject of this lookup, which has data in these streams."""
    found: list[str] = []
    for hold in holds_of(group.state, tenant):
        if hold.released:
            continue
        if hold.subject:
            if hold.subject == lookup:
                found.append(f"hold {hold.hold} is on the subject")
            continue
        text = open_text(group.keyring, hold.sealed, HOLD_SEALS, HoldText)
        if text is None or any(fits_pattern(text.stream, one.stream) for one in streams):
            found.append(f"hold {hold.hold} is on a stream that holds data of the subject")
    return found + [said for rule in rules if (said := _not_over(rule, streams, group.time_us))]


def _not_over(rule: RetentionInfo, streams: Sequence[FoundStream], now: int) -> str:
    ends = [
        one.last_time + rule.days * DAY_US
        for one in streams
        if one.data_class is rule.data_class and fits_pattern(rule.stream, one.stream)
    ]
    if not ends or max(ends) <= now:
        return ""
    days = -(-(max(ends) - now) // DAY_US)
    return f"a retention of {rule.days} days isn't over: {days} days are left"

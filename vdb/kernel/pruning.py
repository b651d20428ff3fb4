"""Pruning: whole segments of a tenant's log lose what their records hold; places and leaves stay.

Rules
- A segment is named by the position at which it begins. The primary judges that every record in it is expired or
  shredded, and that nothing holds it: periods, names and holds of streams are open to it alone.
- Segments are the same on all replicas, so one that isn't there any more on one was pruned on all.
"""

from __future__ import annotations

from itertools import pairwise

from vdb.errors import RefusalCode
from vdb.kernel.draft import Draft
from vdb.kernel.effect import PruneSegments
from vdb.kernel.erasure_command import Prune
from vdb.kernel.reply import Numbered, Refusal, Reply
from vdb.limits import PRUNED_SEGMENTS_MAX


def prune(draft: Draft, command: Prune) -> Reply:
    tenant, segments = command.tenant, command.segments
    if not draft.has_tenant(tenant):
        return Refusal(RefusalCode.UNKNOWN_TENANT, f"tenant {tenant} has no stream in group {draft.group}")
    if not 1 <= len(segments) <= PRUNED_SEGMENTS_MAX:
        return Refusal(
            RefusalCode.INVALID_ARGUMENT,
            f"a pruning names 1 to {PRUNED_SEGMENTS_MAX} segments; found {len(segments)}",
        )
    if not all(before < after for before, after in pairwise(segments)) or segments[-1] >= draft.tenant_head(tenant):
        return Refusal(
            RefusalCode.INVALID_ARGUMENT, "the segments of a pruning stand in their order, below the log's end"
        )
    draft.effects.append(PruneSegments(tenant, segments))
    return Numbered(len(segments))

"""All planted bugs, in the order that `python -m sim bugs` prints."""

from __future__ import annotations

from sim.bugs.audits import AUDIT_BUGS
from sim.bugs.clusters import CLUSTER_BUGS
from sim.bugs.consensus import CONSENSUS_BUGS
from sim.bugs.consumers import CONSUMER_BUGS
from sim.bugs.cosigning import COSIGNING_BUGS
from sim.bugs.erasing import ERASING_BUGS
from sim.bugs.event_ids import EVENT_ID_BUGS
from sim.bugs.evidence import EVIDENCE_BUGS
from sim.bugs.governance import GOVERNANCE_BUGS
from sim.bugs.patch import Bug
from sim.bugs.projections import PROJECTION_BUGS
from sim.bugs.regions import REGION_BUGS
from sim.bugs.retaining import RETAINING_BUGS
from sim.bugs.rotation import ROTATION_BUGS
from sim.bugs.sql import SQL_BUGS
from sim.bugs.storage import STORAGE_BUGS
from sim.bugs.transactions import TRANSACTION_BUGS

_OF_THE_PROTOCOL = sorted((*CONSENSUS_BUGS, *CLUSTER_BUGS), key=lambda bug: int(bug.id))
BUGS: tuple[Bug, ...] = (
    *_OF_THE_PROTOCOL, *STORAGE_BUGS, *TRANSACTION_BUGS, *SQL_BUGS, *EVENT_ID_BUGS, *CONSUMER_BUGS, *PROJECTION_BUGS,
    *EVIDENCE_BUGS, *AUDIT_BUGS, *GOVERNANCE_BUGS, *ERASING_BUGS, *REGION_BUGS,
    *ROTATION_BUGS, *RETAINING_BUGS, *COSIGNING_BUGS,
)  # fmt: skip
assert len({bug.id for bug in BUGS}) == len(BUGS)


def find_bug(id: str) -> Bug | None:
    """The bug with this id; None for ''."""
    return next(bug for bug in BUGS if bug.id == id) if id else None

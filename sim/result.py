"""What one run of a seed gives, and its JSON form (the keys are fixed)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from sim.verdict import Violation


@frozen(kw_only=True)
class Result:
    """One run. `faults` counts what fired, by kind; `checks` counts checks, by invariant; `marks` were reached."""

    seed: int
    digest: str
    commit: str
    """The revision of the code: a git hash, with a '+' when files differ from it."""
    virtual_seconds: float
    wall_seconds: float
    events: int
    ops_committed: int
    faults: Mapping[str, int]
    checks: Mapping[str, int]
    marks: tuple[str, ...]
    violation: Violation | None = None
    acknowledged: int = 0
    """Requests that clients got an answer to."""
    crashes: int = 0
    idle: float = 0.0
    """Share of virtual time in which no request was on its way."""
    stopped: str = ""
    """Why the node refused to go on, where a fault beyond repair demanded that."""
    last_events: Mapping[str, tuple[str, ...]] = field(factory=dict, repr=False)
    """Of a run that broke: the newest events of each machine and client, oldest first, by its name."""

    @property
    def ok(self) -> bool:
        return self.violation is None

    def as_json(self) -> dict[str, Any]:
        """The object that `replay --json` prints."""
        out: dict[str, Any] = {
            "seed": self.seed,
            "ok": self.ok,
            "digest": self.digest,
            "commit": self.commit,
            "virtual_seconds": round(self.virtual_seconds, 6),
            "wall_seconds": round(self.wall_seconds, 3),
            "events": self.events,
            "ops_committed": self.ops_committed,
            "faults": dict(sorted(self.faults.items())),
            "checks": dict(sorted(self.checks.items())),
            "marks": sorted(self.marks),
            "acknowledged": self.acknowledged,
            "crashes": self.crashes,
            "idle": round(self.idle, 4),
        }
        if self.stopped:
            out["stopped"] = self.stopped
        if self.violation is not None:
            out["violation"] = {"invariant": self.violation.invariant, "message": self.violation.message}
        return out

"""Checkpoints at the same op are the same, on every replica and in every life (I25)."""

from __future__ import annotations

from attrs import define, field

from sim.verdict import Verdict


@define
class Checkpoints:
    """Of one group."""

    group: str
    verdict: Verdict
    _known: dict[int, tuple[bytes, str]] = field(factory=dict)

    def on_checkpoint(self, op: int, checkpoint_id: bytes, who: str = "the node") -> None:
        """`who` names a durable checkpoint."""
        known, first = self._known.setdefault(op, (checkpoint_id, who))
        self.verdict.check(
            "I25",
            known == checkpoint_id,
            f"{self.group}: the checkpoint at op {op} is {known.hex()[:12]} of {first}, and {checkpoint_id.hex()[:12]} "
            f"of {who}",
        )

"""What a hunt leaves in a file: a line of JSON for each bug as its hunt ends, so that an interrupted one goes on.

A line counts only for the revision of the code that it names: what was found in another says nothing about this one.
That of a checkout with changes ("+") names none, and never counts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import asdict, define, field

from sim.bugs.hunt import Hunt
from sim.revision import revision


@define
class Record:
    """Hunts that have ended, by bug. Without a path they are kept in memory alone."""

    path: Path | None = None
    hunts: dict[str, Hunt] = field(factory=dict)

    @classmethod
    def read(cls, path: Path | None) -> Record:
        """Those of this revision in the file; none if there is no file. Raises ValueError if it holds anything else."""
        record = cls(path)
        if path is None or not path.exists():
            return record
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                told = json.loads(line)
                hunted, commit = _hunt(told), told["commit"]
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path}, line {number}, isn't what a hunt writes") from error
            if commit == revision() and not commit.endswith("+"):
                record.hunts[hunted.id] = hunted
        return record

    def add(self, hunted: Hunt) -> None:
        """A hunt has ended: it is in the file when this returns."""
        self.hunts[hunted.id] = hunted
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"commit": revision(), **asdict(hunted)}, separators=(",", ":")) + "\n")


def _hunt(told: Mapping[str, Any]) -> Hunt:
    fields = {name: value for name, value in told.items() if name != "commit"}
    return Hunt(**{**fields, "others": tuple(fields["others"])})

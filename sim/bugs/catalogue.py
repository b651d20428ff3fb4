"""All planted bugs, in the order that `python -m sim bugs` prints."""

from __future__ import annotations

from sim.bugs.patch import Bug

BUGS: tuple[Bug, ...] = ()

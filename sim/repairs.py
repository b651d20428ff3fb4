"""What is broken and will be mended: after a while each, or all at once."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from sim.runner import VirtualClock

Repair = Callable[[], None]


@define
class Repairs:
    """Repairs that are still to be done, in the order in which the harm was."""

    clock: VirtualClock
    _due: list[Repair] = field(factory=list)

    def add(self, repair: Repair) -> None:
        """To be done by `all`, if not before."""
        self._due.append(repair)

    def later(self, seconds: float, repair: Repair) -> None:
        """Mend after a while, or when everything is mended."""
        self._due.append(repair)

        def due() -> None:
            if repair in self._due:
                self._due.remove(repair)
                repair()

        self.clock.call_after(int(seconds * 1e9), due)

    def all(self) -> None:
        """Mend everything now."""
        due, self._due = self._due, []
        for repair in due:
            repair()

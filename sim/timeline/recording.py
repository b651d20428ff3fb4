"""The events of one run, in the order in which they happened."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import define, field

from sim.timeline.describe import detail, message_details, message_type, traced_event
from sim.timeline.event import Event


@define
class Recording:
    """`now_ns` reads the clock without advancing it."""

    now_ns: Callable[[], int]
    events: list[Event] = field(factory=list)

    def event(self, lane: str, kind: str, text: str, details: Mapping[str, object], peer: str = "") -> None:
        """Something happened. Details may be any values; 'group' among them is the event's group."""
        kept = {name: detail(value) for name, value in details.items() if name != "group"}
        group = str(details.get("group", ""))
        self.events.append(
            Event(time_ns=self.now_ns(), lane=lane, kind=kind, text=text, details=kept, group=group, peer=peer)
        )

    def message(self, lane: str, kind: str, peer: str, message: object, group: str) -> None:
        """One end of a message's way: `kind` is 'send' or 'receive'."""
        details = message_details(message)
        name = message_type(message)
        said = " ".join(f"{key} {value}" for key, value in details.items() if key in ("view", "op", "commit"))
        self.events.append(
            Event(
                time_ns=self.now_ns(), lane=lane, kind=kind, peer=peer, group=group,
                text=f"{name} {said}".rstrip(), details={"type": name, **details},
            )
        )  # fmt: skip

    def traced(self, lane: str, kind: str, details: tuple[object, ...]) -> None:
        """What the trace has hashed."""
        found = traced_event(lane, kind, details)
        if found is not None:
            name, text, table = found
            self.event(lane, name, text, table)

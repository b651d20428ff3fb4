"""The events of one run, in the order in which they happened."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping

from attrs import define, field

from sim.timeline.describe import detail, message_details, message_type, traced_event
from sim.timeline.event import Event
from sim.timeline.weave import lane_names, machine

LAST_LINES = 20
"""Of each lane, in a report."""
LINE_MAX = 160


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

    def last_lines(self) -> dict[str, tuple[str, ...]]:
        """The newest events of each machine and client as lines, oldest first; `violation` is among the world's."""
        found: dict[str, deque[str]] = {}
        for event in self.events:
            name = machine(event.lane)
            found.setdefault(name, deque(maxlen=LAST_LINES)).append(event_line(event))
        return {name: tuple(found[name]) for name in lane_names(self.events) if name in found}

    def fault(self, lane: str, kind: str) -> None:
        """A fault has fired. Those at one moment, such as what a crash does to unsynced writes, are one event."""
        last = self.events[-1] if self.events else None
        fired = Counter({kind: 1})
        if last is not None and (last.lane, last.kind, last.time_ns) == (lane, "fault", self.now_ns()):
            before = {name: times for name, times in last.details.items() if isinstance(times, int)}
            if len(before) == len(last.details):
                self.events.pop()
                fired = Counter(before) + fired
        said = ", ".join(f"{name} x{times}" if times != 1 else name for name, times in fired.items())
        self.event(lane, "fault", said, fired)

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


def event_line(event: Event) -> str:
    """`    1.234567890 n0.1     receive   <- n1 prepare view 2 op 7 (global)`."""
    way = {"send": f"-> {event.peer} ", "receive": f"<- {event.peer} "}.get(event.kind, "")
    group = f" ({event.group})" if event.group else ""
    text = event.text if len(event.text) <= LINE_MAX else event.text[: LINE_MAX - 1] + "…"
    return f"{event.time_ns / 1e9:>14.9f} {event.lane:<8} {event.kind:<10} {way}{text}{group}".rstrip()

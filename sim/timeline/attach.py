"""The ears at a simulation: its observers, disks, network and clients report to a recording.

Everything is heard from outside: what is attached passes each call on unchanged, so a run with ears does what it
would have done without. Nothing is attached unless somebody records.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from sim.timeline.describe import message_details, plain_fields
from sim.timeline.recording import Recording
from sim.trace import Trace
from vdb.node.observer import Observer

ORDERS = ("cut", "stall", "drop", "half_open", "slow", "reset", "heal", "heal_way")
"""Methods of the network that are orders of the nemesis."""
ONE_WAY = ("stall", "drop", "heal_way")
QUIET_FAULTS = (
    "disk.kept_unsynced", "disk.slow", "net.cut", "net.stalled", "net.one_way", "net.slow", "net.dropped"
)  # fmt: skip
"""Counted faults that are no event: what stayed whole in a crash, slowness at each call, and orders heard as such."""


def listening(inner: Observer, trace: Trace, lane: Callable[[], str | None], replica: Callable[[str], Any]) -> Observer:
    """An observer that records and passes on. `lane` is None when what it reports isn't to be believed any more;
    `replica(group)` is the replica that reports, for its view and status, or None."""
    states: dict[tuple[str, str], tuple[object, ...]] = {}

    def look_at(where: str, group: str) -> None:
        found = replica(group)
        if found is None:
            return
        primary = found.is_serving_primary
        state = (found.view, found.log_view, found.status, primary)
        if states.get((where, group)) != state:
            states[where, group] = state
            word = found.status.value
            table = {
                "view": found.view,
                "log_view": found.log_view,
                "status": word,
                "primary": found.is_serving_primary,
            }
            role = " as primary" if primary else ""
            trace.event(where, "status", f"{word} in view {found.view}{role}", group=group, **table)

    def hear(name: str) -> Callable[..., None]:
        signature = inspect.signature(getattr(Observer, name))
        words = tuple(signature.parameters)[1:]
        kind = name.removeprefix("on_")

        def method(_self: Observer, *args: Any, **named: Any) -> None:
            where = lane()
            if where is not None:
                values = dict(zip(words, args, strict=False)) | named
                group = str(values.get("group", ""))
                look_at(where, group)
                _tell(trace, where, kind, values)
            getattr(inner, name)(*args, **named)

        return method

    names = [name for name in dir(Observer) if name.startswith("on_")]
    return type("Listening", (Observer,), {name: hear(name) for name in names})()  # type: ignore[no-any-return]


def _tell(trace: Trace, lane: str, kind: str, values: Mapping[str, Any]) -> None:
    group = str(values.get("group", ""))
    if "message" in values:
        message = values["message"]
        if "to" in values:
            trace.sent(lane, f"n{values['to']}", message, group)
        else:
            trace.received(lane, f"n{message.replica}", message, group)
        return
    if kind == "view":  # its replica was just looked at
        return
    table: dict[str, Any] = {"group": group}
    for name, value in values.items():
        if name in ("header", "prepare"):
            table.update(message_details(value))
        elif name == "state":
            table.update(plain_fields(value))
        elif name in ("requests", "replies"):
            table[name] = [type(getattr(each, "command", each)).__name__ for each in value]
        elif name != "group":
            table[name] = value
    said = " ".join(f"{name} {table[name]}" for name in ("op", "view", "commit_number", "sequence") if name in table)
    trace.event(lane, kind, said, **table)


class HeardCounts(Counter[str]):
    """A counter of faults that tells where they fired, and counts them in `total` as well."""

    def __init__(self, total: Counter[str], tell: Callable[[str], None]) -> None:
        super().__init__()
        self._total = total
        self._tell = tell

    def __setitem__(self, kind: str, count: int) -> None:
        more = count - self[kind]
        super().__setitem__(kind, count)
        self._total[kind] += more
        if kind not in QUIET_FAULTS:
            self._tell(kind)


def hear_counts(owner: Any, trace: Trace, lane: Callable[[], str]) -> None:
    """Hear the faults that `owner` counts from now on."""
    owner.counts = HeardCounts(owner.counts, lambda kind: trace.fault(lane(), kind))


def hear_network(network: Any, trace: Trace) -> None:
    """Hear the nemesis' orders to the network, and the faults that it counts."""
    hear_counts(network, trace, lambda: "net")
    for name in ORDERS:
        if hasattr(network, name):
            setattr(network, name, _heard_order(getattr(network, name), name, trace))


def _heard_order(order: Callable[..., Any], name: str, trace: Trace) -> Callable[..., Any]:
    words = tuple(inspect.signature(order).parameters)

    def heard(*args: Any, **named: Any) -> Any:
        table = dict(zip(words, args, strict=False)) | named
        ends = [value for value in args if isinstance(value, str)]
        kind = "heal" if name.startswith("heal") else "cut"
        one_way = name in ONE_WAY and not table.get("both")
        said = (" to " if one_way else " and ").join(ends) or "everything"
        trace.event("net", kind, f"{name} {said}", peer=",".join(ends), order=name, **table)
        return order(*args, **named)

    return heard


def hear_calls(history: Any, trace: Trace) -> None:
    """Hear each client's request when it begins and when its client knows more."""

    def begun(call: Any) -> None:
        streams = [part.stream.name for part in call.parts] or ([call.stream.name] if call.stream else [])
        table = {"call": call.invoked, "group": call.group, "streams": " ".join(streams)}
        if call.parts:
            table["events"] = sum(len(part.payloads) for part in call.parts)
        trace.event(f"c{call.client}", "call", f"{call.kind} {' '.join(streams)}".rstrip(), **table)

    def answered(call: Any) -> None:
        offsets = [part.first_offset for part in call.parts]
        table = {"call": call.invoked, "group": call.group, "outcome": call.outcome.value, "refusal": call.refusal}
        table |= {"first_offsets": offsets} if offsets else {"seen": len(call.seen), "head": call.head}
        text = f"{call.kind} {call.outcome.value} {call.refusal}".rstrip()
        trace.event(f"c{call.client}", "answer", text, **table)

    history.on_invoke, history.on_complete = begun, answered


def hear_verdict(verdict: Any, trace: Trace, recording: Recording) -> None:
    """Hear the first violation at the moment when a checker sees it."""
    fail = verdict.fail

    def heard(invariant: str, message: str) -> None:
        if verdict.ok:
            at = recording.events[-1].lane if recording.events else ""
            table = {"invariant": invariant, "message": message, "right_after_an_event_of": at}
            trace.event("run", "violation", f"{invariant}: {message}", **table)
        fail(invariant, message)

    verdict.fail = heard


def attach(simulation: Any) -> Recording:
    """Record this simulation, which hasn't run yet, from now on."""
    trace: Trace = simulation.trace
    recording = trace.recording = Recording(now_ns=lambda: simulation.clock.present_ns)
    hear_calls(simulation.history, trace)
    hear_verdict(simulation.verdict, trace, recording)
    hear_network(simulation.cluster.network, trace)
    for machine in simulation.cluster.machines.values():
        _attach_machine(machine, trace)
    return recording


def _attach_machine(machine: Any, trace: Trace) -> None:
    for name in ("disk", "scratch"):
        hear_counts(getattr(machine, name), trace, lambda: str(machine.who))

    def replica(group: str) -> Any:
        found = machine.node.groups.get(group) if machine.node is not None else None
        return getattr(found, "replica", None)

    observer = machine.observer

    def of_this_incarnation() -> Observer:
        who = machine.who
        lane = lambda: who if machine.who == who and machine.is_alive() else None  # noqa: E731
        return listening(observer(), trace, lane, replica)

    machine.observer = of_this_incarnation

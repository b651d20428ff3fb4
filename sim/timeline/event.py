"""One thing that happened in a run, as the page knows it."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

Detail = int | float | str | bool | None

KINDS = (
    "violation",
    "crash",
    "fault",
    "nemesis",
    "cut",
    "heal",
    "status",
    "paused",
    "resumed",
    "disk replaced",
    "start",
    "up",
    "recovered",
    "ended",
    "commit",
    "prepare",
    "durable",
    "checkpoint",
    "superblock",
    "truncate",
    "send",
    "receive",
    "call",
    "answer",
    "run",
)
"""Kinds that the page draws in a way of their own, in the order of its filters; any other kind is drawn as a dot."""


@frozen(kw_only=True)
class Event:
    """`lane` is a machine with its incarnation ('n0.3'), a client ('c2'), 'nemesis', 'net' or 'run'."""

    time_ns: int
    lane: str
    kind: str
    text: str = ""
    details: Mapping[str, Detail] = field(factory=dict)
    group: str = ""
    """The group whose replica it happened to; '' where it concerns the whole machine."""
    peer: str = ""
    """The other machine: of a message, or of a cut link."""

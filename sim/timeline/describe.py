"""Messages, observers' arguments and trace lines in words: small tables of plain values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

import attrs

from sim.timeline.event import Detail

_LEFT_OUT = ("group", "body_checksum")
CHECKSUM_BYTES = 6
TEXT_MAX = 600
EXACT_MAX = 1 << 53
"""Larger numbers are told as text: a browser would round them."""
_NESTED = ("prepare", "header")
"""Fields of messages whose own fields are told as if they were the message's."""


def detail(value: object) -> Detail:
    """Any value as a plain one: bytes by their first few, enums by name, long texts cut."""
    if isinstance(value, Enum):
        return value.name.lower()
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        return value if abs(value) <= EXACT_MAX else str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return value[:CHECKSUM_BYTES].hex() + ("…" if len(value) > 32 else "")
    if isinstance(value, (tuple, list)) and any(isinstance(each, (bytes, bytearray)) for each in value):
        value = ", ".join(str(detail(each)) for each in value)
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 1] + "…"


def message_type(message: object) -> str:
    """'prepare_ok' of a PrepareOk, 'commit' of a CommitMessage: the protocol's own words."""
    name = type(message).__name__.removesuffix("Message")
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def message_details(message: Any) -> dict[str, Detail]:
    """The fields of a frozen value. Headers in it are told by their fields, many of them by their number and ops."""
    if not attrs.has(type(message)):
        return {"value": detail(message)}
    found: dict[str, Detail] = {}
    for each in attrs.fields(type(message)):
        if each.name in _LEFT_OUT:
            continue
        value = getattr(message, each.name)
        if each.name in _NESTED and attrs.has(type(value)):
            found.update(message_details(value))
        elif isinstance(value, (tuple, list)) and value and hasattr(value[0], "op"):
            found[each.name] = f"{len(value)}: ops {value[0].op} to {value[-1].op}"
        elif isinstance(value, (bytes, bytearray, memoryview)) and each.name == "body":
            found["body_bytes"] = len(value)
        else:
            found[each.name] = detail(value)
    return found


def plain_fields(value: Any) -> dict[str, object]:
    """The fields of a frozen value that are numbers, words or checksums; nothing of one that isn't frozen."""
    if not attrs.has(type(value)):
        return {}
    named = {each.name: getattr(value, each.name) for each in attrs.fields(type(value))}
    return {name: each for name, each in named.items() if isinstance(each, (bool, int, str, bytes))}


def is_client(lane: str) -> bool:
    """'c0', 'c1', ..."""
    return lane[:1] == "c" and lane[1:].isdigit()


_OBSERVED = ("prepare", "commit", "checkpoint", "superblock", "recovered", "vote", "start view", "cut", "view")
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "ended": ("error", "message"),
    "crash at": ("port_call",),
    "options": ("options",),
    "destroyed": ("path", "offset"),
    "rotted": ("path", "done"),
}
"""What the trace's details are, by kind."""


def traced_event(lane: str, kind: str, details: Sequence[object]) -> tuple[str, str, dict[str, object]] | None:
    """A line of the trace as (kind, text, details); None for what observers and the history tell better."""
    if kind in _OBSERVED or is_client(lane):
        return None
    names = _FIELDS.get(kind, ())
    table: dict[str, object] = dict(zip(names, details, strict=False))
    table.update((f"value {index}", value) for index, value in enumerate(details[len(names) :], len(names) + 1))
    said = " ".join(str(detail(value)) for value in list(table.values())[:3])
    if lane == "nemesis":
        return ("heal" if kind == "healed" else "nemesis"), f"{kind} {said}".rstrip(), table
    if kind == "crash at":
        return "fault", f"power fails at {said}", table
    if kind in ("options", "broken"):
        return "run", kind, table
    return kind, said, table

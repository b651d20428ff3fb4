"""Canaries: words that stand in every payload, stream name and subject, and must never be seen in clear on a disk.

A payload is JSON, unique in its run: `{"id": ..., "by": ..., "n": ..., "pad": ...}`. `id` is the entity that a
projection keeps a row for (of one group, since groups have no order between them), `by` says which client sent it, and
`n` as which of its events.
"""

from __future__ import annotations

import json

WORD = "canary-7f3a9"
PAYLOAD_CANARY = f"{WORD}-payload".encode()
NAME_CANARY = f"{WORD}-stream".encode()
SUBJECT_CANARY = f"{WORD}-subject".encode()

ENTITIES = 12


def payload(*, client: int, number: int, group: str, entity: int, size: int, delete: bool = False) -> bytes:
    """Event `number` of a client, at least `size` bytes long."""
    fields: dict[str, str | int] = {
        "type": "gone" if delete else "set",
        "id": f"{WORD}-payload-{group}-{entity}",
        "by": f"c{client}",
        "n": client * 1_000_000 + number,
    }
    bare = json.dumps(fields)
    return json.dumps({**fields, "pad": "." * max(0, size - len(bare) - 11)}).encode()


def stream_name(number: int) -> str:
    return f"{NAME_CANARY.decode()}-{number}"


def subject(number: int) -> str:
    return f"{SUBJECT_CANARY.decode()}-{number}"

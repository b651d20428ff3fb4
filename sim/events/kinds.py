"""The typed events of simulations: their classes, their bytes, and the streams that they lie in.

An event is about a patient, which is its subject and its key; a number that nothing else in the run has makes it
unique. One that is `poisoned` is an event that handlers of projections refuse. Moves have an older version, which some
writers still write: whoever reads them has them brought up to date.
"""

from __future__ import annotations

import json
from hashlib import sha256
from random import Random
from typing import Any

from attrs import frozen

import vdb.events
from sim.canary import NAME_CANARY, PAYLOAD_CANARY, SUBJECT_CANARY
from vdb.client.values import EventRun
from vdb.errors import WireError
from vdb.events import NewEvent
from vdb.wire.event import ENVELOPE_SCHEMA, EventEnvelope, decode_envelope, encode_envelope

PREFIX = "ev-"
"""Of all streams of this workload."""
FAMILIES = ("ev-visit-", "ev-bed-")
"""Of streams that consumers and readers ask for by prefix."""
ADMITTED, MOVED, LEFT = "sim-admitted", "sim-moved", "sim-left"
TYPES = (ADMITTED, MOVED, LEFT)


@vdb.events.event(ADMITTED, subject="patient")
@frozen(kw_only=True)
class Admitted:
    n: int
    patient: str
    ward: int
    poisoned: bool
    pad: str


@vdb.events.event(MOVED, version=2, subject="patient")
@frozen(kw_only=True)
class Moved:
    n: int
    patient: str
    ward: int
    poisoned: bool
    pad: str


@vdb.events.event(LEFT, subject="patient")
@frozen(kw_only=True)
class Left:
    n: int
    patient: str
    ward: int
    poisoned: bool
    pad: str


CLASSES = {ADMITTED: Admitted, MOVED: Moved, LEFT: Left}


@vdb.events.upcast(MOVED, 1)
def _with_ward(body: dict[str, Any]) -> dict[str, Any]:
    """Of version 1, which had the ward as a text with another name."""
    return {**{name: value for name, value in body.items() if name != "place"}, "ward": int(body["place"])}


@frozen(kw_only=True)
class Story:
    """An aggregate: a chain over all events of a stream, which tells their order."""

    events: int = 0
    chain: str = ""

    @vdb.events.applies(Admitted, Moved, Left)
    def tell(self, event: Admitted | Moved | Left) -> Story:
        return Story(events=self.events + 1, chain=link(self.chain, event.n))


def link(chain: str, number: int) -> str:
    """A chain of hashes with one more number."""
    return sha256(f"{chain}/{number}".encode()).hexdigest()[:16]


def stream_name(number: int) -> str:
    """The name of a stream, which tells its family."""
    return f"{FAMILIES[number % len(FAMILIES)]}{NAME_CANARY.decode()}-{number}"


def patient(number: int) -> str:
    return f"{SUBJECT_CANARY.decode()}-p{number}"


@frozen(kw_only=True)
class Fact:
    """One event, as a client means it."""

    number: int
    """Unique in the run."""
    type: str
    patient: str
    ward: int
    poisoned: bool = False
    by: str = ""
    """The client."""
    old: bool = False
    """Whether it is written in an older version."""

    @property
    def event_id(self) -> bytes:
        return b"ev" + self.number.to_bytes(14, "big")

    def event(self) -> NewEvent:
        """The event of its class, for who appends events; `old` doesn't count there."""
        event = CLASSES[self.type](
            n=self.number, patient=self.patient, ward=self.ward, poisoned=self.poisoned, pad=PAYLOAD_CANARY.decode()
        )
        return NewEvent(event, event_id=self.event_id, actor=self.by, time=self.number)

    def payload(self) -> bytes:
        """The envelope's bytes, for who appends those."""
        ward = {"place": str(self.ward)} if self.old else {"ward": self.ward}
        body = {"n": self.number, "pad": PAYLOAD_CANARY.decode(), "patient": self.patient, "poisoned": self.poisoned,
                **ward}  # fmt: skip
        return encode_envelope(
            EventEnvelope(
                event_id=self.event_id, type=self.type, version=2 if self.type == MOVED and not self.old else 1,
                time=self.number, actor=self.by, subject=self.patient, body=json.dumps(body, sort_keys=True).encode(),
            )
        )  # fmt: skip


def read_fact(payload: bytes) -> Fact | None:
    """The fact in an envelope, whoever has made it; None for what isn't one of ours."""
    try:
        envelope = decode_envelope(payload)
        body = json.loads(envelope.body)
    except (WireError, ValueError):
        return None
    if envelope.type not in TYPES:
        return None
    ward = int(body["place"]) if "place" in body else body["ward"]
    return Fact(
        number=body["n"], type=envelope.type, patient=body["patient"], ward=ward, poisoned=body["poisoned"],
        by=envelope.actor, old="place" in body,
    )  # fmt: skip


def told_fact(event: Any) -> tuple[int, str, int, bool]:
    """What an event of one of the classes says: its number, patient, ward, and whether it is poisoned."""
    if not isinstance(event, Admitted | Moved | Left):
        return _NOT
    return event.n, event.patient, event.ward, event.poisoned


_NOT = (-1, "", -1, False)


def draw_fact(random: Random, number: int, *, patients: int, poison: float, by: str) -> Fact:
    type = random.choice(TYPES)
    return Fact(
        number=number, type=type, patient=patient(random.randrange(patients)),
        ward=random.randrange(6), poisoned=random.random() < poison, by=by, old=type == MOVED and random.random() < 0.5,
    )  # fmt: skip


def runs_of(facts: list[Fact]) -> tuple[EventRun, ...]:
    """Consecutive events of one patient together, as an append sends them."""
    runs: list[list[Fact]] = []
    for fact in facts:
        if runs and runs[-1][0].patient == fact.patient:
            runs[-1].append(fact)
        else:
            runs.append([fact])
    return tuple(
        EventRun(
            payloads=[fact.payload() for fact in run], subject=run[0].patient,
            event_ids=[fact.event_id for fact in run], schema_id=ENVELOPE_SCHEMA,
        )
        for run in runs
    )  # fmt: skip

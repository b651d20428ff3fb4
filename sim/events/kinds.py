"""The typed events of simulations: what they are, their bytes, and the streams that they lie in.

An event is about a patient, which is its subject and its key; a number that nothing else in the run has makes it
unique. One that is `poisoned` is an event that handlers of projections refuse.
"""

from __future__ import annotations

import json
from random import Random

from attrs import frozen

from sim.canary import NAME_CANARY, PAYLOAD_CANARY, SUBJECT_CANARY
from vdb.client.values import EventRun
from vdb.errors import WireError
from vdb.wire.event import ENVELOPE_SCHEMA, EventEnvelope, decode_envelope, encode_envelope

PREFIX = "ev-"
"""Of all streams of this workload."""
FAMILIES = ("ev-visit-", "ev-bed-")
"""Of streams that consumers and readers ask for by prefix."""
ADMITTED, MOVED, LEFT = "sim-admitted", "sim-moved", "sim-left"
TYPES = (ADMITTED, MOVED, LEFT)


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

    @property
    def event_id(self) -> bytes:
        return b"ev" + self.number.to_bytes(14, "big")

    def payload(self) -> bytes:
        """The envelope's bytes."""
        body = {"n": self.number, "pad": PAYLOAD_CANARY.decode(), "patient": self.patient, "poisoned": self.poisoned,
                "ward": self.ward}  # fmt: skip
        return encode_envelope(
            EventEnvelope(
                event_id=self.event_id, type=self.type, version=1, time=self.number, actor=self.by,
                subject=self.patient, body=json.dumps(body, sort_keys=True).encode(),
            )
        )  # fmt: skip


def read_fact(payload: bytes) -> Fact | None:
    """The fact in an envelope; None for what isn't one of ours."""
    try:
        envelope = decode_envelope(payload)
        body = json.loads(envelope.body)
    except (WireError, ValueError):
        return None
    if envelope.type not in TYPES:
        return None
    return Fact(
        number=body["n"], type=envelope.type, patient=body["patient"], ward=body["ward"], poisoned=body["poisoned"],
        by=envelope.actor,
    )  # fmt: skip


def draw_fact(random: Random, number: int, *, patients: int, poison: float, by: str) -> Fact:
    return Fact(
        number=number, type=random.choice(TYPES), patient=patient(random.randrange(patients)),
        ward=random.randrange(6), poisoned=random.random() < poison, by=by,
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

"""A synthetic day at the Notebar clinic: a few thousand events in the order in which they happen.

Rules
- Everything is drawn from the entropy that is handed in: the same draws give the same day.
- Events are consistent: an appointment's patient and provider exist before it, a note is amended and signed after it
  was written, nothing happens to a cancelled appointment.
- Registrations lie before opening time, appointments between 8:00 and 18:00 in the clinic's zone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import TypeVar

from attrs import field, frozen

from vdb.notebar import names
from vdb.notebar.events import (
    APPOINTMENTS,
    NOTES,
    PATIENTS,
    PROVIDERS,
    Address,
    AppointmentCancelled,
    AppointmentRescheduled,
    AppointmentScheduled,
    NoteAmended,
    NotebarEvent,
    NoteCreated,
    NoteSigned,
    PatientCreated,
    PatientUpdated,
    ProviderCreated,
    ProviderUpdated,
)
from vdb.ports import Entropy

T = TypeVar("T")

CLINIC_ZONE = timezone(timedelta(hours=10))
EXAMPLE_DAY = date(2026, 3, 2)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@frozen(kw_only=True)
class DayEvent:
    """One event of the day, and what an append of it needs."""

    stream: str
    subject: str = field(repr=False)
    """The patient's id; empty for the providers' events."""
    event: NotebarEvent
    time: int
    """Microseconds UTC: when it happened."""
    actor: str
    event_id: bytes


class _Day:
    """What is being drawn. `at` are minutes since midnight."""

    def __init__(self, entropy: Entropy, day: date) -> None:
        self.entropy = entropy
        self.start = datetime.combine(day, time(), tzinfo=CLINIC_ZONE)
        self.events: list[DayEvent] = []
        self._seconds = 0

    def choose(self, options: Sequence[T]) -> T:
        return options[self.entropy.below(len(options))]

    def chance(self, percent: int) -> bool:
        return self.entropy.below(100) < percent

    def moment(self, minutes: int) -> datetime:
        return self.start + timedelta(minutes=minutes, seconds=self.entropy.below(60))

    def add(self, stream: str, subject: str, moment: datetime, actor: str, event: NotebarEvent) -> None:
        microseconds = (moment - _EPOCH) // timedelta(microseconds=1)
        self.events.append(
            DayEvent(
                stream=stream,
                subject=subject,
                event=event,
                time=microseconds,
                actor=actor,
                event_id=self.entropy.random_bytes(16),
            )
        )


def generate_day(
    entropy: Entropy, *, patients: int = 400, providers: int = 12, appointments: int = 900, day: date = EXAMPLE_DAY
) -> list[DayEvent]:
    """The day's events in time order: about four for each appointment, one for each patient and provider."""
    assert patients >= 1
    assert providers >= 1
    drawn = _Day(entropy, day)
    staff = [_provider(drawn, number) for number in range(1, providers + 1)]
    people = [_patient(drawn, number) for number in range(1, patients + 1)]
    for number in range(1, appointments + 1):
        _visit(drawn, f"a-{number:05}", drawn.choose(people), drawn.choose(staff))
    for patient in people:
        if drawn.chance(5):
            _move(drawn, patient)
    # The sort is stable: events of the same microsecond stay in the order in which they were drawn.
    return sorted(drawn.events, key=lambda event: event.time)


def _provider(day: _Day, number: int) -> str:
    provider_id = f"dr-{number:02}"
    created_at = day.moment(5 * 60)
    name = f"Dr {day.choose(names.GIVEN_NAMES)} {day.choose(names.FAMILY_NAMES)}"
    created = ProviderCreated(
        provider_id=provider_id, name=name, profession=day.choose(names.PROFESSIONS), created_at=created_at
    )
    day.add(PROVIDERS, "", created_at, "reception", created)
    if day.chance(10):
        updated_at = day.moment(5 * 60 + 10)
        updated = ProviderUpdated(
            provider_id=provider_id, profession=day.choose(names.PROFESSIONS), updated_at=updated_at
        )
        day.add(PROVIDERS, "", updated_at, "reception", updated)
    return provider_id


def _patient(day: _Day, number: int) -> str:
    patient_id = f"p-{number:05}"
    created_at = day.moment(5 * 60 + 15 + day.entropy.below(60))
    born = date(1930 + day.entropy.below(95), 1 + day.entropy.below(12), 1 + day.entropy.below(28))
    created = PatientCreated(
        patient_id=patient_id,
        given_name=day.choose(names.GIVEN_NAMES),
        family_name=day.choose(names.FAMILY_NAMES),
        birth_date=born,
        sex=day.choose(("female", "male", "other", "unknown") if day.chance(4) else ("female", "male")),
        phone=_phone(day) if day.chance(90) else None,
        address=_address(day),
        created_at=created_at,
    )
    day.add(PATIENTS, patient_id, created_at, "reception", created)
    return patient_id


def _visit(day: _Day, appointment_id: str, patient: str, provider: str) -> None:
    """One appointment with all that becomes of it."""
    booked = 6 * 60 + 20 + day.entropy.below(90)
    start = 8 * 60 + 10 * day.entropy.below(58)
    minutes = day.choose((10, 15, 20, 30, 45))
    reason = day.choose(names.REASONS)
    scheduled_at = day.moment(booked)
    scheduled = AppointmentScheduled(
        appointment_id=appointment_id,
        patient_id=patient,
        provider_id=provider,
        starts_at=day.start + timedelta(minutes=start),
        minutes=minutes,
        reason=reason,
        scheduled_at=scheduled_at,
    )
    day.add(APPOINTMENTS, patient, scheduled_at, "reception", scheduled)
    if day.chance(8):
        cancelled_at = day.moment(booked + 1)
        cancelled = AppointmentCancelled(
            appointment_id=appointment_id,
            patient_id=patient,
            why=day.choose(names.CANCELLATIONS),
            cancelled_at=cancelled_at,
        )
        day.add(APPOINTMENTS, patient, cancelled_at, "reception", cancelled)
        return
    if day.chance(12):
        start = min(start + 10 * (1 + day.entropy.below(18)), 18 * 60)
        moved_at = day.moment(booked + 1)
        moved = AppointmentRescheduled(
            appointment_id=appointment_id,
            patient_id=patient,
            starts_at=day.start + timedelta(minutes=start),
            rescheduled_at=moved_at,
        )
        day.add(APPOINTMENTS, patient, moved_at, "reception", moved)
    _note(day, appointment_id, patient, provider, start + minutes, reason)


def _note(day: _Day, appointment_id: str, patient: str, provider: str, at: int, reason: str) -> None:
    note_id = f"n{appointment_id[1:]}"
    written_at = day.moment(at)
    created = NoteCreated(
        note_id=note_id,
        patient_id=patient,
        provider_id=provider,
        appointment_id=appointment_id,
        title=reason.capitalize(),
        text=_text(day, reason),
        written_at=written_at,
    )
    day.add(NOTES, patient, written_at, provider, created)
    if day.chance(15):
        amended_at = day.moment(at + 2)
        amended = NoteAmended(
            note_id=note_id,
            patient_id=patient,
            provider_id=provider,
            text=_text(day, reason),
            why=day.choose(names.AMENDMENTS),
            amended_at=amended_at,
        )
        day.add(NOTES, patient, amended_at, provider, amended)
    if day.chance(85):
        signed_at = day.moment(at + 4)
        signed = NoteSigned(note_id=note_id, patient_id=patient, provider_id=provider, signed_at=signed_at)
        day.add(NOTES, patient, signed_at, provider, signed)


def _move(day: _Day, patient: str) -> None:
    updated_at = day.moment(12 * 60 + day.entropy.below(180))
    updated = PatientUpdated(
        patient_id=patient,
        phone=_phone(day) if day.chance(50) else None,
        address=_address(day),
        updated_at=updated_at,
    )
    day.add(PATIENTS, patient, updated_at, "reception", updated)


def _text(day: _Day, reason: str) -> str:
    return (
        f"Presents with {reason}. {day.choose(names.FINDINGS)} {day.choose(names.FINDINGS)} {day.choose(names.PLANS)}"
    )


def _phone(day: _Day) -> str:
    return f"03 5550 {day.entropy.below(10_000):04}"


def _address(day: _Day) -> Address:
    city, postcode = day.choose(names.CITIES)
    return Address(line=f"{1 + day.entropy.below(180)} {day.choose(names.STREETS)}", city=city, postcode=postcode)

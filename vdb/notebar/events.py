"""The Notebar events: patients, providers, appointments and notes.

Streams
    patients, appointments, notes    PHI; the subject of each event is its patient's id
    providers                        not PHI, global

An optional field that is None in an update leaves what was there. Every moment carries its zone.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

from attrs import field, frozen
from msgspec import Meta

from vdb.events import EventRegistry

REGISTRY = EventRegistry()
"""Of these events alone: a program may well have an event of the same name."""
event = REGISTRY.event

Moment = Annotated[datetime, Meta(tz=True)]
"""A date and time with its zone."""

PATIENTS = "patients"
APPOINTMENTS = "appointments"
NOTES = "notes"
PROVIDERS = "providers"


@frozen(kw_only=True)
class Address:
    line: str = field(repr=False)
    city: str
    postcode: str


@event("patient-created")
@frozen(kw_only=True)
class PatientCreated:
    patient_id: str
    given_name: str = field(repr=False)
    family_name: str = field(repr=False)
    birth_date: date = field(repr=False)
    sex: str
    phone: str | None = field(default=None, repr=False)
    address: Address | None = field(default=None, repr=False)
    created_at: Moment


@event("patient-updated")
@frozen(kw_only=True)
class PatientUpdated:
    patient_id: str
    given_name: str | None = field(default=None, repr=False)
    family_name: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)
    address: Address | None = field(default=None, repr=False)
    updated_at: Moment


@event("provider-created")
@frozen(kw_only=True)
class ProviderCreated:
    provider_id: str
    name: str
    profession: str
    created_at: Moment


@event("provider-updated")
@frozen(kw_only=True)
class ProviderUpdated:
    provider_id: str
    name: str | None = None
    profession: str | None = None
    updated_at: Moment


@event("appointment-scheduled")
@frozen(kw_only=True)
class AppointmentScheduled:
    appointment_id: str
    patient_id: str
    provider_id: str
    starts_at: Moment
    minutes: int
    reason: str = field(repr=False)
    scheduled_at: Moment


@event("appointment-rescheduled")
@frozen(kw_only=True)
class AppointmentRescheduled:
    appointment_id: str
    patient_id: str
    starts_at: Moment
    minutes: int | None = None
    rescheduled_at: Moment


@event("appointment-cancelled")
@frozen(kw_only=True)
class AppointmentCancelled:
    appointment_id: str
    patient_id: str
    why: str = field(repr=False)
    cancelled_at: Moment


@event("note-created")
@frozen(kw_only=True)
class NoteCreated:
    note_id: str
    patient_id: str
    provider_id: str
    appointment_id: str | None = None
    title: str = field(repr=False)
    text: str = field(repr=False)
    written_at: Moment


@event("note-amended")
@frozen(kw_only=True)
class NoteAmended:
    note_id: str
    patient_id: str
    provider_id: str
    text: str = field(repr=False)
    why: str = field(repr=False)
    amended_at: Moment


@event("note-signed")
@frozen(kw_only=True)
class NoteSigned:
    note_id: str
    patient_id: str
    provider_id: str
    signed_at: Moment


NotebarEvent = (
    PatientCreated
    | PatientUpdated
    | ProviderCreated
    | ProviderUpdated
    | AppointmentScheduled
    | AppointmentRescheduled
    | AppointmentCancelled
    | NoteCreated
    | NoteAmended
    | NoteSigned
)

"""Notebar's read models: the notes and appointments as they are now, and each patient's timeline."""

from __future__ import annotations

from vdb.notebar.events import APPOINTMENTS, NOTES, PATIENTS
from vdb.projections.config import ProjectionConfig
from vdb.projections.latest import LatestById
from vdb.projections.tables import ColumnType
from vdb.projections.timeline import Entry, Timeline

TIMELINE_FIELDS = ("summary", "status")
"""Every source of `patient_timeline` has these fields, so that the timelines of a tenant can be joined."""

NOTES_CURRENT = ProjectionConfig(
    name="notes_current",
    streams=[NOTES],
    template=LatestById(
        table="notes_current",
        key="note_id",
        key_path="note_id",
        columns={
            "patient_id": "patient_id",
            "provider_id": "provider_id",
            "appointment_id": "appointment_id",
            "title": "title",
            "text": "text",
            "written_us": "written_at",
            "amended_us": "amended_at",
            "amended_why": "why",
            "signed_us": "signed_at",
        },
        types={"written_us": ColumnType.TIME, "amended_us": ColumnType.TIME, "signed_us": ColumnType.TIME},
        events=("note-created", "note-amended", "note-signed"),
        constants={
            "note-created": {"status": "draft"},
            "note-amended": {"status": "amended"},
            "note-signed": {"status": "signed"},
        },
        indexes=(("patient_id", "written_us"),),
    ),
)

APPOINTMENTS_CURRENT = ProjectionConfig(
    name="appointments_current",
    streams=[APPOINTMENTS],
    template=LatestById(
        table="appointments_current",
        key="appointment_id",
        key_path="appointment_id",
        columns={
            "patient_id": "patient_id",
            "provider_id": "provider_id",
            "starts_us": "starts_at",
            "starts_at": "starts_at",
            "minutes": "minutes",
            "reason": "reason",
            "cancelled_why": "why",
        },
        types={"starts_us": ColumnType.TIME, "minutes": ColumnType.INTEGER},
        events=("appointment-scheduled", "appointment-rescheduled", "appointment-cancelled"),
        constants={
            "appointment-scheduled": {"status": "scheduled"},
            "appointment-rescheduled": {"status": "rescheduled"},
            "appointment-cancelled": {"status": "cancelled"},
        },
        indexes=(("patient_id", "starts_us"), ("provider_id", "starts_us")),
    ),
)


def _entry(type_: str, kind: str, *, id_: str, time: str = "", summary: str = "", status: str) -> Entry:
    return Entry(
        type=type_,
        kind=kind,
        id=id_,
        subject="patient_id",
        time=time,
        fields={"summary": summary} if summary else {},
        constants={"status": status},
    )


PATIENT_TIMELINE = ProjectionConfig(
    name="patient_timeline",
    streams=[PATIENTS, APPOINTMENTS, NOTES],
    template=Timeline(
        table="patient_timeline",
        subject_column="patient",
        fields=TIMELINE_FIELDS,
        entries=(
            _entry("patient-created", "patient", id_="@event_id", time="created_at", status="registered"),
            _entry("patient-updated", "patient", id_="@event_id", time="updated_at", status="updated"),
            _entry("appointment-scheduled", "appointment", id_="appointment_id", time="starts_at", summary="reason",
                   status="scheduled"),
            _entry("appointment-rescheduled", "appointment", id_="appointment_id", time="starts_at",
                   status="rescheduled"),
            _entry("appointment-cancelled", "appointment", id_="appointment_id", status="cancelled"),
            _entry("note-created", "note", id_="note_id", time="written_at", summary="title", status="draft"),
            _entry("note-amended", "note", id_="note_id", status="amended"),
            _entry("note-signed", "note", id_="note_id", status="signed"),
        ),
    ),
)  # fmt: skip

NOTEBAR_PROJECTIONS = (NOTES_CURRENT, APPOINTMENTS_CURRENT, PATIENT_TIMELINE)

"""`patient_timeline` over imported resources: what happened to a patient, in clinical time order.

It has the columns of Notebar's timeline, so a tenant that has both has one (`vdb.projections.config.joined`).
"""

from __future__ import annotations

from vdb.fhir.resources import PATIENT_KINDS, ResourceKind, event_type_of
from vdb.projections.config import ProjectionConfig
from vdb.projections.timeline import Entry, Timeline

_STATUS = "status|clinicalStatus.coding[0].code|lifecycleStatus"


def _entry(kind: ResourceKind) -> Entry:
    fields = {"status": _STATUS}
    if kind.summary is not None:
        fields["summary"] = kind.summary.text
    return Entry(
        type=event_type_of(kind.name),
        kind=kind.name,
        id="id",
        subject="@subject",
        subject_prefix="Patient/",
        time=kind.time,
        fields=fields,
    )


PATIENT_TIMELINE = ProjectionConfig(
    name="patient_timeline",
    streams=["fhir.*"],
    template=Timeline(
        table="patient_timeline",
        subject_column="patient",
        fields=("summary", "status"),
        entries=tuple(_entry(kind) for kind in PATIENT_KINDS.values()),
    ),
)

FHIR_PROJECTIONS = (PATIENT_TIMELINE,)

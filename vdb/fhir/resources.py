"""What VerityDB knows of FHIR's resource types: data class, whose they are, clinical time, summary.

Rules
- A type that isn't listed is PHI: only what is known to be about no patient may leave the region.
- A resource of a patient has the subject "Patient/<id>"; one that names no patient has none, and is sealed under its
  stream's key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from vdb.projections.paths import Path, as_optional_path
from vdb.types import DataClass

NON_PHI_TYPES = ("Location", "Organization", "Practitioner", "PractitionerRole")

_TYPE = r"[A-Z][A-Za-z]{1,63}"
_FILE_NAME = re.compile(rf"({_TYPE})(?:\.\d+)?\.ndjson")
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_PATIENT = re.compile(r"(?:.*/)?(Patient/[A-Za-z0-9.-]{1,64})(?:/_history/.*)?", re.DOTALL)
_PATIENT_FIELDS = ("subject", "patient", "beneficiary", "for", "individual")

_CODE = "code.text|code.coding[0].display"
_TYPE_TEXT = "type.text|type.coding[0].display"
_FIRST_TYPE = "type[0].text|type[0].coding[0].display"
_MEDICATION = "medicationCodeableConcept.text|medicationCodeableConcept.coding[0].display|medicationReference.display"
_FIRST_CATEGORY = "category[0].text|category[0].coding[0].display"


@frozen
class ResourceKind:
    """Where a type keeps its clinical time and the text that sums it up. Paths as in `vdb.projections.paths`."""

    name: str
    time: Path | None = field(default=None, converter=as_optional_path)
    summary: Path | None = field(default=None, converter=as_optional_path)


_PATIENT_KINDS = (
    ResourceKind("AllergyIntolerance", "recordedDate|onsetDateTime|onsetPeriod.start|lastOccurrence", _CODE),
    ResourceKind("CarePlan", "period.start|created", f"title|{_FIRST_CATEGORY}|description"),
    ResourceKind("CareTeam", "period.start", f"name|{_FIRST_CATEGORY}"),
    ResourceKind("Claim", "billablePeriod.start|created", _TYPE_TEXT),
    ResourceKind("Condition", "onsetDateTime|onsetPeriod.start|recordedDate", _CODE),
    ResourceKind("Coverage", "period.start", _TYPE_TEXT),
    ResourceKind("Device", "manufactureDate", f"{_TYPE_TEXT}|deviceName[0].name"),
    ResourceKind("DiagnosticReport", "effectiveDateTime|effectivePeriod.start|issued", _CODE),
    ResourceKind("DocumentReference", "date|context.period.start", f"description|{_TYPE_TEXT}"),
    ResourceKind("Encounter", "period.start", f"{_FIRST_TYPE}|class.display|class.code"),
    ResourceKind("ExplanationOfBenefit", "billablePeriod.start|created", _TYPE_TEXT),
    ResourceKind("FamilyMemberHistory", "date", "relationship.text|relationship.coding[0].display"),
    ResourceKind("Goal", "startDate|statusDate", "description.text|description.coding[0].display"),
    ResourceKind("ImagingStudy", "started", "description|modality[0].display"),
    ResourceKind("Immunization", "occurrenceDateTime|recorded", "vaccineCode.text|vaccineCode.coding[0].display"),
    ResourceKind("MedicationAdministration", "effectiveDateTime|effectivePeriod.start", _MEDICATION),
    ResourceKind("MedicationDispense", "whenHandedOver|whenPrepared", _MEDICATION),
    ResourceKind("MedicationRequest", "authoredOn", _MEDICATION),
    ResourceKind("MedicationStatement", "effectiveDateTime|effectivePeriod.start|dateAsserted", _MEDICATION),
    ResourceKind("Observation", "effectiveDateTime|effectivePeriod.start|effectiveInstant|issued", _CODE),
    ResourceKind("Patient", "birthDate", "name[0].text|name[0].family"),
    ResourceKind("Procedure", "performedPeriod.start|performedDateTime", _CODE),
    ResourceKind("QuestionnaireResponse", "authored", "questionnaire"),
    ResourceKind("ServiceRequest", "authoredOn|occurrenceDateTime|occurrencePeriod.start", _CODE),
    ResourceKind("Specimen", "collection.collectedDateTime|receivedTime", _TYPE_TEXT),
)
PATIENT_KINDS: Mapping[str, ResourceKind] = {kind.name: kind for kind in _PATIENT_KINDS}
"""The types that stand on a patient's timeline."""


def data_class_of(resource_type: str) -> DataClass:
    return DataClass.NON_PHI if resource_type in NON_PHI_TYPES else DataClass.PHI


def stream_of(resource_type: str) -> str:
    return f"fhir.{resource_type}"


def event_type_of(resource_type: str) -> str:
    return f"fhir/{resource_type}"


def type_of_file(name: str) -> str | None:
    """The resource type that a bulk export's file holds (`Encounter.000.ndjson`); None for any other file."""
    found = _FILE_NAME.fullmatch(name)
    return found[1] if found else None


def is_resource_id(value: Any) -> bool:
    """Whether this is an id as FHIR writes them."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def subject_of(resource: Mapping[str, Any]) -> str:
    """ "Patient/<id>", or "" for a resource that names no patient."""
    if resource["resourceType"] == "Patient":
        return f"Patient/{resource['id']}"
    for name in _PATIENT_FIELDS:
        reference = resource.get(name)
        text = reference.get("reference") if isinstance(reference, dict) else None
        found = _PATIENT.fullmatch(text) if isinstance(text, str) else None
        if found:
            return found[1]
    return ""

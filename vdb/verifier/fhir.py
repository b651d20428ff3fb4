"""FHIR R4 AuditEvents of an entry of an audit log, after IHE's Basic Audit Log Patterns (BALP) where one fits.

Rules
- An entry is given as the JSON that was sealed, decoded. The same entry gives the same events, to the byte.
- What several patients are concerned by gives an event for each, up to a limit: above it one event, without a patient,
  says of how many it was.
- Profiles are claimed for what was done; what was denied or refused claims none.
- A subject whose name isn't known any more stands as an identifier, never as a reference to a patient.
"""

from __future__ import annotations

import re
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

FHIR_VERSION = "4.0.1"

_HL7 = "http://terminology.hl7.org/CodeSystem/"
_EVENT_TYPE = _HL7 + "audit-event-type"
_ENTITY_TYPE = _HL7 + "audit-entity-type"
_OBJECT_ROLE = _HL7 + "object-role"
_ACT_REASON = _HL7 + "v3-ActReason"
_PARTICIPATION = _HL7 + "v3-ParticipationType"
_ROLE_CLASS = _HL7 + "v3-RoleClass"
_LIFECYCLE = _HL7 + "iso-21089-lifecycle"
_SOURCE_TYPE = _HL7 + "security-source-type"
_REST = "http://hl7.org/fhir/restful-interaction"
_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_AUTHORIZATION = "https://profiles.ihe.net/ITI/BALP/CodeSystem/AuthZsubType"
_BALP_ENTITY = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"
_PROFILE = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."

_SOURCE, _DESTINATION, _APPLICATION = "110153", "110152", "110150"

_REFERENCE = re.compile(r"[A-Z][A-Za-z]{1,63}/[A-Za-z0-9.-]{1,64}(/_history/[A-Za-z0-9.-]{1,64})?")
_FHIR_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_IP = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9]{1,3}(?:\.[0-9]{1,3}){3}))(?::[0-9]{1,5})?")
_FHIR_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_OUTCOMES = {"ok": "0", "refused": "4", "denied": "8"}

_RESTFUL: dict[str, tuple[str, str, str, bool]] = {
    # kind: interaction, action, profile, whether the client is where the data come from
    "read": ("read", "R", "Read", False),
    "query": ("search-type", "E", "Query", True),
    "write": ("update", "U", "Update", True),
    "create": ("create", "C", "Create", True),
}

_OTHERS: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
    # kind: type, subtype, action
    "policy": (
        {"code": "110113", "display": "Security Alert"},
        {"code": "110136", "display": "Security Roles Changed"},
        "E",
    ),
    "consent": (
        {"code": "110113", "display": "Security Alert"},
        {"system": _AUTHORIZATION, "code": "AuthZ-Consent"},
        "E",
    ),
    "break-glass": (
        {"code": "110113", "display": "Security Alert"},
        {"code": "110127", "display": "Emergency Override Started"},
        "E",
    ),
    "review": ({"code": "110101", "display": "Audit Log Used"}, {"system": _LIFECYCLE, "code": "verify"}, "R"),
    "audit": ({"code": "110101", "display": "Audit Log Used"}, {"system": _LIFECYCLE, "code": "access"}, "R"),
    "key": (
        {"code": "110113", "display": "Security Alert"},
        {"code": "110132", "display": "Use of Restricted Function"},
        "E",
    ),
    "erase": ({"system": _EVENT_TYPE, "code": "rest"}, {"system": _LIFECYCLE, "code": "destroy"}, "D"),
    "hold": ({"system": _EVENT_TYPE, "code": "rest"}, {"system": _LIFECYCLE, "code": "hold"}, "E"),
    "retention": (
        {"code": "110100", "display": "Application Activity"},
        {"system": _LIFECYCLE, "code": "archive"},
        "E",
    ),
    "admin": ({"code": "110100", "display": "Application Activity"}, {}, "E"),
    "sign-in": ({"code": "110114", "display": "User Authentication"}, {"code": "110122", "display": "Login"}, "E"),
    "application": ({"code": "110100", "display": "Application Activity"}, {}, "E"),
}


def audit_events_of(entry: dict[str, Any], event_id: str, place: dict[str, str]) -> list[dict[str, Any]]:
    """The events, in the order of the entry's subjects. `event_id`: of the only one; of several with -0, -1 behind it.

    `place` says what an entry doesn't: "region", "organization" (in denials), "address" of the database for clients,
    and "patients_max", in digits.
    """
    subjects = [one for one in entry.get("subjects", []) if one != "*"]
    if len(subjects) <= 1:
        return [_event(entry, event_id, subjects[:1], place)]
    if len(subjects) > int(place["patients_max"]):
        return [_event(entry, event_id, [], place)]
    return [_event(entry, f"{event_id}-{number}", [one], place) for number, one in enumerate(subjects)]


def instant_of(micros: int) -> str:
    """Microseconds UTC as a FHIR instant: milliseconds, or microseconds where there are some."""
    spec = "microseconds" if micros % 1000 else "milliseconds"
    return (_FHIR_EPOCH + timedelta(microseconds=micros)).isoformat(timespec=spec).replace("+00:00", "Z")


def _event(entry: dict[str, Any], event_id: str, subjects: list[str], place: dict[str, str]) -> dict[str, Any]:
    kind, outcome = entry["kind"], entry.get("outcome", "ok")
    if kind == "deny" or outcome == "denied":
        parts = _denied(entry, subjects, place)
    elif kind in _RESTFUL:
        parts = _rest(entry, subjects, place)
    elif kind == "export":
        parts = _disclosed(entry, subjects, place)
    else:
        parts = _other(entry, subjects, place)
    if outcome != "ok":
        parts.pop("meta", None)
    event = {
        "resourceType": "AuditEvent",
        "id": event_id,
        "recorded": instant_of(entry.get("time", 0)),
        "outcome": _OUTCOMES["denied" if kind == "deny" else outcome],
        "source": {
            "site": place["region"],
            "observer": _node(entry),
            "type": [{"system": _SOURCE_TYPE, "code": "6" if _is_denial(entry) else "4"}],
        },
        **parts,
    }
    told = _outcome_told(entry)
    if told:
        event["outcomeDesc"] = told
    return event


def _is_denial(entry: dict[str, Any]) -> bool:
    return entry["kind"] == "deny" or entry.get("outcome") == "denied"


def _outcome_told(entry: dict[str, Any]) -> str:
    if _is_denial(entry):
        why = entry.get("detail", {}).get("why", "") or entry.get("code", "")
        return f"deny: rule {entry.get('rule', '') or 'none'}" + (f"; {why}" if why else "")
    if entry.get("outcome") == "refused":
        return f"refused: {entry.get('code', '') or 'by a rule of the data'}"
    return ""


def _in_emergency(entry: dict[str, Any]) -> bool:
    """It was allowed because somebody has broken the glass."""
    return bool(entry.get("grant")) or entry.get("detail", {}).get("broke-glass") == "true"


# What was done


def _rest(entry: dict[str, Any], subjects: list[str], place: dict[str, str]) -> dict[str, Any]:
    interaction, action, profile, client_is_source = _RESTFUL[entry["kind"]]
    subtypes: list[dict[str, str]] = [{"system": _REST, "code": interaction}]
    if _in_emergency(entry):
        subtypes.append({"system": _DCM, "code": "110127", "display": "Emergency Override Started"})
    client, server = (_SOURCE, _DESTINATION) if client_is_source else (_DESTINATION, _SOURCE)
    writes = entry["kind"] in ("write", "create")
    entities = [*map(_patient, subjects)]
    data = _asked(entry) if entry["kind"] == "query" else _data(entry)
    entities += [data] if data else []
    parts: dict[str, Any] = {
        "meta": {"profile": [f"{_PROFILE}{'Patient' if subjects else ''}{profile}"]},
        "type": {"system": _EVENT_TYPE, "code": "rest"},
        "subtype": subtypes,
        "action": action,
        "agent": [
            _client(entry, client),
            _server(entry, server, place),
            _user(entry, "AUT" if writes else "IRCP"),
            *_named(entry),
        ],
        "entity": [*entities, *_request(entry)],
    }
    if data is None:
        del parts["meta"]  # the profiles ask for what was read or written
    return parts


def _disclosed(entry: dict[str, Any], subjects: list[str], place: dict[str, str]) -> dict[str, Any]:
    detail = entry.get("detail", {})
    where = detail.get("recipient-endpoint", "")
    recipient: dict[str, Any] = {
        "type": _coding(_DCM, _DESTINATION),
        "who": {
            "display": ", ".join(filter(None, (detail.get("recipient"), detail.get("recipient-address")))) or "unknown"
        },
        "requestor": False,
        "network": {"address": where, "type": "5"} if where else {"address": "unknown", "type": "1"},
    }
    bundle: dict[str, Any] = {
        "what": {"identifier": {"value": f"bundle:sha256:{entry.get('digest', '') or detail.get('manifest', '')}"}},
        "type": {"system": _ENTITY_TYPE, "code": "2"},
        "role": {"system": _OBJECT_ROLE, "code": "3"},
    }
    if detail.get("description"):
        bundle["description"] = detail["description"]
    parts: dict[str, Any] = {
        "meta": {"profile": [f"{_PROFILE}PrivacyDisclosure.Source"]},
        "type": {"system": _DCM, "code": "110106", "display": "Export"},
        "subtype": [{"system": _LIFECYCLE, "code": "disclose"}],
        "action": "R",
        "agent": [_server(entry, _SOURCE, place), recipient, _user(entry, "IRCP"), *_named(entry)],
        "entity": [*map(_patient, subjects), bundle, *_request(entry)],
    }
    purpose = detail.get("disclosure-purpose") or entry.get("purpose", "")
    if purpose:
        parts["purposeOfEvent"] = [_purpose(purpose)]
    if not subjects:
        del parts["meta"]
    return parts


def _denied(entry: dict[str, Any], subjects: list[str], place: dict[str, str]) -> dict[str, Any]:
    detail = entry.get("detail", {})
    consent = detail.get("missing") == "consent"
    rule = detail.get("policy") or entry.get("policy", "")
    agents = [_client(entry, _APPLICATION), _user(entry, "IRCP"), *_named(entry)]
    if place.get("organization"):
        agents.append(
            {"type": _coding(_ROLE_CLASS, "PROV"), "who": {"display": place["organization"]}, "requestor": False}
        )
    agents.append(
        {"type": _coding(_HL7 + "extra-security-role-type", "authserver"), "who": _node(entry), "requestor": False}
    )
    policy = {
        "what": {"identifier": {"system": "urn:verity:policy", "value": rule or "none"}},
        "type": {"system": _ENTITY_TYPE, "code": "2"},
        "role": {"system": _OBJECT_ROLE, "code": "13"},
    }
    data = _data(entry)
    return {
        "type": {"system": _DCM, "code": "110113", "display": "Security Alert"},
        "subtype": [{"system": _AUTHORIZATION, "code": "AuthZ-Consent" if consent else "AuthZ-Role"}],
        "action": "E",
        "agent": agents,
        "entity": [*map(_patient, subjects), policy, *([data] if data else []), *_request(entry)],
    }


def _other(entry: dict[str, Any], subjects: list[str], place: dict[str, str]) -> dict[str, Any]:
    kind, subtype, action = _OTHERS[entry["kind"]]
    data = _data(entry)
    parts: dict[str, Any] = {
        "type": {"system": _DCM, **kind},
        "action": action,
        "agent": [
            _client(entry, _APPLICATION),
            _server(entry, _DESTINATION, place),
            _user(entry, "IRCP"),
            *_named(entry),
        ],
        "entity": [*map(_patient, subjects), *([data] if data else []), *_request(entry)],
    }
    if subtype:
        parts["subtype"] = [{"system": _DCM, **subtype}]
    if not parts["entity"]:
        del parts["entity"]
    return parts


# Who


def _client(entry: dict[str, Any], code: str) -> dict[str, Any]:
    client = entry.get("client", "") or entry.get("credential", "") or "unknown"
    found = _IP.fullmatch(client)
    network = {"address": (found[1] or found[2]), "type": "2"} if found else {"address": client, "type": "1"}
    value = entry.get("detail", {}).get("application") or client
    return {
        "type": _coding(_DCM, code),
        "who": {"identifier": {"value": value}},
        "requestor": False,
        "network": network,
    }


def _server(entry: dict[str, Any], code: str, place: dict[str, str]) -> dict[str, Any]:
    address = place.get("address", "")
    return {
        "type": _coding(_DCM, code),
        "who": _node(entry),
        "requestor": False,
        "network": {"address": address, "type": "5"}
        if "://" in address
        else {"address": address or entry.get("node", "") or "unknown", "type": "1"},
    }


def _node(entry: dict[str, Any]) -> dict[str, Any]:
    return {"identifier": {"value": entry.get("node", "") or "unknown"}}


def _user(entry: dict[str, Any], participation: str) -> dict[str, Any]:
    agent: dict[str, Any] = {
        "type": _coding(_PARTICIPATION, participation),
        "who": {"identifier": _principal(entry.get("actor", ""))},
        "requestor": True,
    }
    role = entry.get("detail", {}).get("role", "")
    if role:
        agent["role"] = [{"text": role}]
    purpose = "BTG" if _in_emergency(entry) else entry.get("purpose", "")
    if purpose:
        agent["purposeOfUse"] = [_purpose(purpose)]
        if entry.get("reason"):
            agent["purposeOfUse"][0]["text"] = entry["reason"]
    if entry.get("policy"):
        agent["policy"] = [f"urn:verity:policy:{entry['policy']}"]
    return agent


def _named(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Whom the program that asks has named: nothing was proven of them."""
    name = entry.get("on-behalf-of", "")
    if not name:
        return []
    return [{"type": {"text": "on behalf of"}, "who": {"identifier": _principal(name)}, "requestor": False}]


def _principal(name: str) -> dict[str, str]:
    scheme, slashes, rest = name.partition("://")
    home, slash, value = rest.partition("/")
    if slashes and slash and home and value:
        return {"system": f"{scheme}://{home}", "value": value}
    return {"value": name or "unknown"}


# What


def _patient(subject: str) -> dict[str, Any]:
    return {
        "what": _subject(subject),
        "type": {"system": _ENTITY_TYPE, "code": "1", "display": "Person"},
        "role": {"system": _OBJECT_ROLE, "code": "1", "display": "Patient"},
    }


def _subject(subject: str) -> dict[str, Any]:
    if subject.startswith("token:"):
        return {"identifier": {"system": "urn:verity:subject-token", "value": subject.removeprefix("token:")}}
    if _REFERENCE.fullmatch(subject):
        return {"reference": subject}
    if _FHIR_ID.fullmatch(subject):
        return {"reference": f"Patient/{subject}"}
    return {"identifier": {"system": "urn:verity:subject", "value": subject}}


def _data(entry: dict[str, Any]) -> dict[str, Any] | None:
    name, first = entry.get("object", ""), entry.get("first")
    if not name and not entry.get("tables"):
        return None
    value = name or ",".join(entry["tables"])
    entity: dict[str, Any] = {
        "what": {"reference": value}
        if _REFERENCE.fullmatch(value)
        else {"identifier": {"system": "urn:verity:object", "value": value}},
        "type": {"system": _ENTITY_TYPE, "code": "2"},
        "role": {"system": _OBJECT_ROLE, "code": "4"},
    }
    told = _extent(entry, first)
    if told:
        entity["description"] = told
    return entity


def _asked(entry: dict[str, Any]) -> dict[str, Any]:
    statement = entry.get("statement", "") or _query_told(entry)
    entity: dict[str, Any] = {
        "type": {"system": _ENTITY_TYPE, "code": "2"},
        "role": {"system": _OBJECT_ROLE, "code": "24"},
        "query": b64encode(statement.encode()).decode("ascii"),
    }
    told = _extent(entry, None)
    if told:
        entity["description"] = told
    return entity


def _query_told(entry: dict[str, Any]) -> str:
    if entry.get("fingerprint"):
        return f"statement sha256:{entry['fingerprint']}"
    return " ".join(filter(None, (entry.get("object", ""), *entry.get("tables", [])))) or entry["action"]


def _extent(entry: dict[str, Any], first: int | None) -> str:
    said = [] if first is None else [f"from {first}"]
    if entry.get("count"):
        said.append(f"count {entry['count']}")
    if entry.get("tables") and entry.get("object"):
        said.append(f"tables {', '.join(entry['tables'])}")
    if "*" in entry.get("subjects", []):
        said.append("about all subjects")
    return "; ".join(said)


def _request(entry: dict[str, Any]) -> list[dict[str, Any]]:
    if not entry.get("request"):
        return []
    return [
        {
            "what": {"identifier": {"value": entry["request"]}},
            "type": {"system": _BALP_ENTITY, "code": "XrequestId"},
        }
    ]


def _coding(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def _purpose(code: str) -> dict[str, Any]:
    coding = {"system": _ACT_REASON, "code": code}
    if code == "BTG":
        coding["display"] = "break the glass"
    return {"coding": [coding]}

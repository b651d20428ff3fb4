"""The rules of IHE's Basic Audit Log Patterns for the profiles that events here may claim, as a check."""

from __future__ import annotations

from typing import Any

from fhir.resources.R4B.auditevent import AuditEvent

PROFILE = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."

CODES = {
    # profile: action, interaction, code of the client, code of the server, participation of the user
    "Create": ("C", ("create",), "110153", "110152", ("AUT", "INF", "CST")),
    "Read": ("R", ("read", "vread"), "110152", "110153", ("IRCP",)),
    "Update": ("U", ("update",), "110153", "110152", ("AUT", "INF", "CST")),
    "Query": ("E", ("search-type",), "110153", "110152", ("IRCP",)),
}


def check_event(event: dict[str, Any]) -> None:
    """AssertionError, or ValidationError of FHIR's own model (R4B), for what isn't as it has to be."""
    AuditEvent.model_validate(event)
    _check_minimum(event)
    profiles = event.get("meta", {}).get("profile", [])
    if not profiles:
        return
    (profile,) = profiles
    assert event["outcome"] == "0", "the profiles are for what was done"
    name = profile.removeprefix(PROFILE)
    if name == "PrivacyDisclosure.Source":
        _check_disclosure(event)
        return
    _check_rest(event, name.removeprefix("Patient"))
    assert _patients(event) == int(name.startswith("Patient")), "an event is about one patient, or about none"


def _check_minimum(event: dict[str, Any]) -> None:
    assert event["type"]
    assert event["recorded"].endswith("Z")
    assert sum(agent["requestor"] for agent in event["agent"]) == 1
    assert event["source"]["observer"]
    for entity in event.get("entity", ()):
        assert not ("name" in entity and "query" in entity), "an entity has a name or a query"
    for agent in event["agent"]:
        assert not (agent["requestor"] and "network" in agent), "who asks has no network of their own"


def _check_rest(event: dict[str, Any], name: str) -> None:
    action, interactions, client, server, users = CODES[name]
    assert event["action"] == action
    assert event["type"]["code"] == "rest"
    assert event["subtype"][0]["system"].endswith("restful-interaction")
    assert event["subtype"][0]["code"] in interactions
    for code in (client, server):
        (agent,) = (one for one in event["agent"] if _codes(one) == [code])
        assert agent["network"]["address"]
        assert agent["network"]["type"] in "12345"
        assert not agent["requestor"]
    (user,) = (one for one in event["agent"] if one["requestor"])
    assert _codes(user)[0] in users
    assert user["who"]["identifier"]["value"]
    if name == "Query":
        (query,) = (one for one in event["entity"] if one.get("role", {}).get("code") == "24")
        assert query["type"]["code"] == "2"
        assert query["query"]
        assert not query.keys() & {"what", "detail", "name"}
    else:
        (data,) = (one for one in event["entity"] if one.get("role", {}).get("code") == "4")
        assert data["type"]["code"] == "2"
        assert data["what"]
    asked = [one for one in event["entity"] if one["type"]["code"] == "XrequestId"]
    assert len(asked) <= 1
    assert all(one["what"]["identifier"]["value"] for one in asked)


def _check_disclosure(event: dict[str, Any]) -> None:
    assert event["type"]["code"] == "110106"
    assert [one["code"] for one in event["subtype"]] == ["disclose"]
    assert event["action"] == "R"
    (source,) = (one for one in event["agent"] if _codes(one) == ["110153"])
    (recipient,) = (one for one in event["agent"] if _codes(one) == ["110152"])
    assert source["who"] == event["source"]["observer"]
    assert recipient["who"]
    assert _patients(event) == 1
    assert [one["type"]["code"] for one in event["entity"] if one.get("role", {}).get("code") == "3"] == ["2"]


def _codes(agent: dict[str, Any]) -> list[str]:
    return [one["code"] for one in agent["type"].get("coding", ())]


def _patients(event: dict[str, Any]) -> int:
    return sum(one.get("role", {}).get("code") == "1" for one in event["entity"])

"""Policies as TOML: strict, so that a misspelt key is an error and not a rule that says less than it seems to.

name = "clinic"

[roles]                                # a role and those that it includes
clinician = []
admin = ["clinician"]

[[binding]]
principals = ["spiffe://clinic.example/provider/*"]
roles = ["clinician"]
tenants = [1]                          # without: all

[[rule]]
name = "clinicians-treat"
roles = ["clinician"]
actions = ["read", "query", "append"]
classes = ["phi"]
purposes = ["TREAT"]
streams = ["patients", "note*"]
tables = ["patients", "notes"]         # and columns = [...]; without: all
rows = "provider = :principal"
masks = { ssn = "last-four" }
mfa = true

[[rule]]
name = "no-psychotherapy-notes"
effect = "deny"                        # wins over every rule that allows; "break-glass" is the third
actions = ["read", "query"]
streams = ["psychotherapy*"]

[break-glass]
roles = ["clinician"]
minutes = 60
reviewers = ["admin"]

[on-behalf]                            # who may name the person for whom they ask; without: who has the role "service"
principals = ["spiffe://clinic.example/app/*"]
roles = []

[[case]]                               # what the policy must answer (`vdb.policy.cases`)
name = "a clinician reads for treatment"
principal = "spiffe://clinic.example/provider/lee"
action = "read"
class = "phi"
stream = "notes"
purpose = "TREAT"
mfa = true
allowed = true
rule = "clinicians-treat"
"""

from __future__ import annotations

import hashlib
import tomllib
from typing import Any, Literal

import msgspec
from attrs import asdict, evolve

from vdb.errors import ConfigError
from vdb.policy.cases import Case
from vdb.policy.decide import AccessRequest, Consent, Grant, Principal
from vdb.policy.model import Binding, BreakGlass, OnBehalf, Policy, Role, Rule
from vdb.policy.words import Action, Effect, Mask
from vdb.types import DataClass

_Class = Literal["phi", "non-phi", "deidentified"]
_CASE_TIME = 1
"""Microseconds UTC at which cases ask: their grants and consents end after it."""


class _Strict(msgspec.Struct, forbid_unknown_fields=True, rename="kebab", kw_only=True, frozen=True):
    """A table of the file."""


class _Binding(_Strict, kw_only=True, frozen=True):
    principals: tuple[str, ...]
    roles: tuple[str, ...]
    tenants: tuple[int, ...] = ()


class _Rule(_Strict, kw_only=True, frozen=True):
    name: str
    effect: Effect = Effect.ALLOW
    roles: tuple[str, ...] = ()
    principals: tuple[str, ...] = ()
    actions: tuple[Action, ...]
    tenants: tuple[int, ...] = ()
    classes: tuple[_Class, ...] = ()
    streams: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ()
    mfa: bool = False
    consent: bool = False
    rows: str = ""
    masks: dict[str, Mask] = {}


class _BreakGlass(_Strict, kw_only=True, frozen=True):
    roles: tuple[str, ...] = ()
    minutes: int = 60
    reviewers: tuple[str, ...] = ()


class _OnBehalf(_Strict, kw_only=True, frozen=True):
    principals: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()


class _Case(_Strict, kw_only=True, frozen=True):
    name: str
    principal: str
    action: Action
    class_: _Class = msgspec.field(name="class")
    tenant: int = 1
    stream: str = ""
    tables: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    subject: str = ""
    purpose: str = ""
    on_behalf_of: str = ""
    mfa: bool = False
    development: bool = False
    broke_glass: bool = False
    consented: bool = False
    allowed: bool
    rule: str = ""


class _File(_Strict, kw_only=True, frozen=True):
    name: str
    roles: dict[str, tuple[str, ...]] = {}
    binding: tuple[_Binding, ...] = ()
    rule: tuple[_Rule, ...] = ()
    break_glass: _BreakGlass = _BreakGlass()
    on_behalf: _OnBehalf | None = None
    case: tuple[_Case, ...] = ()


def parse_policy(text: str) -> tuple[Policy, tuple[Case, ...]]:
    """A policy with its version, and its cases. ConfigError names the key and what was expected."""
    try:
        found = msgspec.convert(tomllib.loads(text), _File)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"the policy isn't TOML: {error}") from None
    except msgspec.ValidationError as error:
        raise ConfigError(f"the policy: {error}") from None
    policy = Policy(
        name=found.name,
        roles=tuple(Role(name=name, includes=includes) for name, includes in found.roles.items()),
        bindings=tuple(Binding(**msgspec.structs.asdict(binding)) for binding in found.binding),
        rules=tuple(_rule(rule) for rule in found.rule),
        break_glass=BreakGlass(**msgspec.structs.asdict(found.break_glass)),
        on_behalf=OnBehalf() if found.on_behalf is None else OnBehalf(**msgspec.structs.asdict(found.on_behalf)),
    )
    return evolve(policy, version=version_of(policy)), tuple(_case(case) for case in found.case)


def canonical(policy: Policy) -> bytes:
    """The form on which the version stands: JSON, keys sorted, rules in their order, which counts."""
    content = asdict(policy, filter=lambda attribute, _: attribute.name not in ("version", "_closure"))
    if policy.on_behalf == OnBehalf():
        del content["on_behalf"]  # a policy that says nothing of it has the version that it always had
    return msgspec.json.encode(content, order="deterministic")


def version_of(policy: Policy) -> str:
    return f"sha256:{hashlib.sha256(canonical(policy)).hexdigest()}"


def _classes(labels: tuple[str, ...]) -> tuple[DataClass, ...]:
    return tuple(data_class for label in labels for data_class in DataClass if data_class.label == label)


def _rule(found: _Rule) -> Rule:
    fields: dict[str, Any] = msgspec.structs.asdict(found)
    return Rule(**{**fields, "classes": _classes(found.classes)})


def _case(found: _Case) -> Case:
    grant = Grant(principal=found.principal, tenant=found.tenant, subject=found.subject, until=_CASE_TIME + 1)
    consent = Consent(tenant=found.tenant, subject=found.subject, purposes=(found.purpose,))
    return Case(
        name=found.name,
        request=AccessRequest(
            principal=Principal(name=found.principal, mfa=found.mfa, development=found.development),
            action=found.action,
            tenant=found.tenant,
            data_class=_classes((found.class_,))[0],
            stream=found.stream,
            tables=found.tables,
            columns=found.columns,
            subject=found.subject,
            purpose=found.purpose,
            on_behalf_of=found.on_behalf_of,
            time=_CASE_TIME,
        ),
        grants=(grant,) if found.broke_glass else (),
        consents=(consent,) if found.consented else (),
        allowed=found.allowed,
        rule=found.rule,
    )

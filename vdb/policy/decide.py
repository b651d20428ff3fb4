"""A request and a policy to a decision.

Rules
- What no rule allows is denied (`default`).
- Of the rules that fit a request, one that denies wins over all that allow.
- Of those that allow, the first in the file that fits completely decides: its rows and masks count. So the rules stand
  in the order from the narrow to the wide.
- A rule whose only unmet condition is consent, a second factor or the broken glass says so in the denial: the person
  sees what would help.
- A stream that holds a SQL database's rows may be read by rules that name such streams: it shows what filters, masks
  and rules about tables hide.
- Who names somebody else for whom they ask has to be one whom the policy lets do so, and has their own rights alone.
- Every decision names the rule and the policy's version. Deciding the same again gives the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import field, frozen

from vdb.policy.model import Policy, Rule, fits
from vdb.policy.words import EMERGENCY_PURPOSES, SQL_STREAMS, Action, Effect, Mask
from vdb.types import DataClass

DEFAULT = "default"
"""The rule's name in a decision that no rule made: denied."""
ON_BEHALF = "on-behalf"
"""The rule's name where the principal may not name others."""


@frozen(kw_only=True)
class Principal:
    """Who asks, as the connection proved it."""

    name: str
    mfa: bool = False
    """A second factor was shown."""
    development: bool = False
    """The credential is one of development mode: never for PHI."""


@frozen(kw_only=True)
class Grant:
    """A glass that was broken."""

    principal: str
    tenant: int
    subject: str = field(default="", repr=False)
    """Whose data; empty: everybody's of the tenant."""
    until: int
    """Microseconds UTC."""
    number: int = 0


@frozen(kw_only=True)
class Consent:
    """A subject's consent to a purpose."""

    tenant: int
    subject: str = field(repr=False)
    purposes: tuple[str, ...]
    until: int | None = None
    """Microseconds UTC; None: until it is withdrawn."""


@frozen(kw_only=True)
class AccessRequest:
    """What is asked for. Of what a request doesn't touch, nothing is said."""

    principal: Principal
    action: Action
    tenant: int
    data_class: DataClass
    stream: str = field(default="", repr=False)
    """The name of the stream, projection, database or consumer."""
    tables: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    """Names as `table.column`, or plain."""
    subject: str = field(default="", repr=False)
    purpose: str = ""
    on_behalf_of: str = field(default="", repr=False)
    """Somebody else whom the principal has named."""
    time: int = 0
    """Microseconds UTC."""


@frozen(kw_only=True)
class Decision:
    allowed: bool
    rule: str
    version: str
    """Of the policy."""
    reason: str
    """For the person who asked: names no data."""
    rows: str = ""
    masks: Mapping[str, Mask] = field(factory=dict)
    broke_glass: bool = False
    grant: int = 0
    """The number of the grant by which it is allowed; 0: it needed none."""


def decide(
    policy: Policy, request: AccessRequest, *, grants: Sequence[Grant] = (), consents: Sequence[Consent] = ()
) -> Decision:
    """See the module's docstring."""
    roles = policy.roles_of(request.principal.name, request.tenant)
    if request.principal.development and request.data_class is DataClass.PHI:
        return _denied(policy, DEFAULT, "a credential of development mode never reaches PHI")
    if request.on_behalf_of and not policy.may_name_others(request.principal.name, request.tenant):
        who = request.principal.name
        reason = f"{who} may not ask on behalf of others: expected the role 'service', or one that [on-behalf] names"
        return _denied(policy, ON_BEHALF, reason)
    fitting = [rule for rule in policy.rules if _concerns(rule, request, roles)]
    for rule in fitting:
        if rule.effect is Effect.DENY and _touches(rule, request):
            return _denied(policy, rule.name, f"rule '{rule.name}' denies {_what(request)}")
    missing: list[str] = []
    for rule in fitting:
        if rule.effect is Effect.DENY or not _covers(rule, request):
            continue
        unmet = _unmet(rule, request, grants, consents)
        if not _names_sql(rule, request):
            unmet = f"{SQL_STREAMS}... among its streams: rows of SQL databases are for 'query', 'time-travel'"
        if not unmet:
            return Decision(
                allowed=True,
                rule=rule.name,
                version=policy.version,
                reason=f"rule '{rule.name}' allows {_what(request)}",
                rows=rule.rows,
                masks=rule.masks,
                broke_glass=rule.effect is Effect.BREAK_GLASS,
                grant=_grant_of(rule, request, grants),
            )
        missing.append(f"rule '{rule.name}' would with {unmet}")
    if missing:
        return _denied(policy, DEFAULT, f"no rule allows {_what(request)}; {'; '.join(missing)}")
    held = ", ".join(sorted(roles)) or "none"
    return _denied(policy, DEFAULT, f"no rule allows {_what(request)} with these roles: {held}")


def _denied(policy: Policy, rule: str, reason: str) -> Decision:
    return Decision(allowed=False, rule=rule, version=policy.version, reason=reason)


def _concerns(rule: Rule, request: AccessRequest, roles: frozenset[str]) -> bool:
    """Whether who, what, where and why of the request fit the rule."""
    if rule.roles or rule.principals:
        by_role = not roles.isdisjoint(rule.roles)
        if not by_role and not fits(rule.principals, request.principal.name):
            return False
    return (
        request.action in rule.actions
        and (not rule.tenants or request.tenant in rule.tenants)
        and (not rule.classes or request.data_class in rule.classes)
        and (not rule.streams or fits(rule.streams, request.stream))
        and (not rule.purposes or request.purpose in rule.purposes)
    )


def _names_sql(rule: Rule, request: AccessRequest) -> bool:
    """Whether a rule that lets read means streams of SQL databases, if this is one. '*' alone doesn't."""
    if request.action is not Action.READ or not request.stream.startswith(SQL_STREAMS):
        return True
    return fits((one for one in rule.streams if one.startswith(SQL_STREAMS[0])), request.stream)


def _touches(rule: Rule, request: AccessRequest) -> bool:
    """Whether a rule that denies meets one of the tables or columns. One that names none meets all."""
    tables = not rule.tables or any(_names(rule.tables, table) for table in request.tables)
    return tables and (not rule.columns or any(_is_among(column, rule.columns) for column in request.columns))


def _covers(rule: Rule, request: AccessRequest) -> bool:
    """Whether a rule that allows covers all tables and columns. One that names none covers all."""
    if rule.tables and not (request.tables and all(_names(rule.tables, table) for table in request.tables)):
        return False
    allowed = (*rule.columns, *rule.masks)
    return not rule.columns or all(_is_among(column, allowed) for column in request.columns)


def _is_among(column: str, names: Sequence[str]) -> bool:
    """`table.column` fits itself and the plain name of the column."""
    return _names(names, column) or _names(names, column.rpartition(".")[2])


def _names(names: Sequence[str], one: str) -> bool:
    """SQL doesn't tell upper from lower case in names."""
    return one in names or one.lower() in [name.lower() for name in names]


def _unmet(rule: Rule, request: AccessRequest, grants: Sequence[Grant], consents: Sequence[Consent]) -> str:
    """What is missing for this rule, in words; empty if nothing is."""
    if rule.effect is Effect.BREAK_GLASS:
        if request.purpose not in EMERGENCY_PURPOSES:
            return f"a purpose of {' or '.join(EMERGENCY_PURPOSES)}"
        if not any(_is_open(grant, request) for grant in grants):
            return "the glass broken for it"
    if rule.mfa and not request.principal.mfa:
        return "a second factor"
    if rule.consent and not any(_consents(consent, request) for consent in consents):
        return "the subject's consent"
    return ""


def _grant_of(rule: Rule, request: AccessRequest, grants: Sequence[Grant]) -> int:
    if rule.effect is not Effect.BREAK_GLASS:
        return 0
    return next(grant.number for grant in grants if _is_open(grant, request))


def _is_open(grant: Grant, request: AccessRequest) -> bool:
    return (
        grant.principal == request.principal.name
        and grant.tenant == request.tenant
        and (not grant.subject or grant.subject == request.subject)
        and request.time < grant.until
    )


def _consents(consent: Consent, request: AccessRequest) -> bool:
    return (
        consent.tenant == request.tenant
        and bool(consent.subject)
        and consent.subject == request.subject
        and request.purpose in consent.purposes
        and (consent.until is None or request.time < consent.until)
    )


def _what(request: AccessRequest) -> str:
    purpose = f" for {request.purpose}" if request.purpose else " without a purpose"
    return f"'{request.action.value}' of {request.data_class.label} data in tenant {request.tenant}{purpose}"

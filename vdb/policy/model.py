"""A policy as a value.

Rules
- A pattern is a text, or its beginning with `*` behind it; `*` alone fits everything.
- A field of a rule that is empty says nothing; every other one must fit.
- The version of a policy is the SHA-256 of its canonical form: two policies of one version are the same policy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from attrs import field, frozen

from vdb.errors import ConfigError
from vdb.policy.words import PURPOSES, Action, Effect, Mask
from vdb.types import DataClass

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
BREAK_GLASS_MINUTES_MAX = 240


def check_policy_name(name: str, what: str) -> str:
    """A name for a role or a rule: lower-case letters, digits and '-'. ConfigError."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{what}: expected at most 63 of a-z, 0-9 and '-', a letter first; found {name!r}")
    return name


def fits(patterns: Iterable[str], text: str) -> bool:
    """Whether one of the patterns fits."""
    return any(text.startswith(one[:-1]) if one.endswith("*") else text == one for one in patterns)


def check_pattern(pattern: str, what: str) -> str:
    """ConfigError for a '*' that isn't the last character, and for nothing."""
    if not pattern or "*" in pattern[:-1]:
        raise ConfigError(f"{what}: expected a text, or PREFIX*; found {pattern!r}")
    return pattern


@frozen(kw_only=True)
class Role:
    name: str
    includes: tuple[str, ...] = ()
    """Roles whose rules count for this one as well."""

    def __attrs_post_init__(self) -> None:
        check_policy_name(self.name, "a role")


@frozen(kw_only=True)
class Binding:
    """Which principals have which roles, in which tenants."""

    principals: tuple[str, ...]
    """Patterns."""
    roles: tuple[str, ...]
    tenants: tuple[int, ...] = ()
    """Empty: all."""


@frozen(kw_only=True)
class Rule:
    """One sentence of a policy. See `vdb.policy.decide` for how they count together."""

    name: str
    effect: Effect = Effect.ALLOW
    roles: tuple[str, ...] = ()
    principals: tuple[str, ...] = ()
    actions: tuple[Action, ...]
    tenants: tuple[int, ...] = ()
    classes: tuple[DataClass, ...] = ()
    streams: tuple[str, ...] = ()
    """Patterns of streams, projections, databases and consumers by their names. Without any, or by "*", the streams
    that hold rows of SQL databases aren't meant where they are read as they are: "$sql/*" means them."""
    tables: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    """Names; of a rule that denies: it denies requests that touch one of these."""
    purposes: tuple[str, ...] = ()
    mfa: bool = False
    """Only for a principal that has shown a second factor."""
    consent: bool = False
    """Only where the subject has consented to the purpose."""
    rows: str = ""
    """An SQL condition on the rows that are shown; may name :principal, :tenant and :purpose."""
    masks: Mapping[str, Mask] = field(factory=dict)
    """What is shown of columns instead of their values."""

    def __attrs_post_init__(self) -> None:
        check_policy_name(self.name, "a rule")
        if not self.actions:
            raise ConfigError(f"rule {self.name!r} names no action: expected at least one")
        if not self.roles and not self.principals and self.effect is not Effect.DENY:
            raise ConfigError(f"rule {self.name!r} allows something to everybody: expected roles or principals")
        for pattern in (*self.principals, *self.streams):
            check_pattern(pattern, f"rule {self.name!r}")
        for purpose in self.purposes:
            if purpose not in PURPOSES:
                raise ConfigError(f"rule {self.name!r}: {purpose!r} is no purpose; there are {', '.join(PURPOSES)}")
        if self.effect is Effect.DENY and (self.rows or self.masks or self.consent or self.mfa):
            raise ConfigError(f"rule {self.name!r} denies: expected no rows, masks, consent or mfa")
        if self.effect is not Effect.DENY and self.columns and self.masks.keys() & dict.fromkeys(self.columns):
            raise ConfigError(f"rule {self.name!r} both allows a column and masks it: expected one of them")


@frozen(kw_only=True)
class BreakGlass:
    """How the glass may be broken."""

    roles: tuple[str, ...] = ()
    minutes: int = 60
    reviewers: tuple[str, ...] = ()
    """Roles that are told at once, and that review what was done."""

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.minutes <= BREAK_GLASS_MINUTES_MAX:
            raise ConfigError(f"break-glass lasts 1 to {BREAK_GLASS_MINUTES_MAX} minutes; found {self.minutes}")
        if self.roles and not self.reviewers:
            raise ConfigError("break-glass names roles but no reviewers: expected who is told and reviews")


SERVICE_ROLE = "service"


@frozen(kw_only=True)
class OnBehalf:
    """Who may name another person for whom they ask: applications, whose users the database doesn't know.

    A person's own credential names nobody else, unless the policy says so: what they do is theirs.
    """

    principals: tuple[str, ...] = ()
    """Patterns."""
    roles: tuple[str, ...] = (SERVICE_ROLE,)

    def __attrs_post_init__(self) -> None:
        for pattern in self.principals:
            check_pattern(pattern, "on-behalf")


@frozen(kw_only=True)
class Policy:
    name: str
    roles: tuple[Role, ...]
    bindings: tuple[Binding, ...]
    rules: tuple[Rule, ...]
    break_glass: BreakGlass = BreakGlass()
    on_behalf: OnBehalf = OnBehalf()
    version: str = ""
    """`sha256:` and 64 hex digits of its canonical form; empty until it has one."""
    _closure: Mapping[str, frozenset[str]] = field(init=False, repr=False, eq=False)
    """Each role with all that it includes."""

    def __attrs_post_init__(self) -> None:
        check_policy_name(self.name, "a policy")
        _check_unique("role", [role.name for role in self.roles])
        _check_unique("rule", [rule.name for rule in self.rules])
        known = {role.name: role.includes for role in self.roles}
        named = [("role", role.name, role.includes) for role in self.roles]
        named += [("rule", rule.name, rule.roles) for rule in self.rules]
        named += [("a binding of", ", ".join(binding.principals), binding.roles) for binding in self.bindings]
        named += [("break-glass", "", (*self.break_glass.roles, *self.break_glass.reviewers))]
        if self.on_behalf != OnBehalf():
            named.append(("on-behalf", "", self.on_behalf.roles))
        for kind, name, roles in named:
            for role in roles:
                if role not in known:
                    raise ConfigError(f"{kind} {name!r} names the role {role!r}, which the policy doesn't have")
        object.__setattr__(self, "_closure", {name: _closed(name, known) for name in known})

    def roles_of(self, principal: str, tenant: int) -> frozenset[str]:
        """The roles of a principal in a tenant, those that they include among them."""
        found: frozenset[str] = frozenset()
        for binding in self.bindings:
            if fits(binding.principals, principal) and (not binding.tenants or tenant in binding.tenants):
                for role in binding.roles:
                    found |= self._closure[role]
        return found

    def may_name_others(self, principal: str, tenant: int) -> bool:
        """Whether a principal may say that it asks on somebody else's behalf."""
        if fits(self.on_behalf.principals, principal):
            return True
        return not self.roles_of(principal, tenant).isdisjoint(self.on_behalf.roles)


def _closed(name: str, known: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    found: dict[str, None] = {}
    waiting = [name]
    while waiting:
        role = waiting.pop()
        if role not in found:
            found[role] = None
            waiting += known[role]
    return frozenset(found)


def _check_unique(what: str, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"the {what} {name!r} stands twice in the policy")

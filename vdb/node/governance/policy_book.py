"""What decisions are made by: each group's policy, broken glasses and consents, as the committed state has them.

The gate asks at every call, so nothing is decoded twice: rows are immutable maps, and while the map is the same one,
what was made of it holds.

Rules
- Each group answers by its own copy alone.
- No policy was applied yet: None. One that this node can't read, as it was written by a newer version of VerityDB, is a
  policy that allows nothing.
- A grant or consent whose text can't be opened any more, as its subject was erased, doesn't count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from attrs import define, field, frozen

from vdb.crypto.keyring import Keyring
from vdb.errors import ConfigError
from vdb.kernel.command import KeyScope
from vdb.kernel.governance import find_consent, held_policy
from vdb.kernel.governance_rows import ConsentRow, GrantRow, PolicyRow, unpack_consent, unpack_grant
from vdb.kernel.state import Rows, State
from vdb.kernel.tables import CONSENTS, GRANTS, POLICY, U64, tenant_key
from vdb.marks import mark
from vdb.node import log
from vdb.node.governance.sealing import GrantText, open_consent, open_grant
from vdb.policy.decide import Consent, Grant
from vdb.policy.file import parse_policy
from vdb.policy.model import Policy
from vdb.types import GroupId, TenantId

CACHED_CONSENTS_MAX = 10_000


class GovernedGroup(Protocol):
    """What the book needs of a group."""

    @property
    def name(self) -> GroupId:
        """The group's own."""

    @property
    def state(self) -> State:
        """Committed."""

    @property
    def keyring(self) -> Keyring:
        """Of the group."""


@frozen(kw_only=True)
class HeldPolicy:
    """A group's policy, with the row that it was read from."""

    row: PolicyRow
    policy: Policy


@define(eq=False)
class _Page:
    """What was made of a group's rows, and of which."""

    policies: Rows | None = None
    held: HeldPolicy | None = None
    grant_rows: Rows | None = None
    grants: dict[tuple[int, str], tuple[Grant, ...]] = field(factory=dict)
    """By tenant and principal."""
    consent_rows: Rows | None = None
    consents: dict[tuple[int, str], tuple[Consent, ...]] = field(factory=dict)
    """By tenant and subject."""
    consenting: dict[int, Mapping[str, tuple[Consent, ...]]] = field(factory=dict)
    """All of a tenant's."""
    destroyed: int = 0
    """Keys that had been destroyed when names were read."""


class PolicyBook:
    """See the module's docstring. One per node."""

    def __init__(self, groups: Mapping[GroupId, GovernedGroup]) -> None:
        self._groups = groups
        self._pages: dict[GroupId, _Page] = {}

    def policy(self, group: GroupId) -> Policy | None:
        """The policy that holds in a group of this node; None while it has none."""
        held = self.held(group)
        return None if held is None else held.policy

    def held(self, group: GroupId) -> HeldPolicy | None:
        """The policy with serial, text and who applied it."""
        found = self._groups[group]
        page, rows = self._page(group), found.state.rows[POLICY]
        if page.policies is not rows:
            page.held = _read(group, held_policy(found.state))
            page.policies = rows
        return page.held

    def grants(self, group: GroupId, tenant: int, principal: str) -> tuple[Grant, ...]:
        """What a principal's broken glasses allow, those among them that are over: `decide` looks at the time."""
        found = self._groups[group]
        page, rows = self._fresh_page(found), found.state.rows[GRANTS]
        if page.grant_rows is not rows:
            page.grants = _grants(found, rows)
            page.grant_rows = rows
        return page.grants.get((tenant, principal), ())

    def consents(self, group: GroupId, tenant: int, subject: str) -> tuple[Consent, ...]:
        """What a subject consents to; nothing where nobody is named."""
        if not subject:
            return ()
        found = self._groups[group]
        page, rows = self._fresh_page(found), found.state.rows[CONSENTS]
        if page.consent_rows is not rows or len(page.consents) >= CACHED_CONSENTS_MAX:
            page.consents, page.consenting = {}, {}
            page.consent_rows = rows
        known = page.consents.get((tenant, subject))
        if known is None:
            known = page.consents[tenant, subject] = _consents(found, TenantId(tenant), subject)
        return known

    def consenting(self, group: GroupId, tenant: int) -> Mapping[str, tuple[Consent, ...]]:
        """What all subjects of a tenant consent to; the same object until something of it changes."""
        found = self._groups[group]
        page, rows = self._fresh_page(found), found.state.rows[CONSENTS]
        if page.consent_rows is not rows:
            page.consents, page.consenting = {}, {}
            page.consent_rows = rows
        known = page.consenting.get(tenant)
        if known is None:
            known = page.consenting[tenant] = _consenting(found, TenantId(tenant), rows)
        return known

    def _fresh_page(self, group: GovernedGroup) -> _Page:
        """The group's, without names that were read before the last key was destroyed."""
        page, destroyed = self._page(group.name), group.keyring.destroyed
        if page.destroyed != destroyed:
            page.grant_rows = page.consent_rows = None
            page.destroyed = destroyed
        return page

    def _page(self, group: GroupId) -> _Page:
        page = self._pages.get(group)
        if page is None:
            page = self._pages[group] = _Page()
        return page


def _read(group: GroupId, row: PolicyRow | None) -> HeldPolicy | None:
    if row is None:
        return None
    try:
        policy, _cases = parse_policy(row.text)
        problem = "" if policy.version == row.version else f"its version is {policy.version}"
    except ConfigError:
        policy, problem = None, "its text can't be read"
    if problem or policy is None:
        mark("policy.unreadable")
        log.warning("policy.unreadable", group=group, serial=row.serial, version=row.version, problem=problem)
        policy = Policy(name="unreadable", roles=(), bindings=(), rules=(), version=row.version)
    return HeldPolicy(row=row, policy=policy)


def _grants(group: GovernedGroup, rows: Rows) -> dict[tuple[int, str], tuple[Grant, ...]]:
    """Of all principals. Those that ended before the last request of the log aren't opened."""
    found: dict[tuple[int, str], tuple[Grant, ...]] = {}
    now = group.state.last_timestamp
    for key in sorted(rows):
        tenant, grant = U64.unpack(key[: U64.size])[0], U64.unpack(key[U64.size :])[0]
        row = unpack_grant(grant, rows[key])
        if row.until <= now:
            continue
        text = open_grant(group.keyring, row)
        if text is None:
            mark("policy.grant_of_erased")
            continue
        named = tenant, row.principal
        found[named] = (*found.get(named, ()), _grant(tenant, row, text))
    return found


def _grant(tenant: int, row: GrantRow, text: GrantText) -> Grant:
    return Grant(principal=row.principal, tenant=tenant, subject=text.subject, until=row.until, number=row.grant)


def _consents(group: GovernedGroup, tenant: TenantId, subject: str) -> tuple[Consent, ...]:
    if group.keyring.row(tenant, KeyScope.TENANT) is None:
        return ()
    row = find_consent(group.state, tenant, group.keyring.lookup(tenant, KeyScope.SUBJECT, subject))
    return () if row is None else _given(tenant, subject, row)


def _consenting(group: GovernedGroup, tenant: TenantId, rows: Rows) -> dict[str, tuple[Consent, ...]]:
    owner = tenant_key(tenant)
    found: dict[str, tuple[Consent, ...]] = {}
    for key in sorted(key for key in rows if key.startswith(owner)):
        row = unpack_consent(rows[key])
        text = open_consent(group.keyring, row)
        if text is None:
            mark("policy.consent_of_erased")
            continue
        found[text.subject] = _given(tenant, text.subject, row)
    return found


def _given(tenant: TenantId, subject: str, row: ConsentRow) -> tuple[Consent, ...]:
    return tuple(
        Consent(tenant=tenant, subject=subject, purposes=(item.purpose,), until=item.until or None)
        for item in row.items
    )

"""What the policy says of a table whose rows may be of subjects who have consented, or for whom a glass was broken.

A rule may hold for the data of some subjects alone, by their consent or by a grant about them. Each subject of whom
that may be so is asked for apart (`vdb.sql.rulings`). What was found is remembered as long as policy, grants and
consents are the same, and none of them ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import evolve, frozen

from vdb.marks import mark
from vdb.node.gate.permits import Permits
from vdb.policy.decide import AccessRequest, Consent, Decision, Grant, decide
from vdb.policy.model import Policy
from vdb.sql.rulings import Apart, Ruling
from vdb.types import GroupId, TenantId

SUBJECTS_MAX = 5_000
"""Whom one statement may have to tell apart: a condition names each of them."""
REMEMBERED_MAX = 1_000
FOREVER = 1 << 63


@frozen
class _Found:
    """What counted, and until when it does."""

    policy: Policy
    grants: Sequence[Grant]
    consents: Mapping[str, tuple[Consent, ...]]
    base: tuple[object, ...]
    until: int
    ruling: Ruling

    def holds(
        self,
        policy: Policy,
        grants: Sequence[Grant],
        consents: Mapping[str, tuple[Consent, ...]],
        base: tuple[object, ...],
        now: int,
    ) -> bool:
        """Whether it is what would be found now."""
        same = self.policy is policy and self.grants is grants and self.consents is consents
        return same and self.base == base and now < self.until


class BySubject:
    """Of one principal."""

    def __init__(self, permits: Permits, group: GroupId) -> None:
        self._permits = permits
        self._group = group
        self._found: dict[tuple[AccessRequest, bool], _Found] = {}

    def ruling(self, request: AccessRequest, base: Decision, *, knows_subjects: bool) -> Ruling:
        """What holds for a request's table. `base`: the decision for nobody in particular.

        `knows_subjects`: the table declares whose its rows are. Where nothing is allowed, `decisions` is empty.
        """
        book, group = self._permits.book, self._group
        policy = book.policy(group)
        if policy is None or not self._permits.is_varying(group, request.action):
            return Ruling(decision=base)
        tenant, now = TenantId(request.tenant), self._permits.group(group).time_us
        grants = book.grants(group, tenant, request.principal.name)
        consents = book.consenting(group, tenant)
        key = (request, knows_subjects)
        found = self._found.get(key)
        if found is None or not found.holds(policy, grants, consents, _key(base), now):
            if len(self._found) >= REMEMBERED_MAX:
                self._found.clear()
            ruling = _ruling(policy, evolve(request, time=now), base, grants, consents, knows_subjects=knows_subjects)
            found = _Found(policy, grants, consents, _key(base), _until(now, grants, consents), ruling)
            self._found[key] = found
        return found.ruling


def _ruling(
    policy: Policy,
    request: AccessRequest,
    base: Decision,
    grants: Sequence[Grant],
    consents: Mapping[str, tuple[Consent, ...]],
    *,
    knows_subjects: bool,
) -> Ruling:
    subjects = dict.fromkeys(grant.subject for grant in grants if grant.subject)
    subjects |= {
        subject: None for subject, some in consents.items() if any(request.purpose in one.purposes for one in some)
    }
    apart: dict[tuple[object, ...], tuple[Decision, list[str]]] = {}
    for subject in subjects:
        if "\0" in subject:
            continue  # SQL can't name it
        found = decide(policy, evolve(request, subject=subject), grants=grants, consents=consents.get(subject, ()))
        if found.allowed and _key(found) != _key(base):
            apart.setdefault(_key(found), (found, []))[1].append(subject)
    if not apart:
        return Ruling(decision=base)
    if not knows_subjects:
        mark("sql.subject_unknown")
        why = (
            "the table declares no subject column, so whose its rows are isn't known: no consent and no glass that was "
            "broken for one subject counts for it"
        )
        return Ruling(decision=base if base.allowed else evolve(base, reason=f"{base.reason}; {why}"))
    if sum(len(some) for _, some in apart.values()) > SUBJECTS_MAX:
        mark("sql.subjects_too_many")
        why = f"more than {SUBJECTS_MAX} subjects would have to be told apart, and a statement can't name so many"
        return Ruling(decision=evolve(base, allowed=False, reason=f"{base.reason}; {why}"))
    mark("sql.subjects_apart")
    return Ruling(decision=base, apart=tuple(Apart(subjects=tuple(some), decision=one) for one, some in apart.values()))


def _key(decision: Decision) -> tuple[object, ...]:
    return (decision.allowed, decision.rule, decision.grant, decision.version)


def _until(now: int, grants: Sequence[Grant], consents: Mapping[str, tuple[Consent, ...]]) -> int:
    """When the next of them ends."""
    ends = [grant.until for grant in grants]
    ends += [one.until for some in consents.values() for one in some if one.until is not None]
    return min((end for end in ends if end > now), default=FOREVER)

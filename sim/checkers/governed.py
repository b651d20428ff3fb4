"""Policies, grants and consents, as the logs make them: what each op leads to is worked out here once more.

- G1: policies of the global group have serials from 1, one above the other; one that replaces another than the last is
  refused, and no other one is.
- G2: each copy in a region's log has serial, version, text and author of a policy that the global log had committed
  before; serials of copies rise.
- G3: a grant's number is the time of its request, its end at most four hours later; a review by somebody else ends it,
  once, and nothing prolongs it.
- G4: the rows of every replica's state are those that its ops lead to; and what a node decides by at any moment: who
  broke the glass is let through until the grant's end, a consent counts until it is withdrawn.
"""

from __future__ import annotations

from attrs import define, field, frozen

from sim.verdict import Verdict
from vdb.errors import RefusalCode
from vdb.kernel.governance_command import Attest, GovernanceCommand, OpenGrant, PutConsent, PutPolicy, ReviewGrant
from vdb.kernel.reply import ConsentPut, GrantOpened, GrantReviewed, PolicyPut, Refusal, Reply
from vdb.types import GLOBAL_GROUP

FOUR_HOURS_US = 4 * 3600 * 1_000_000
_REFUSED = (RefusalCode.INVALID_ARGUMENT, RefusalCode.PLACEMENT_VIOLATION, RefusalCode.SUBJECT_ERASED)
"""Why a consent may be refused."""


@frozen
class Put:
    """A policy, or a copy of one, and the op that put it."""

    op: int
    serial: int
    version: str
    text: str
    by: str

    @property
    def what(self) -> tuple[str, str, str]:
        return self.version, self.text, self.by


@define
class Grant:
    op: int
    principal: str
    subject: bytes
    opened: int
    until: int
    reviewed_op: int = 0
    """0: not yet."""
    reviewer: str = ""
    ends: int = 0
    """With its review; 0: none."""

    def until_at(self, op: int) -> int:
        """When it ends, as the state after this op has it."""
        return self.ends if self.reviewed_op and self.reviewed_op <= op else self.until


@frozen
class Change:
    """Of one purpose that a subject consents to."""

    op: int
    given: bool
    until: int


@define(eq=False)
class Governed:
    """See the module's docstring. Told of each op when it is committed first, in the order in which that happens."""

    verdict: Verdict
    policies: dict[str, list[Put]] = field(factory=dict)
    """By group, in order."""
    grants: dict[tuple[str, int, int], Grant] = field(factory=dict)
    """By group, tenant and number."""
    consents: dict[tuple[str, int, bytes], dict[str, list[Change]]] = field(factory=dict)
    """By group, tenant and subject's lookup: of each purpose what became of it."""
    given: list[tuple[str, PutConsent, bool]] = field(factory=list)
    """Consents and withdrawals that were taken, and whether they changed something."""

    def on_committed(self, group: str, op: int, time: int, command: GovernanceCommand, reply: Reply) -> None:
        """`time`: of the request, microseconds UTC."""
        name = f"{group} op {op}"
        match command:
            case PutPolicy():
                self._policy(group, name, op, command, reply)
            case OpenGrant():
                self._opened(group, name, op, time, command, reply)
            case ReviewGrant():
                self._reviewed(group, name, op, time, command, reply)
            case PutConsent():
                self._consent(group, op, command, reply)
            case Attest():
                pass

    def _policy(self, group: str, name: str, op: int, command: PutPolicy, reply: Reply) -> None:
        check, held = self.verdict.check, self.policies.setdefault(group, [])
        serial = held[-1].serial if held else 0
        taken = isinstance(reply, PolicyPut)
        put = Put(op, command.serial, command.version, command.text, command.by)
        if group == GLOBAL_GROUP:
            check(
                "G1",
                taken == (command.serial == serial + 1),
                f"{name}: serial {command.serial} after serial {serial} was answered {reply}",
            )
            if taken:
                held.append(put)
            return
        if not taken:
            return
        source = [one for one in self.policies.get(GLOBAL_GROUP, ()) if one.serial == command.serial]
        check(
            "G2",
            [one.what for one in source] == [put.what],
            f"{name}: a copy of serial {command.serial}, {command.version}, of which the global log has "
            f"{[one.version for one in source]}",
        )
        check("G2", command.serial >= serial, f"{name}: a copy of serial {command.serial} after one of serial {serial}")
        if command.serial != serial:
            held.append(put)

    def _opened(self, group: str, name: str, op: int, time: int, command: OpenGrant, reply: Reply) -> None:
        if not isinstance(reply, GrantOpened):
            return
        key = (group, int(command.tenant), reply.grant)
        self.verdict.check(
            "G3",
            reply.grant == time and 0 < reply.until - time <= FOUR_HOURS_US and key not in self.grants,
            f"{name}: a grant of {command.principal} at {time} was answered {reply}",
        )
        self.grants[key] = Grant(op, command.principal, command.subject, time, reply.until)

    def _reviewed(self, group: str, name: str, op: int, time: int, command: ReviewGrant, reply: Reply) -> None:
        held = self.grants.get((group, int(command.tenant), command.grant))
        due = held is not None and not held.reviewed_op and held.principal != command.reviewer
        self.verdict.check(
            "G3",
            isinstance(reply, GrantReviewed) == due,
            f"{name}: a review of grant {command.grant} by {command.reviewer} was answered {reply}; it is {held}",
        )
        if held is not None and due and isinstance(reply, GrantReviewed):
            ends = min(held.until, time)
            self.verdict.check("G3", reply.until == ends, f"{name}: a review at {time} of {held} was answered {reply}")
            held.reviewed_op, held.reviewer, held.ends = op, command.reviewer, ends

    def _consent(self, group: str, op: int, command: PutConsent, reply: Reply) -> None:
        if isinstance(reply, Refusal):
            self.verdict.check("G4", reply.code in _REFUSED, f"{group} op {op}: a consent was answered {reply}")
            return
        assert isinstance(reply, ConsentPut)
        held = self.consents.setdefault((group, int(command.tenant), command.subject), {})
        purposes = command.purposes
        if command.withdraw:
            purposes = tuple(
                purpose
                for purpose, changes in held.items()
                if changes[-1].given and (not command.purposes or purpose in command.purposes)
            )
        self.verdict.check(
            "G4",
            reply.changed == bool(purposes),
            f"{group} op {op}: {len(purposes)} purposes change, and it was answered {reply}",
        )
        self.given.append((group, command, reply.changed))
        for purpose in purposes:
            held.setdefault(purpose, []).append(Change(op, not command.withdraw, command.until))

    # As of an op -----------------------------------------------------------------------------------------------

    def policy_at(self, group: str, op: int) -> Put | None:
        """The last that was put by this op or one before."""
        return next((put for put in reversed(self.policies.get(group, ())) if put.op <= op), None)

    def grants_at(self, group: str, op: int) -> dict[tuple[int, int], Grant]:
        """By tenant and number."""
        return {key[1:]: grant for key, grant in self.grants.items() if key[0] == group and grant.op <= op}

    def consents_at(self, group: str, op: int) -> dict[tuple[int, bytes], dict[str, int]]:
        """By tenant and lookup: purposes and when they end."""
        found: dict[tuple[int, bytes], dict[str, int]] = {}
        for (where, tenant, subject), purposes in self.consents.items():
            if where != group:
                continue
            for purpose, changes in purposes.items():
                last = next((change for change in reversed(changes) if change.op <= op), None)
                if last is not None and last.given:
                    found.setdefault((tenant, subject), {})[purpose] = last.until
        return found

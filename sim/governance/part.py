"""This workload's part in a run: its people, an inspector who looks at what nodes go by, and the last checks.

- G5: what somebody was told is so: an applied policy has its serial, a grant and a review are in the log, a consent
  counts; who lists grants sees all that others had been told of before, and none as unreviewed that was reviewed.
- G7, G8: see `charts`.
- G6: an idle cluster's regions go by the last policy of the global group.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import trio
from attrs import define, field

from sim.checkers.governed import Governed
from sim.cluster import Cluster
from sim.governance.charts import ChartReader, Charts
from sim.governance.load import CLINICIANS, FIRST, OFFICERS, PURPOSES, SUBJECTS, Deed, Fate, GovernanceLoad, principal
from sim.governance.people import Person
from sim.machine import Machine
from sim.options import Options
from sim.raw_client import Connector
from sim.trace import Trace
from sim.verdict import Verdict
from sim.watch import Watch
from sim.world.entropy import draws
from vdb.kernel.command import KeyScope
from vdb.kernel.governance import held_policy
from vdb.kernel.governance_rows import unpack_consent, unpack_grant
from vdb.kernel.tables import CONSENTS, GRANTS, U64
from vdb.node.replication.group import Group
from vdb.policy.decide import Consent, Grant
from vdb.ports import Entropy
from vdb.types import GLOBAL_GROUP, TenantId

LOOK_SECONDS = 0.25


@define(eq=False, kw_only=True)
class GovernancePart:
    """Of a run without this workload it does nothing."""

    seed: int
    options: Options
    cluster: Cluster
    watch: Watch
    verdict: Verdict
    trace: Trace
    now_ns: Callable[[], int]
    connectors: Callable[[int], Mapping[str, Connector]]
    learn: Callable[[int, str], Connector]
    entropy: Callable[[int], Entropy]
    tell: Callable[[], None]
    load: GovernanceLoad = field(init=False)
    governed: Governed = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.governed = Governed(self.verdict)
        self.load = GovernanceLoad(
            options=self.options, trace=self.trace, now_ns=self.now_ns, connectors=self.connectors, learn=self.learn,
            entropy=self.entropy, tell=self.tell,
        )  # fmt: skip
        for watch in self.watch.watches.values():
            watch.ledger.on_governed = self.governed.on_committed

    # Phases ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """All people until all is done."""
        if not self.options.governance:
            return
        async with trio.open_nursery() as inspecting:
            inspecting.start_soon(self._inspect)
            async with trio.open_nursery() as people:
                for number in range(OFFICERS + CLINICIANS):
                    people.start_soon(Person(self.load, number, draws(self.seed, f"person {number}")).run)
                charts = Charts(load=self.load, cluster=self.cluster, governed=self.governed, verdict=self.verdict)
                for number in range(CLINICIANS):
                    random = draws(self.seed, f"charts {number}")
                    people.start_soon(ChartReader(charts=charts, number=number, random=random).run)
            inspecting.cancel_scope.cancel()

    def lag(self) -> str:
        """G6: which region of an idle cluster goes by an older policy."""
        policies = self.governed.policies.get(GLOBAL_GROUP) if self.options.governance else None
        for group in self.watch.watches if policies else ():
            assert policies is not None
            copies = self.governed.policies.get(group)
            if copies is None or copies[-1].serial < policies[-1].serial:
                return f"{group} doesn't have the policy of serial {policies[-1].serial}"
        return ""

    # What nodes go by ------------------------------------------------------------------------------------------

    async def _inspect(self) -> None:
        while True:
            await trio.sleep(LOOK_SECONDS)
            for machine in self.cluster.up:
                self.look(machine)

    def look(self, machine: Machine) -> None:
        """G4, of all groups of a node, at the op that it has applied."""
        if not self.options.governance or machine.node is None or not machine.is_alive():
            return
        for name, group in machine.node.groups.items():
            if name in self.watch.watches and machine.node._service is not None:
                self._look_at(machine, str(name), group)

    def _look_at(self, machine: Machine, name: str, group: Group) -> None:
        check, op, state = self.verdict.check, group.applied, group.state
        who = f"{machine.who}, {name} at op {op}"
        put, held = self.governed.policy_at(name, op), held_policy(state)
        found = None if held is None else (held.serial, held.version, held.text, held.by)
        due = None if put is None else (put.serial, *put.what)
        check("G4", found == due, f"{who}: it has policy {found and found[:2]}, due is {due and due[:2]}")
        grants = self.governed.grants_at(name, op)
        rows = {
            (U64.unpack(key[:8])[0], U64.unpack(key[8:])[0]): unpack_grant(U64.unpack(key[8:])[0], row)
            for key, row in state.rows[GRANTS].items()
        }
        check(
            "G4",
            {key: (row.principal, row.subject, row.until, row.reviewer) for key, row in rows.items()}
            == {
                key: (one.principal, one.subject, one.until_at(op), one.reviewer if 0 < one.reviewed_op <= op else "")
                for key, one in grants.items()
            },
            f"{who}: its grants aren't those of the log: {sorted(rows)}, due {sorted(grants)}",
        )
        consents = self.governed.consents_at(name, op)
        kept = {
            (U64.unpack(key[:8])[0], key[8:]): {item.purpose: item.until for item in unpack_consent(row).items}
            for key, row in state.rows[CONSENTS].items()
        }
        check("G4", kept == consents, f"{who}: its consents aren't those of the log: {len(kept)}, due {len(consents)}")
        if name != GLOBAL_GROUP:
            self._look_into_the_book(machine, name, group, who)

    def _look_into_the_book(self, machine: Machine, name: str, group: Group, who: str) -> None:
        """What decisions are made by, at this moment."""
        assert machine.node is not None
        check, op, now = self.verdict.check, group.applied, group.time_us
        book = machine.node.service.governance.book
        put, policy = self.governed.policy_at(name, op), book.policy(group.name)
        found, due = None if policy is None else policy.version, None if put is None else put.version
        check("G4", found == due, f"{who}: it goes by policy {found}, due is {due}")
        grants = self.governed.grants_at(name, op)
        for tenant in range(1, self.options.tenants + 1):
            for number in range(OFFICERS, OFFICERS + CLINICIANS):
                person = principal(FIRST + number)
                open_now = _numbered(book.grants(group.name, tenant, person), now)
                wanted = sorted(
                    one.until_at(op)
                    for (of, _), one in grants.items()
                    if of == tenant and one.principal == person and now < one.until_at(op)
                )
                check("G4", open_now == wanted, f"{who}: {person} is let through until {open_now}, due is {wanted}")
            if group.keyring.row(TenantId(tenant), KeyScope.TENANT) is not None:
                self._look_at_consents(group, tenant, who)

    def _look_at_consents(self, group: Group, tenant: int, who: str) -> None:
        book_of = next(
            machine.node.service.governance.book
            for machine in self.cluster.up
            if machine.node is not None and machine.node.groups.get(group.name) is group
        )
        consents = self.governed.consents_at(str(group.name), group.applied)
        for subject in SUBJECTS:
            lookup = group.keyring.lookup(TenantId(tenant), KeyScope.SUBJECT, subject)
            wanted = sorted(consents.get((tenant, lookup), {}))
            found = _purposes(book_of.consents(group.name, tenant, subject))
            self.verdict.check(
                "G4", found == wanted, f"{who}: {subject} consents to {found} of {PURPOSES}, due is {wanted}"
            )

    # What people were told -------------------------------------------------------------------------------------

    def check_history(self) -> None:
        """G5."""
        if not self.options.governance or not self.verdict.ok:
            return
        for deed in self.load.deeds:
            if deed.fate is Fate.DONE:
                self.verdict.check("G5", self._is_so(deed), f"{deed} isn't so in the log")

    def _is_so(self, deed: Deed) -> bool:
        governed = self.governed
        if deed.kind == "apply":
            policies = governed.policies.get(GLOBAL_GROUP, [])
            return any((one.serial, one.text, one.by) == (deed.serial, deed.text, deed.who) for one in policies)
        if deed.kind == "open":
            grant = governed.grants.get((deed.group, deed.tenant, deed.grant))
            return grant is not None and (grant.principal, grant.until) == (deed.who, deed.until)
        if deed.kind == "review":
            grant = governed.grants.get((deed.group, deed.tenant, deed.grant))
            return grant is not None and grant.reviewer == deed.who
        if deed.kind == "list":
            return self._was_listed(deed)
        return any(
            (group, int(one.tenant), one.purposes, one.withdraw) == (
                deed.group, deed.tenant, deed.purposes, deed.kind == "withdraw",
            )
            for group, one, _ in governed.given
        )  # fmt: skip

    def _was_listed(self, deed: Deed) -> bool:
        """Grants that were told before are there; reviewed ones are seen as such, or not at all where they needn't."""
        before = [
            one
            for one in self.load.deeds
            if one.fate is Fate.DONE and one.told_ns < deed.asked_ns
            and (one.group, one.tenant) == (deed.group, deed.tenant)
        ]  # fmt: skip
        reviewed = {one.grant for one in before if one.kind == "review"}
        seen = dict(deed.seen)
        opened = {one.grant for one in before if one.kind == "open"}
        all_reviewed = {
            key[2] for key, grant in self.governed.grants.items() if grant.reviewed_op and key[0] == deed.group
        }
        missing = [one for one in opened if one not in seen and not (deed.unreviewed and one in all_reviewed)]
        late = [one for one, is_reviewed in seen.items() if one in reviewed and not is_reviewed]
        return not missing and not late


def _numbered(grants: tuple[Grant, ...], now: int) -> list[int]:
    return sorted(grant.until for grant in grants if now < grant.until)


def _purposes(consents: tuple[Consent, ...]) -> list[str]:
    return sorted(purpose for consent in consents for purpose in consent.purposes)

"""What a compliance report needs to know of a database, asked of it over its client.

What can't be asked, because it is denied, unknown there or doesn't answer, isn't a fact: it becomes a note.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping
from typing import TypeVar

from attrs import evolve, frozen

from vdb.audit.entry import decode_entry
from vdb.audit.page import AuditRecord
from vdb.audit.questions import Tally
from vdb.audit.report import ErasureFacts, Facts, GrantFacts, KeyFacts, NodeFacts, PolicyFacts, ScanFacts, TreeFacts
from vdb.client.audit_scan import AuditSource, scan
from vdb.client.client import Client
from vdb.client.evidence_line import TreeHead
from vdb.client.placing import read_placed
from vdb.errors import NotAvailable, UnknownTenant, VerityError
from vdb.policy.file import parse_policy
from vdb.policy.held import GrantInfo
from vdb.policy.model import Rule
from vdb.types import GroupId, TenantId
from vdb.verifier.fhir import instant_of

T = TypeVar("T")
_MICROS = 1_000_000
_TIME_SIZE = 8


@frozen(kw_only=True)
class ReportWanted:
    """What the report is about, and what its maker knows and the database can't tell."""

    now: int
    """Microseconds UTC, like all times here."""
    since: int
    until: int
    group: str
    asked_by: str
    secured: bool
    settings: Mapping[str, str] | None = None
    settings_digest: str = ""
    witnesses: tuple[str, ...] = ()
    """Who has cosigned the head of the audit log, and when."""
    pinned: Mapping[str, str] = {}
    """By origin: which head was kept, that this one continues."""


class FactFinder:
    """Asks, and keeps in mind what couldn't be asked."""

    def __init__(self, client: Client, source: AuditSource, system: AuditSource, wanted: ReportWanted) -> None:
        """`source`: the tenant's log; `system`: the one that tells what is about no tenant."""
        self._client = client
        self._source = source
        self._system = system
        self._wanted = wanted
        self._notes: list[str] = []

    async def find(self, head: TreeHead) -> tuple[Facts, Tally]:
        """Read the audit log of this head through, and ask for the rest. EvidenceInvalid, and what reading raises."""
        wanted = self._wanted
        tally, gaps = await self._tallied(self._source, head)
        audit = self._tree(head, leaves_checked=head.checkpoint.size, gaps=gaps, witnesses=wanted.witnesses)
        audit = await self._with_cosigned(audit)
        system = await self._asked("the system's log", self._system_log(tally))
        data = await self._asked("the tree of the data", self._client.tree_head(wanted.group))
        scan = None if data is None else await self._asked("the headers of the data", self._scan(data))
        facts = Facts(
            now=wanted.now,
            since=wanted.since,
            until=wanted.until,
            tenant=self._client.tenant,
            group=wanted.group,
            asked_by=wanted.asked_by,
            secured=wanted.secured,
            audit=audit,
            system=system,
            data=None if data is None else self._tree(data),
            scan=scan,
            policy=await self._policy(),
            grants=await self._grants(),
            keys=await self._keys(),
            erasures=await self._erasures(),
            holds=await self._holds(),
            retention_rules=await self._retention(),
            nodes=await self._nodes(),
            settings=wanted.settings,
            settings_digest=wanted.settings_digest,
            notes=tuple(self._notes),
        )
        return facts, tally

    async def _tallied(self, source: AuditSource, head: TreeHead) -> tuple[Tally, int]:
        """(Answers, entries that are missing in the count) of all records of a head."""
        tally = Tally(self._wanted.since, self._wanted.until, head.checkpoint.root)

        def take(record: AuditRecord) -> None:
            tally.shredded += record.shredded
            for raw in record.entries:
                tally.add(record.index, raw, decode_entry(raw))

        scanned = await scan(source, head, take)
        return tally, scanned.gaps

    async def _system_log(self, tally: Tally) -> TreeFacts | None:
        """None where nothing was ever written to it."""
        try:
            head = await self._system.head()
        except UnknownTenant:
            return None
        tally.system, gaps = await self._tallied(self._system, head)
        return self._tree(head, leaves_checked=head.checkpoint.size, gaps=gaps)

    async def _with_cosigned(self, tree: TreeFacts) -> TreeFacts:
        """With the last head that the node has had cosigned: by whom, on their own word, as their keys aren't here."""
        try:
            found = await self._client.cosigned_head(self._wanted.group, family="audit")
        except NotAvailable:
            return tree
        lines = [one for one in found.note.signatures if one.name != tree.origin and len(one.signature) > _TIME_SIZE]
        times = [int.from_bytes(one.signature[:_TIME_SIZE], "big") * _MICROS for one in lines]
        told = ", ".join(f"{one.name} at {instant_of(at)}" for one, at in zip(lines, times, strict=True))
        told += ", on the node's word" if told else ""
        return evolve(tree, cosigned=told, cosigned_at=max(times, default=0))

    async def _asked(self, what: str, answer: Awaitable[T]) -> T | None:
        try:
            return await answer
        except VerityError as error:
            self._notes.append(f"{what}: {error}")
            return None

    def _tree(
        self, head: TreeHead, *, leaves_checked: int = 0, gaps: int = 0, witnesses: tuple[str, ...] = ()
    ) -> TreeFacts:
        checkpoint = head.checkpoint
        return TreeFacts(
            origin=checkpoint.origin,
            size=checkpoint.size,
            root=checkpoint.root.hex(),
            signed_by=f"{head.verifier.name}+{head.verifier.key_id.hex()}",
            leaves_checked=leaves_checked,
            gaps=gaps,
            witnesses=witnesses,
            pinned=self._wanted.pinned.get(checkpoint.origin, ""),
        )

    async def _policy(self) -> PolicyFacts | None:
        found = await self._asked("the policy", self._client.policy(self._wanted.group))
        if found is None:
            return None
        return PolicyFacts(
            serial=found.serial,
            version=found.version,
            applied_at=found.applied_at,
            applied_by=found.applied_by,
            rules=_rules(found.text),
        )

    async def _scan(self, head: TreeHead) -> ScanFacts:
        group, tenant = GroupId(self._wanted.group), TenantId(self._client.tenant)
        placed = await read_placed(self._client, head, group, tenant, "data")
        regions = sorted((name, region, count) for (name, region), count in placed.regions.items())
        return ScanFacts(records=placed.size, regions=tuple(regions), astray=len(placed.strays))

    async def _grants(self) -> GrantFacts | None:
        found = await self._asked("broken glasses", self._client.grants(group=self._wanted.group))
        if found is None:
            return None
        return GrantFacts(
            count=len(found),
            unreviewed=sum(not one.reviewer for one in found),
            longest_seconds=max(((one.until - one.opened) // _MICROS for one in found), default=0),
            sessions=tuple(_session(one) for one in found if self._wanted.since <= one.opened < self._wanted.until),
        )

    async def _keys(self) -> KeyFacts | None:
        found = await self._asked("keys", self._client.key_status(self._wanted.group))
        statuses = [one.status for one in found or () if one.status is not None]
        if not statuses:
            return None
        first = statuses[0]
        return KeyFacts(
            provider=", ".join(dict.fromkeys(one.provider for one in statuses)),
            root_key_id=first.root_key_id.hex(),
            tenants=first.tenants,
            behind=max(one.behind for one in statuses),
            keys=first.keys,
        )

    async def _erasures(self) -> ErasureFacts | None:
        found = await self._asked("erasures", self._client.erasures(group=self._wanted.group))
        if found is None:
            return None
        return ErasureFacts(count=len(found), pending=sum(bool(one.pending) for one in found))

    async def _holds(self) -> int | None:
        found = await self._asked("holds", self._client.holds(group=self._wanted.group))
        return None if found is None else sum(one.holds for one in found)

    async def _retention(self) -> int | None:
        found = await self._asked("rules of retention", self._client.retention(group=self._wanted.group))
        return None if found is None else len(found)

    async def _nodes(self) -> tuple[NodeFacts, ...]:
        """Of all nodes that answer; of the others a note."""
        nodes: list[NodeFacts] = []
        for report in await self._asked("the nodes", self._client.cluster.statuses()) or ():
            status = report.status
            if status is None:
                self._notes.append(f"the node at {report.address}: {report.problem}")
                continue
            own = [group for group in status.groups if group.group == self._wanted.group]
            nodes.append(
                NodeFacts(
                    name=status.node,
                    region=status.region,
                    version=status.version,
                    groups=tuple(str(group.group) for group in status.groups),
                    scrubbed_at=min((group.scrubbed_at for group in own), default=0),
                    scrub_faults=sum(group.scrub_faults for group in own),
                )
            )
        return tuple(nodes)


def _rules(text: str) -> tuple[tuple[str, str], ...]:
    """What a policy's text says of who may do what; nothing where the text wasn't shown."""
    return tuple((rule.name, _in_words(rule)) for rule in parse_policy(text)[0].rules) if text else ()


def _in_words(rule: Rule) -> str:
    who = " ".join((*(f"role {role}" for role in rule.roles), *rule.principals)) or "everybody"
    limits: list[tuple[str, Iterable[object]]] = [
        ("of", (one.label for one in rule.classes)),
        ("in", rule.streams),
        ("tables", rule.tables),
        ("columns", rule.columns),
        ("masked", rule.masks),
        ("tenants", rule.tenants),
        ("for", rule.purposes),
    ]
    said = [f"{rule.effect.value} {who}: {' '.join(one.value for one in rule.actions)}"]
    said += [f"{word} {' '.join(map(str, values))}" for word, of in limits if (values := list(of))]
    said += [
        word for word, holds in (("rows limited", rule.rows), ("mfa", rule.mfa), ("consent", rule.consent)) if holds
    ]
    return "; ".join(said)


def _session(grant: GrantInfo) -> str:
    reviewed = f"reviewed by {grant.reviewer} on {instant_of(grant.reviewed)[:10]}: {grant.verdict}"
    minutes = (grant.until - grant.opened) // _MICROS // 60
    return "; ".join(
        (
            f"{instant_of(grant.opened)} by {grant.principal} for {minutes} minutes",
            f"about {grant.subject or 'everybody'}: {grant.reason}",
            reviewed if grant.reviewer else "not reviewed yet",
        )
    )

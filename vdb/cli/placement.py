"""`vdb placement prove`: of every record of a tenant the region that it is sealed for, and what transfers were refused.

How the first is known: `vdb.client.placing`.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from attrs import asdict, frozen
from cyclopts import App

from vdb.audit.asked import QUESTIONS
from vdb.audit.page import AuditRecord
from vdb.cli.options import TENANT, TenantOptions
from vdb.cli.output import EXIT_FAILED, EXIT_OK, print_json, print_note, print_table, print_text, visible
from vdb.client.audit_scan import FaceAudit, scan
from vdb.client.client import Client
from vdb.client.placing import read_placed
from vdb.errors import EvidenceInvalid, UnknownTenant, VerityError
from vdb.evidence.note import VerifierKey
from vdb.types import GroupId, TenantId
from vdb.verifier.fhir import instant_of

app = App(name="placement", help="Proof of where each record may lie.")

FAMILIES = ("data", "audit")
STRAYS_SHOWN = 20
REFUSED_SHOWN = 20

NOT_PROVEN = (
    "where the machines, their disks, and copies and backups of these stand",
    "what a client of the database did with what it was answered",
    "transfers that a client refused itself, before it sent anything: nobody else knows of them",
    "connections between nodes of different regions that were refused: they stand in the nodes' own logs alone",
)


@frozen(kw_only=True)
class Refused:
    """A transfer that was refused for its region, as an audit log has it."""

    group: str
    log: str
    """The tenant's, or the system's."""
    record: int
    time: str
    door: str
    actor: str
    object: str


@app.command
async def prove(*, group: str = "", key: list[str] | None = None, options: TenantOptions = TENANT) -> int:
    """Show of every record of a tenant for which region it is sealed, and that none is left out.

    All leaves of each tree are fetched, and hashed here: they have to give the root that the group's primary signs. The
    audit logs are looked through as well, for transfers that were refused. Exit code 1 if a record lies elsewhere.

    Example: `vdb placement prove --key "$(cat node.vkey)"`

    Parameters
    ----------
    group
        A region's name, or 'global'; by default all groups of the cluster.
    key
        A node's key, as it was handed to you (vkey). May be given several times. Without one its own word counts.
    """
    keys = [VerifierKey.parse(text) for text in key or ()]
    rows: list[dict[str, Any]] = []
    refused: list[Refused] = []
    unread: list[str] = []
    async with options.tenant_client() as client:
        groups = [GroupId(group)] if group else list(await client.cluster.groups())
        for one in groups:
            for family in FAMILIES:
                found = await _prove_tree(client, one, family, keys)
                if found is not None:
                    rows.append(found)
            for system in (False, True):
                try:
                    refused += await _refused_in(client, one, system=system)
                except VerityError as error:
                    unread.append(f"{one}, {'system' if system else 'tenant'}: {error}")
    strays = sum(row["astray"] for row in rows)
    if options.json:
        print_json(
            {
                "tenant": client.tenant,
                "trees": rows,
                "astray": strays,
                "keys_given": bool(keys),
                "refused": {
                    "count": len(refused),
                    "by_door": dict(_by_door(refused)),
                    "entries": [asdict(one) for one in refused],
                    "not_read": unread,
                },
                "not_proven": list(NOT_PROVEN),
            }
        )
    else:
        _print(rows, strays)
        _print_refused(refused, unread)
        if not keys:
            print_note("no --key was given: the heads are the nodes' own word, until you compare their keys")
    return EXIT_FAILED if strays else EXIT_OK


async def _prove_tree(client: Client, group: GroupId, family: str, keys: list[VerifierKey]) -> dict[str, Any] | None:
    """What one tree says; None where the tenant has none there."""
    try:
        head = await client.tree_head(group, family=family)
    except UnknownTenant:
        return None
    if keys and not head.note.verified_by(keys):
        raise EvidenceInvalid(f"the head of {head.checkpoint.origin} isn't signed by a key that is trusted")
    tally = await read_placed(client, head, group, TenantId(client.tenant), family)
    return {
        "group": group,
        "family": family,
        "leaves": tally.size,
        "records": [
            {"data_class": kind, "region": region, "count": count}
            for (kind, region), count in sorted(tally.regions.items())
        ],
        "astray": len(tally.strays),
        "strays": [{"leaf": stray.index, "why": stray.why} for stray in tally.strays[:STRAYS_SHOWN]],
        "root": head.checkpoint.root.hex(),
        "origin": head.checkpoint.origin,
        "key": str(head.verifier),
    }


async def _refused_in(client: Client, group: GroupId, *, system: bool) -> list[Refused]:
    """Of one audit log, all of whose records are read and hashed. AccessDenied."""
    audit = FaceAudit(client, group, system=system)
    try:
        head = await audit.head()
    except UnknownTenant:
        return []
    found: list[Refused] = []

    def take(record: AuditRecord) -> None:
        for entry in record.decoded():
            if QUESTIONS["transfers-refused"].fits(entry):
                found.append(
                    Refused(
                        group=group,
                        log="system" if system else "tenant",
                        record=record.index,
                        time=instant_of(entry.time),
                        door=entry.door,
                        actor=entry.actor,
                        object=entry.object,
                    )
                )

    await scan(audit, head, take)
    return found


def _by_door(refused: list[Refused]) -> list[tuple[str, int]]:
    return sorted(Counter(one.door or "unknown" for one in refused).items())


def _print_refused(refused: list[Refused], unread: list[str]) -> None:
    doors = ", ".join(f"{door} {count}" for door, count in _by_door(refused))
    print_text(f"transfers that were refused: {len(refused)}{' by door: ' if doors else ''}{doors}")
    for one in refused[-REFUSED_SHOWN:]:
        print_text(
            f"  {one.time} {one.door} {visible(one.object)} for {visible(one.actor) or 'nobody'}, record {one.record}"
        )
    for why in unread:
        print_note(f"not looked through: the audit log of {why}")
    for what in NOT_PROVEN:
        print_note(f"not proven: {what}")


def _print(rows: list[dict[str, Any]], strays: int) -> None:
    if not rows:
        print_text("the tenant has no records")
        return
    print_table(
        ("group", "tree", "class", "sealed for", "records"),
        [
            (row["group"], row["family"], one["data_class"], one["region"], one["count"])
            for row in rows
            for one in row["records"]
        ],
    )
    print_text()
    for row in rows:
        print_text(f"{row['group']} {row['family']}: all {row['leaves']} leaves, root {row['root'][:16]}..., as signed")
        for stray in row["strays"]:
            print_text(f"  leaf {stray['leaf']}: {stray['why']}")
    print_text()
    print_text(
        f"{strays} records lie where they mustn't" if strays else "each record lies in the region it is sealed for"
    )

"""`vdb placement prove`: of every record of a tenant, in every group, the region that it is sealed for.

The leaves of a tree hold their records' headers. Those that a node shows are hashed here: they are all leaves, and no
other, if they have the root of the head that the node has signed. So nothing can be left out, and no header is another
than the one that each record was sealed with.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from attrs import define, field, frozen
from cyclopts import App

from vdb.cli.options import TENANT, TenantOptions
from vdb.cli.output import EXIT_FAILED, EXIT_OK, print_json, print_note, print_table, print_text
from vdb.client.client import Client
from vdb.crypto.record import RecordHeader, decode_header
from vdb.errors import CryptoError, EvidenceInvalid, UnknownTenant
from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.merkle import HASH_SIZE, Frontier, leaf_hash
from vdb.evidence.note import VerifierKey
from vdb.types import GLOBAL_GROUP, DataClass, GroupId, TenantId, audit_log_of

app = App(name="placement", help="Proof of where each record may lie.")

FAMILIES = ("data", "audit")
STRAYS_SHOWN = 20


@frozen(kw_only=True)
class Stray:
    """A leaf that names a place where it doesn't lie, or mustn't."""

    index: int
    why: str


@define
class Tally:
    """The leaves of one tree, as they are read. `add` each in order, then `check`."""

    group: GroupId
    log: TenantId
    """Number of the tree's log: the tenant's, or that of its audit log."""
    regions: Counter[tuple[str, str]] = field(factory=Counter)
    """Records by class and region."""
    strays: list[Stray] = field(factory=list)
    _frontier: Frontier = field(factory=Frontier)

    @property
    def size(self) -> int:
        return self._frontier.size

    def add(self, leaf: bytes) -> None:
        """EvidenceInvalid for what is no leaf."""
        try:
            header = decode_header(leaf[:-HASH_SIZE])
        except CryptoError as error:
            raise EvidenceInvalid(f"leaf {self.size} of {self.group} isn't one of a record: {error}") from None
        self.regions[header.data_class.label, header.region] += 1
        why = self._astray(header)
        if why:
            self.strays.append(Stray(index=self.size, why=why))
        self._frontier = self._frontier.append(leaf_hash(leaf))

    def _astray(self, header: RecordHeader) -> str:
        if header.region != self.group:
            return f"sealed for {header.region}, and lies in {self.group}"
        if header.data_class is DataClass.PHI and self.group == GLOBAL_GROUP:
            return "PHI, and lies in the global group"
        return "" if header.tenant == self.log else f"of the log {header.tenant}"

    def check(self, head: Checkpoint) -> None:
        """EvidenceInvalid where these aren't the leaves of the tree that was signed for."""
        if (self.size, self._frontier.root()) != (head.size, head.root):
            raise EvidenceInvalid(
                f"the {self.size} leaves that were shown aren't those of the signed head of {head.origin}: expected "
                f"the root {head.root.hex()} of {head.size}, found {self._frontier.root().hex()}"
            )


@app.command
async def prove(*, group: str = "", key: list[str] | None = None, options: TenantOptions = TENANT) -> int:
    """Show of every record of a tenant for which region it is sealed, and that none is left out.

    All leaves of each tree are fetched, and hashed here: they have to give the root that the group's primary signs. The
    audit logs are looked through as well. Exit code 1 if a record lies where it mustn't.

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
    async with options.tenant_client() as client:
        groups = [GroupId(group)] if group else list(await client.cluster.groups())
        for one in groups:
            for family in FAMILIES:
                found = await _prove_tree(client, one, family, keys)
                if found is not None:
                    rows.append(found)
    strays = sum(row["astray"] for row in rows)
    if options.json:
        print_json({"tenant": client.tenant, "trees": rows, "astray": strays, "keys_given": bool(keys)})
    else:
        _print(rows, strays)
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
    tenant = TenantId(client.tenant)
    tally = Tally(group, audit_log_of(tenant) if family == "audit" else tenant)
    while tally.size < head.checkpoint.size:
        wanted = head.checkpoint.size - tally.size
        leaves, _ = await client.tree_leaves(group, tally.size, wanted, family=family)
        if not leaves:
            break
        for leaf in leaves:
            tally.add(leaf)
    tally.check(head.checkpoint)
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

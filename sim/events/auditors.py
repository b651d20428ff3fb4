"""Who asks for evidence: heads that continue each other, and proofs of records that were acknowledged.

What a proof or a path shows is verified where it arrives, as its receiver would; that the trees are those of what was
committed, `sim.checkers.evidence` finds in the end.
"""

from __future__ import annotations

from random import Random

from attrs import define

from sim.events.deeds import HeadSeen, Proven
from sim.events.load import RETRY_SECONDS, TENANT, EventsLoad
from vdb.client.client import Client
from vdb.crypto.record import decode_header
from vdb.evidence.merkle import EMPTY_ROOT, HASH_SIZE, leaf_hash, verify_consistency


@define(eq=False)
class Auditor:
    load: EventsLoad
    who: str
    random: Random

    async def audit(self, client: Client) -> None:
        """A head, or a proof of an event that somebody was told of."""
        streams = [stream for stream, head in self.load.heads.items() if head]
        if streams and self.random.random() < 0.6:
            await self._prove(client, self.random.choice(streams))
        else:
            await self._look(client)

    async def _look(self, client: Client) -> None:
        load = self.load
        known = [head for head in load.deeds.heads if head.size >= 0]
        old = self.random.choice(known) if known else None
        deed = HeadSeen(who=self.who, asked=load.deeds.tick())
        load.deeds.heads.append(deed)
        size, root = (0, EMPTY_ROOT) if old is None else (old.size, old.root)

        async def act() -> None:
            head, path = await client._rpc.evidence.consistency(TENANT, load.group, size, timeout=RETRY_SECONDS)
            found = head.checkpoint
            load.verdict.check(
                "E7",
                verify_consistency(size, root, found.size, found.root, path),
                f"{self.who}: the tree of {found.size} leaves doesn't begin with that of {size}, which was told before",
            )
            load.verdict.check("E7", bool(head.note.verified_by([head.verifier])), f"{self.who}: a head isn't signed")
            deed.size, deed.root = found.size, found.root

        await load.recorded(deed, act)
        if deed.refusal.startswith("InvalidArgument"):
            load.verdict.check("E7", False, f"{self.who}: a tree that was told of isn't there any more: {deed.refusal}")

    async def _prove(self, client: Client, stream: str) -> None:
        load = self.load
        offset = self.random.randrange(load.heads[stream])
        deed = Proven(who=self.who, asked=load.deeds.tick(), stream=stream, offset=offset)
        load.deeds.proofs.append(deed)

        async def act() -> None:
            proof = (await client.prove(stream, offset)).proof
            header = decode_header(proof.extra[:-HASH_SIZE])
            load.verdict.check(
                "E8",
                proof.holds_for(leaf_hash(proof.extra)) and header.offset <= offset < header.offset + header.count,
                f"{self.who}: the proof of {stream} at {offset} doesn't hold, or is another record's",
            )
            deed.leaf, deed.index = leaf_hash(proof.extra), proof.index
            deed.size, deed.root = proof.checkpoint.size, proof.checkpoint.root

        await load.recorded(deed, act)
        if deed.refusal.startswith("InvalidArgument"):
            load.verdict.check("E8", False, f"{self.who}: what was acknowledged can't be proven: {deed.refusal}")

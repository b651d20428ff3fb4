"""Evidence that clients were given, held against the ledger.

- E7: a head has the root of the tree of so many of the ledger's records; who asks after somebody was told of a head is
  never told of a shorter one, whatever happened to the nodes in between.
- E8: a proof's leaf is that of the record which holds the event, in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from sim.checkers.ledger import Frame
from sim.events.deeds import Deeds, HeadSeen
from sim.verdict import Verdict
from vdb.crypto.record import record_leaf
from vdb.evidence.merkle import Frontier


def check_evidence(verdict: Verdict, deeds: Deeds, frames: Sequence[Frame], streams: dict[str, int]) -> None:
    """`frames`: of the tenant in the group, all that was ever committed. `streams`: ids by names."""
    heads = [deed for deed in (*deeds.heads, *deeds.proofs) if deed.size >= 0]
    if not heads:
        return
    leaves = [record_leaf(frame.record) for frame in frames]
    wanted = {head.size for head in heads}
    trees = accumulate(leaves, Frontier.append, initial=Frontier())
    roots = {tree.size: tree.root() for tree in trees if tree.size in wanted}
    for head in heads:
        verdict.check(
            "E7",
            roots.get(head.size) == head.root,
            f"{head.who} was told of a tree of {head.size} leaves: not that of the records committed",
        )
    _check_order(verdict, heads)
    for proof in deeds.proofs:
        if proof.size < 0:
            continue
        frame = frames[proof.index] if proof.index < len(frames) else None
        verdict.check(
            "E8",
            frame is not None
            and frame.stream == streams.get(proof.stream)
            and frame.offset <= proof.offset < frame.offset + frame.count
            and leaves[proof.index] == proof.leaf,
            f"{proof.who} was given leaf {proof.index} as the proof of {proof.stream} at {proof.offset}; it isn't",
        )


def _check_order(verdict: Verdict, heads: Sequence[HeadSeen]) -> None:
    """Sizes grow from one that was told to each that was asked for later."""
    longest = 0
    told = sorted(heads, key=lambda head: head.told)
    at = 0
    for head in sorted(heads, key=lambda head: head.asked):
        while at < len(told) and told[at].told < head.asked:
            longest = max(longest, told[at].size)
            at += 1
        verdict.check(
            "E7",
            head.size >= longest,
            f"{head.who} was told of a tree of {head.size} leaves, after somebody was told of one of {longest}",
        )

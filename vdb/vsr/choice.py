"""Choosing the log of a new view from votes. Pure.

Sources: Viewstamped Replication Revisited, section 4.2, step 3; Protocol-Aware Recovery for Consensus-Based Storage,
section 3 (corrupt isn't absent).

Rules
- Canonical are the votes with the highest log_view: that view's log holds all that was ever committed before it.
- What any voter knows to be committed is never cut.
- For each op above, upward: a nack quorum proves that it never committed, and the log is cut there; otherwise a voter
  must hold the prepare. With neither, more votes are needed; with all votes and neither, the group can't go on without
  losing data silently, and says so.
- Who is unsure of its head has left the older views, and no more: its vote counts for the quorum, and says neither
  what the log holds nor what it doesn't. The others must be so many that any replication quorum has one of them: as
  many as a nack quorum. What was committed, one of them has.
- The votes must be a view-change quorum of each configuration that the log may be under: the one at the commit number,
  and each one that an op above it makes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from attrs import field, frozen

from vdb.marks import mark
from vdb.vsr.configuration import Configuration
from vdb.vsr.header import PrepareHeader
from vdb.vsr.message import DoViewChange, TailEntry


@frozen(kw_only=True)
class Choice:
    """The log of the new view: `tail` from an op at or below `commit` to the head, chained.

    Empty when the log ends at `commit` and no voter knows its header any more: it is in all their checkpoints.
    """

    commit: int
    tail: tuple[PrepareHeader, ...] = field(repr=False)


@frozen
class Wait:
    """Not yet: why. `hopeless`: all voters have voted, and it can't be known what was acknowledged."""

    reason: str
    hopeless: bool = False


def choose(votes: Mapping[int, DoViewChange], committed: Configuration) -> Choice | Wait:
    """The log of the view that these votes (by sender) are for. `committed` is the new primary's own knowledge."""
    if not votes:
        return Wait("no vote yet")
    sure = {voter: vote for voter, vote in votes.items() if not vote.unsure}
    if not sure:
        return _too_few_are_sure(committed, votes)
    commit = max(vote.commit for vote in votes.values())
    log_view = max(vote.log_view for vote in sure.values())
    canonical = [vote for vote in sure.values() if vote.log_view == log_view]
    headers = _headers(canonical)
    base = _configuration_at(commit, headers, votes, committed)
    configurations = [base, *_named_above(headers, commit)]
    for configuration in configurations:
        if count(configuration, votes) < configuration.quorums.view_change:
            return Wait(f"no view-change quorum of {configuration.voters}")
        if count(configuration, sure) < configuration.quorums.nack:
            return _too_few_are_sure(configuration, votes)
    all_in = all(voter in votes for configuration in configurations for voter in configuration.voters)
    top = max([vote.tail[-1].op for vote in canonical if vote.tail], default=0)
    if top < commit:
        return Wait(f"op {commit} is committed, and the canonical votes end at {top}", hopeless=all_in)
    head = commit
    holding = base
    for op in range(commit + 1, top + 1):
        checksum = _named(op, headers)
        header = headers.get(op)
        if _nacks(op, checksum, sure, log_view, holding) >= holding.quorums.nack:
            mark("vsr.log_cut")
            break
        if header is None or not _is_held(header, votes):
            return Wait(f"op {op} may be committed, and nobody who voted holds it", hopeless=all_in)
        head = op
        holding = header.configuration
    return _tail(headers, _known(votes), commit, head, all_in)


def _too_few_are_sure(configuration: Configuration, votes: Mapping[int, DoViewChange]) -> Wait:
    reason = f"too few of {configuration.voters} are sure of their logs' heads"
    return Wait(reason, hopeless=count(configuration, votes) == len(configuration.voters))


def count(configuration: Configuration, nodes: Mapping[int, object]) -> int:
    """How many voters of a configuration are among these nodes."""
    return sum(voter in nodes for voter in configuration.voters)


def _headers(canonical: Sequence[DoViewChange]) -> dict[int, PrepareHeader]:
    found: dict[int, PrepareHeader] = {}
    for vote in canonical:
        for entry in vote.tail:
            if entry.header is not None:
                known = found.setdefault(entry.op, entry.header)
                assert known.checksum == entry.header.checksum, f"two logs of one view differ at op {entry.op}"
    return found


def _known(votes: Mapping[int, DoViewChange]) -> dict[bytes, PrepareHeader]:
    """Every header in any vote, by its checksum: the parent of a canonical header may stand in any of them."""
    return {
        entry.header.checksum: entry.header
        for vote in votes.values()
        for entry in vote.tail
        if entry.header is not None
    }


def _configuration_at(
    commit: int, headers: Mapping[int, PrepareHeader], votes: Mapping[int, DoViewChange], committed: Configuration
) -> Configuration:
    """The one that holds at the commit number, as far as voters know: configurations never go back.

    What the canonical log has up to the commit number is committed, even where its voters didn't know that yet; and so
    is a configuration from there that a header above names: after state sync nothing else may tell of it.
    """
    found = committed
    known = [header for header in headers.values() if header.configuration.epoch <= commit]
    for vote in votes.values():
        known += [entry.header for entry in vote.tail if entry.header is not None and entry.op <= vote.commit]
    for header in known:
        if header.configuration.epoch > found.epoch:
            found = header.configuration
    return found


def _named_above(headers: Mapping[int, PrepareHeader], commit: int) -> list[Configuration]:
    """Configurations that ops above the commit number make, each once."""
    found = {header.configuration: None for _op, header in sorted(headers.items())}
    return [configuration for configuration in found if configuration.epoch > commit]


def _named(op: int, headers: Mapping[int, PrepareHeader]) -> bytes | None:
    """Checksum of what the canonical log has at this op, by its own header or by the next one."""
    header, after = headers.get(op), headers.get(op + 1)
    if header is not None:
        return header.checksum
    return after.parent if after is not None else None


def _entry(vote: DoViewChange, op: int) -> TailEntry | None:
    if not vote.tail:
        return None
    index = op - vote.tail[0].op
    return vote.tail[index] if 0 <= index < len(vote.tail) else None


def _nacks(
    op: int,
    checksum: bytes | None,
    votes: Mapping[int, DoViewChange],
    log_view: int,
    configuration: Configuration,
) -> int:
    """How many voters of the configuration under which the op was proposed know that they never acked it."""
    return sum(_is_nack(votes[voter], op, checksum, log_view) for voter in configuration.voters if voter in votes)


def _is_nack(vote: DoViewChange, op: int, checksum: bytes | None, log_view: int) -> bool:
    entry = _entry(vote, op)
    if entry is None:
        # Its sender was sure of its head. What lies above that was never acked; below the tail all is committed.
        return not vote.tail or op > vote.tail[-1].op
    if checksum is None or entry.header is None or entry.header.checksum == checksum:
        return entry.nack
    assert vote.log_view < log_view, "votes of one log_view agree"
    return True


def _is_held(header: PrepareHeader, votes: Mapping[int, DoViewChange]) -> bool:
    for vote in votes.values():
        entry = _entry(vote, header.op)
        if entry is None or entry.header is None or not entry.present:
            continue
        if entry.header.checksum == header.checksum:
            return True
    return False


def _tail(
    headers: Mapping[int, PrepareHeader], known: Mapping[bytes, PrepareHeader], commit: int, head: int, all_in: bool
) -> Choice | Wait:
    """From the head down to an op at or below the commit number."""
    header = headers.get(head)
    if header is None and head == commit:
        return Choice(commit=commit, tail=())
    if header is None:
        return Wait(f"the header of op {head}, the new head, isn't in any canonical vote", hopeless=all_in)
    tail = [header]
    while tail[-1].op > commit:
        parent = known.get(tail[-1].parent)
        if parent is None:
            break
        tail.append(parent)
    tail.reverse()
    assert all(before.checksum == after.parent for before, after in pairwise(tail))
    return Choice(commit=commit, tail=tuple(tail))

"""All that a replica remembers between two inputs, and what it has decided to want done.

No rules: those are in the modules beside this one, one per part of the protocol, as functions over this state.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from attrs import define, frozen

from vdb.limits import Limits
from vdb.vsr.configuration import Configuration
from vdb.vsr.header import ALONE, ZERO_CHECKSUM, Prepare, PrepareHeader
from vdb.vsr.log import Log
from vdb.vsr.message import CoreMessage, DoViewChange, StartViewChange
from vdb.vsr.ready import NOTHING, Envelope, Ready, Supply, SyncTarget, ViewChange
from vdb.vsr.rhythm import Rhythm
from vdb.vsr.timing import Timing


class Status(Enum):
    RECOVERING = "recovering"
    """Storage is being opened; nothing is known yet."""
    RECOVERING_HEAD = "recovering_head"
    """The log's head may have been lost: repairs are served, nothing is acked or voted for."""
    VIEW_CHANGE = "view_change"
    """The log of `view` isn't known, or not durably."""
    NORMAL = "normal"
    REMOVED = "removed"
    """A committed configuration doesn't name this node."""


_NORMAL = Status.NORMAL


class Step(Enum):
    """What a view that was made durable was made durable for."""

    ALONE = "alone"
    VOTE = "vote"
    START = "start"
    ADOPT = "adopt"


@define(eq=False)
class Peer:
    """What another member last said of itself."""

    view: int = 0
    commit: int = 0
    checkpoint_op: int = 0
    heard: int = -(1 << 60)
    """The tick."""
    round: int = 0
    """The last heartbeat of this view that it answered."""


@frozen
class Wish:
    """A pre-vote: the view wanted, and the tick at which it was heard."""

    view: int
    tick: int


class ReplicaState:
    """See the module's docstring. `random(n)` gives 0 to n - 1; it only spreads timeouts and targets."""

    def __init__(
        self,
        *,
        group: bytes,
        replica: int,
        limits: Limits,
        timing: Timing | None = None,
        random: Callable[[int], int] = lambda _bound: 0,
    ) -> None:
        assert len(group) == 32
        self.group = group
        self.replica = replica
        self.limits = limits
        self.timing = timing if timing is not None else Timing()
        self.random = random
        self.status = Status.RECOVERING
        self.view = 0
        self.log_view = 0
        self.log = Log(slots=limits.wal_slots)
        self.commit_number = 0
        self.commit_known = 0
        """The highest op that anybody is known to have committed; the log may not reach so far yet."""
        self.committed_configuration: Configuration = ALONE
        self.heard_configuration: Configuration | None = None
        """A newer one than the log's, which makes this replica a voter: it lets it vote, and decides nothing."""
        self._settled: tuple[Configuration] = (ALONE,)
        self._settled_others = tuple(member for member in ALONE.members if member != replica)
        self.checkpoint_id = ZERO_CHECKSUM
        self.nonce = 1
        self.persisting: Step | None = None
        self.tick = 0
        # Normal operation
        self.acks: dict[int, dict[int, None]] = {}
        self.peers: dict[int, Peer] = {}
        self.round = 0
        self.rounds_waited: list[tuple[int, int]] = []
        """(number of a `Confirm`, the round that must be answered)."""
        self.view_start_op = 0
        """The head when this view started: ops up to it may have been answered by earlier primaries."""
        self.abdicated = False
        self.rhythm = Rhythm(self.timing, random)
        self.progress = 0
        """The tick of the last commit."""
        # View changes
        self.wish = 0
        """The view that this replica wants, above its own; 0: none."""
        self.wishes: dict[int, Wish] = {}
        self.unsure = False
        """The log's head may be higher than is known here: no log of a view was taken since."""
        self.vote: DoViewChange | None = None
        self.votes: dict[int, DoViewChange] = {}
        self.starting = False
        """The log of `view` is chosen and durable, and this primary still lacks prepares of it."""
        self.view_since = 0
        self.failures = 0
        """Views in a row that didn't start."""
        self.heard_view = 0
        self.heard_view_since = 0
        self.stuck = ""
        """Why no log can be chosen although every voter has voted."""
        self.sent: dict[str, int] = {}
        """The tick at which something periodic was done last, by its name."""
        # What is to be done
        self._view_change: ViewChange | None = None
        self._persist: list[Prepare] = []
        self._messages: list[Envelope] = []
        self._commits: list[PrepareHeader] = []
        self._truncate: int | None = None
        self._supplies: list[Supply] = []
        self._confirmed: list[int] = []
        self._view_started = False
        self._sync: SyncTarget | None = None
        self._removed = False

    # Who is who --------------------------------------------------------------------------------------------------

    @property
    def op(self) -> int:
        """The head of the log."""
        return self.log.head

    @property
    def checkpoint_op(self) -> int:
        return self.log.base_op

    @property
    def configuration(self) -> Configuration:
        """The one that holds at the head, committed or not."""
        return self.log.configuration(self.committed_configuration)

    @property
    def primary(self) -> int:
        """The node number of this view's primary, as far as this replica's log knows."""
        return self.configuration.primary(self.view)

    @property
    def is_primary(self) -> bool:
        return self.log.configuration(self.committed_configuration).primary(self.view) == self.replica

    @property
    def is_serving_primary(self) -> bool:
        # As `is_primary`, without the call: each request asks.
        return (
            self.status is _NORMAL
            and self.log.configuration(self.committed_configuration).primary(self.view) == self.replica
        )

    @property
    def is_voter(self) -> bool:
        """Whether any configuration that may hold counts this replica: one that leaves acks its own removal."""
        return any(self.replica in configuration.voters for configuration in self.active_configurations())

    @property
    def is_learner(self) -> bool:
        return not self.is_voter

    @property
    def is_alone(self) -> bool:
        """Whether no other voter has a say."""
        return all(configuration.voters == (self.replica,) for configuration in self.active_configurations())

    @property
    def known_configuration(self) -> Configuration:
        """The latest that is known to be committed: this log may hold the op of one that isn't committed here yet."""
        header = self.log.header(min(self.commit_known, self.op))
        if header is None or header.configuration.epoch <= self.committed_configuration.epoch:
            return self.committed_configuration
        return header.configuration

    def active_configurations(self) -> tuple[Configuration, ...]:
        """Those that may hold: the one known to be committed, and one that waits for its commit."""
        if self._is_settled:
            return self._settled
        found = {self.known_configuration: None, self.configuration: None, self.voting_configuration: None}
        return tuple(found)

    @property
    def _is_settled(self) -> bool:
        """Whether one configuration alone is known of. As a rule it is, and then it is the same object everywhere."""
        committed = self.committed_configuration
        if self.heard_configuration is not None or self.log.configuration(committed) is not committed:
            return False
        if self._settled[0] is not committed:
            self._settled = (committed,)
            self._settled_others = tuple(member for member in committed.members if member != self.replica)
        return True

    @property
    def voting_configuration(self) -> Configuration:
        """The latest that this replica has in its log or has heard of."""
        latest, heard = self.configuration, self.heard_configuration
        return heard if heard is not None and heard.epoch > latest.epoch else latest

    def others(self) -> tuple[int, ...]:
        """Everybody else who belongs to an active configuration or to the one that this replica has reached."""
        if self._is_settled:
            return self._settled_others
        found: dict[int, None] = {}
        for configuration in (self.committed_configuration, *self.active_configurations()):
            found.update(dict.fromkeys(configuration.members))
        found.pop(self.replica, None)
        return tuple(found)

    def is_quorum(self, nodes: dict[int, None], kind: str) -> bool:
        """Whether these nodes are a quorum, `replication` or `view_change`, of each active configuration."""
        return all(
            sum(voter in nodes for voter in configuration.voters) >= getattr(configuration.quorums, kind)
            for configuration in self.active_configurations()
        )

    @property
    def may_abstain(self) -> bool:
        """Whether a view may need this replica though it says nothing of the log: the others alone know enough of it.

        Not if it has never been in a view: it joins, and doesn't know what another disk promised in its name.
        """
        if self.log_view == 0 or not self.is_voter:
            return False
        active = self.active_configurations()
        return any(configuration.quorums.view_change > configuration.quorums.nack for configuration in active)

    def peer(self, node: int) -> Peer:
        return self.peers.setdefault(node, Peer())

    def is_due(self, what: str, ticks: int) -> bool:
        """Whether something periodic is due; if so, it counts as done now."""
        if self.tick - self.sent.get(what, -(1 << 60)) < ticks:
            return False
        self.sent[what] = self.tick
        return True

    # What is to be done ------------------------------------------------------------------------------------------

    def send(self, to: int, message: CoreMessage) -> None:
        self._messages.append(Envelope(to, message))

    def broadcast(self, message: CoreMessage) -> None:
        for other in self.others():
            self._messages.append(Envelope(other, message))

    def write(self, prepare: Prepare) -> None:
        """Hand a prepare to the journal."""
        self.log.set_written(prepare.header)
        self._persist.append(prepare)

    def supply(self, to: int, header: PrepareHeader) -> None:
        self._supplies.append(Supply(to, header.op, header.checksum))

    def make_durable(self, step: Step, tail: bytes) -> None:
        """Have view, log_view and tail written; `step` goes on when they are durable.

        What was about to be said of the view that is left isn't said any more; wishes for the one that begins are.
        """
        self.persisting = step
        self._messages = [envelope for envelope in self._messages if isinstance(envelope.message, StartViewChange)]
        self._view_change = ViewChange(self.view, self.log_view, self.commit_known, tail)

    def truncated(self, op: int) -> None:
        """The log may have been cut above this op: the journal must follow."""
        self._truncate = op

    def committed(self, header: PrepareHeader) -> None:
        self._commits.append(header)

    def confirmed(self, number: int) -> None:
        self._confirmed.append(number)

    def view_started(self) -> None:
        self._view_started = True

    def want_sync(self, target: SyncTarget) -> None:
        self._sync = target

    def removed(self) -> None:
        self._removed = True

    def take_ready(self) -> Ready:
        if not self._has_something_to_do():
            return NOTHING
        ready = Ready(
            view_change=self._view_change,
            persist=tuple(self._persist),
            messages=tuple(self._messages),
            commits=tuple(self._commits),
            truncate=self._truncate,
            supplies=tuple(self._supplies),
            confirmed=tuple(self._confirmed),
            view_started=self._view_started,
            sync=self._sync,
            removed=self._removed,
        )
        self._view_change = None
        self._persist.clear()
        self._messages.clear()
        self._commits.clear()
        self._truncate = None
        self._supplies.clear()
        self._confirmed.clear()
        self._view_started = False
        self._sync = None
        self._removed = False
        return ready

    def _has_something_to_do(self) -> bool:
        return bool(
            self._messages
            or self._persist
            or self._commits
            or self._supplies
            or self._confirmed
            or self._view_started
            or self._removed
            or self._view_change is not None
            or self._truncate is not None
            or self._sync is not None
        )

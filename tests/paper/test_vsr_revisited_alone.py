"""Viewstamped Replication Revisited (Liskov and Cowling, 2012) on a group of one, with the kernel: section 4.1.

And what of 4.2 (view changes) and 4.3 (recovery) applies to it. The docstring of each test says what the paper asks, in
our words, or where VerityDB departs from it. f is 0 here: the quorum of a group of one is its own durable
acknowledgement.
"""

from __future__ import annotations

import pytest

from vdb.errors import RefusalCode
from vdb.kernel.apply import apply_request, stored_reply
from vdb.kernel.command import Command, KeyRow, KeyScope, OpenSession, Origin, PutKey, Reject, Request
from vdb.kernel.reply import KeyPut, Refusal, Reply, SessionOpened
from vdb.kernel.state import State
from vdb.limits import Limits
from vdb.types import DataClass, GroupId, TenantId
from vdb.vsr.configuration import Configuration
from vdb.vsr.header import ZERO_CHECKSUM, PrepareHeader
from vdb.vsr.message import Opened, PrepareDurable, PrepareOk, Propose, ViewDurable
from vdb.vsr.quorum import quorums
from vdb.vsr.ready import NOTHING, Ready
from vdb.vsr.replica import TABLE, Dropped, Replica, Status
from vdb.wire.command import decode_body, encode_body

GROUP = GroupId("eu-west-1")
LIMITS = Limits(message_size_max=8192, wal_slots=16, pipeline_max=3, checkpoint_interval=8)
CLIENT = b"c" * 16


def a_replica() -> Replica:
    return Replica(group=bytes(32), replica=0, limits=LIMITS)


def opened(*headers: PrepareHeader, view: int = 0) -> Opened:
    return Opened(
        view=view,
        log_view=view,
        checkpoint_op=0,
        checkpoint_id=ZERO_CHECKSUM,
        checkpoint_checksum=ZERO_CHECKSUM,
        checkpoint_timestamp=0,
        headers=headers,
    )


class Primary:
    """A group of one by hand: the replica, what it wrote, the state with the pipeline, and the committed state."""

    def __init__(self, *headers: PrepareHeader, view: int = 0, log: dict[int, bytes] | None = None) -> None:
        self.replica = a_replica()
        self.log = dict(log or {})
        self.headers = list(headers)
        self.prepared = self.committed = State.empty(GROUP, LIMITS.sessions_max)
        self.replies: list[Reply] = []
        self.replica.on(opened(*headers, view=view))
        self.take(self.replica.on(ViewDurable(view=view + 1, log_view=view + 1)))
        self.prepared = self.committed

    def receive(self, command: Command, origin: Origin) -> PrepareHeader | Reply:
        """A client's request: its stored answer, or the header of the op that it became."""
        known = stored_reply(self.prepared, origin)
        if known is not None:
            return known
        request = Request(origin, command)
        timestamp = self.replica.next_timestamp(1_000)
        self.prepared, _effects, _reply = apply_request(self.prepared, request, timestamp)
        ready = self.replica.on(Propose(body=encode_body([request]), timestamp=timestamp, request_count=1))
        assert ready.commits == ()
        [prepare] = ready.persist
        self.log[prepare.header.op] = prepare.body
        self.headers.append(prepare.header)
        return prepare.header

    def written(self, header: PrepareHeader) -> None:
        """The journal reports the op durable; the acknowledgement that the replica sends itself arrives."""
        self.take(self.replica.on(PrepareDurable(header=header)))

    def take(self, ready: Ready) -> None:
        for header in ready.commits:
            for request in decode_body(self.log[header.op]):
                self.committed, _effects, reply = apply_request(self.committed, request, header.timestamp)
                self.replies.append(reply)
        for envelope in ready.messages:
            assert envelope.to == 0
            self.take(self.replica.on(envelope.message))

    def run(self, command: Command, origin: Origin) -> Reply:
        header = self.receive(command, origin)
        assert isinstance(header, PrepareHeader)
        self.written(header)
        return self.replies[-1]

    def open_session(self) -> int:
        reply = self.run(OpenSession(), Origin(CLIENT))
        assert isinstance(reply, SessionOpened)
        return reply.session


def say(text: str) -> Reject:
    """A command whose answer tells which request was executed."""
    return Reject(code=RefusalCode.INVALID_ARGUMENT, message=text)


def said(text: str) -> Refusal:
    return Refusal(RefusalCode.INVALID_ARGUMENT, text)


def put_key() -> PutKey:
    return PutKey(
        row=KeyRow(
            dek_id=b"T" * 16,
            tenant=TenantId(1),
            scope=KeyScope.TENANT,
            data_class=DataClass.PHI,
            lookup=bytes(32),
            subject_token=bytes(32),
            kek_id=bytes(16),
            kek_version=1,
            wrapped=bytes(40),
            wrapped_secret=b"",
        )
    )


# Section 4.1: normal operation ---------------------------------------------------------------------------------


def test_requests_are_processed_in_normal_status_only() -> None:
    """Section 4.1: replicas take part in the processing of requests only while their status is normal."""
    for status in (Status.RECOVERING, Status.RECOVERING_HEAD, Status.VIEW_CHANGE, Status.REMOVED):
        assert isinstance(TABLE[status, Propose], Dropped)
        assert isinstance(TABLE[status, PrepareOk], Dropped)
    replica = a_replica()
    assert replica.on(Propose(body=b"", timestamp=1, request_count=1)) is NOTHING
    replica.on(opened())
    assert replica.status is Status.VIEW_CHANGE
    assert not replica.can_propose()


@pytest.mark.parametrize("view", [0, 2])
def test_a_message_of_another_view_is_not_processed(view: int) -> None:
    """Section 4.1: a message counts only if its view-number is the receiver's. An older one is dropped.

    A group of one hears of no newer view but its own, so there is no state to transfer: that is dropped too.
    """
    primary = Primary()
    header = primary.receive(OpenSession(), Origin(CLIENT))
    assert isinstance(header, PrepareHeader)
    assert primary.replica.on(PrepareOk(view=view, op=1, checksum=header.checksum, replica=0)) == Ready()
    assert primary.replica.commit_number == 0


def test_a_request_carries_client_and_number() -> None:
    """Section 4.1, step 1: a request holds the operation, the client's id and the number that it gave the request."""
    primary = Primary()
    origin = Origin(CLIENT, primary.open_session(), 1)
    primary.run(say("one"), origin)
    assert decode_body(primary.log[2]) == [Request(origin, say("one"))]


def test_a_request_that_was_executed_is_answered_again() -> None:
    """Section 4.1, step 2: a number not above the client table's isn't executed; the stored response is sent again."""
    primary = Primary()
    origin = Origin(CLIENT, primary.open_session(), 1)
    assert primary.run(say("first"), origin) == said("first")
    assert primary.receive(say("again"), origin) == said("first")
    assert primary.replica.op == 2, "nothing was proposed for the second copy"


def test_older_requests_than_the_latest_are_answered_too() -> None:
    """Section 4.1, step 2, a departure: the paper keeps the answer of a client's most recent request alone.

    A session may have a window of requests in flight, so the answers of the whole window are kept.
    """
    primary = Primary()
    session = primary.open_session()
    for number in (1, 2, 3):
        primary.run(say(f"answer {number}"), Origin(CLIENT, session, number))
    assert primary.receive(say("again"), Origin(CLIENT, session, 1)) == said("answer 1")


def test_a_request_in_the_pipeline_is_not_proposed_twice() -> None:
    """Section 4.1, step 3: the client table gets the number when the request joins the log, before it commits."""
    primary = Primary()
    origin = Origin(CLIENT, primary.open_session(), 1)
    assert isinstance(primary.receive(say("first"), origin), PrepareHeader)
    assert stored_reply(primary.committed, origin) is None, "not committed yet"
    assert not isinstance(primary.receive(say("again"), origin), PrepareHeader)
    assert primary.replica.op == 2


def test_the_primary_advances_its_op_number_and_its_log() -> None:
    """Section 4.1, step 3: the primary advances op-number and adds the request to the end of its log."""
    primary = Primary()
    first = primary.receive(OpenSession(), Origin(CLIENT))
    second = primary.receive(OpenSession(), Origin(b"d" * 16))
    assert isinstance(first, PrepareHeader)
    assert isinstance(second, PrepareHeader)
    assert (first.op, second.op, primary.replica.op) == (1, 2, 2)
    assert second.parent == first.checksum == primary.replica.pipeline_headers()[0].checksum


def test_a_prepare_says_view_op_and_commit_number() -> None:
    """Section 4.1, step 3: a prepare holds the view-number, the request, its op-number and the commit-number."""
    primary = Primary(view=4)
    primary.open_session()
    header = primary.receive(OpenSession(), Origin(b"d" * 16))
    assert isinstance(header, PrepareHeader)
    assert (header.view, header.op, header.commit) == (5, 2, 1)
    assert decode_body(primary.log[2]) == [Request(Origin(b"d" * 16), OpenSession())]


def test_a_group_of_one_has_no_backup() -> None:
    """Section 4.1, steps 4, 6 and 7 tell what backups do with prepares and commits: none comes here."""
    assert Primary().replica.others() == ()
    primary = Primary()
    ready = primary.replica.on(Propose(body=encode_body([]), timestamp=1, request_count=1))
    assert ready.messages == (), "no prepare is sent: there is nobody to send it to"


def test_an_acknowledgement_says_that_the_op_is_prepared_locally() -> None:
    """Section 4.1, step 4: prepare_ok names view, op and replica. Here it also waits for the disk, and for nothing
    else: the paper's replica keeps its log in memory."""
    primary = Primary()
    header = primary.receive(OpenSession(), Origin(CLIENT))
    assert isinstance(header, PrepareHeader)
    [envelope] = primary.replica.on(PrepareDurable(header=header)).messages
    assert envelope.message == PrepareOk(view=1, op=1, checksum=header.checksum, replica=0)


def test_an_op_is_committed_once_a_quorum_acknowledged_it() -> None:
    """Section 4.1, step 5: the primary waits for f prepare_oks of others, f + 1 with its own."""
    assert [quorums(2 * f + 1).replication for f in (0, 1, 2)] == [1, 2, 3]
    primary = Primary()
    header = primary.receive(OpenSession(), Origin(CLIENT))
    assert isinstance(header, PrepareHeader)
    assert (primary.replica.commit_number, primary.replies) == (0, [])
    primary.written(header)
    assert primary.replica.commit_number == 1


def test_an_op_is_committed_with_all_earlier_ones_and_in_their_order() -> None:
    """Section 4.1, step 5: the primary executes an op after all earlier ones, and then raises its commit-number."""
    primary = Primary()
    session = primary.open_session()
    headers = [primary.receive(say(f"{number}"), Origin(CLIENT, session, number)) for number in (1, 2, 3)]
    for header in reversed(headers):
        assert primary.replies[1:] == []
        assert primary.replica.commit_number == 1
        assert isinstance(header, PrepareHeader)
        primary.written(header)
    assert primary.replies[1:] == [said("1"), said("2"), said("3")]
    assert primary.replica.commit_number == 4


def test_a_committed_op_is_executed_by_the_service() -> None:
    """Section 4.1, step 5: the primary makes an up-call to the service, once."""
    primary = Primary()
    origin = Origin(CLIENT, primary.open_session(), 1)
    header = primary.receive(put_key(), origin)
    assert isinstance(header, PrepareHeader)
    assert primary.committed.key(b"T" * 16) is None, "what isn't committed isn't executed"
    primary.written(header)
    assert primary.committed.key(b"T" * 16) is not None
    digest = primary.committed.digest()
    primary.written(header)
    assert primary.committed.digest() == digest


def test_the_reply_is_kept_in_the_client_table() -> None:
    """Section 4.1, step 5: the client's entry gets the result. It is part of the replicated state, as the log is."""
    primary = Primary()
    origin = Origin(CLIENT, primary.open_session(), 1)
    assert primary.run(put_key(), origin) == KeyPut(b"T" * 16)
    assert stored_reply(primary.committed, origin) == KeyPut(b"T" * 16)
    assert primary.committed.digest() == primary.prepared.digest()


def test_the_next_prepare_tells_of_the_commit() -> None:
    """Section 4.1, step 6: the commit-number travels in the next prepare."""
    primary = Primary()
    session = primary.open_session()
    for number in (1, 2):
        header = primary.receive(say("x"), Origin(CLIENT, session, number))
        assert isinstance(header, PrepareHeader)
        assert header.commit == number
        primary.written(header)


def test_a_client_that_hears_nothing_sends_again() -> None:
    """Section 4.1, last paragraph: a client re-sends its request; whether the first copy came through or not, it is
    executed once."""
    primary = Primary()
    session = primary.open_session()
    lost = Origin(CLIENT, session, 1)
    assert isinstance(primary.receive(say("the first to arrive"), lost), PrepareHeader)
    assert primary.receive(say("sent again"), lost) == said("the first to arrive")


# Section 4.2: view changes -------------------------------------------------------------------------------------


def test_a_view_change_advances_the_view_number() -> None:
    """Section 4.2, step 1: the replica advances its view-number and sets its status to view-change.

    A group of one does so at each start, since it can't know what the last view's primary did.
    """
    replica = a_replica()
    ready = replica.on(opened(view=6))
    assert (replica.view, replica.status) == (7, Status.VIEW_CHANGE)
    assert ready.view_change is not None
    assert ready.view_change.view == 7


def test_the_primary_of_a_view_follows_from_its_number() -> None:
    """Section 4 and 4.2: the primary is chosen round-robin by view-number."""
    three = Configuration.founding((0, 1, 2))
    assert [three.primary(view) for view in range(5)] == [0, 1, 2, 0, 1]
    assert Primary(view=11).replica.primary == 0


def logged() -> tuple[Primary, list[PrepareHeader]]:
    """A primary with three ops, of which two committed, and the headers that its disk holds."""
    primary = Primary()
    session = primary.open_session()
    primary.run(say("committed"), Origin(CLIENT, session, 1))
    primary.receive(say("in the pipeline"), Origin(CLIENT, session, 2))
    return primary, primary.headers


def test_the_log_survives_into_the_new_view() -> None:
    """Section 4.2: every committed op survives into the next views, in the same place; the new view's primary takes
    the log that it finds, and an op of it that hadn't committed commits now."""
    before, headers = logged()
    after = Primary(*headers, view=1, log=before.log)
    assert (after.replica.view, after.replica.op, after.replica.commit_number) == (2, 3, 3)
    assert after.replies[1:] == [said("committed"), said("in the pipeline")]
    assert after.committed.digest() == before.prepared.digest()


def test_the_new_primary_serves_after_the_view_started() -> None:
    """Section 4.2, steps 3 to 5: status becomes normal when the view starts, and then requests are accepted. What
    committed before is executed first, and the client table answers for it."""
    before, headers = logged()
    replica = a_replica()
    replica.on(opened(*headers, view=1))
    assert not replica.can_propose()
    with pytest.raises(AssertionError, match="inputs wait while a view is being written"):
        replica.on(PrepareOk(view=2, op=1, checksum=headers[0].checksum, replica=0))
    after = Primary(*headers, view=1, log=before.log)
    assert after.replica.can_propose()
    [session] = {request.origin.session for op in (2, 3) for request in decode_body(before.log[op])}
    assert after.receive(say("again"), Origin(CLIENT, session, 2)) == said("in the pipeline")
    header = after.receive(say("new"), Origin(CLIENT, session, 3))
    assert isinstance(header, PrepareHeader)
    assert (header.view, header.op, header.parent) == (2, 4, headers[-1].checksum)


def test_acknowledgements_of_the_old_view_count_for_nothing_in_the_new_one() -> None:
    """Section 4.2: prepares are acknowledged anew in the new view; two of these three are known to be committed."""
    _before, headers = logged()
    replica = a_replica()
    replica.on(opened(*headers, view=1))
    ready = replica.on(ViewDurable(view=2, log_view=2))
    acks = [envelope.message for envelope in ready.messages if isinstance(envelope.message, PrepareOk)]
    assert [(ack.view, ack.op) for ack in acks] == [(2, 3)]
    old = PrepareOk(view=1, op=3, checksum=headers[2].checksum, replica=0)
    assert replica.on(old) == Ready()
    assert replica.commit_number == 2


# Section 4.3: recovery -----------------------------------------------------------------------------------------


def test_a_recovering_replica_takes_part_in_nothing() -> None:
    """Section 4.3: while its status is recovering, a replica takes no part in requests or view changes."""
    cells = [TABLE[Status.RECOVERING, kind] for status, kind in TABLE if status is Status.RECOVERING]
    assert sum(not isinstance(cell, Dropped) for cell in cells) == 1, "only the report of its own storage counts"
    assert not isinstance(TABLE[Status.RECOVERING, Opened], Dropped)


def test_the_view_is_durable_before_anything_leaves() -> None:
    """Section 4.3, a departure: the paper recovers from the others' memory and needs no disk. Here view and log survive
    on disk, so that a crash of all replicas loses nothing; hence nothing leaves before the new view is durable."""
    _before, headers = logged()
    replica = a_replica()
    ready = replica.on(opened(*headers, view=1))
    assert ready.view_change is not None
    assert (ready.messages, ready.commits) == ((), ())
    assert replica.on(ViewDurable(view=2, log_view=2)).messages != ()


def test_a_replica_recovers_a_state_as_recent_as_before_it_failed() -> None:
    """Section 4.3: it must know all that it knew when it failed: what it acknowledged is in the log that it opens."""
    before, headers = logged()
    after = Primary(*headers, view=1, log=before.log)
    assert after.replica.pipeline_headers() == ()
    assert after.replica.log.head_checksum == before.replica.log.head_checksum


def test_views_never_repeat_across_crashes() -> None:
    """Section 4.3: a replica that fails again at once must not be taken for its earlier life (the paper's nonce)."""
    views = []
    view = 0
    for _crash in range(4):
        change = a_replica().on(opened(view=view)).view_change
        assert change is not None
        view = change.view
        views.append(view)
    assert views == [1, 2, 3, 4]

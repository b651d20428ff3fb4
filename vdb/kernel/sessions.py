"""Client sessions: what makes a retry safe (Viewstamped Replication Revisited, section 4).

Rules
- A session belongs to one client; a client has one session. Opening again ends the old one: a client that lost the
  answer of its open must not be locked out, and nothing that it sent under the lost session can still run.
- A session belongs to the principal who opened it, too, if that is said: so nobody else opens one for its client,
  which would end it. That its requests come from the same principal, the gate sees to.
- Requests of a session are executed in order of their numbers, from 1. A number that skips one isn't executed and
  isn't remembered, so that the client can send the missing one and then this one.
- The replies of the last SESSION_WINDOW requests are kept, refusals among them: a retry gets the first answer.
- When there are `sessions_max` sessions, the one whose last execution is oldest makes room. Retries don't count as
  use, because most of them are answered before they reach the log, and eviction has to be the same on all replicas.
- A transaction uses up its request's number when it closes; when its session ends before, it is void.
- Session 0 means none: such a request is executed each time that it comes.
"""

from __future__ import annotations

from vdb.errors import RefusalCode
from vdb.kernel.command import CLIENT_ID_SIZE, NO_CLIENT, Origin
from vdb.kernel.draft import Draft
from vdb.kernel.effect import EvictSession
from vdb.kernel.reply import Refusal, Reply, SessionOpened
from vdb.kernel.reply_codec import decode_reply, encode_reply
from vdb.kernel.rows import SESSION_ROW
from vdb.kernel.tables import CLIENTS, REPLIES, SESSION_OWNERS, SESSIONS, U64, reply_key, session_key
from vdb.kernel.transactions import void_of_session
from vdb.kernel.view import View
from vdb.limits import SESSION_WINDOW
from vdb.marks import mark

_OF_THE_BOOKS = (RefusalCode.SESSION_EXPIRED, RefusalCode.SESSION_GAP, RefusalCode.REQUEST_TOO_OLD)


def stored_reply(state: View, origin: Origin) -> Reply | None:
    """The answer that this origin already has; None: execute it."""
    session, number = origin.session, origin.number
    if session == 0:
        return None
    row = state.rows[SESSIONS].get(session_key(session))
    if row is None or not row.startswith(origin.client) or len(origin.client) != CLIENT_ID_SIZE:
        mark("session.expired")
        return Refusal(
            RefusalCode.SESSION_EXPIRED, f"session {session} isn't open for this client: it expired or never was"
        )
    last = SESSION_ROW.unpack(row)[1]
    if number == last + 1:
        return None
    if number > last:
        mark("session.gap")
        return Refusal(RefusalCode.SESSION_GAP, f"expected request {last + 1} of session {session}, found {number}")
    if number == 0:
        return Refusal(RefusalCode.INVALID_ARGUMENT, "the requests of a session are numbered from 1; found 0")
    if number <= last - SESSION_WINDOW:
        mark("session.too_old")
        return Refusal(
            RefusalCode.REQUEST_TOO_OLD,
            f"expected request {last - SESSION_WINDOW + 1} to {last + 1} of session {session}, found {number}",
        )
    mark("session.retry")
    stored = state.rows[REPLIES][reply_key(session, number)]
    assert U64.unpack_from(stored)[0] == number
    return decode_reply(stored[U64.size :])


def is_of_the_books(reply: Reply) -> bool:
    """Whether the session's books refuse the request: what they say holds for one state, not for good as answers do."""
    return isinstance(reply, Refusal) and reply.code in _OF_THE_BOOKS


def record_reply(draft: Draft, origin: Origin, reply: Reply) -> None:
    """Remember what the session's next request was answered."""
    session, number = origin.session, origin.number
    key = session_key(session)
    client, last, _ = SESSION_ROW.unpack(draft.rows[SESSIONS][key])
    assert number == last + 1
    draft.put(SESSIONS, key, SESSION_ROW.pack(client, number, draft.last_timestamp))
    draft.put(REPLIES, reply_key(session, number), U64.pack(number) + encode_reply(reply))


def owner_of(state: View, session: int) -> bytes | None:
    """SHA-256 of the name of the principal who opened it; empty: it was never said. None: there is no such session."""
    key = session_key(session)
    if key not in state.rows[SESSIONS]:
        return None
    return state.rows[SESSION_OWNERS].get(key, b"")


def open_session(draft: Draft, origin: Origin, owner: bytes = b"") -> Reply:
    client = origin.client
    if len(client) != CLIENT_ID_SIZE or client == NO_CLIENT:
        return Refusal(
            RefusalCode.INVALID_ARGUMENT,
            f"a client id has {CLIENT_ID_SIZE} bytes, not all zero; found {len(client)} bytes",
        )
    held = draft.rows[CLIENTS].get(client)
    if held is not None and draft.rows[SESSION_OWNERS].get(held, owner) != owner:
        return Refusal(
            RefusalCode.ACCESS_DENIED,
            "another principal has a session for this client: expected a client id of one's own",
        )
    if held is not None:
        mark("session.reopened")
        _end_session(draft, held)
    elif len(draft.rows[SESSIONS]) >= draft.sessions_max:
        mark("session.evicted")
        _end_session(draft, _least_recently_used(draft))
    session = draft.next_session
    draft.next_session = session + 1
    draft.put(CLIENTS, client, session_key(session))
    draft.put(SESSIONS, session_key(session), SESSION_ROW.pack(client, 0, draft.last_timestamp))
    if owner:
        draft.put(SESSION_OWNERS, session_key(session), owner)
    return SessionOpened(session)


def _least_recently_used(draft: Draft) -> bytes:
    """Key of the session to evict. The scan costs some 0.3 ms for a thousand sessions, and only opens pay it."""
    return min(draft.settled(SESSIONS).items(), key=_last_used)[0]


def _last_used(row: tuple[bytes, bytes]) -> int:
    """Timestamps are unique, so the order in which the map is walked doesn't matter."""
    last_used: int = SESSION_ROW.unpack(row[1])[2]
    return last_used


def _end_session(draft: Draft, key: bytes) -> None:
    (session,) = U64.unpack(key)
    client, last, _ = SESSION_ROW.unpack(draft.rows[SESSIONS][key])
    draft.remove(SESSIONS, key)
    draft.remove(CLIENTS, client)
    if key in draft.rows[SESSION_OWNERS]:
        draft.remove(SESSION_OWNERS, key)
    for number in range(max(1, last - SESSION_WINDOW + 1), last + 1):
        draft.remove(REPLIES, reply_key(session, number))
    void_of_session(draft, session)
    draft.effects.append(EvictSession(session))

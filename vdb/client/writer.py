"""Writes of one group, through a session: each is executed once, however often the connection breaks.

`session` keeps the books; this module drives it. Promises

1. A number is given in the moment of its first sending, and numbers leave in order on each link.
2. A request whose caller gave up (timeout, cancellation) stays in flight until it is answered, if it was ever sent;
   if not, it never is.
3. After a lost link, and when another node is the group's primary, all that is in flight goes again, before anything
   new.
4. The caller gets a result, a definite error (nothing happened), or an IndefiniteError (it may have happened).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import anyio
from attrs import define, field

from vdb.client.backoff import Backoff
from vdb.client.link import Link
from vdb.client.router import ELSEWHERE, Elsewhere, Router
from vdb.client.session import InFlight, Session, Verdict
from vdb.errors import (
    ConnectionLost,
    DefiniteError,
    DiskFull,
    IndefiniteError,
    InvalidArgument,
    Overloaded,
    PrimaryLost,
    RequestTooOld,
    SessionExpired,
    SessionGap,
    Timeout,
    Unreachable,
    VerityError,
)
from vdb.events.event_context import current_context
from vdb.kernel.command import Origin
from vdb.ports import Entropy
from vdb.types import GroupId

T = TypeVar("T")


@define(eq=False)
class WriteRequest(Generic[T]):
    """A write that somebody waits for."""

    method: str
    build: Callable[[Any, Origin], None]
    """Fills the call's parameters; called once for each sending."""
    parse: Callable[[Any], T]
    person: str = field(factory=lambda: current_context().actor)
    """For whom it is made: whoever sends it may do so for another one."""
    done: anyio.Event = field(factory=anyio.Event)
    result: T | None = None
    error: VerityError | None = None
    sent: bool = False
    abandoned: bool = False
    """The caller no longer waits."""

    def fail(self, error: VerityError) -> None:
        self.error = error
        self.done.set()


class Writer:
    """The session of one client in one group."""

    def __init__(self, *, client: bytes, group: GroupId, router: Router, entropy: Entropy) -> None:
        self._client = client
        self._group = group
        self._router = router
        self._backoff = Backoff(entropy)
        self._waiting: deque[WriteRequest[Any]] = deque()
        self._session: Session[WriteRequest[Any]] | None = None
        self._link: Link | None = None
        self._wake = anyio.Event()
        self._pause = 0.0
        self._closed = False

    async def write(
        self, method: str, build: Callable[[Any, Origin], None], parse: Callable[[Any], T], timeout: float
    ) -> T:
        """Execute one write; waits for a place in the window, and at most `timeout` seconds in all.

        Raises a definite error, or IndefiniteError (Timeout, ConnectionLost) when the outcome is unknown.
        """
        if self._closed:
            raise InvalidArgument("this client is closed")
        request = WriteRequest(method, build, parse)
        self._waiting.append(request)
        self._wake.set()
        try:
            with anyio.move_on_after(timeout):
                await request.done.wait()
        finally:
            request.abandoned = True
            if request in self._waiting:  # it has no number, so nobody misses it
                self._waiting.remove(request)
        if not request.done.is_set():
            raise self._timed_out(request, timeout)
        if request.error is not None:
            raise request.error
        return request.result  # type: ignore[return-value]

    async def run(self) -> None:
        """Send what is to be sent, for as long as the client lives."""
        while True:
            if self._work_is_left():
                await self._turn()
            await self._wake.wait()
            self._wake = anyio.Event()

    def close(self) -> None:
        """Fail all that waits; nothing is sent from now on."""
        self._closed = True
        in_flight = self._session.in_flight() if self._session is not None else []
        for request in in_flight:
            request.fail(ConnectionLost("the client was closed before the answer came"))
        for request in self._waiting:
            request.fail(Unreachable("the client was closed before the request was sent"))
        self._waiting.clear()

    # -- the sending side

    def _work_is_left(self) -> bool:
        session = self._session
        if session is None:
            return bool(self._waiting)
        return bool(self._waiting or session.to_send() or (session.leaving and session.idle))

    async def _turn(self) -> None:
        """Get a link and send in order what isn't on it. Every wait here may find the link lost: then start again."""
        if self._pause:
            pause, self._pause = self._pause, 0.0
            await anyio.sleep(pause)
        try:
            link = await self._router.link(self._group)
        except DefiniteError as error:
            while self._waiting:
                self._waiting.popleft().fail(error)
            return
        if link is not self._link:
            self._forget_link()
            self._link = link
        session = self._session
        if session is not None and session.leaving and session.idle:
            moved = [request for request in session.take_moved() if not request.abandoned]
            self._waiting.extendleft(reversed(moved))
            self._session = session = None
        if session is None:
            session = await self._open_session(link)
        if session is None:
            return
        for entry in session.to_send():
            self._send(link, session, entry)
        while self._waiting and session.has_room and not self._pause and self._usable(link):
            self._send(link, session, session.assign(self._waiting.popleft()))

    def _usable(self, link: Link) -> bool:
        return self._link is link and link.usable

    async def _open_session(self, link: Link) -> Session[WriteRequest[Any]] | None:
        if not self._waiting:
            return None

        def build(params: Any) -> None:
            params.client = self._client
            params.group = self._group

        try:
            results = await link.call("openSession", build)
        except (ConnectionLost, Overloaded):
            self._again_after_pause()
            return None
        except ELSEWHERE as error:
            self._leave(link, error)
            self._wake.set()
            return None
        except VerityError as error:
            while self._waiting:
                self._waiting.popleft().fail(error)
            return None
        self._session = Session(results.session, window=results.window)
        return self._session

    def _send(self, link: Link, session: Session[WriteRequest[Any]], entry: InFlight[WriteRequest[Any]]) -> None:
        """Queue one request on the link, behind all that were queued before."""
        if not self._usable(link):
            self._wake.set()
            return
        request = entry.request
        origin = Origin(self._client, session.number, entry.number)

        def on_done(results: Any, error: Exception | None) -> None:
            self._on_done(link, session, entry, results, error)

        entry.sent = request.sent = True
        try:
            link.start(request.method, lambda params: request.build(params, origin), on_done, person=request.person)
        except VerityError as error:
            self._on_done(link, session, entry, None, error)

    def _forget_link(self) -> None:
        self._link = None
        if self._session is not None:
            self._session.connection_lost()

    def _leave(self, link: Link, error: Elsewhere) -> None:
        """The link's node isn't the group's primary. All that is on the link goes again, to another one."""
        self._router.refused(self._group, link, error)
        self._forget_link()

    def _again_after_pause(self) -> None:
        self._pause = self._pause or self._backoff.next_delay()
        self._wake.set()

    # -- the answering side

    def _on_done(
        self,
        link: Link,
        session: Session[WriteRequest[Any]],
        entry: InFlight[WriteRequest[Any]],
        results: Any,
        error: Exception | None,
    ) -> None:
        """One copy of a request was answered, or its link is lost."""
        self._wake.set()
        if isinstance(error, ConnectionLost):
            if self._link is link:
                self._forget_link()
        elif not session.holds(entry):
            pass  # an answer to another copy came first
        elif isinstance(error, VerityError):
            self._on_error(link, session, entry, error)
        else:
            assert error is None, error
            session.answered(entry)
            self._backoff.reset()
            self._router.succeeded(self._group)
            entry.request.result = entry.request.parse(results)
            entry.request.done.set()

    def _on_error(
        self, link: Link, session: Session[WriteRequest[Any]], entry: InFlight[WriteRequest[Any]], error: VerityError
    ) -> None:
        passing = isinstance(error, (Overloaded, SessionGap, SessionExpired, *ELSEWHERE))
        if passing and self._link is not link:
            return  # said of a copy on a link that is gone; the copy on the present link will be answered, too
        if isinstance(error, Overloaded):
            session.postponed(entry)
            self._again_after_pause()
        elif isinstance(error, PrimaryLost):
            session.uncertain(entry)
            self._leave(link, error)
        elif isinstance(error, ELSEWHERE):
            session.postponed(entry)
            self._leave(link, error)
        elif isinstance(error, SessionGap):
            if session.on_gap(entry) is Verdict.SEND_AGAIN:
                self._again_after_pause()
        elif isinstance(error, SessionExpired):
            if session.on_expired(entry) is Verdict.UNKNOWN:
                entry.request.fail(
                    IndefiniteError("the session ended while the request was in flight: it may have been executed")
                )
        elif isinstance(error, RequestTooOld):
            session.on_too_old(entry)
            entry.request.fail(IndefiniteError(f"the request was executed, but its answer isn't kept: {error}"))
        elif isinstance(error, DiskFull) and entry.lost:
            session.answered(entry)
            entry.request.fail(IndefiniteError(f"an earlier copy of the request may have been executed; now: {error}"))
        else:
            session.answered(entry)
            entry.request.fail(error)

    def _timed_out(self, request: WriteRequest[Any], timeout: float) -> VerityError:
        last = self._router.last_error
        if request.sent:
            return Timeout(f"no answer to {request.method} within {timeout:g} s; it may have happened; last: {last}")
        return Unreachable(f"{request.method} could not be sent within {timeout:g} s; last: {last}")

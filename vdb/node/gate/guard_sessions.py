"""The guard of who is connected to the node."""

from __future__ import annotations

from vdb.errors import InvalidArgument
from vdb.node.gate.guard_base import GuardBase
from vdb.node.identity.live_sessions import LiveSession, LiveSessions
from vdb.policy.words import Action
from vdb.types import SYSTEM_TENANT, DataClass


class SessionGuard(GuardBase):
    """See the module's docstring."""

    async def list_sessions(self) -> list[LiveSession]:
        """Who is connected to this node. AccessDenied."""
        await self.permit_any(
            (Action.OPERATE, Action.AUDIT), SYSTEM_TENANT, classes=(DataClass.NON_PHI,), door="listSessions"
        )
        return self._sessions().all()

    async def end_session(self, number: int) -> bool:
        """End a connection, once that is written down; False if there is none of this number. AccessDenied."""
        permit = await self.operate("endSession")
        sessions = self._sessions()
        found = next((one for one in sessions.all() if one.number == number), None)
        if found is None:
            return False
        await self.acted(permit, detail={"session": str(number), "of": found.principal, "from": found.client})
        return sessions.end(number) is not None

    def note_elsewhere(self) -> None:
        """Write down that what was shown here is shown from another machine as well."""
        if self._visit is not None and self._visit.caller is not None:
            others = self._sessions().elsewhere(self._visit)
            if others:
                self.permits.note_shared(self._visit.caller, others)

    def _sessions(self) -> LiveSessions:
        if self._visit is None:
            raise InvalidArgument("a program's own handle has no sessions of others")
        return self._visit.identities.sessions

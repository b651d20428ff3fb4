"""The RPC door by which callers show who they are."""

from __future__ import annotations

from functools import partial
from typing import Any

from vdb.node.doors.answering import Handler, answer, field, listed
from vdb.node.gate.caller import Caller
from vdb.node.gate.guard import Guard
from vdb.node.identity.live_sessions import LiveSession
from vdb.rpc.server import IncomingCall


def identity_calls(guard: Guard) -> dict[str, Handler]:
    """Handlers by the names of their methods."""

    def authenticate(call: IncomingCall) -> None:
        token, purpose, reason = str(call.params.token), str(call.params.purpose), str(call.params.reason)
        answer(call, partial(guard.sign_in, token, purpose, reason), _fill_caller)

    def speak_for(call: IncomingCall) -> None:
        guard.speak_for(str(call.params.person))
        call.respond()

    def list_sessions(call: IncomingCall) -> None:
        answer(call, guard.list_sessions, listed("sessions", _fill_session))

    def end_session(call: IncomingCall) -> None:
        answer(call, partial(guard.end_session, call.params.session), field("ended"))

    return {
        "authenticate": authenticate,
        "speakFor": speak_for,
        "listSessions": list_sessions,
        "endSession": end_session,
    }


def _fill_caller(results: Any, caller: Caller) -> None:
    results.principal, results.kind = caller.principal.name, caller.credential.value
    results.mfa, results.development = caller.principal.mfa, caller.principal.development
    results.expires = caller.expires or 0


def _fill_session(builder: Any, one: LiveSession) -> None:
    builder.session, builder.principal, builder.kind = one.number, one.principal, one.credential
    builder.mfa, builder.client, builder.purpose = one.mfa, one.client, one.purpose
    builder.since, builder.idleMicros, builder.expires = one.since, one.idle_us, one.expires

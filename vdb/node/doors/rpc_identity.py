"""The RPC door by which callers show who they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vdb.node.gate.guard import Guard
from vdb.rpc.server import IncomingCall

Handler = Callable[[IncomingCall], None]


def identity_calls(guard: Guard) -> dict[str, Handler]:
    """Handlers by the names of their methods."""

    def authenticate(call: IncomingCall) -> None:
        token, purpose, reason = str(call.params.token), str(call.params.purpose), str(call.params.reason)

        async def run() -> None:
            caller = await guard.sign_in(token, purpose, reason)

            def build(results: Any) -> None:
                results.principal = caller.principal.name
                results.kind = caller.credential.value
                results.mfa = caller.principal.mfa
                results.development = caller.principal.development
                results.expires = caller.expires or 0

            call.respond(build)

        call.start_soon(run)

    def speak_for(call: IncomingCall) -> None:
        guard.speak_for(str(call.params.person))
        call.respond()

    def list_sessions(call: IncomingCall) -> None:
        async def run() -> None:
            found = await guard.list_sessions()

            def build(results: Any) -> None:
                for builder, one in zip(results.init("sessions", len(found)), found, strict=True):
                    builder.session, builder.principal, builder.kind = one.number, one.principal, one.credential
                    builder.mfa, builder.client, builder.purpose = one.mfa, one.client, one.purpose
                    builder.since, builder.idleMicros, builder.expires = one.since, one.idle_us, one.expires

            call.respond(build)

        call.start_soon(run)

    def end_session(call: IncomingCall) -> None:
        number = call.params.session

        async def run() -> None:
            ended = await guard.end_session(number)
            call.respond(lambda results: setattr(results, "ended", ended))

        call.start_soon(run)

    return {
        "authenticate": authenticate,
        "speakFor": speak_for,
        "listSessions": list_sessions,
        "endSession": end_session,
    }

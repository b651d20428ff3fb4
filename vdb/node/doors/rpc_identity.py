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

    return {"authenticate": authenticate, "speakFor": speak_for}

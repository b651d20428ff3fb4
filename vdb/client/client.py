"""A connected client: `AsyncFace` over RPC, with the tasks that keep it connected.

    async with Client({"127.0.0.1:7140": connector}, entropy=...) as client:
        await client.publish("notes", b"hello")

A connector opens byte streams, so that the simulator passes its network; `vdb.connect` passes sockets. The client's
tasks live inside the `async with` block: no task outlives it, and what the block raises leaves it as it is. They go on
while a cancellation unwinds the block, so that what is awaited under a shield there still reaches a node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType

import anyio
from anyio.abc import TaskGroup

from vdb.client.admin import ClusterAdmin
from vdb.client.credentials import NOTHING, Credentials, Whoami
from vdb.client.face import AsyncFace
from vdb.client.pinning import Pins
from vdb.client.router import Connector, OnLink, Router
from vdb.client.rpc_gateway import RpcGateway
from vdb.client.stamps import Stamps
from vdb.client.tasks import LastingTasks
from vdb.errors import InvalidArgument
from vdb.ports import Clock, Entropy


class Client(AsyncFace):
    """Talks to one node, or to a cluster. Enter it once; its methods may be called from many tasks at once."""

    def __init__(
        self,
        nodes: Mapping[str, Connector] | Connector,
        *,
        entropy: Entropy,
        clock: Clock | None = None,
        tenant: int = 1,
        retry_for: float = 30.0,
        connect_for: float = 0.0,
        learn: Callable[[str], Connector] | None = None,
        on_link: OnLink | None = None,
        region: str = "",
        pins: Pins | None = None,
        credentials: Credentials = NOTHING,
    ) -> None:
        """`nodes`: connectors by the addresses that the nodes name each other by; one alone needs no address.

        `clock` says when events happened that don't say so themselves. `retry_for`: seconds within which a call is sent
        again after lost connections, unless it has a timeout.

        `connect_for`: seconds in which the first connection must come about; 0 tries once. `learn` makes a connector
        for an address that a node names. `on_link` is told of each connection that is made or lost. `region`: the only
        one whose data this client touches, besides what is global; empty: all. `pins`: heads of logs that were seen
        before. `credentials` are shown to each node.
        """
        self._tasks: TaskGroup = anyio.create_task_group()
        connectors = nodes if isinstance(nodes, Mapping) else {"": nodes}
        self._lasting = LastingTasks(self._tasks)
        self._router = Router(connectors, entropy, self._lasting, learn, on_link, region, credentials)
        self._credentials = credentials
        self._rpc = RpcGateway(self._router, entropy, self._lasting)
        self.cluster = ClusterAdmin(self._router, retry_for)
        """Status of all nodes, and changes of members."""
        self._connect_for = connect_for
        self._entered = False
        super().__init__(self._rpc, stamps=Stamps(entropy, clock), tenant=tenant, timeout=retry_for)
        self.pins = pins

    async def whoami(self) -> Whoami:
        """Whom the node takes this client for. NotAuthenticated."""
        return await self._credentials.show(await self._router.link())

    async def __aenter__(self) -> Client:
        """Connect. Raises Unreachable if nobody answers."""
        if self._entered:
            raise InvalidArgument("a client can be entered once; make a new one")
        self._entered = True
        await self._tasks.__aenter__()
        try:
            await self._router.connect(self._connect_for)
        except BaseException as error:
            await self._leave(error)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._leave(error)

    async def _leave(self, error: BaseException | None) -> None:
        self._rpc.close()
        self._lasting.end()
        self._tasks.cancel_scope.cancel()
        # The task group sees a cancellation, which is its own business, but no other error: it would wrap it.
        cancelled = isinstance(error, anyio.get_cancelled_exc_class())
        if error is not None and cancelled:
            await self._tasks.__aexit__(type(error), error, error.__traceback__)
        else:
            await self._tasks.__aexit__(None, None, None)

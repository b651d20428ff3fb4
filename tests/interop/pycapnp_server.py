"""A server of echo.capnp by pycapnp's own asyncio RPC: prints its port, then serves until it is terminated."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import capnp

schema = capnp.load(str(Path(__file__).parent.parent / "rpc" / "echo.capnp"))


class Echo(schema.Echo.Server):  # type: ignore[name-defined, misc]
    """Method names end in `_context`, as pycapnp asks of those that want parameters and results as structs."""

    def __init__(self, label: str = "root", canceled: list[str] | None = None) -> None:
        self.own_label = label
        self.canceled: list[str] = canceled if canceled is not None else []

    async def echo_context(self, context: Any) -> None:
        context.results.text = context.params.text
        context.results.data = context.params.data
        context.results.items = context.params.items

    async def empty_context(self, context: Any) -> None:
        return

    async def fail_context(self, context: Any) -> None:
        raise capnp.KjException(context.params.how, type=capnp.KjException.Type.FAILED)

    async def wait_context(self, context: Any) -> None:
        label = context.params.label
        if label == "canceled?":
            context.results.label = ",".join(self.canceled)
            return
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.canceled.append(label)
            raise

    async def child_context(self, context: Any) -> None:
        context.results.before = context.params.label
        context.results.child = Echo(context.params.label, self.canceled)

    async def label_context(self, context: Any) -> None:
        context.results.label = self.own_label


async def main() -> None:
    async def handle(stream: Any) -> None:
        await capnp.TwoPartyServer(stream, bootstrap=Echo()).on_disconnect()

    server = await capnp.AsyncIoStream.create_server(handle, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(capnp.run(main()))

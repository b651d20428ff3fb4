"""anyio's byte streams under trio's names, as the RPC client takes them."""

from __future__ import annotations

import anyio
import trio
from anyio.abc import ByteStream

from vdb.ports import Buffer

RECEIVE_SIZE = 128 * 1024


class TrioNames:
    """A byte stream with `send_all`, `receive_some` and `aclose`, on trio and on asyncio."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    async def send_all(self, data: Buffer) -> None:
        try:
            await self._stream.send(bytes(data))
        except anyio.ClosedResourceError as error:
            raise trio.ClosedResourceError from error
        except (anyio.BrokenResourceError, OSError) as error:
            raise trio.BrokenResourceError from error

    async def wait_send_all_might_not_block(self) -> None:
        await anyio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Empty at the end."""
        try:
            return await self._stream.receive(max_bytes or RECEIVE_SIZE)
        except anyio.EndOfStream:
            return b""
        except anyio.ClosedResourceError as error:
            raise trio.ClosedResourceError from error
        except (anyio.BrokenResourceError, OSError) as error:
            raise trio.BrokenResourceError from error

    async def aclose(self) -> None:
        await self._stream.aclose()

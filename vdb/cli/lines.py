"""Lines of standard input, in batches, with their numbers.

Rules
- What has arrived is handed on at once; an empty line isn't an event, but counts as a line.
- Time is linear in the bytes, and memory is bounded: a line that no node could take is refused before its end is read,
  after all lines before it were handed on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from attrs import define, field, frozen

from vdb.errors import TooLarge
from vdb.limits import RECORD_SIZE_MAX

BATCH_BYTES_MAX = 256 * 1024


@frozen(kw_only=True)
class LineBatch:
    """Lines without their ends, and the numbers of the first and the last one; the input's first line is 1."""

    lines: tuple[bytes, ...] = field(repr=False)
    first: int
    last: int

    def __str__(self) -> str:
        return f"line {self.first}" if self.first == self.last else f"lines {self.first} to {self.last}"


@define
class LineSplitter:
    """Splits chunks of bytes into numbered lines."""

    size_max: int = RECORD_SIZE_MAX
    fault: TooLarge | None = None
    """Set by a line that is too long: nothing follows it."""
    _rest: bytearray = field(factory=bytearray)
    _number: int = 1

    def feed(self, chunk: bytes) -> list[tuple[int, bytes]]:
        """The lines that end in this chunk; an empty chunk ends the last one."""
        found: list[tuple[int, bytes]] = []
        *ends, rest = chunk.split(b"\n") if chunk else (b"", b"")
        for part in ends:
            if not self._add(part):
                return found
            found.append((self._number, bytes(self._rest).removesuffix(b"\r")))
            self._number += 1
            self._rest.clear()
        self._add(rest)
        return found

    def _add(self, part: bytes) -> bool:
        if len(self._rest) + len(part) > self.size_max:
            self._rest.clear()
            self.fault = TooLarge(
                f"line {self._number} of standard input: expected at most {self.size_max} bytes, found more; "
                "the lines before it are appended"
            )
            return False
        self._rest += part
        return True


async def line_batches(
    read: Callable[[], Awaitable[bytes]], most: int, *, size_max: int = RECORD_SIZE_MAX
) -> AsyncIterator[LineBatch]:
    """Batches of up to `most` lines. `read` gives the next bytes, and none at the end. TooLarge names the line."""
    splitter = LineSplitter(size_max)
    while True:
        chunk = await read()
        batch: list[tuple[int, bytes]] = []
        size = 0
        for number, line in splitter.feed(chunk):
            if not line:
                continue
            if batch and (len(batch) >= most or size + len(line) > BATCH_BYTES_MAX):
                yield _batch(batch)
                batch, size = [], 0
            batch.append((number, line))
            size += len(line)
        if batch:
            yield _batch(batch)
        if splitter.fault is not None:
            raise splitter.fault
        if not chunk:
            return


def _batch(numbered: list[tuple[int, bytes]]) -> LineBatch:
    return LineBatch(lines=tuple(line for _, line in numbered), first=numbered[0][0], last=numbered[-1][0])

"""Lines of standard input: batches, numbers, and lines that nobody could take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.cli.lines import LineBatch, LineSplitter, line_batches
from vdb.errors import TooLarge

Vdb = Callable[..., Any]


async def collect(chunks: Sequence[bytes], most: int, found: list[LineBatch], size_max: int = 100) -> None:
    left = list(chunks)

    async def read() -> bytes:
        return left.pop(0) if left else b""

    async for batch in line_batches(read, most, size_max=size_max):
        found.append(batch)


async def test_batches_know_their_lines() -> None:
    found: list[LineBatch] = []
    await collect([b"a\r\n\nb\nc", b"c\nd\n", b"last"], 2, found)
    assert [(batch.lines, str(batch)) for batch in found] == [
        ((b"a", b"b"), "lines 1 to 3"),
        ((b"cc", b"d"), "lines 4 to 5"),
        ((b"last",), "line 6"),
    ]


@pytest.mark.parametrize("end", [b"\nnext\n", b"", b"x" * 1000])
async def test_a_line_that_is_too_long(end: bytes) -> None:
    found: list[LineBatch] = []
    with pytest.raises(TooLarge, match=r"^line 3 of standard input: expected at most 100 bytes, found more"):
        await collect([b"a\nb\n" + b"x" * 60, b"x" * 41 + end, b"never read"], 10, found)
    assert [batch.lines for batch in found] == [(b"a", b"b")]


def test_what_is_too_long_is_not_kept() -> None:
    splitter = LineSplitter(100)
    assert splitter.feed(b"x" * 101) == []
    assert splitter.fault is not None
    assert len(splitter._rest) == 0


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line and not line.endswith(b"\r"))), st.data())
def test_any_chunks_give_the_same_lines(lines: list[bytes], data: st.DataObject) -> None:
    text = b"".join(line + b"\n" for line in lines)
    splitter = LineSplitter()
    found = []
    while text:
        size = data.draw(st.integers(1, len(text)))
        found += splitter.feed(text[:size])
        text = text[size:]
    assert found == list(enumerate(lines, 1))
    assert splitter.feed(b"") == [(len(lines) + 1, b"")]


def test_a_refused_batch_names_its_lines(node: Any, run_vdb: Vdb) -> None:
    at = {"VDB_ADDRESS": node.address}
    assert run_vdb("stream", "create", "--stream", "big", env=at).code == 0
    lines = b"one\ntwo\n\n" + b"x" * 300_000 + b"\n"
    found = run_vdb("publish", "--stream", "big", "--stdin", "--json", stdin=lines, env=at)
    assert found.code == 1
    assert found.error["code"] == "TOO_LARGE"
    assert found.error["message"].startswith("line 4 of standard input: ")
    assert found.objects[-1]["next_offset"] == 2
    refused = run_vdb("publish", "--stream", "big", "--stdin", "--expected", "9", stdin=b"a\nb\n", env=at)
    assert refused.code == 1
    assert "lines 1 to 2 of standard input: " in refused.err

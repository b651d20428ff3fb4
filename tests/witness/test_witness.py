"""A witness over real HTTP: it cosigns what continues, and nothing else, whatever happens to it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import trio
from attrs import evolve

from vdb.crypto.signing import SigningKey
from vdb.errors import ConnectionLost, DataDirectoryInUse, EvidenceInvalid
from vdb.evidence.checkpoint import Checkpoint
from vdb.evidence.cosignature import cosigned_at
from vdb.evidence.merkle import Frontier, consistency_proof, leaf_hash
from vdb.evidence.note import Note, VerifierKey, sign_note
from vdb.evidence.witness import AddCheckpoint
from vdb.witness.asking import WitnessAsked, WitnessPlace, ask_witnesses
from vdb.witness.door import BODY_MAX, serve_witness
from vdb.witness.holding import Witness
from vdb.world.clock import RealClock
from vdb.world.disk import RealDisk
from vdb.world.network import RealNetwork

ORIGIN = "veritydb/00/us-east-1/t-1/audit"
LOG, OTHER = SigningKey(b"l" * 32), SigningKey(b"o" * 32)
NAME = "witness.example"


def leaf(number: int, history: str) -> bytes:
    return leaf_hash(f"{history} {number}".encode())


def tree(size: int, history: str = "true") -> Checkpoint:
    found = Frontier()
    for number in range(size):
        found = found.append(leaf(number, history))
    return Checkpoint(ORIGIN, size, found.root())


def path(old: int, new: int, history: str = "true") -> tuple[bytes, ...]:
    def whole(level: int, index: int) -> bytes:
        found = Frontier()
        for number in range(index << level, (index + 1) << level):
            found = found.append(leaf(number, history))
        return found.root()

    return consistency_proof(whole, old, new)


def request(old: int, new: int, history: str = "true", key: SigningKey = LOG) -> AddCheckpoint:
    return AddCheckpoint(old, path(old, new, history), sign_note(str(tree(new, history)), [(ORIGIN, key)]))


def make_witness(folder: Path, key: bytes = b"w") -> tuple[Witness, RealDisk]:
    disk = RealDisk(folder)
    return Witness(disk, RealClock(), NAME, SigningKey(key * 32), {ORIGIN: (VerifierKey(ORIGIN, LOG.public),)}), disk


@asynccontextmanager
async def opened(folder: Path, key: bytes = b"w") -> AsyncIterator[Witness]:
    witness, disk = make_witness(folder, key)
    try:
        await witness.open()
        yield witness
    finally:
        await disk.close()


@asynccontextmanager
async def serving(folder: Path, key: bytes = b"w") -> AsyncIterator[tuple[Witness, WitnessPlace]]:
    async with opened(folder, key) as witness:
        listener = await RealNetwork().listen("127.0.0.1:0")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_witness, witness, listener)
            yield witness, WitnessPlace.parse(f"http://{listener.address}")
            nursery.cancel_scope.cancel()
        await listener.aclose()


def log_of(size: int, history: str = "true") -> Callable[[int], Awaitable[tuple[Note, tuple[bytes, ...]]]]:
    async def consistency(old: int) -> tuple[Note, tuple[bytes, ...]]:
        note = sign_note(str(tree(size, history)), [(ORIGIN, LOG)])
        return note, path(old, size, history) if old <= size else ()

    return consistency


async def test_each_answer_of_the_protocol(tmp_path: Path) -> None:
    async with opened(tmp_path) as witness:

        async def status(asked: AddCheckpoint) -> int:
            found, _, _ = await witness.add_checkpoint(asked.encode())
            return int(found)

        assert await status(request(0, 3, key=OTHER)) == 403
        unknown = sign_note(str(evolve(tree(3), origin="other")), [("other", LOG)])
        assert await status(AddCheckpoint(0, (), unknown)) == 404
        assert await status(AddCheckpoint(4, (), request(0, 3).note)) == 400
        assert await status(request(2, 3)) == 409
        assert await status(AddCheckpoint(0, (bytes(32),), request(0, 3).note)) == 422
        assert witness.held(ORIGIN) is None
        assert await status(request(0, 3)) == 200
        assert await status(request(3, 3)) == 200
        assert await status(request(3, 3, "false")) == 422
        assert await status(request(3, 7, "false")) == 422
        assert await witness.add_checkpoint(request(0, 7).encode()) == (409, "text/x.tlog.size", b"3\n")
        assert await status(request(3, 7)) == 200
        assert await status(request(3, 5)) == 409
        assert witness.held(ORIGIN) == tree(7)


@pytest.mark.parametrize(
    "body",
    [b"", b"old 0", b"old 0\n\n", b"old 00\n\nx", b"old 1\nAA\n\nx", b"new 1\n\nx", b"\xff\n\n", b"old 1\n" * 70],
)
async def test_what_is_no_request_is_refused(tmp_path: Path, body: bytes) -> None:
    async with opened(tmp_path) as witness:
        status, _, told = await witness.add_checkpoint(body)
        assert (status, told[-1:]) == (400, b"\n")


async def test_what_was_cosigned_is_remembered(tmp_path: Path) -> None:
    async with opened(tmp_path) as witness:
        assert (await witness.add_checkpoint(request(0, 5).encode()))[0] == 200
        with pytest.raises(DataDirectoryInUse):
            await make_witness(tmp_path)[0].open()
    async with opened(tmp_path) as witness:
        assert witness.held(ORIGIN) == tree(5)
        assert (await witness.add_checkpoint(request(0, 6).encode()))[0] == 409
    file = tmp_path / sha256(ORIGIN.encode()).hexdigest()[:32]
    assert await trio.Path(file).exists()
    file.write_text(str(sign_note(str(tree(2)), [(ORIGIN, LOG)])))
    witness, disk = make_witness(tmp_path)
    with pytest.raises(EvidenceInvalid, match="isn't cosigned by it: expected its own files"):
        await witness.open()
    await disk.close()


async def test_of_two_that_come_together_one_is_cosigned(tmp_path: Path) -> None:
    async with opened(tmp_path) as witness:
        assert (await witness.add_checkpoint(request(0, 2).encode()))[0] == 200
        found: list[int] = []

        async def ask(size: int) -> None:
            found.append(int((await witness.add_checkpoint(request(2, size).encode()))[0]))

        async with trio.open_nursery() as nursery:
            for size in (3, 4, 5, 6):
                nursery.start_soon(ask, size)
        assert sorted(found) == [200, 409, 409, 409]


async def test_a_log_asks_over_http_and_gets_its_cosignature(tmp_path: Path) -> None:
    async with serving(tmp_path) as (witness, place):
        for size in (4, 4, 9):
            note = await ask_witnesses(RealNetwork(), [WitnessAsked(place, witness.verifier)], log_of(size))
            assert note.verified_by([VerifierKey(ORIGIN, LOG.public)])
            assert cosigned_at(note, witness.verifier) is not None
        assert witness.held(ORIGIN) == tree(9)
        with pytest.raises(EvidenceInvalid, match="has cosigned 9 leaves, and the log has 8: leaves were lost"):
            await ask_witnesses(RealNetwork(), [WitnessAsked(place, witness.verifier)], log_of(8))
        with pytest.raises(EvidenceInvalid, match="has cosigned another tree of 9 leaves: two histories exist"):
            await ask_witnesses(RealNetwork(), [WitnessAsked(place, witness.verifier)], log_of(9, "false"))
        with pytest.raises(EvidenceInvalid, match=r"refuses to cosign \(422\): the tree of 12 leaves doesn't begin"):
            await ask_witnesses(RealNetwork(), [WitnessAsked(place, witness.verifier)], log_of(12, "false"))
        with pytest.raises(EvidenceInvalid, match="holds no signature of 'someone': is this its key"):
            await ask_witnesses(
                RealNetwork(), [WitnessAsked(place, evolve(witness.verifier, name="someone"))], log_of(9)
            )


async def test_several_witnesses_cosign_the_same_tree_of_a_log_that_grows(tmp_path: Path) -> None:
    async with serving(tmp_path / "a") as (first, there), serving(tmp_path / "b", b"v") as (second, elsewhere):
        assert (await first.add_checkpoint(request(0, 3).encode()))[0] == 200
        sizes = iter([4, 5, 6, 6, 7, 7, 7, 7])

        async def consistency(old: int) -> tuple[Note, tuple[bytes, ...]]:
            return await log_of(next(sizes))(old)

        asked = [WitnessAsked(there, first.verifier), WitnessAsked(elsewhere, second.verifier)]
        note = await ask_witnesses(RealNetwork(), asked, consistency)
        assert Checkpoint.parse(note.text).size == 7
        assert None not in [cosigned_at(note, one.verifier) for one in (first, second)]

        numbers = itertools.count(8)

        async def hasty(old: int) -> tuple[Note, tuple[bytes, ...]]:
            return await log_of(next(numbers))(old)

        with pytest.raises(ConnectionLost, match="the log grew 20 times while its witnesses were asked"):
            await ask_witnesses(RealNetwork(), asked, hasty)


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (b"GET / HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n", b"witness.example+"),
        (b"GET /add-checkpoint HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n", b"HTTP/1.1 405"),
        (b"GET /other HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n", b"HTTP/1.1 404"),
        (b"nonsense\r\n\r\n", b""),
        (
            b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
            % (BODY_MAX + 1)
            + b"x" * (BODY_MAX + 1),
            b"HTTP/1.1 413",
        ),
    ],
)
async def test_what_else_comes_over_http(tmp_path: Path, asked: bytes, answer: bytes) -> None:
    async with serving(tmp_path) as (_, place):
        stream = await RealNetwork().connect(place.address)
        found = b""
        await stream.send_all(asked)
        with trio.fail_after(20):
            while chunk := await _received(stream):
                found += chunk
        assert answer in found
        await stream.aclose()


async def _received(stream: Any) -> bytes:
    try:
        return bytes(await stream.receive_some(65536))
    except trio.BrokenResourceError:
        return b""


async def test_nobody_at_the_place_is_told(tmp_path: Path) -> None:
    async with serving(tmp_path) as (witness, place):
        pass
    with pytest.raises(ConnectionLost):
        await ask_witnesses(RealNetwork(), [WitnessAsked(place, witness.verifier)], log_of(1))

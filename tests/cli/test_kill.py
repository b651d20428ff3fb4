"""Clients that go on while their node is killed again and again: every acknowledged event is there, once, in place."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio

import vdb
from vdb.client.values import Event

KILLS = 3
CLIENTS = 4
IN_FLIGHT = 8
EVENTS_BETWEEN_KILLS = 200


def test_kills_lose_nothing_and_repeat_nothing(
    start_node: Callable[..., Any], tmp_path: Path, free_tcp_port: int
) -> None:
    address = f"127.0.0.1:{free_tcp_port}"
    acknowledged: dict[bytes, int] = {}
    done = False
    enough: list[trio.Event] = []

    def start() -> Any:
        start_arguments = ["start", "--config", str(tmp_path / "node.toml"), "--address", address]
        node = start_node(tmp_path, arguments=start_arguments)
        assert node.address == address
        return node

    async def publish(client: vdb.Client, name: str) -> None:
        number = 0
        while not done:
            payload = f"{name}-{number}".encode()
            acknowledged[payload] = (await client.publish("notes", payload)).first_offset
            number += 1
            if enough and len(acknowledged) >= len(enough) * EVENTS_BETWEEN_KILLS:
                enough[-1].set()

    async def run_client(name: str) -> None:
        async with vdb.connect(address, retry_for=120) as client, trio.open_nursery() as nursery:
            for index in range(IN_FLIGHT):
                nursery.start_soon(publish, client, f"{name}.{index}")

    start_node(tmp_path).end()  # makes the directory and its configuration

    async def main() -> list[Event]:
        nonlocal done
        node = await trio.to_thread.run_sync(start)
        async with vdb.connect(address) as client:
            await client.create_stream("notes")
        async with trio.open_nursery() as nursery:
            for index in range(CLIENTS):
                nursery.start_soon(run_client, str(index))
            for _ in range(KILLS):
                enough.append(trio.Event())
                await enough[-1].wait()
                await trio.to_thread.run_sync(node.end, signal.SIGKILL)
                node = await trio.to_thread.run_sync(start)
            done = True
        async with vdb.connect(address) as client:
            events = [event async for event in client.events("notes")]
        await trio.to_thread.run_sync(node.end)
        return events

    events = trio.run(main)
    payloads = [event.payload for event in events]
    assert len(set(payloads)) == len(payloads), "nothing twice"
    assert [event.offset for event in events] == list(range(len(events))), "no gap"
    for payload, offset in acknowledged.items():
        assert payloads[offset] == payload
    assert len(payloads) == len(acknowledged), "each client waits for its answers, so nothing else was sent"

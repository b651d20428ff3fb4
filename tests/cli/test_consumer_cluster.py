"""A consumer group of three processes, over TLS: its primary is killed while members work, and nothing is missed."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import vdb

EVENTS = 300
SECONDS_MAX = 120


def free_port(count: int) -> int:
    """The first of so many ports in a row on which nobody listens."""
    for first in range(15_000 + (time.monotonic_ns() // 1000) % 4_000, 20_000):
        held: list[socket.socket] = []
        try:
            held.extend(socket.create_server(("127.0.0.1", first + number)) for number in range(count))
        except OSError:
            continue
        finally:
            for one in held:
                one.close()
        return first
    raise AssertionError("no ports are free")


def work(client: vdb.SyncClient, name: str, seen: list[tuple[int, int]], done: threading.Event) -> None:
    with client.consumer("reminders").member(name) as member:
        while not done.is_set():
            for delivery in member.fetch(7, wait=0.2):
                seen.append((int(delivery.event), delivery.attempt))
                delivery.ack()


def test_the_primary_is_killed(tmp_path: Path, start_node: Callable[..., Any], run_here: Callable[..., Any]) -> None:
    place, port = tmp_path / "cluster", free_port(20)
    ports = ("--port", str(port), "--peer-port", str(port + 10))
    assert run_here("cluster", "init", "--dir", str(place), *ports).code == 0
    for number in range(3):
        with (place / f"n{number}.toml").open("a") as file:
            file.write("\n[limits]\nmessage-size-max = 65536\nwal-slots = 96\ncheckpoint-interval = 64\n")

    def start(number: int) -> Any:
        return start_node(place, arguments=["start", "--config", str(place / f"n{number}.toml")])

    with ThreadPoolExecutor(3) as pool:
        nodes = list(pool.map(start, range(3)))
    files = place / "tls"
    tls = vdb.TlsConfig(cert=files / "client.pem", key=files / "client.key", ca=files / "ca.pem")
    addresses = [f"127.0.0.1:{port + number}" for number in range(3)]
    seen: list[tuple[int, int]] = []
    done = threading.Event()
    with vdb.connect_sync(addresses, tls=tls, connect_for=30) as client:
        client.create_stream("visits")
        consumer = client.create_consumer("reminders", prefixes=["visi"], ack_deadline=3, max_deliver=0)
        with ThreadPoolExecutor(2) as pool:
            workers = [pool.submit(work, client, f"worker-{number}", seen, done) for number in range(2)]
            try:
                for number in range(EVENTS):
                    client.publish("visits", b"%d" % number)
                    if number == EVENTS // 3:
                        first = next(group for group in client.status().groups if group.group == "ap-southeast-2")
                        nodes[first.primary].end(signal.SIGKILL)
                deadline = time.monotonic() + SECONDS_MAX
                while consumer.info().acked < EVENTS and time.monotonic() < deadline:
                    time.sleep(0.1)
            finally:
                done.set()
            for worker in workers:
                worker.result()
        info = consumer.info()
    assert (info.acked, info.in_flight, info.waiting, info.dead_letters) == (EVENTS, 0, 0, 0)
    assert sorted({number for number, _ in seen}) == list(range(EVENTS))

"""A consumer group of three processes, over TLS: its primary is killed while members work, and nothing is missed."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import vdb

EVENTS = 300
SECONDS_MAX = 120


def work(client: vdb.SyncClient, name: str, seen: list[tuple[int, int]], done: threading.Event) -> None:
    with client.consumer("reminders").member(name) as member:
        while not done.is_set():
            for delivery in member.fetch(7, wait=0.2):
                seen.append((int(delivery.event), delivery.attempt))
                delivery.ack()


def test_the_primary_is_killed(cluster: Any) -> None:
    cluster.limit(0, 1, 2)
    cluster.start(0, 1, 2)
    seen: list[tuple[int, int]] = []
    done = threading.Event()
    with vdb.connect_sync(cluster.address(0, 1, 2), tls=cluster.tls, connect_for=30) as client:
        client.create_stream("visits")
        consumer = client.create_consumer("reminders", prefixes=["visi"], ack_deadline=3, max_deliver=0)
        with ThreadPoolExecutor(2) as pool:
            workers = [pool.submit(work, client, f"worker-{number}", seen, done) for number in range(2)]
            try:
                for number in range(EVENTS):
                    client.publish("visits", b"%d" % number)
                    if number == EVENTS // 3:
                        first = next(group for group in client.status().groups if group.group == "ap-southeast-2")
                        cluster.nodes[first.primary].end(signal.SIGKILL)
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

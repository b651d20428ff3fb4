"""Keys rotate at a cluster while SQL sessions and writers of events go on: none of their requests fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from attrs import define, field

import vdb


@define
class Busy:
    """Somebody who asks again and again, in a thread of its own, and stops at the first error."""

    ask: Callable[[int], None]
    count: int = 0
    error: BaseException | None = None
    _over: threading.Event = field(factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._over.is_set():
                self.ask(self.count)
                self.count += 1
        except BaseException as error:
            self.error = error

    def end(self) -> None:
        assert self._thread is not None
        self._over.set()
        self._thread.join(60)
        if self.error is not None:
            raise self.error


def rotate(cluster: Any) -> None:
    """To the end, the files of rows included."""
    for found in cluster.vdb("key", "rotate", "--json").objects:
        assert found["left"] == 0
    deadline = time.monotonic() + 120
    while (status := cluster.vdb("key", "status", "--json", fine=False)).code:
        assert time.monotonic() < deadline, status.out
        time.sleep(0.2)


def test_no_request_fails_while_keys_rotate(cluster: Any) -> None:
    cluster.limit(0, 1, 2)
    cluster.start(0, 1, 2)
    cluster.vdb("stream", "create", "--stream", "notes", "--data-class", "phi")
    address = cluster.address(0, 1, 2)
    with vdb.connect_sync(address, tls=cluster.tls) as client:
        client.create_database("clinic")
        with client.sql("clinic") as writing, client.sql("clinic") as reading:
            writing.execute("CREATE TABLE beds (id INTEGER PRIMARY KEY, patient TEXT)")

            def write(number: int) -> None:
                writing.execute("INSERT INTO beds VALUES (?, ?)", (number, f"patient {number}"))

            def read(_number: int) -> None:
                rows = reading.execute("SELECT id FROM beds ORDER BY id").fetchall()
                assert [row[0] for row in rows] == list(range(len(rows)))

            def publish(number: int) -> None:
                client.publish("notes", b"%d" % number, subject=f"p-{number % 3}")

            busy = [Busy(write), Busy(read), Busy(publish)]
            for one in busy:
                one.start()
            cluster.vdb("key", "next", str(cluster.place / "root.key"))
            rotate(cluster)
            of_one = cluster.vdb("key", "rotate", "--tenant", "1", "--group", "ap-southeast-2", "--json")
            assert of_one.object["period"] == 2
            time.sleep(1.0)
            for one in busy:
                one.end()
            assert all(one.count > 5 for one in busy), [one.count for one in busy]
            assert len(reading.execute("SELECT id FROM beds").fetchall()) == busy[0].count
        assert [event.payload for event in client.read("notes")] == [b"%d" % number for number in range(busy[2].count)]
    cluster.vdb("key", "retire", str(cluster.place / "root.key"))
    cluster.end()

"""PostgreSQL: a primary and two standbys by streaming replication, of which one must have synced before the answer.

A failover is scripted, because PostgreSQL has none of its own. The script has the best case: it sees at once that the
primary is gone, promotes the standby that received most, and points the other one to it.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.cluster.link import PAYLOAD
from tests.benchmarks.cluster.load import Interrupted
from tests.benchmarks.cluster.postgres_link import USER, PostgresLink, query
from tests.benchmarks.cluster.probe import seconds_to_append
from tests.benchmarks.cluster.system import (
    FAILOVER_MAX_S,
    NODES,
    PAGE,
    end_process,
    find_programs,
    free_ports,
    run_process,
    start_process,
    wait_until,
)

HOST = "127.0.0.1"
PLACES = "usr/lib/postgresql/*/bin"
PROGRAMS = ("postgres", "initdb", "pg_basebackup", "pgbench")
WATCH_S = 0.02
"""How often the script looks whether the primary still answers."""
SHORT_TRANSACTIONS = 20
"""Of each connection, in a measurement of less than a second."""
ANY_STANDBY = f"ANY 1 ({', '.join(f'n{number}' for number in range(NODES))})"
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "synchronous_commit": "on",
    "synchronous_standby_names": ANY_STANDBY,
    "wal_retrieve_retry_interval": "100ms",
}
TABLES = """
    CREATE TABLE events (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload text NOT NULL);
    CREATE TABLE readable (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload text NOT NULL);
"""
READ_SCRIPT = f"""
\\if :at >= :events
\\set at 0
\\endif
SELECT id, payload FROM readable WHERE id > :at ORDER BY id LIMIT {PAGE};
\\set at :at + {PAGE}
"""


class Postgres:
    name = "PostgreSQL"

    def __init__(self) -> None:
        self._programs = find_programs(PROGRAMS, PLACES)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._primary = 0
        self._killed = -1

    def absent(self) -> str:
        missing = [name for name, path in self._programs.items() if path is None]
        if missing:
            return f"no {', '.join(missing)} on the PATH or in /{PLACES} (Debian: postgresql)"
        if os.geteuid() == 0 and (shutil.which("setpriv") is None or _user() is None):
            return "PostgreSQL doesn't run as root, and there is no setpriv, or no user 'postgres' or 'nobody', instead"
        return ""

    def start(self, folder: Path) -> None:
        self._folder, self._log = folder, folder / "commands.log"
        self._ports = free_ports(NODES)
        self._primary = 0
        if (user := _user()) is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        options = ["--username", USER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C"]
        self._run(self._program("initdb"), "--pgdata", self._data(0), *options)
        self._configure(0)
        self._start_node(0)
        wait_until(lambda: bool(query(self._ports[0], "SELECT 1")), "PostgreSQL answers")
        for number in range(1, NODES):
            self._make_standby(number)
        self._wait_for_standbys()
        query(self._ports[0], TABLES)

    def _program(self, name: str) -> Path:
        path = self._programs[name]
        assert path is not None
        return path

    def _data(self, number: int) -> Path:
        return self._folder / f"n{number}"

    def _configure(self, number: int) -> None:
        """What a node's own are: its name, its port, and settings that a copy brings along."""
        own = {**SETTINGS, "port": str(self._ports[number]), "cluster_name": f"n{number}"}
        with (self._data(number) / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in own.items())

    def _make_standby(self, number: int) -> None:
        source = self._conninfo(self._primary)
        options = ["--write-recovery-conf", "--checkpoint", "fast", "--wal-method", "stream"]
        self._run(self._program("pg_basebackup"), "--pgdata", self._data(number), "--dbname", source, *options)
        self._configure(number)
        self._start_node(number)

    def _conninfo(self, number: int) -> str:
        return f"host={HOST} port={self._ports[number]} user={USER}"

    def _start_node(self, number: int) -> None:
        command: list[str | Path] = [*_as_user(), self._program("postgres"), "-D", self._data(number)]
        self._processes[number] = start_process(command, self._folder / f"n{number}.log", cwd=self._folder)

    def _run(self, *command: str | Path) -> None:
        run_process([*_as_user(), *command], self._log, cwd=self._folder)

    def _wait_for_standbys(self) -> None:
        def caught_up() -> bool:
            rows = query(
                self._ports[self._primary],
                "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' AND replay_lsn = pg_current_wal_lsn()",
            )
            return len(rows) == NODES - 1

        wait_until(caught_up, "both standbys have caught up")

    def stop(self) -> None:
        for process in self._processes.values():
            # SIGINT is PostgreSQL's fast shutdown; its default waits for every client.
            end_process(process, signal.SIGINT)
        self._processes.clear()

    def configuration(self) -> Sequence[str]:
        said = subprocess.run(
            [self._program("postgres"), "--version"], stdout=subprocess.PIPE, text=True, check=True
        ).stdout
        told = ", ".join(f"{name} = '{value}'" for name, value in SETTINGS.items())
        return (
            f"{said.strip()}, a primary and {NODES - 1} standbys; {told}; all else as it comes; no TLS",
            "an append is an INSERT of one row, a batch is one INSERT of an array's elements, a read is a page by key",
            "load: pgbench with prepared statements, a connection for each request in flight",
            f"failover: a script that looks every {WATCH_S * 1000:g} ms, promotes a standby and points the other to it",
        )

    def append(self, depth: int, events: int, seconds: float) -> float:
        if events == 1:
            script = "INSERT INTO events (payload) VALUES (:payload);"
            variables = {"payload": PAYLOAD.decode()}
        else:
            script = "INSERT INTO events (payload) SELECT unnest(:payloads::text[]);"
            variables = {"payloads": "{" + ",".join([PAYLOAD.decode()] * events) + "}"}
        return events * self._pgbench(script, depth, seconds, variables)

    def fill(self, events: int) -> None:
        values = f"SELECT '{PAYLOAD.decode()}' FROM generate_series(1, {events})"
        query(self._ports[self._primary], f"INSERT INTO readable (payload) {values}")
        query(self._ports[self._primary], "VACUUM ANALYZE readable")

    def read(self, events: int, seconds: float) -> float:
        return PAGE * self._pgbench(READ_SCRIPT, 1, seconds, {"at": "0", "events": str(events)})

    def _pgbench(self, script: str, clients: int, seconds: float, variables: dict[str, str]) -> float:
        """Transactions per second. pgbench runs for whole seconds; for less, it is told a number of transactions."""
        file = self._folder / "script.sql"
        file.write_text(script)
        command: list[str | Path] = [self._program("pgbench"), "--no-vacuum", "--protocol", "prepared"]
        length = ["--time", str(round(seconds))] if seconds >= 1 else ["--transactions", str(SHORT_TRANSACTIONS)]
        command += ["--client", str(clients), "--jobs", "1", *length, "--file", file]
        for name, value in variables.items():
            command += ["--define", f"{name}={value}"]
        command += ["--host", HOST, "--port", str(self._ports[self._primary]), "--username", USER, "postgres"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = re.search(r"^tps = ([0-9.]+) \(without", done.stdout, re.MULTILINE)
        if done.returncode != 0:
            raise RuntimeError(f"pgbench ended with code {done.returncode}: {done.stderr.strip()}")
        if found is None:
            raise Interrupted("the connections took all of the time")
        return float(found[1])

    def fail_over(self) -> float:
        self._killed = self._primary
        left = [number for number in range(NODES) if number != self._killed]
        failures: list[Exception] = []
        watcher = threading.Thread(target=self._promote, args=(left, failures))
        watcher.start()
        since = time.perf_counter()
        end_process(self._processes[self._killed], signal.SIGKILL)
        ports = [self._ports[number] for number in left]
        try:
            return seconds_to_append(since, ports, PostgresLink, within_s=FAILOVER_MAX_S)
        finally:
            watcher.join()
            if failures:
                raise failures[0]

    def _promote(self, left: Sequence[int], failures: list[Exception]) -> None:
        """The script: waits for the primary's end, then makes the standby that received most the primary."""
        try:
            while self._answers(self._killed):
                time.sleep(WATCH_S)
            received = {number: self._received(number) for number in left}
            promoted = max(left, key=received.__getitem__)
            query(self._ports[promoted], "SELECT pg_promote(false)")
            for number in left:
                if number != promoted:
                    source = self._conninfo(promoted)
                    query(self._ports[number], f"ALTER SYSTEM SET primary_conninfo = '{source}'")
                    query(self._ports[number], "SELECT pg_reload_conf()")
            self._primary = promoted
        except (OSError, ValueError) as error:
            failures.append(error)

    def _answers(self, number: int) -> bool:
        try:
            query(self._ports[number], "SELECT 1", timeout_s=1)
        except (OSError, ValueError):
            return False
        return True

    def _received(self, number: int) -> int:
        rows = query(self._ports[number], "SELECT pg_wal_lsn_diff(pg_last_wal_receive_lsn(), '0/0')")
        return int(rows[0][0] or 0)

    def restore(self) -> None:
        shutil.rmtree(self._data(self._killed))
        self._make_standby(self._killed)
        self._wait_for_standbys()


def _user() -> pwd.struct_passwd | None:
    """Whom PostgreSQL runs as when we are root; None when we aren't, or when there is nobody."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None


def _as_user() -> list[str]:
    user = _user()
    if user is None:
        return []
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]

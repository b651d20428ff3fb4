"""PostgreSQL with a trigger that writes each row before and after, as JSON, into an audit table, in one transaction.

Its connections speak the simple query protocol from Python, a socket each.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

from tests.benchmarks.cluster.postgres import HOST, PLACES, _as_user, _user
from tests.benchmarks.cluster.postgres_link import USER, PostgresLink, query
from tests.benchmarks.cluster.system import (
    end_process,
    find_programs,
    free_ports,
    run_process,
    start_process,
    wait_until,
)
from tests.benchmarks.sql.stores import COSTS, NOTE, Connection

_SETTINGS = {"listen_addresses": HOST, "unix_socket_directories": "", "synchronous_commit": "on"}
_SCHEMA = """
    CREATE TABLE visits (id bigint PRIMARY KEY, patient bigint NOT NULL, note text NOT NULL, cost double precision);
    CREATE TABLE audit (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(),
        tbl text NOT NULL, op text NOT NULL, before jsonb, after jsonb);
    CREATE FUNCTION audited() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO audit (tbl, op, before, after) VALUES (TG_TABLE_NAME, TG_OP,
            CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END, CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END);
        RETURN NULL;
    END $$;
    CREATE TRIGGER audited AFTER INSERT OR UPDATE OR DELETE ON visits FOR EACH ROW EXECUTE FUNCTION audited();
"""


class Postgres:
    name = "PostgreSQL, audited"

    def __init__(self) -> None:
        self._programs = find_programs(("postgres", "initdb"), PLACES)
        self._process: subprocess.Popen[bytes] | None = None

    def absent(self) -> str:
        """Why it can't be measured here; empty if it can."""
        missing = [name for name, path in self._programs.items() if path is None]
        return f"no {', '.join(missing)} on the PATH or in /{PLACES} (Debian: postgresql)" if missing else ""

    def start(self, folder: Path) -> None:
        (self._port,) = free_ports(1)
        if (user := _user()) is not None:
            for place in (folder, folder.parent):
                os.chmod(place, 0o755)
            os.chown(folder, user.pw_uid, user.pw_gid)
        data, log = folder / "pg", folder / "commands.log"
        options = ["--username", USER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C"]
        run_process([*_as_user(), self._program("initdb"), "--pgdata", data, *options], log, cwd=folder)
        with (data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in {**_SETTINGS, "port": self._port}.items())
        command: list[str | Path] = [*_as_user(), self._program("postgres"), "-D", data]
        self._process = start_process(command, folder / "postgres.log", cwd=folder)
        wait_until(lambda: bool(query(self._port, "SELECT 1")), "PostgreSQL answers")
        query(self._port, _SCHEMA)

    def connect(self) -> Connection:
        return _Connection(self._port)

    def stop(self) -> None:
        if self._process is not None:
            end_process(self._process, signal.SIGINT)

    def _program(self, name: str) -> Path:
        path = self._programs[name]
        assert path is not None
        return path


class _Connection:
    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection((HOST, port), 60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._link = PostgresLink()
        self._run("SELECT 1")
        self._link.rows.clear()

    def insert(self, key: int) -> None:
        self._run(f"INSERT INTO visits VALUES ({key}, {key % 1000}, '{NOTE}', 12.5)")

    def update(self, key: int) -> None:
        self._run(f"UPDATE visits SET note = '{NOTE}', cost = {next(COSTS)} WHERE id = {key}")

    def select(self, key: int) -> None:
        self._run(f"SELECT patient, note, cost FROM visits WHERE id = {key}")
        assert len(self._link.rows) == 1
        self._link.rows.clear()

    def close(self) -> None:
        self._socket.close()

    def _run(self, text: str) -> None:
        link = self._link
        link.ask(text)
        self._socket.sendall(link.data_to_send())
        while True:
            data = self._socket.recv(1 << 16)
            finished = link.receive(data)
            assert not link.refusal, link.refusal
            assert data, "PostgreSQL ended the connection"
            if finished:
                return

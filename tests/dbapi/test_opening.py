"""What `database` names."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

import vdb.dbapi
from vdb.crypto.root import RootKeys
from vdb.dbapi import OperationalError
from vdb.dbapi.opening import Target, parse_target

KEYS = RootKeys(bytes(range(32)))
FILE = "file:"


@pytest.mark.parametrize(
    ("text", "uri", "target"),
    [
        (":memory:", False, Target()),
        ("", False, Target()),
        ("data", False, Target(path="data")),
        (Path("a/b"), False, Target(path="a/b")),
        (b"data", False, Target(path="data")),
        ("file:data", False, Target(path="file:data")),
        ("file:data", True, Target(path="data")),
        (f"{FILE}///x/y%20z?mode=ro", True, Target(path="/x/y z", read_only=True, must_exist=True)),
        ("file:data?mode=rw", True, Target(path="data", must_exist=True)),
        ("file::memory:", True, Target()),
        ("file::memory:?cache=shared", True, Target(shared_name=":memory:")),
        ("file:n?mode=memory&cache=shared", True, Target(shared_name="n")),
        ("verity://h:1/main", False, Target(url="verity://h:1/main")),
    ],
)
def test_targets(text: Any, uri: bool, target: Target) -> None:
    assert parse_target(text, uri=uri) == target


def test_what_can_t_be_a_target() -> None:
    with pytest.raises(OperationalError, match="no such access mode"):
        parse_target("file:x?mode=odd", uri=True)
    with pytest.raises(ValueError, match="null byte"):
        parse_target("a\0b", uri=False)
    with pytest.raises(TypeError, match="not int"):
        parse_target(7, uri=False)


def test_a_data_directory_keeps_what_was_committed(tmp_path: Path) -> None:
    place = tmp_path / "data"
    for expected in (0, 1, 2):
        first = vdb.dbapi.connect(place, keys=KEYS)
        second = vdb.dbapi.connect(str(place), keys=KEYS)
        with first:
            first.execute("CREATE TABLE IF NOT EXISTS t (a)")
        assert second.execute("SELECT count(*) FROM t").fetchone() == (expected,)
        first.close()
        with second:
            second.execute("INSERT INTO t VALUES (1)")
        second.execute("INSERT INTO t VALUES (2)")  # rolled back by close
        second.close()


def test_databases_of_one_directory(tmp_path: Path) -> None:
    for name in ("main", "other"):
        with vdb.dbapi.connect(tmp_path / "d", keys=KEYS, name=name) as connection:
            connection.execute("CREATE TABLE t (a)")
        connection.close()


def test_read_only_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VDB_ROOT_KEY", base64.b64encode(bytes(32)).decode())
    url = f"file:{tmp_path}/d?mode=ro"
    with pytest.raises(OperationalError, match="there is no data directory"):
        vdb.dbapi.connect(url, uri=True)
    with vdb.dbapi.connect(tmp_path / "d") as writer:
        writer.execute("CREATE TABLE t (a)")
    reader = vdb.dbapi.connect(url, uri=True)
    for sql in ("INSERT INTO t VALUES (1)", "DROP TABLE t"):
        with pytest.raises(OperationalError, match="attempt to write a readonly database") as caught:
            reader.execute(sql)
        assert caught.value.sqlite_errorcode == vdb.dbapi.SQLITE_READONLY
    assert reader.execute("SELECT count(*) FROM t").fetchone() == (0,)
    assert not reader.in_transaction
    reader.close()
    writer.close()


def test_what_can_t_be_opened_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place, message in (
        (tmp_path / "file", "is a file; a database of VerityDB's is a directory"),
        (tmp_path / "no" / "where", "there is no directory"),
    ):
        with pytest.raises(OperationalError, match=f"unable to open database file: .*{message}"):
            vdb.dbapi.connect(place, keys=KEYS)
    vdb.dbapi.connect(tmp_path / "d", keys=KEYS).close()
    with pytest.raises(OperationalError, match="unable to open database file") as caught:
        vdb.dbapi.connect(tmp_path / "d", keys=RootKeys(bytes(32)))
    assert isinstance(caught.value.__cause__, vdb.errors.StartError)  # type: ignore[attr-defined]


def test_a_forgotten_connection_gives_its_lease_back(tmp_path: Path) -> None:
    other = vdb.dbapi.connect(tmp_path / "d", keys=KEYS)
    other.execute("CREATE TABLE t (a)")
    forgotten = vdb.dbapi.connect(tmp_path / "d", keys=KEYS)
    forgotten.execute("INSERT INTO t VALUES (1)")
    del forgotten
    with other:
        other.execute("INSERT INTO t VALUES (2)")
    assert other.execute("SELECT a FROM t").fetchall() == [(2,)]
    other.close()

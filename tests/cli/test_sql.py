"""`vdb sql` on a data directory: output in each form, scripts, the shell's own commands, errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vdb
from vdb.world.keys import generate_root_key

SETUP = (
    "CREATE TABLE patients (id INTEGER PRIMARY KEY, name TEXT, photo BLOB); "
    "INSERT INTO patients (name, photo) VALUES ('Ada', x'00ff'), ('Ben, the \"second\"', NULL)"
)


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Arguments that name a data directory, its key and a database."""
    folder = tmp_path_factory.mktemp("clinic")
    (folder / "data").mkdir()
    key = folder / "root.key"
    key.touch(mode=0o600)
    key.write_text(generate_root_key())
    return ["--data-dir", str(folder / "data"), "--key-file", str(key), "--database", "clinic"]


@pytest.fixture(scope="module")
def filled(clinic: list[str], run_vdb: Callable[..., Any]) -> list[str]:
    ran = run_vdb("sql", SETUP, *clinic, "--actor", "dr.lee", "--purpose", "treatment")
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    return clinic


def test_rows_in_each_form(filled: list[str], run_here: Callable[..., Any]) -> None:
    query = "SELECT * FROM patients ORDER BY id"
    assert run_here("sql", query, *filled).out == ("id\tname\tphoto\n1\tAda\tx'00ff'\n2\tBen, the \"second\"\tNULL\n")
    assert run_here("sql", query, "--csv", *filled).out == ('id,name,photo\n1,Ada,00ff\n2,"Ben, the ""second""",\n')
    assert run_here("sql", query, "--json", *filled).objects == [
        {"id": 1, "name": "Ada", "photo": "00ff"},
        {"id": 2, "name": 'Ben, the "second"', "photo": None},
    ]


def test_columns_of_one_name_and_infinities_survive_json(filled: list[str], run_here: Callable[..., Any]) -> None:
    ran = run_here("sql", "SELECT 1 AS a, 9e999 AS a", "--json", *filled)
    assert ran.objects == [{"a": 1, "a_2": "inf"}]


def test_a_script_comes_in_through_standard_input(filled: list[str], run_vdb: Callable[..., Any]) -> None:
    script = (
        b"BEGIN;\nINSERT INTO patients (name) VALUES ('Cy;');\nROLLBACK; -- never\nSELECT count(*) AS n FROM patients"
    )
    assert run_vdb("sql", *filled, stdin=script).out == "n\n2\n"


def test_the_first_statement_that_fails_ends_it(filled: list[str], run_here: Callable[..., Any]) -> None:
    ran = run_here("sql", "SELECT 1; SELEC 2; SELECT 3", *filled)
    assert (ran.code, ran.out) == (1, "1\n1\n")
    assert ran.err == 'error: near "SELEC": syntax error\n'
    ran = run_here("sql", "VACUUM", "--json", *filled)
    assert (ran.code, ran.out, ran.error["code"]) == (1, "", "SQL_REFUSED")


def test_dot_commands(filled: list[str], run_here: Callable[..., Any]) -> None:
    assert run_here("sql", ".tables", *filled).out == "table\npatients\n"
    assert run_here("sql", ".schema patients", *filled).out == (
        "CREATE TABLE patients (id INTEGER PRIMARY KEY, name TEXT, photo BLOB);\n"
    )
    ran = run_here("sql", ".schema nothing", *filled)
    assert (ran.code, ran.err) == (2, "error: there is no table 'nothing'\n")
    ran = run_here("sql", ".nothing", *filled)
    assert ran.code == 2
    assert "there is no command .nothing: expected one of .help, .tables" in ran.err


def test_bad_usage_is_told(filled: list[str], run_here: Callable[..., Any], tmp_path: Path) -> None:
    ran = run_here("sql", "SELECT 1", "--csv", "--json", *filled)
    assert (ran.code, ran.error["message"]) == (2, "--csv and --json: expected one of them, found both")
    ran = run_here("sql", "SELECT 1", "--data-dir", str(tmp_path / "nowhere"))
    assert (ran.code, ran.err) == (2, f"error: --data-dir: there is no directory {tmp_path / 'nowhere'}\n")


def test_help_has_an_example(run_here: Callable[..., Any]) -> None:
    assert 'vdb sql "SELECT name FROM patients WHERE id = 7" --database clinic' in run_here("sql", "--help").out


def test_the_past_and_who_made_it(filled: list[str], run_here: Callable[..., Any]) -> None:
    (first,) = run_here("sql", ".history patients 1", "--json", *filled).objects
    assert (first["operation"], first["actor"], first["purpose"]) == ("insert", "dr.lee", "treatment")
    assert (first["before"], first["after"]) == (None, {"id": 1, "name": "Ada", "photo": "00ff"})
    run_here("sql", "UPDATE patients SET name = 'Ada L.' WHERE id = 1", *filled, "--actor", "dr.kim")
    table = run_here("sql", ".history patients 1", *filled).out.splitlines()
    assert [line.split("\t")[1:3] for line in table] == [
        ["operation", "actor"],
        ["insert", "dr.lee"],
        ["update", "dr.kim"],
    ]
    query = "SELECT name FROM patients WHERE id = 1"
    for moment in (str(first["offset"]), first["time"].replace("Z", "999Z")):
        assert run_here("sql", query, "--as-of", moment, *filled).out == "name\nAda\n"
    ran = run_here("sql", "DELETE FROM patients", "--as-of", "0", *filled)
    assert (ran.code, ran.out) == (1, "")
    run_here("sql", "UPDATE patients SET name = 'Ada' WHERE id = 1", *filled)


def test_explain(filled: list[str], run_here: Callable[..., Any]) -> None:
    out = run_here("sql", "--explain", "UPDATE patients SET name = 'x' WHERE id = 1", *filled).out
    assert "writes     patients: update (name)\n" in out
    assert "plan       SEARCH patients USING INTEGER PRIMARY KEY (rowid=?)\n" in out
    told = run_here("sql", "--explain", "SELECT name FROM patients", "--json", *filled).object
    assert (told["kind"], told["writes"]) == ("READ", [])


def test_a_node_tells_of_the_past_as_well(node: Any, vdb_at: Callable[..., Any]) -> None:
    with vdb.connect_sync(node.address) as client:
        client.create_database("clinic")
    clinic = ["--database", "clinic"]
    assert vdb_at("sql", SETUP, *clinic, "--actor", "dr.lee", "--purpose", "treatment").code == 0
    (first,) = vdb_at("sql", ".history patients 1", "--json", *clinic).objects
    assert (first["operation"], first["actor"], first["purpose"]) == ("insert", "dr.lee", "treatment")
    assert first["after"] == {"id": 1, "name": "Ada", "photo": "00ff"}
    assert vdb_at("sql", "UPDATE patients SET name = 'Ada L.' WHERE id = 1", *clinic).code == 0
    query = "SELECT name FROM patients WHERE id = 1"
    for moment in (str(first["offset"]), first["time"].replace("Z", "999Z")):
        assert vdb_at("sql", query, "--as-of", moment, *clinic).out == "name\nAda\n"
    ran = vdb_at("sql", "DELETE FROM patients", "--as-of", str(first["offset"]), *clinic)
    assert (ran.code, ran.out) == (1, "")
    assert "it can be read, and not written" in ran.err
    assert "writes     patients: delete\n" in vdb_at("sql", ".explain DELETE FROM patients", *clinic).out
    span = [str(first["offset"]), "2200-01-01"]
    (told,) = vdb_at("sql", f".diff {' '.join(span)}", "--json", *clinic).objects
    assert (told["table"], told["operation"], told["before"]["name"]) == ("patients", "update", "Ada")
    table = vdb_at("sql", f".diff {' '.join(span)}", *clinic).out.splitlines()
    assert table[1] == "patients\tupdate\tid=1  name=Ada  photo=x'00ff'\tid=1  name=Ada L.  photo=x'00ff'"
    assert vdb_at("sql", f".restore then {span[0]}", *clinic).code == 0
    assert vdb_at("sql", query, "--database", "then").out == "name\nAda\n"
    again = vdb_at("sql", f".restore then {span[0]}", *clinic, "--json")
    assert (again.code, again.error["code"]) == (1, "STREAM_EXISTS")
    ran = vdb_at("sql", ".diff 1", *clinic)
    assert (ran.code, ran.err) == (2, "error: expected .diff MOMENT MOMENT\n")
    told = vdb_at("sql", "--explain", "SELECT name FROM patients", "--json", *clinic).object
    assert (told["kind"], told["reads"][0]["columns"]) == ("READ", ["name"])

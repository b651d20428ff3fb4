"""What the README shows is run as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SHELL = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
BIN = Path(sys.executable).parent


def run(command: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        check=False,
        cwd=folder,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def start_node(folder: Path, number: int) -> subprocess.Popen[bytes]:
    command = [BIN / "vdb", "start", "--config", f"cluster/n{number}.toml"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    with (folder / f"n{number}.log").open("ab") as log:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)


def test_there_is_something_to_run() -> None:
    assert len(PYTHON) == 7
    assert len(SHELL) == 2


@pytest.mark.parametrize("code", PYTHON)
def test_python_examples(code: str, tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(code)
    done = run([sys.executable, "example.py"], tmp_path, VDB_ROOT_KEY=b64encode(bytes(range(32))).decode())
    assert done.returncode == 0, done.stderr


@contextmanager
def three_nodes(folder: Path, free_port: int, first_line: str = "") -> Iterator[list[str]]:
    """A cluster that answers, and its nodes' addresses for clients. `first_line` begins each node's file."""
    port = 20_000 + free_port % 300 * 40
    ports = ["--port", str(port), "--peer-port", str(port + 20)]
    command = ["vdb", "cluster", "init", "--dir", "cluster", "--no-tls", "--region", "ap-southeast-2", *ports]
    done = run(command, folder)
    assert done.returncode == 0, done.stderr
    for number in range(3):
        file = folder / f"cluster/n{number}.toml"
        file.write_text(first_line + file.read_text())
    nodes = [start_node(folder, number) for number in range(3)]
    addresses = [f"127.0.0.1:{port + number}" for number in range(3)]
    status = f"vdb status --address {','.join(addresses)} >/dev/null 2>&1"
    waiting = f"for i in $(seq 300); do {status} && break; sleep 0.2; done"
    try:
        run(["bash", "-c", waiting], folder)
        yield addresses
    finally:
        for node in nodes:
            node.terminate()
        for node in nodes:
            node.wait(30)


def test_the_sql_clinic_runs_unchanged_on_three_nodes(tmp_path: Path, free_tcp_port: int) -> None:
    [code] = [each for each in PYTHON if "CLINIC_URL" in each]
    (tmp_path / "example.py").write_text(code)
    with three_nodes(tmp_path, free_tcp_port) as (first, *others):
        url = f"verity://{first}/clinic?create=true" + "".join(f"&host={other}" for other in others)
        done = run([sys.executable, "example.py"], tmp_path, CLINIC_URL=url)
        assert done.returncode == 0, done.stderr


def test_the_clinic_of_events_runs_unchanged_on_three_nodes(tmp_path: Path, free_tcp_port: int) -> None:
    [code] = [each for each in PYTHON if "CLINIC_NODES" in each]
    (tmp_path / "clinic.py").write_text(code)
    with three_nodes(tmp_path, free_tcp_port, 'projections = ["clinic:READ_MODELS"]\n') as addresses:
        done = run([sys.executable, "clinic.py"], tmp_path, CLINIC_NODES=",".join(addresses))
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("ReminderSent(") == 2


def test_shell_examples(tmp_path: Path, free_tcp_port: int) -> None:
    export = tmp_path / "export-folder"
    export.mkdir()
    patient = '{"resourceType": "Patient", "id": "123", "birthDate": "1980-02-01"}\n'
    (export / "Patient.000.ndjson").write_text(patient)
    node, importing = SHELL
    waiting = "\nfor i in $(seq 100); do vdb status >/dev/null 2>&1 && break; sleep 0.2; done\n"
    script = "set -e\n" + node.replace("root.key &\n", "root.key &\nnode=$!\n" + waiting)
    script += importing + "kill $node\nwait $node\n"
    done = run(["bash", "-c", script], tmp_path, VDB_ADDRESS=f"127.0.0.1:{free_tcp_port}")
    assert done.returncode == 0, done.stderr
    assert "hello" in done.stdout
    assert "Patient" in done.stdout


def test_every_path_named_is_there() -> None:
    named = re.findall(r"`((?:tests|sim|vdb|schemas|seeds)/[\w/.]+)`", README)
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []

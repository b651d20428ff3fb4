"""What the README shows is run as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
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
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_there_is_something_to_run() -> None:
    assert len(PYTHON) == 4
    assert len(SHELL) == 2


@pytest.mark.parametrize("code", PYTHON)
def test_python_examples(code: str, tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(code)
    done = run([sys.executable, "example.py"], tmp_path)
    assert done.returncode == 0, done.stderr


def test_the_clinic_runs_unchanged_on_three_nodes(tmp_path: Path, free_tcp_port: int) -> None:
    [code] = [each for each in PYTHON if "CLINIC_URL" in each]
    (tmp_path / "example.py").write_text(code)
    port = 20_000 + free_tcp_port % 300 * 40
    ports = ["--port", str(port), "--peer-port", str(port + 20)]
    command = ["vdb", "cluster", "init", "--dir", "cluster", "--no-tls", "--region", "ap-southeast-2", *ports]
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stderr
    nodes = [start_node(tmp_path, number) for number in range(3)]
    try:
        others = "".join(f"&host=127.0.0.1:{port + number}" for number in (1, 2))
        url = f"verity://127.0.0.1:{port}/clinic?create=true{others}"
        done = run([sys.executable, "example.py"], tmp_path, CLINIC_URL=url)
        assert done.returncode == 0, done.stderr
    finally:
        for node in nodes:
            node.terminate()
        for node in nodes:
            node.wait(30)


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

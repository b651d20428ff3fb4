"""The wheel holds all that the product needs away from its checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    built = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_schemas_types_license_and_command(root: Path, wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = archive.namelist()
        (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
        commands = archive.read(entry_points).decode()
    schemas = [f"vdb/schemas/{path.name}" for path in (root / "schemas").glob("*.capnp")]
    assert len(schemas) >= 4
    for name in ("vdb/py.typed", "vdb/types.py", *schemas):
        assert name in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "vdb = vdb.cli.main:main" in commands
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"vdb", "veritydb"}


def test_the_schemas_load_from_an_installed_wheel(wheel: Path, tmp_path: Path) -> None:
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from vdb.wire import schema; print(schema.FOLDER)"
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == str(tmp_path / "vdb" / "schemas")

"""A Django project, its migrations, admin, auth and tests, on `vdb.django` as on Django's own backend for SQLite."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parent / "django_project"
PLAIN = "django.db.backends.sqlite3"
OURS = "vdb.django"
ALTERED = ("visits = models.PositiveIntegerField(default=0)", "visits = models.CharField(max_length=9, default='0')")
ADDED = ("    photo = ", "    email = models.EmailField(blank=True, db_index=True)\n    photo = ")

Manage = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PROJECT, tmp_path / "site"))


def managing(folder: Path, engine: str, name: str) -> Manage:
    environment = {
        **os.environ,
        "DATABASE_ENGINE": engine,
        "DATABASE_NAME": str(folder.parent / name),
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "VDB_ROOT_KEY": base64.b64encode(bytes(32)).decode(),
    }

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "error::ResourceWarning", *arguments],
            check=False,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + (done.stderr if "test" in arguments else "")

    return run


def results(manage: Manage) -> dict[str, Any]:
    manage("-m", "django", "makemigrations", "clinic")
    manage("-m", "django", "migrate")
    assert "No changes detected" in manage("-m", "django", "makemigrations", "--check")
    found: dict[str, Any] = json.loads(manage("scenario.py"))
    return found


def test_the_same_results_as_on_plain_sqlite(folder: Path) -> None:
    plain = results(managing(folder, PLAIN, "plain.sqlite3"))
    shutil.rmtree(folder / "clinic" / "migrations")
    (folder / "clinic" / "migrations").mkdir()
    (folder / "clinic" / "migrations" / "__init__.py").touch()
    ours = results(managing(folder, OURS, "data"))
    assert ours.keys() == plain.keys()
    for what, found in ours.items():
        assert found == plain[what], what
    assert (folder.parent / "data").is_dir()


def test_the_projects_own_tests_run_in_memory(folder: Path) -> None:
    manage = managing(folder, OURS, "data")
    manage("-m", "django", "makemigrations", "clinic")
    for processes in ("1", "2"):
        said = manage("-m", "django", "test", "--noinput", "--parallel", processes)
        assert "Ran 10 tests" in said
        assert "OK" in said


def test_migrations_go_forth_and_back(folder: Path) -> None:
    manage = managing(folder, OURS, "data")
    manage("-m", "django", "makemigrations", "clinic")
    manage("-m", "django", "migrate")
    models = folder / "clinic" / "models.py"
    models.write_text(models.read_text().replace(*ALTERED).replace(*ADDED))
    manage("-m", "django", "makemigrations", "clinic", "-n", "more")
    script = (
        "from clinic.models import Patient; print([(p.name, p.visits, p.email) for p in Patient.objects.all()]);"
        "print(len(Patient._meta.get_fields()))"
    )
    fill = (
        "import django; django.setup();"
        "from django.db import connection as c;"
        'c.cursor().execute("INSERT INTO clinic_patient (name, balance, allergies, visits)'
        " VALUES ('Ada', 1, '[]', 3)\")"
    )
    manage("-c", fill)
    manage("-m", "django", "migrate")
    assert "[('Ada', '3', '')]" in manage("-c", f"import django; django.setup(); {script}")
    manage("-m", "django", "migrate", "clinic", "0001")
    manage("-m", "django", "migrate", "clinic", "zero")
    assert "[X]" not in manage("-m", "django", "showmigrations", "clinic")

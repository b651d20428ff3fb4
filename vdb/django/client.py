"""`manage.py dbshell`: the shell of VerityDB."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.backends.base.client import BaseDatabaseClient

PORT = "7140"


class DatabaseClient(BaseDatabaseClient):  # type: ignore[misc]
    """Starts `vdb sql` on the settings' database."""

    executable_name = "vdb"

    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: dict[str, Any], parameters: Iterable[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        """The command, and what its environment has beside ours."""
        options = settings_dict["OPTIONS"]
        command = [cls.executable_name, "sql"]
        if settings_dict["HOST"]:
            command += ["--address", ",".join(addresses(settings_dict)), "--database", str(settings_dict["NAME"])]
        else:
            command += ["--data-dir", str(settings_dict["NAME"]), "--database", str(options.get("name", "main"))]
        for name, flag in _FLAGS.items():
            if name in options:
                command += [flag, str(options[name])]
        return [*command, *parameters], None


_FLAGS = {"keys": "--key-file", "tenant": "--tenant", "actor": "--actor", "purpose": "--purpose"}


def addresses(settings_dict: dict[str, Any]) -> list[str]:
    """Where the settings' nodes listen: `HOST` names them with commas between them, `PORT` is for those without one."""
    port = settings_dict["PORT"] or PORT
    return [each if ":" in each else f"{each}:{port}" for each in settings_dict["HOST"].split(",")]

"""`manage.py dbshell`: the shell of VerityDB."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.backends.base.client import BaseDatabaseClient


class DatabaseClient(BaseDatabaseClient):  # type: ignore[misc]
    """Starts `vdb sql` on the settings' database."""

    executable_name = "vdb"

    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: dict[str, Any], parameters: Iterable[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        """The command, and what its environment has beside ours."""
        return [cls.executable_name, "sql", str(settings_dict["NAME"]), *parameters], None

"""Connections of Django's, without a project."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django
import pytest
from django.conf import settings
from django.db.utils import ConnectionHandler

from vdb.crypto.root import RootKeys

Connect = Callable[..., Any]

if not settings.configured:
    settings.configure(USE_TZ=True)
    django.setup(set_prefix=False)


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Connect]:
    """A connection on settings of a database; closed at the end."""
    made: list[Any] = []

    def make(**given: Any) -> Any:
        options = {"keys": RootKeys(bytes(32)), **given.pop("OPTIONS", {})}
        described = {"ENGINE": "vdb.django", "NAME": tmp_path / "data", "OPTIONS": options, **given}
        made.append(ConnectionHandler({"default": described})["default"])
        return made[-1]

    yield make
    for connection in made:
        if connection.connection is not None:
            connection.connection.close()
